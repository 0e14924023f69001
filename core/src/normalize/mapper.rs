//! The pen that OCSF and ECS share: reads fields, writes members, and remembers which values were used.
//!
//! A value is *used* when it (or, for a container, all that it holds) stands in the output; what is left over
//! goes under `unmapped`. Reading respects the redaction: a dropped value is not there, a replaced one reads
//! its replacement, and a container that is either holds nothing.

use crate::model::json::{Kind, Record, Value};

use super::fields::Fields;
use super::redact::Redacted;
use super::write::{Writer, escape_into};
use super::{Context, time};

/// OCSF 1.1 caps a string at 65,535 characters; ECS keywords end earlier. A longer text is left to `unmapped`.
const MAX_TEXT: usize = 65_535;

/// Reads one record and writes one line.
pub(super) struct Mapper<'p, 'o> {
    /// The record.
    pub(super) record: Record<'p>,
    /// Its known fields.
    pub(super) fields: Fields<'p>,
    /// What is known beside it.
    pub(super) context: &'p Context<'p>,
    /// What of it is redacted.
    pub(super) redacted: &'p Redacted,
    /// Where the line goes.
    pub(super) w: Writer<'o>,
    /// Per value id, 1 where the value stands in the output.
    pub(super) used: &'o mut Vec<u8>,
}

impl<'p, 'o> Mapper<'p, 'o> {
    /// A mapper of a record; `used` is a buffer, its content does not matter.
    pub(super) fn new(
        record: Record<'p>,
        context: &'p Context<'p>,
        redacted: &'p Redacted,
        used: &'o mut Vec<u8>,
        out: &'o mut Vec<u8>,
    ) -> Self {
        let mut mapper =
            Self { record, fields: Fields::find(record), context, redacted, w: Writer::new(out), used };
        mapper.forget_used();
        mapper
    }

    /// Begins again: nothing is used.
    pub(super) fn forget_used(&mut self) {
        self.used.clear();
        self.used.resize(self.record.len(), 0);
    }

    /// Notes that a value stands in the output.
    pub(super) fn mark(&mut self, value: Value<'p>) {
        if let Some(used) = self.used.get_mut(value.id()) {
            *used = 1;
        }
    }

    /// The member of an object that is not redacted.
    pub(super) fn get(&self, value: Option<Value<'p>>, key: &str) -> Option<Value<'p>> {
        let value = value.filter(|value| self.redacted.is_kept(*value))?;
        value.get(key)
    }

    /// The list of resources, where it is one.
    pub(super) fn resources(&self) -> Option<Value<'p>> {
        self.fields.resources.filter(|value| value.kind() == Kind::Array && self.redacted.is_kept(*value))
    }

