//! What no attribute took: one flat object of dotted paths to strings, as Security Lake writes it.
//!
//! In: a record, and which of its values were used. Out: the members of that object. Elements of an array share
//! the path `name[]`, and values that share a path are joined with commas, so every key stands once, whatever
//! the record's own keys look like. Numbers and booleans become strings with their text; `null` and empty
//! values are left out. Paths of a hostile record can be far larger than the record: beyond [`MAX_PATHS`] the
//! record is refused.

use crate::model::json::{Kind, Record, Value, unescape_lossy};

use super::Refusal;
use super::mapper::push_plain;
use super::redact::Redacted;
use super::write::Writer;

/// Bytes of all paths of one record together, at most. Real records need a few KiB.
const MAX_PATHS: usize = 1 << 20;

/// Our own names below `unmapped` begin with this; a record's field that does so too moves below `record.`.
const RESERVED: &[u8] = b"trailhaul";

/// Buffers, kept from record to record.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// The path of the value at hand, as JSON string text.
    path: Vec<u8>,
    /// The paths of all entries, one after the other.
    paths: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    end: usize,
    /// Where the value is among the entries; keeps the order of the record among equal paths.
    order: usize,
}

impl Buffers {
    /// Writes the members for every value that is not used, each with the text that it came with.
    pub(super) fn write<'t>(
        &mut self,
        record: Record<'t>,
        used: &[u8],
        redacted: &'t Redacted,
        w: &mut Writer<'_>,
    ) -> Result<(), Refusal> {
        self.path.clear();
        self.paths.clear();
        self.entries.clear();
        let mut walk = Walk { buffers: self, used, redacted, values: Vec::with_capacity(32) };
        for value in record.root().children() {
            walk.visit(value, false)?;
        }
        let values = walk.values;
        let Self { paths, entries, .. } = self;
        let path_of = |entry: &Entry| paths.get(entry.start..entry.end).unwrap_or(b"");
        entries.sort_unstable_by(|a, b| path_of(a).cmp(path_of(b)).then(a.order.cmp(&b.order)));
        let mut last: Option<&[u8]> = None;
        for entry in entries.iter() {
            let path = path_of(entry);
            if last == Some(path) {
                w.bytes(b",");
            } else {
                if last.is_some() {
                    w.bytes(b"\"");
                }
                w.separate();
                w.bytes(b"\"");
                w.bytes(path);
                w.bytes(b"\":\"");
                last = Some(path);
            }
            w.bytes(values.get(entry.order).copied().unwrap_or("").as_bytes());
        }
        if last.is_some() {
            w.bytes(b"\"");
        }
        Ok(())
    }
}

struct Walk<'t, 'b> {
    buffers: &'b mut Buffers,
    used: &'b [u8],
    redacted: &'t Redacted,
    values: Vec<&'t str>,
}

impl<'t> Walk<'t, '_> {
    /// Notes the leaves of a value; its depth is bounded by the parser.
    fn visit(&mut self, value: Value<'t>, is_element: bool) -> Result<(), Refusal> {
        if self.used.get(value.id()) == Some(&1) || self.redacted.is_dropped(value) {
            return Ok(());
        }
        let before = self.buffers.path.len();
        if !is_element {
            self.push_key(value);
        }
        if let Some(text) = self.redacted.replacement(value) {
            self.leaf(text)?;
        } else {
            match value.kind() {
                Kind::Object => value.children().try_for_each(|child| self.visit(child, false))?,
                Kind::Array => {
                    self.buffers.path.extend_from_slice(b"[]");
                    value.children().try_for_each(|child| self.visit(child, true))?;
                }
                Kind::Null => {}
                Kind::String => {
                    if let Some(text) = value.string().filter(|text| !text.is_empty()) {
                        self.leaf(text)?;
                    }
                }
                Kind::True | Kind::False | Kind::Number => self.leaf(value.text())?,
            }
        }
        self.buffers.path.truncate(before);
        Ok(())
    }

    fn push_key(&mut self, value: Value<'t>) {
        let path = &mut self.buffers.path;
        if !path.is_empty() {
            path.push(b'.');
        }
        let key = value.key();
        if key.contains('\\') {
            // One spelling per key, so that equal paths are found to be equal.
            push_plain(&unescape_lossy(key), path);
        } else {
            path.extend_from_slice(key.as_bytes());
        }
    }

    fn leaf(&mut self, text: &'t str) -> Result<(), Refusal> {
        let Buffers { path, paths, entries } = &mut *self.buffers;
        let start = paths.len();
        if start + path.len() > MAX_PATHS {
            return Err(Refusal::Unwieldy);
        }
        if path.starts_with(RESERVED) {
            paths.extend_from_slice(b"record.");
        }
        paths.extend_from_slice(path);
        entries.push(Entry { start, end: paths.len(), order: entries.len() });
        self.values.push(text);
        Ok(())
    }
}
