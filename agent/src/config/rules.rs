//! What only the whole configuration can tell: places that overlap, homes, names, memory.
//!
//! In: the validated parts and the tree (for positions). Out: problems. Every rule looks at everything, so one
//! run reports all of them.

use std::collections::HashMap;

use super::memory::memory_needed;
use super::problem::{Origin, Problem};
use super::sinks::Target;
use super::trails::Trails;
use super::value::{Place, show_size};
use super::yaml::{Node, Value};
use super::{Config, Sink};

/// Checks a configuration; one that is not `complete` only for what is there, not for what may be missing.
pub(super) fn check(config: &Config, tree: &Node, complete: bool) -> Vec<Problem> {
    let mut rules = Rules { tree, problems: Vec::new() };
    rules.trail_names(config);
    rules.own_tail(config);
    rules.same_place(config);
    rules.state_apart(config);
    rules.one_home(config, complete);
    rules.one_console(config);
    if complete {
        rules.regions(config);
        rules.memory(config);
    }
    rules.problems
}

struct Rules<'a> {
    tree: &'a Node,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn trail_names(&mut self, config: &Config) {
        let Trails::Listed(trails) = &config.trails else { return };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, trail) in trails.iter().enumerate() {
            if let Some(first) = seen.insert(&trail.name, index) {
                let message =
                    format!("{:?} is also the name of trails[{first}]; give each its own", trail.name);
                self.add(&format!("trails[{index}].name"), message);
            }
        }
        let mut places: HashMap<(&Place, Vec<_>), usize> = HashMap::new();
        for (index, trail) in trails.iter().enumerate() {
            let families = trail.families.iter().copied().collect();
            if let Some(first) = places.insert((&trail.place, families), index) {
                let message =
                    format!("is also the place of trails[{first}]; every object would be found twice");
                self.add(&format!("trails[{index}].bucket"), message);
            }
        }
    }

    /// An archive inside a source, or around it, would be hauled again and again.
    fn own_tail(&mut self, config: &Config) {
        for sink in &config.sinks {
            let Some((key, place)) = writes_to(sink) else { continue };
            for trail in config.trails.listed() {
                if place.overlaps(&trail.place) {
                    let message = format!(
                        "overlaps trail {:?} ({}): trailhaul would eat its own tail; write elsewhere",
                        trail.name, trail.place
                    );
                    self.add(&format!("sinks.{}.{key}", sink.name), message);
                }
            }
        }
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
        for sink in &config.sinks {
            if let Some((_, place)) = writes_to(sink)
                && place.overlaps(&state)
            {
                self.add(
                    "state.path",
                    format!("overlaps sink {:?} ({place}); keep them apart", sink.name.as_str()),
                );
            }
        }
        for trail in config.trails.listed() {
            if trail.place.overlaps(&state) {
                self.add(
                    "state.path",
                    format!("overlaps trail {:?} ({}); keep them apart", trail.name, trail.place),
                );
            }
        }
    }

    fn one_home(&mut self, config: &Config, complete: bool) {
        let archives: Vec<(&Sink, bool)> = config
            .sinks
            .iter()
            .filter_map(|sink| match &sink.target {
                Target::Archive(archive) => Some((sink, archive.home)),
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
            let message = format!(
                "{} is too small for this configuration; it needs {} or more",
                show_size(config.limits.memory),
                show_size(needed.next_multiple_of(1 << 20))
            );
            self.add("limits.memory", message);
        }
    }

    fn add(&mut self, key: &str, message: impl Into<String>) {
        let origin = locate(self.tree, key);
        self.problems.push(Problem { origin, key: key.to_owned(), message: message.into() });
    }
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
