//! Raw output, and the envelope that says where a raw record comes from.
//!
//! A line is one record, so a line break inside one would cut it in two. CloudTrail writes none; in a record
//! that somebody has pretty-printed, the line breaks between tokens (JSON strings cannot hold any) become
//! spaces. Every other byte stays.

use crate::model::json::Record;

use super::Context;
use super::redact::Redacted;
use super::write::Writer;

/// Appends the record's own bytes.
pub(super) fn verbatim(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(raw);
    if memchr::memchr2(b'\n', b'\r', raw).is_some() {
        for byte in out.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// Appends `{"trailhaul":{…},"record":…}` with the record's own bytes.
pub(super) fn wrap_verbatim(raw: &[u8], context: &Context<'_>, out: &mut Vec<u8>) {
    meta(context, out);
    verbatim(raw, out);
    out.push(b'}');
}

/// The same of a parsed record, but for what is redacted.
pub(super) fn wrap(record: Record<'_>, redacted: &Redacted, context: &Context<'_>, out: &mut Vec<u8>) {
    if !redacted.any() {
        return wrap_verbatim(record.text().as_bytes(), context, out);
    }
    meta(context, out);
    redacted.write(record.root(), out);
    out.push(b'}');
}

fn meta(context: &Context<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"trailhaul\":{");
    members(context, &mut Writer::new(out), true);
    out.extend_from_slice(b"},\"record\":");
}

/// The source object's URL, as text inside quotes.
pub(super) fn source(context: &Context<'_>, w: &mut Writer<'_>) {
    w.escaped(context.bucket);
    w.bytes(b"/");
    w.escaped(context.key);
}

/// The members that say where a record comes from and what is known of its account.
pub(super) fn members(context: &Context<'_>, w: &mut Writer<'_>, with_time: bool) {
    w.repeat_key("repeat_key", &context.repeat_key);
    w.plain("verdict", context.verdict);
    w.key("source");
    w.bytes(b"\"");
    source(context, w);
    w.bytes(b"\"");
    w.integer("record_number", i64::from(context.record_number));
    if with_time {
        w.date("hauled_at", context.hauled_at);
    }
    w.key("account");
    w.bytes(b"{\"id\":\"");
    w.bytes(context.account.to_string().as_bytes());
    w.bytes(b"\"");
    if let Some(info) = context.enrichment {
        if let Some(name) = &info.name {
            w.plain("name", name);
        }
        if let Some(unit) = &info.organizational_unit {
            w.plain("organizational_unit", unit);
        }
        if !info.tags.is_empty() {
            w.key("tags");
            w.bytes(b"{");
            for (key, value) in &info.tags {
                w.separate();
                w.bytes(b"\"");
                w.escaped(key);
                w.bytes(b"\":\"");
                w.escaped(value);
                w.bytes(b"\"");
            }
            w.bytes(b"}");
        }
    }
    w.bytes(b"}");
}
