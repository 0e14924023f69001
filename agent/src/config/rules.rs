//! What only the whole configuration can tell: places that overlap, homes, names, memory.
//!
//! In: the validated parts and the tree (for positions). Out: problems. Every rule looks at everything, so one
//! run reports all of them. Messages name keys and never repeat values, which may have come from the
//! environment.

use std::collections::HashMap;

use super::memory::memory_needed;
use super::problem::{MOST, Origin, Problem};
use super::sinks::Target;
use super::value::{Place, show_size};
use super::yaml::{Node, Value};
use super::{Config, Draft, Sink, Trail};

/// Checks a configuration; one that is not `complete` only for what is there, not for what may be missing.
pub(super) fn check(draft: &Draft, tree: &Node, complete: bool) -> Vec<Problem> {
    let config = &draft.config;
    let mut rules = Rules { tree, trails: trail_keys(draft), problems: Vec::new() };
    rules.trails();
    rules.own_tail(config);
    rules.same_place(config);
    rules.state_apart(config);
    rules.one_home(config, complete);
    rules.one_console(config);
    rules.remembered(config);
    if complete {
        rules.regions(config);
        rules.memory(config);
    }
    rules.problems
}

struct Rules<'a> {
    tree: &'a Node,
    /// Every trail that could be read, with its key (`trails[3]`).
    trails: Vec<(String, &'a Trail)>,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn trails(&mut self) {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut places: HashMap<&Place, Vec<(&str, &Trail)>> = HashMap::new();
        let mut found = Vec::new();
        for (key, trail) in &self.trails {
            if let Some(first) = names.insert(&trail.name, key) {
                let message = format!("is also the name of {first}; give each its own");
                found.push((format!("{key}.name"), message));
            }
            let others = places.entry(&trail.place).or_default();
            let twin = others.iter().find(|(_, other)| !other.families.is_disjoint(&trail.families));
            if let Some((first, _)) = twin {
                let message = format!("is also the place of {first}; every object would be found twice");
                found.push((format!("{key}.bucket"), message));
            } else {
                // Each family has one trail of a place at most, so this stays as short as the list of families.
                others.push((key, trail));
            }
        }
        self.add_all(found);
    }

    /// An archive inside a source, or around it, would be hauled again and again.
    fn own_tail(&mut self, config: &Config) {
        let mut found = Vec::new();
        for sink in &config.sinks {
            let Some((key, place)) = writes_to(sink) else { continue };
            for (trail_key, trail) in &self.trails {
                if found.len() <= MOST && place.overlaps(&trail.place) {
                    let message = format!(
                        "overlaps {trail_key}.bucket: trailhaul would eat its own tail; write elsewhere"
                    );
                    found.push((format!("sinks.{}.{key}", sink.name), message));
                }
            }
        }
        self.add_all(found);
    }

    fn same_place(&mut self, config: &Config) {
        for (index, sink) in config.sinks.iter().enumerate() {
            let Some((key, place)) = writes_to(sink) else { continue };
            for other in config.sinks.iter().take(index) {
                if writes_to(other).is_some_and(|(_, theirs)| theirs.overlaps(&place)) {
                    let message =
                        format!("sink {:?} writes there too; give each its own place", other.name.as_str());
                    self.add(&format!("sinks.{}.{key}", sink.name), message);
                }
            }
        }
        let mut streams: HashMap<(&str, Option<&str>), &Sink> = HashMap::new();
        for sink in &config.sinks {
            let Target::Kinesis(kinesis) = &sink.target else { continue };
            let region = kinesis.region.as_deref().or(config.aws.region.as_deref());
            if let Some(other) = streams.insert((&kinesis.stream, region), sink)
                && other.format == sink.format
                && other.filter == sink.filter
            {
                let message = format!("sink {:?} sends the same there", other.name.as_str());
                self.add(&format!("sinks.{}.stream", sink.name), message);
            }
        }
    }

    fn state_apart(&mut self, config: &Config) {
        let Ok(state) = Place::parse(&format!("file://{}", config.state.path.display()), &config.state.path)
        else {
            self.add("state.path", "is not a folder that can hold the state");
            return;
        };
        let sinks = config.sinks.iter().filter_map(|sink| {
            let (key, place) = writes_to(sink)?;
            Some((format!("sinks.{}.{key}", sink.name), place))
        });
        let trails = self.trails.iter().map(|(key, trail)| (format!("{key}.bucket"), trail.place.clone()));
        let others: Vec<String> =
            sinks.chain(trails).filter(|(_, place)| place.overlaps(&state)).map(|(key, _)| key).collect();
        for other in others {
            self.add("state.path", format!("overlaps {other}; keep them apart"));
        }
    }

    /// A verdict that comes after its object was forgotten could not be given.
    fn remembered(&mut self, config: &Config) {
        if config.integrity.extra_after >= config.state.retention {
            let message = "is not shorter than state.retention, after which objects are forgotten";
            self.add("integrity.extra_after", message);
        }
    }

    fn one_home(&mut self, config: &Config, complete: bool) {
        let archives: Vec<(&Sink, bool)> = config
            .sinks
            .iter()
            .filter_map(|sink| match &sink.target {
                Target::Archive(archive) if !sink.is_parquet() => Some((sink, archive.home)),
                _ => None,
            })
            .collect();
        let homes: Vec<&Sink> = archives.iter().filter(|(_, home)| *home).map(|(sink, _)| *sink).collect();
        match (archives.len(), homes.as_slice()) {
            (0 | 1, _) | (_, [_]) => {}
            (_, []) if !complete => {}
            (_, []) => {
                let message = format!(
                    "{} archives and none is home; set home: true on the one that holds the journal",
                    archives.len()
                );
                self.add("sinks", message);
            }
            (_, [first, rest @ ..]) => {
                for sink in rest {
                    let message =
                        format!("sink {:?} is home already; exactly one archive is", first.name.as_str());
                    self.add(&format!("sinks.{}.home", sink.name), message);
                }
            }
        }
        for sink in homes {
            if !sink.required {
                self.add(
                    &format!("sinks.{}.required", sink.name),
                    "the home archive is always required; it holds the journal",
                );
            }
        }
    }

    fn one_console(&mut self, config: &Config) {
        let consoles = config.sinks.iter().filter(|sink| matches!(sink.target, Target::Console(_)));
        for sink in consoles.skip(1) {
            self.add(
                &format!("sinks.{}.type", sink.name),
                "there is one standard output; keep one console sink",
            );
        }
    }

    fn regions(&mut self, config: &Config) {
        for sink in &config.sinks {
            if let Target::Kinesis(kinesis) = &sink.target
                && kinesis.region.is_none()
                && config.aws.region.is_none()
                && !kinesis.stream.starts_with("arn:")
            {
                self.add(
                    &format!("sinks.{}.region", sink.name),
                    "is missing; give it here, as aws.region, or in the stream's ARN",
                );
            }
        }
    }

    fn memory(&mut self, config: &Config) {
        let needed = memory_needed(config);
        if config.limits.memory < needed {
            let needed = show_size(needed.next_multiple_of(1 << 20));
            let message = format!("is too small for this configuration; it needs {needed} or more");
            self.add("limits.memory", message);
        }
    }

    fn add_all(&mut self, found: Vec<(String, String)>) {
        // One more than is shown, so that the reader learns that there are more.
        for (key, message) in found.into_iter().take(MOST + 1) {
            self.add(&key, message);
        }
    }

    fn add(&mut self, key: &str, message: impl Into<String>) {
        let origin = locate(self.tree, key);
        self.problems.push(Problem { origin, key: key.to_owned(), message: message.into() });
    }
}

