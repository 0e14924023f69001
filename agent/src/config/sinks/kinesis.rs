//! A Kinesis data stream. At-least-once: each record carries a repeat key.

use crate::config::choice::{Choice as _, choices};
use crate::config::key::{Form, Key, Kind};
use crate::config::organization::{ROLE, optional_role};
use crate::config::section::Section;

use super::{Format, Role, sink_keys};

/// A Kinesis sink's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinesis {
    /// The stream's name or ARN.
    pub stream: String,
    /// The stream's region; `aws.region` without it.
    pub region: Option<String>,
    /// The role that writes; own credentials without it.
    pub role: Option<Role>,
    /// What decides a record's shard.
    pub partition_key: PartitionKey,
}

choices! {
    /// What decides a record's shard, and so its order.
    PartitionKey {
        /// The event's id: spreads evenly, keeps no order.
        Event = "event",
        /// Account and region: keeps the order of delivery within both.
        Account = "account",
    }
}

pub(in crate::config) const KEYS: &[Key] = sink_keys![
    Key::required("stream", Kind::Text(Form::Any), "The stream's name or ARN."),
    Key::optional("region", Kind::Text(Form::Region), "The stream's region; aws.region without it."),
    Key::optional("role", Kind::Group(ROLE), "The role that writes; own credentials without it."),
    Key::with_default(
        "partition_key",
        Kind::Choice(PartitionKey::NAMES),
        "event",
        "What decides a record's shard: event spreads evenly, account keeps the order within account and region.",
    ),
];

pub(super) fn build(s: &Section<'_>) -> Option<Kinesis> {
    let stream = s.read("stream", stream);
    let region = s.optional("region", crate::config::aws::region);
    let role = optional_role(s, "role");
    let partition_key = s.choice::<PartitionKey>("partition_key");
    Some(Kinesis { stream: stream?, region: region?, role: role?, partition_key: partition_key? })
}

/// Kinesis API, CreateStream: 1 to 128 of `[a-zA-Z0-9_.-]`; or the stream's ARN.
fn stream(text: &str) -> Result<String, String> {
    let good = |name: &str| {
        (1..=128).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let name = match text.splitn(6, ':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "kinesis", _, _, resource] => resource.strip_prefix("stream/").unwrap_or(""),
        _ => text,
    };
    if good(name) { Ok(text.to_owned()) } else { Err("expected a stream's name or ARN".into()) }
}
