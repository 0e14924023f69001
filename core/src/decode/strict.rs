//! Finds the fields of a record that the fast walk calls irregular: keys twice, escaped keys or values, a
//! `timeWindow`.
//!
//! In: one valid record. Out: its fields. Rule: a field that the record gives twice counts only
//! when both say the same; a value that is not a plain string without escapes counts as absent. Failure: a
//! record that `serde_json` refuses (it cannot, having been validated) has no fields.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::chunk::{Fields, Span};
use super::field::Field;
use super::time;

/// The fields of a record; positions count from its start.
pub(super) fn fields(record: &[u8]) -> Fields {
    let record = std::str::from_utf8(record).unwrap_or_default();
    let mut found = Found::default();
    let visitor = Members { record, found: &mut found, inside_window: false };
    let read = serde_json::Deserializer::from_str(record).deserialize_map(visitor);
    if read.is_err() {
        return Fields { irregular: true, ..Fields::default() };
    }
    found.into_fields(record)
}

/// What was seen of each field.
#[derive(Debug, Default)]
struct Found {
    id: Seen,
    time: Seen,
    window_start: Seen,
    name: Seen,
    source: Seen,
    region: Seen,
    account: Seen,
    account_of_aggregate: Seen,
    escaped_key: bool,
}

/// What was seen of one field.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    span: Option<Span>,
    times: u32,
    /// Two values that differ, or one that is escaped.
    odd: bool,
}

impl Seen {
    /// Notes a value: a raw JSON text within the record.
    fn note(&mut self, record: &str, value: &str) {
        let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        self.odd |= inner.is_some_and(|text| text.contains('\\'));
        let span = inner.and_then(|text| {
            // Both are slices of the same text; the difference of their addresses is the position.
            let start = (text.as_ptr() as usize).checked_sub(record.as_ptr() as usize)?;
            Span::new(start..start + text.len())
        });
        if self.times > 0 {
            let text = |span: Option<Span>| span.and_then(|s| record.get(s.range()));
            self.odd |= text(span) != text(self.span);
        }
        self.times += 1;
        self.span = span;
    }

    fn span(&self) -> Option<Span> {
        if self.odd { None } else { self.span }
    }

    fn irregular(&self) -> bool {
        self.odd || self.times > 1
    }
}

impl Found {
    fn into_fields(self, record: &str) -> Fields {
        let account = if self.account.times > 0 { self.account } else { self.account_of_aggregate };
        let time = if self.time.times > 0 { self.time } else { self.window_start };
        let all = [self.id, time, self.name, self.source, self.region, account];
        Fields {
            id: self.id.span(),
            time: time.span().and_then(|s| record.get(s.range())).and_then(|t| time::parse(t.as_bytes())),
            name: self.name.span(),
            source: self.source.span(),
            region: self.region.span(),
            account: account.span(),
            irregular: self.escaped_key || all.iter().any(Seen::irregular),
        }
    }

    fn slot(&mut self, key: &str) -> Option<&mut Seen> {
        Some(match Field::named(key.as_bytes())? {
            Field::Id => &mut self.id,
            Field::Time => &mut self.time,
            Field::Name => &mut self.name,
            Field::Source => &mut self.source,
            Field::Region => &mut self.region,
            Field::Account if key == "accountId" => &mut self.account_of_aggregate,
            Field::Account => &mut self.account,
            Field::TimeWindow => return None,
        })
    }
}

struct Members<'r, 'f> {
    record: &'r str,
    found: &'f mut Found,
    inside_window: bool,
}

impl<'r> Visitor<'r> for Members<'r, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Key<'r>, &'r RawValue>()? {
            let value = value.get();
            if self.inside_window {
                if key.text == "windowStart" {
                    self.found.window_start.note(self.record, value);
                }
                continue;
            }
            if let Some(slot) = self.found.slot(&key.text) {
                slot.note(self.record, value);
                self.found.escaped_key |= key.escaped;
            } else if key.text == "timeWindow" && value.starts_with('{') {
                let inner = Members { record: self.record, found: &mut *self.found, inside_window: true };
                serde_json::Deserializer::from_str(value)
                    .deserialize_map(inner)
                    .map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// A key; a lone surrogate in it, which is valid JSON but no text, makes it a key of no field.
struct Key<'r> {
    text: std::borrow::Cow<'r, str>,
    escaped: bool,
}

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        let raw = raw.get();
        if raw.contains('\\') {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            return Ok(Self { text: text.into(), escaped: true });
        }
        Ok(Self { text: raw.trim_matches('"').into(), escaped: false })
    }
}
