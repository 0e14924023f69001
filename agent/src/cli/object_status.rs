//! `trailhaul status --object KEY`: what is known of one source object.
//!
//! In: what the ledger says of it, hauled or waiting or both. Out: the facts, for people or as JSON. Exit code: 0.

use serde_json::{Map, Value, json};

use super::output::table;
use super::{ExitCode, Output};
use crate::admin::{ObjectStatus, WaitingStatus};

/// Shows an object that was hauled, or waits under another ETag, or both.
pub(super) fn show(
    object: Option<&ObjectStatus>,
    waiting: Option<&WaitingStatus>,
    output: &mut Output,
) -> ExitCode {
    if output.is_json() {
        let mut facts = match object.map(|object| json!(object)) {
            Some(Value::Object(facts)) => facts,
            _ => Map::new(),
        };
        if let Some(waiting) = waiting.filter(|_| object.is_none()) {
            facts.insert("bucket".to_owned(), json!(waiting.bucket));
            facts.insert("key".to_owned(), json!(waiting.key));
        }
        facts.insert("waiting".to_owned(), json!(waiting));
        output.json(&Value::Object(facts));
        return ExitCode::Good;
    }
    let mut rows = object.map(hauled).unwrap_or_default();
    rows.extend(waiting.into_iter().flat_map(|waiting| waits(waiting, object.is_some())));
    output.text(&table(&rows));
    ExitCode::Good
}

fn hauled(object: &ObjectStatus) -> Vec<Vec<String>> {
    let facts = json!(object);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = facts.as_object().into_iter().flatten().filter(|(name, _)| *name != "verdicts");
    let mut rows: Vec<Vec<String>> = facts.map(|(name, value)| vec![name.clone(), shown(value)]).collect();
    for said in &object.verdicts {
        let digest =
            said.digest.as_ref().map_or_else(String::new, |digest| format!(", digest {}", digest.key));
        rows.push(vec![
            format!("said {}", said.at),
            format!("{}: {}{digest} (entry {})", said.verdict.as_str(), said.cause, said.entry),
        ]);
    }
    rows
}

fn waits(waiting: &WaitingStatus, hauled: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if !hauled {
        row("bucket", waiting.bucket.clone());
        row("key", waiting.key.clone());
    }
    row("waiting etag", waiting.etag.clone());
    row("waiting bytes", waiting.size.to_string());
    row("waits", state(waiting).to_owned());
    if waiting.held {
        let time = |time: Option<jiff::Timestamp>| time.map_or_else(|| "-".to_owned(), |t| t.to_string());
        row("held since", time(waiting.held_since));
        row("held until", format!("{} at most", time(waiting.held_until)));
    }
    for digest in &waiting.awaits {
        let (trail, until) = (&digest.trail, digest.hour_until);
        row("waits for", format!("the digest of trail {trail} for the hour until {until}: {}", digest.key));
    }
    if waiting.held && waiting.awaits.is_empty() {
        row("waits for", "a digest; none of this account and region was seen yet".to_owned());
    }
    if let Some(digest) = &waiting.digest {
        row("named by", digest.clone());
    }
    rows
}

fn state(waiting: &WaitingStatus) -> &'static str {
    match (waiting.gone, waiting.held, &waiting.digest) {
        (true, ..) => "it was found, and gone when it was to be read",
        (_, true, _) => "held: no digest vouches for it yet",
        (_, _, Some(_)) => "a digest names it: it is to be hauled",
        _ => "it is to be hauled",
    }
}
