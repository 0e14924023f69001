//! CloudTrail to ECS 8.11, in the shape that Elastic's AWS integration gives it.
//!
//! In: a parsed record. Out: one document. Left out, because they need databases or parsers of Elastic's own:
//! `source.geo`, `source.as`, the parts of `user_agent` but `original`, and `*.entity`. Differences on purpose:
//! request parameters and their like are JSON text (Elastic writes Java's `{a=b}`), the values `-` and `none`
//! are kept, and what has no field is under `trailhaul.unmapped` instead of lost.

mod cloudtrail;
mod identity;
mod related;

use crate::model::json::{Record, unescape_lossy};

use super::classify::classify;
use super::envelope;
use super::mapper::Mapper;
use super::{Context, Refusal, Scratch, time};

/// What is shared by the parts of one document.
#[derive(Debug, Clone, Copy)]
struct Source<'p> {
    /// `sourceIPAddress`.
    address: Option<&'p str>,
    /// Whether it is an address.
    is_ip: bool,
}

/// Appends one document, or nothing when the record is refused.
pub(super) fn render(
    record: Record<'_>,
    context: &Context<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let start = out.len();
    let Scratch { redacted, used, unmapped } = scratch;
    let mut m = Mapper::new(record, context, redacted, used, out);
    m.w.bytes(b"{");
    timestamp(&mut m);
    m.w.json("ecs", r#"{"version":"8.11.0"}"#);
    m.object("event", event);
    m.object("cloud", cloud);
    account_info(&mut m);
    identity::write(&mut m);
    let source = source(&m);
    m.object("source", |m| {
        m.put("address", m.fields.source_ip_address);
        if let (Some(address), true) = (source.address, source.is_ip) {
            m.w.string("ip", address);
        }
    });
    m.object("user_agent", |m| {
        m.put("original", m.fields.user_agent);
    });
    m.object("tls", tls);
    m.object("aws", |m| {
        m.object("cloudtrail", cloudtrail::write);
    });
    related::write(&mut m, source);
    m.w.key("trailhaul");
    m.w.bytes(b"{");
    envelope::members(context, &mut m.w, false);
    m.w.key("unmapped");
    m.w.bytes(b"{");
    let written = unmapped.write(record, m.used, m.redacted, &mut m.w);
    m.w.bytes(b"}}}");
    if written.is_err() {
        m.w.truncate(start);
    }
    written
}

/// Writes `@timestamp`: the event's time, the start of its window, or the stamp of its object.
fn timestamp(m: &mut Mapper<'_, '_>) {
    let times = [m.fields.event_time, m.get(m.fields.time_window, "windowStart")];
    for value in times.into_iter().flatten() {
        let Some(text) = m.text(Some(value)) else { continue };
        let Some(millis) = time::parse_millis(text) else { continue };
        m.w.date("@timestamp", millis);
        m.mark_time(value, text);
        return;
    }
    let stamp = m.context.object_time;
    m.w.date("@timestamp", stamp);
}

fn event(m: &mut Mapper<'_, '_>) {
    let f = m.fields;
    m.put_first("id", &[f.event_id, f.aggregated_id]);
    m.put("action", f.event_name);
    m.put("provider", f.event_source);
    m.w.string("kind", "event");
    let class = m.text(f.event_name).and_then(|name| classify(&unescape_lossy(name)).ecs);
    if let Some((category, types)) = class {
        list(m, "category", category);
        list(m, "type", types);
    } else {
        list(m, "type", "info");
    }
    let is_login = m.text(f.event_name) == Some("ConsoleLogin");
    let login = m.text(m.get(f.response_elements, "ConsoleLogin")).filter(|_| is_login);
    let failed = m.text(f.error_code).or(m.text(f.error_message)).is_some();
    let outcome = match login {
        Some(outcome) => outcome.to_lowercase().into(),
        None if failed => std::borrow::Cow::Borrowed("failure"),
        None => std::borrow::Cow::Borrowed("success"),
    };
    m.w.string("outcome", &outcome);
    let hauled_at = m.context.hauled_at;
    m.w.date("created", hauled_at);
}

/// Writes an array of the words of a table's cell.
fn list(m: &mut Mapper<'_, '_>, key: &str, words: &str) {
    m.array(key, |m| {
        for word in words.split(',') {
            m.w.separate();
            m.w.quoted(word);
        }
    });
}

fn cloud(m: &mut Mapper<'_, '_>) {
    let f = m.fields;
    m.w.string("provider", "aws");
    m.put("region", f.aws_region);
    if let Some(service) = m.text(f.event_source).and_then(|source| source.strip_suffix(".amazonaws.com")) {
        m.object("service", |m| m.w.string("name", service));
    }
    m.object("account", |m| {
        let own = m.get(f.user_identity, "accountId");
        let ids = [own, f.recipient_account_id, f.account_id];
        let id = ids.into_iter().find(|id| m.text(*id).is_some()).flatten();
        m.put("id", id);
        let is_ours = m.text(id).is_some_and(|text| {
            text.parse().is_ok_and(|account: crate::model::AccountId| account == m.context.account)
        });
        let name = m.context.enrichment.and_then(|info| info.name.as_deref());
        if let Some(name) = name.filter(|_| is_ours) {
            m.w.plain("name", name);
        }
    });
}

/// Writes `organization` and, with the account's tags, `labels`, whose names hold no dots (ECS, "Base fields").
fn account_info(m: &mut Mapper<'_, '_>) {
    let Some(info) = m.context.enrichment else { return };
    m.object("organization", |m| {
        if let Some(id) = &info.organization {
            m.w.plain("id", id);
        }
    });
    m.object("labels", |m| {
        for (key, value) in &info.tags {
            let name = key.replace('.', "_");
            if name != *key && info.tags.iter().any(|(other, _)| *other == name) {
                continue;
            }
            m.w.separate();
            m.w.bytes(b"\"");
            m.w.escaped(&name);
            m.w.bytes(b"\":\"");
            m.w.escaped(value);
            m.w.bytes(b"\"");
        }
    });
}

fn source<'p>(m: &Mapper<'p, '_>) -> Source<'p> {
    let address = m.text(m.fields.source_ip_address);
    let is_ip = address.is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok());
    Source { address, is_ip }
}

/// `TLSv1.3` is version `1.3` of protocol `tls`; another text is a version alone.
fn tls(m: &mut Mapper<'_, '_>) {
    let details = m.fields.tls_details;
    let version = m.get(details, "tlsVersion");
    if let (Some(value), Some(text)) = (version, m.text(version)) {
        match text.split_once('v') {
            Some((protocol, number)) if text.starts_with("TLS") => {
                m.w.string("version", number);
                m.w.string("version_protocol", &protocol.to_lowercase());
            }
            _ => m.w.string("version", text),
        }
        m.mark(value);
    }
    m.put("cipher", m.get(details, "cipherSuite"));
    m.object("client", |m| {
        m.put("server_name", m.get(details, "clientProvidedHostHeader"));
    });
}