    /// The JSON text of a string that is not empty and not too long.
    pub(super) fn text(&self, value: Option<Value<'p>>) -> Option<&'p str> {
        let value = value?;
        if !self.redacted.is_kept(value) {
            return self.redacted.replacement(value);
        }
        value.string().filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
    }

    /// Writes a string member, if there is one to write; says so.
    pub(super) fn put(&mut self, key: &str, value: Option<Value<'p>>) -> bool {
        let (Some(value), Some(text)) = (value, self.text(value)) else { return false };
        self.w.string(key, text);
        self.mark(value);
        true
    }

    /// Writes the first string of several that is there.
    pub(super) fn put_first(&mut self, key: &str, values: &[Option<Value<'p>>]) -> bool {
        values.iter().any(|value| self.put(key, *value))
    }

    /// Writes a boolean member from a boolean, or from its name in a string.
    pub(super) fn put_boolean(&mut self, key: &str, value: Option<Value<'p>>) -> bool {
        let (Some(value), Some(truth)) = (value, self.boolean(value)) else { return false };
        self.w.boolean(key, truth);
        self.mark(value);
        true
    }

    /// A boolean, or its name in a string: CloudTrail writes `mfaAuthenticated` as `"false"`.
    pub(super) fn boolean(&self, value: Option<Value<'p>>) -> Option<bool> {
        let kind = value.filter(|value| self.redacted.is_kept(*value))?.kind();
        match (kind, self.text(value)) {
            (Kind::True, _) | (_, Some("true")) => Some(true),
            (Kind::False, _) | (_, Some("false")) => Some(false),
            _ => None,
        }
    }

    /// Writes a time as a number of milliseconds and, under `key_dt`, as text.
    pub(super) fn put_time(&mut self, key: &str, key_dt: &str, value: Option<Value<'p>>) -> bool {
        let (Some(value), Some(text)) = (value, self.text(value)) else { return false };
        let Some(millis) = time::parse_millis(text) else { return false };
        self.w.integer(key, millis);
        self.w.date(key_dt, millis);
        self.mark_time(value, text);
        true
    }

    /// Marks a time as used, if the date that is written of it is its very text.
    pub(super) fn mark_time(&mut self, value: Value<'p>, text: &str) {
        if time::is_canonical(text) {
            self.mark(value);
        }
    }

    /// Writes a value as JSON text inside a string, and all that it holds is used.
    pub(super) fn put_json_text(&mut self, key: &str, value: Option<Value<'p>>) -> bool {
        let Some(value) = value.filter(|value| self.is_worth_writing(*value)) else { return false };
        self.w.key(key);
        self.w.bytes(b"\"");
        if self.redacted.any() {
            let mut json = Vec::new();
            self.redacted.write(value, &mut json);
            let text = String::from_utf8_lossy(&json);
            self.w.escaped(&text);
        } else {
            self.w.escaped(value.text());
        }
        self.w.bytes(b"\"");
        self.mark(value);
        true
    }

    /// Writes a value as JSON, and all that it holds is used.
    pub(super) fn put_json(&mut self, key: &str, value: Option<Value<'p>>) -> bool {
        let Some(value) = value.filter(|value| self.is_worth_writing(*value)) else { return false };
        let mut json = Vec::new();
        if self.redacted.any() || value.text().contains(['\n', '\r']) {
            self.redacted.write(value, &mut json);
            for byte in &mut json {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            self.w.key(key);
            self.w.bytes(&json);
        } else {
            self.w.json(key, value.text());
        }
        self.mark(value);
        true
    }

    fn is_worth_writing(&self, value: Value<'p>) -> bool {
        !value.is_blank() && !self.redacted.is_dropped(value)
    }

    /// Writes an object member, unless nothing is written inside; says whether it was written.
    pub(super) fn object(&mut self, key: &str, inside: impl FnOnce(&mut Self)) -> bool {
        let before = self.w.position();
        self.w.key(key);
        self.w.bytes(b"{");
        self.finish(before, b"}", inside)
    }

    /// Writes an array member, unless nothing is written inside; says whether it was written.
    pub(super) fn array(&mut self, key: &str, inside: impl FnOnce(&mut Self)) -> bool {
        let before = self.w.position();
        self.w.key(key);
        self.w.bytes(b"[");
        self.finish(before, b"]", inside)
    }

    /// Writes an object as an array element, unless nothing is written inside.
    pub(super) fn element(&mut self, inside: impl FnOnce(&mut Self)) -> bool {
        let before = self.w.position();
        self.w.separate();
        self.w.bytes(b"{");
        self.finish(before, b"}", inside)
    }

    fn finish(&mut self, before: usize, close: &[u8], inside: impl FnOnce(&mut Self)) -> bool {
        let opened = self.w.position();
        inside(self);
        if self.w.position() == opened {
            self.w.truncate(before);
            return false;
        }
        self.w.bytes(close);
        true
    }
}

/// Appends plain text as JSON string text; for keys that are put together.
pub(super) fn push_plain(text: &str, out: &mut Vec<u8>) {
    escape_into(text, out);
}
