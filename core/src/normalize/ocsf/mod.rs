//! CloudTrail to OCSF 1.1, 1.5 and 1.8, as Amazon Security Lake maps it.
//!
//! In: a parsed record. Out: one event that is valid under the schema of its version. Source of the mapping:
//! ocsf/examples, mappings/markdown/AWS, 1.1.0 and 1.5.0; of the rules: the compiled schemas of ocsf/ocsf-schema.
//!
//! Class: API Activity, Account Change or Authentication by the event's name; Insights become Detection
//! Findings, with one finding id for start and end. A record that cannot fill what its class requires (no name,
//! nobody who acts, nowhere that the call came from: aggregated events, for one) is a Base Event, and nothing
//! is invented to make it more. docs/formats.md argues where this differs from AWS's own output.

mod actor;
mod api;
mod event;
mod insight;
mod observe;
mod target;

use crate::model::json::{Record, Value};

use super::mapper::Mapper;
use super::{Context, OcsfVersion, Refusal, Scratch, envelope};

/// The class and activity of an event.
#[derive(Debug, Clone, Copy)]
struct Header {
    class: &'static ClassText,
    activity_id: u8,
    activity: &'static str,
}

/// What every event of a class says of it.
#[derive(Debug)]
struct ClassText {
    uid: i64,
    name: &'static str,
    /// The members that never change.
    members: &'static str,
}

/// Appends one event, or nothing when the record is refused.
pub(super) fn render(
    version: OcsfVersion,
    record: Record<'_>,
    context: &Context<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let start = out.len();
    let Scratch { redacted, used, unmapped } = scratch;
    let mut m = Mapper::new(record, context, redacted, used, out);
    if !event::write(&mut m, version) && !insight::write(&mut m, version) {
        m.w.truncate(start);
        m.forget_used();
        event::write_base(&mut m, version);
    }
    m.w.key("unmapped");
    m.w.bytes(b"{");
    own_members(&mut m);
    let written = unmapped.write(record, m.used, m.redacted, &mut m.w);
    m.w.bytes(b"}}");
    if written.is_err() {
        m.w.truncate(start);
    }
    written
}

/// Where the record comes from, with which key a repeat is dropped, and what is known of the account: under
/// `unmapped`, so that a consumer finds each by one name, in a map of strings too.
fn own_members(m: &mut Mapper<'_, '_>) {
    let context = m.context;
    m.w.repeat_key("trailhaul.repeat_key", &context.repeat_key);
    m.w.plain("trailhaul.verdict", context.verdict);
    m.w.key("trailhaul.source");
    m.w.bytes(b"\"");
    envelope::source(context, &mut m.w);
    m.w.bytes(b"\"");
    m.w.quoted_integer("trailhaul.record_number", i64::from(context.record_number));
    if event::time(m).is_none() {
        m.w.string("trailhaul.time_from", "object");
    }
    let Some(info) = context.enrichment else { return };
    if let Some(name) = &info.name {
        m.w.plain("trailhaul.account.name", name);
    }
    if let Some(unit) = &info.organizational_unit {
        m.w.plain("trailhaul.account.organizational_unit", unit);
    }
    for (key, value) in &info.tags {
        m.w.separate();
        m.w.bytes(b"\"trailhaul.account.tags.");
        m.w.escaped(key);
        m.w.bytes(b"\":\"");
        m.w.escaped(value);
        m.w.bytes(b"\"");
    }
}

/// Whether a text is an address as the schema's `ip_t` wants it: at most 40 characters, no leading zeros.
fn is_ip(text: &str) -> bool {
    text.len() <= 39 && text.parse::<std::net::IpAddr>().is_ok()
}

/// The ARN of an element of `resources`; early records spell the key in lower case.
fn resource_arn<'p>(m: &Mapper<'p, '_>, resource: Value<'p>) -> Option<Value<'p>> {
    [m.get(Some(resource), "ARN"), m.get(Some(resource), "arn")]
        .into_iter()
        .find(|arn| m.text(*arn).is_some())
        .flatten()
}
