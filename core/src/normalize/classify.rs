//! What an event name says: OCSF class and activity, ECS category and type.
//!
//! In: the name of an event. Out: a [`Class`]. The knowledge is in two tables, `events.tsv` and `verbs.tsv`,
//! built into the program and read once. A name that no table knows is API Activity with an activity that the
//! tables do not decide; nothing fails.

use std::collections::HashMap;
use std::sync::LazyLock;

const EVENTS: &str = include_str!("events.tsv");
const VERBS: &str = include_str!("verbs.tsv");

/// The OCSF classes that CloudTrail records become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OcsfClass {
    /// 6003
    Api,
    /// 3001
    Account,
    /// 3002
    Authentication,
}

/// What a name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    /// The OCSF class.
    pub(super) ocsf: OcsfClass,
    /// The activity id within the class; `None` where neither table knows: `readOnly` decides then.
    pub(super) activity: Option<u8>,
    /// ECS `event.category` and `event.type`, where Elastic's integration gives them.
    pub(super) ecs: Option<(&'static str, &'static str)>,
}

struct Tables {
    events: HashMap<&'static str, Class>,
    verbs: HashMap<&'static str, Option<u8>>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    verbs: rows(VERBS).filter_map(verb_row).collect(),
    events: rows(EVENTS).filter_map(event_row).collect(),
});

/// Classifies an event name.
pub(super) fn classify(name: &str) -> Class {
    let by_verb = || Class { ocsf: OcsfClass::Api, activity: verb_activity(name), ecs: None };
    match TABLES.events.get(name) {
        Some(class @ Class { ocsf: OcsfClass::Api, activity: None, .. }) => {
            Class { ecs: class.ecs, ..by_verb() }
        }
        Some(class) => *class,
        None => by_verb(),
    }
}

/// The API activity of the first word of a name that is not skipped.
fn verb_activity(name: &str) -> Option<u8> {
    let mut rest = name;
    // `AdminBatch…` does not occur: two skipped words are enough for any name.
    for _ in 0..3 {
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| !c.is_ascii_lowercase())
            .map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at(end);
        match TABLES.verbs.get(word)? {
            Some(activity) => return Some(*activity),
            None => rest = after,
        }
    }
    None
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// A row of `verbs.tsv`; a row that is wrong is left out, and the test below fails.
fn verb_row(row: &'static str) -> Option<(&'static str, Option<u8>)> {
    let (verb, activity) = row.split_once('\t')?;
    let activity = match activity {
        "create" => Some(1),
        "read" => Some(2),
        "update" => Some(3),
        "delete" => Some(4),
        "skip" => None,
        _ => return None,
    };
    Some((verb, activity))
}

/// A row of `events.tsv`; a row that is wrong is left out, and the test below fails.
fn event_row(row: &'static str) -> Option<(&'static str, Class)> {
    let mut columns = row.split('\t');
    let (name, class, activity) = (columns.next()?, columns.next()?, columns.next()?);
    let (category, types) = (columns.next()?, columns.next()?);
    let ocsf = match class {
        "account" => OcsfClass::Account,
        "authentication" => OcsfClass::Authentication,
        "api" => OcsfClass::Api,
        _ => return None,
    };
    let activity = if activity == "verb" { None } else { Some(activity.parse().ok()?) };
    let ecs = (category != "-").then_some((category, types));
    columns.next().is_none().then_some((name, Class { ocsf, activity, ecs }))
}

/// How a name was decided; for the test that says which names of real data fall to the verb rule.
#[cfg(test)]
pub(super) fn source(name: &str) -> &'static str {
    match TABLES.events.get(name) {
        Some(Class { ocsf: OcsfClass::Api, activity: None, .. }) | None if verb_activity(name).is_some() => {
            "verb"
        }
        Some(_) => "table",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_once() {
        assert_eq!(rows(EVENTS).count(), TABLES.events.len());
        assert_eq!(rows(VERBS).count(), TABLES.verbs.len());
        assert!(TABLES.events.len() > 130 && TABLES.verbs.len() > 80);
        let sorted = |table: &'static str| rows(table).is_sorted_by_key(|row| row.split('\t').next());
        assert!(sorted(EVENTS) && sorted(VERBS));
    }

    #[test]
    fn classes_are_sound() {
        for (name, class) in &TABLES.events {
            let highest = match class.ocsf {
                OcsfClass::Api => 4,
                OcsfClass::Account => 11,
                OcsfClass::Authentication => 5,
            };
            assert!(class.activity.is_none_or(|id| id == 99 || (1..=highest).contains(&id)), "{name}");
            assert!(class.activity.is_some() || class.ocsf == OcsfClass::Api, "{name}");
        }
    }

    #[test]
    fn the_verb_is_the_first_word() {
        for (name, activity) in [
            ("DescribeInstances", Some(2)),
            ("GetFunction20150331v2", Some(2)),
            ("BatchGetSecretValue", Some(2)),
            ("AdminDeleteUser", Some(4)),
            ("RunInstances", Some(1)),
            ("Describe", Some(2)),
            ("Getaway", None),
            ("InvokeModel", Some(99)),
            ("Batch", None),
            ("", None),
            ("Ünicode", None),
        ] {
            assert_eq!(classify(name).activity, activity, "{name}");
        }
    }
}