fn trail_keys(draft: &Draft) -> Vec<(String, &Trail)> {
    let trails = draft.config.trails.listed().iter();
    draft.rows.iter().zip(trails).map(|(row, trail)| (format!("trails[{row}]"), trail)).collect()
}

/// Where a sink writes, with the key that says so; nothing for streams.
fn writes_to(sink: &Sink) -> Option<(&'static str, Place)> {
    match &sink.target {
        Target::Archive(archive) => Some(("bucket", archive.place.clone())),
        Target::File(file) => {
            let url = format!("file://{}", file.path.display());
            Place::parse(&url, &file.path).ok().map(|place| ("path", place))
        }
        Target::Console(_) | Target::Kinesis(_) => None,
    }
}

/// The position of the longest part of a key's path that the file has.
fn locate(tree: &Node, path: &str) -> Origin {
    let mut node = tree;
    let mut origin = Origin::Whole;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Value::Map(entries) = &node.value else { break };
        let Some(entry) = entries.iter().find(|entry| entry.key == name) else { break };
        (node, origin) = (&entry.node, entry.origin.clone());
        if let (Some(index), Value::List(items)) = (index, &node.value) {
            let Some(item) = items.get(index) else { break };
            (node, origin) = (item, item.origin.clone());
        }
    }
    origin
}
