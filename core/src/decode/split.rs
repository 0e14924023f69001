//! Splits the inflated bytes of a document into records, in place.
//!
//! In: the inflated bytes, which stand in a chunk's storage behind its records. Out: records committed to the
//! chunk, damages noted. Invariant: bytes are consumed in order and each once: they are part of a record, of
//! a damage, or of the framing between records. Both forms of document are accepted for every family:
//! `{"Records":[…]}` and `[…]`.
//!
//! Failure: a bad element is passed by its structure alone and becomes one damage; where even the structure
//! is lost, the remainder of the document is one damage.

use super::chunk::{Chunk, Fields};
use super::damage::{DamageReason, Damages};
use super::limits::DecodeLimits;
use super::scan::Scan;
use super::validate::{self, Finding};

/// Why [`Splitter::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Everything that can be decided is: more bytes are needed.
    Starved,
    /// The chunk is full.
    Full,
}

/// The bytes that the splitter works on: positions in the chunk's storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    /// The first byte that is not consumed.
    pub(super) at: usize,
    /// The end of the bytes at hand.
    pub(super) end: usize,
}

/// Where in the document the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// In the top object: before a key, or (if first) its end.
    Key {
        first: bool,
    },
    /// Behind a key: before the colon and value.
    Member {
        records: bool,
    },
    /// Behind a member's colon.
    MemberValue {
        records: bool,
    },
    AfterMember,
    /// In the array: before an element, or (if first) its end.
    Element {
        first: bool,
    },
    AfterElement,
    /// Behind the document.
    End,
    /// The structure is lost; the rest belongs to the damage noted last.
    Lost,
}

/// A member's key longer than this is no log's.
const MAX_KEY: usize = 1024;

/// The state of splitting one object's document.
#[derive(Debug)]
pub(super) struct Splitter {
    place: Place,
    bare: bool,
    /// The body was not compressed.
    pub(super) plain: bool,
    object: u32,
    record_bytes: usize,
    max_records: u32,
    /// The inflated offset of the first byte that is not consumed.
    offset: u64,
    /// The element or value at hand was not whole, not good or too large: how far its structure is known.
    scan: Option<Scan>,
    /// Bytes of the element at hand already dropped, because it is too large to keep.
    dropped: u64,
    saw_records: bool,
    pub(super) records: u32,
    pub(super) reflowed: u64,
    pub(super) damages: Damages,
}

impl Splitter {
    pub(super) fn new(object: u32, limits: &DecodeLimits) -> Self {
        Self {
            place: Place::Start,
            bare: false,
            plain: false,
            object,
            record_bytes: limits.record_bytes,
            max_records: limits.records,
            offset: 0,
            scan: None,
            dropped: 0,
            saw_records: false,
            records: 0,
            reflowed: 0,
            damages: Damages::default(),
        }
    }

    /// The number that the next record has within the object.
    pub(super) fn next_number(&self) -> u32 {
        self.records.saturating_add(self.damages.records())
    }

    /// Whether the document is complete, with nothing owed to it.
    pub(super) fn at_end(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the rest of the document is already counted as damaged.
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Whether nothing but white space has come.
    pub(super) fn at_start(&self) -> bool {
        self.place == Place::Start
    }

    /// Consumes what can be decided of the tail.
    pub(super) fn run(&mut self, chunk: &mut Chunk, tail: &mut Tail) -> Pause {
        loop {
            let going = match self.place {
                Place::Lost => {
                    self.swallow(chunk, tail);
                    None
                }
                Place::Element { first: false } => {
                    if chunk.is_full() {
                        return Pause::Full;
                    }
                    self.token(chunk, tail).and_then(|byte| self.element(chunk, tail, byte))
                }
                Place::MemberValue { records } => {
                    self.token(chunk, tail).and_then(|byte| self.member_value(chunk, tail, byte, records))
                }
                _ => self.token(chunk, tail).and_then(|byte| self.framing(chunk, tail, byte)),
            };
            if going.is_none() {
                return Pause::Starved;
            }
        }
    }

    /// The end of the bytes: what is left of the tail is the beginning of something that never ended.
    pub(super) fn cut(&mut self, chunk: &Chunk, tail: &Tail, reason: DamageReason) {
        let rest = chunk.storage.get(tail.at..tail.end).unwrap_or_default();
        let start = self.offset - self.dropped;
        let end = self.offset + rest.len() as u64;
        let number = self.next_number();
        match self.place {
            Place::Lost => self.damages.add(reason, number, 0, end..end, b""),
            Place::End => self.damages.add(reason, number, 0, end..end, b""),
            _ => self.damages.add(reason, number, 1, start..end, rest),
        }
        self.place = Place::Lost;
    }

    /// The next byte of the framing that is not white space. It is not consumed.
    fn token(&mut self, chunk: &Chunk, tail: &mut Tail) -> Option<u8> {
        if self.scan.is_some() {
            // Within an element: its white space is its own.
            return chunk.storage.get(tail.at).copied().filter(|_| tail.at < tail.end);
        }
        while tail.at < tail.end {
            let byte = *chunk.storage.get(tail.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.consume(tail, 1);
        }
        None
    }

    /// A byte of the framing around the elements.
    fn framing(&mut self, chunk: &mut Chunk, tail: &mut Tail, byte: u8) -> Option<()> {
        self.place = match (self.place, byte) {
            (Place::Start, b'{') => Place::Key { first: true },
            (Place::Start, b'[') => {
                self.bare = true;
                self.saw_records = true;
                Place::Element { first: true }
            }
            (Place::Start, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                return self.lose(DamageReason::NotALog);
            }
            (Place::Key { first: true }, b'}') | (Place::AfterMember, b'}') => {
                if !self.saw_records {
                    return self.lose(DamageReason::NotALog);
                }
                Place::End
            }
            (Place::Key { .. }, b'"') => return self.key(chunk, tail),
            (Place::Member { records }, b':') => Place::MemberValue { records },
            (Place::AfterMember, b',') => Place::Key { first: false },
            (Place::Element { first: true }, b']') | (Place::AfterElement, b']') => {
                if self.bare {
                    Place::End
                } else {
                    Place::AfterMember
                }
            }
            (Place::Element { .. }, _) => {
                self.place = Place::Element { first: false };
                return Some(());
            }
            (Place::AfterElement, b',') => Place::Element { first: false },
            (Place::End, _) => return self.lose(DamageReason::TrailingData),
            (Place::Start, _) if self.plain => return self.lose(DamageReason::NotGzip),
            _ => return self.lose(DamageReason::NotJson),
        };
        self.consume(tail, 1);
        Some(())
    }

    /// A key of the top object.
    fn key(&mut self, chunk: &mut Chunk, tail: &mut Tail) -> Option<()> {
        let rest = chunk.storage.get(tail.at..tail.end)?;
        let Some(len) = Scan::default().advance(rest) else {
            return if rest.len() > MAX_KEY { self.lose(DamageReason::NotALog) } else { None };
        };
        let text: Result<String, _> = serde_json::from_slice(rest.get(..len)?);
        let Ok(text) = text else {
            return self.lose(DamageReason::NotJson);
        };
        self.consume(tail, len);
        self.place = Place::Member { records: text == "Records" };
        Some(())
    }

    /// The value of a member of the top object: the records, or something that no log has.
    fn member_value(&mut self, chunk: &mut Chunk, tail: &mut Tail, byte: u8, records: bool) -> Option<()> {
        if records && self.scan.is_none() {
            if byte != b'[' {
                return self.lose(DamageReason::NotALog);
            }
            self.consume(tail, 1);
            self.saw_records = true;
            self.place = Place::Element { first: true };
            return Some(());
        }
        let len = self.scan_on(chunk, tail)?;
        let value = chunk.storage.get(tail.at..tail.at + len).unwrap_or_default();
        let valid = self.dropped > 0 || is_json(value);
        if !valid {
            return self.lose(DamageReason::NotJson);
        }
        self.damage(chunk, tail, DamageReason::OtherMember, len, 0);
        self.place = Place::AfterMember;
        Some(())
    }

    /// An element of the array.
    fn element(&mut self, chunk: &mut Chunk, tail: &mut Tail, byte: u8) -> Option<()> {
        let fresh = self.scan.is_none();
        if fresh && byte == b'{' && self.records < self.max_records {
            match validate::record(chunk.storage.get(tail.at..tail.end)?) {
                Finding::Record { len, fields, broken_lines } => {
                    self.good(chunk, tail, len, fields, broken_lines);
                    return Some(());
                }
                Finding::Incomplete | Finding::Bad => {}
            }
        }
        if fresh && matches!(byte, b',' | b']' | b'}' | b':') {
            return self.lose(DamageReason::NotJson);
        }
        let len = self.scan_on(chunk, tail)?;
        let (mut reason, whole) = (DamageReason::BadRecord, self.dropped == 0);
        if !whole || len > self.record_bytes {
            reason = DamageReason::RecordTooLarge;
        } else if self.records >= self.max_records {
            reason = DamageReason::TooManyRecords;
        } else if !fresh && byte == b'{' {
            // It was cut by the end of the bytes before; now it is whole.
            let element = chunk.storage.get(tail.at..tail.at + len).unwrap_or_default();
            if let Finding::Record { len: found, fields, broken_lines } = validate::record(element)
                && found == len
            {
                self.scan = None;
                self.good(chunk, tail, len, fields, broken_lines);
                return Some(());
            }
        }
        self.damage(chunk, tail, reason, len, 1);
        self.place = Place::AfterElement;
        Some(())
    }

    fn good(&mut self, chunk: &mut Chunk, tail: &mut Tail, len: usize, fields: Fields, broken_lines: bool) {
        if len > self.record_bytes {
            self.damage(chunk, tail, DamageReason::RecordTooLarge, len, 1);
        } else {
            if broken_lines && let Some(record) = chunk.storage.get_mut(tail.at..tail.at + len) {
                self.reflowed += reflow(record);
            }
            chunk.commit(tail.at, len, self.object, self.next_number(), fields);
            self.records += 1;
            self.consume(tail, len);
        }
        self.place = Place::AfterElement;
    }

    /// Looks on for the end of the value at hand; drops its bytes once it is too large to keep.
    fn scan_on(&mut self, chunk: &Chunk, tail: &mut Tail) -> Option<usize> {
        let mut scan = self.scan.take().unwrap_or_default();
        let rest = chunk.storage.get(tail.at..tail.end)?;
        let end = scan.advance(rest);
        if end.is_some() {
            return end;
        }
        if self.dropped > 0 || rest.len() > self.record_bytes {
            if self.dropped == 0 {
                // The beginning is sampled now, since it is gone when the count is known.
                let number = self.next_number();
                let start = self.offset;
                self.damages.add(DamageReason::RecordTooLarge, number, 0, start..start, rest);
            }
            let seen = scan.pos();
            self.dropped += seen as u64;
            self.consume(tail, seen);
            scan.rebase();
        }
        self.scan = Some(scan);
        None
    }

    /// Notes the first `len` bytes of the tail (and what was dropped before) as damage, and passes them.
    fn damage(&mut self, chunk: &Chunk, tail: &mut Tail, reason: DamageReason, len: usize, records: u32) {
        let bytes = chunk.storage.get(tail.at..tail.at + len).unwrap_or_default();
        let range = self.offset - self.dropped..self.offset + len as u64;
        self.damages.add(reason, self.next_number(), records, range, bytes);
        self.dropped = 0;
        self.scan = None;
        self.consume(tail, len);
    }

    /// From here on no record can be told apart: the rest of the document is one damage.
    fn lose(&mut self, reason: DamageReason) -> Option<()> {
        let number = self.next_number();
        self.damages.add(reason, number, 1, self.offset..self.offset, b"");
        self.place = Place::Lost;
        self.scan = None;
        Some(())
    }

    fn swallow(&mut self, chunk: &Chunk, tail: &mut Tail) {
        let rest = chunk.storage.get(tail.at..tail.end).unwrap_or_default();
        self.damages.extend_last(self.offset + rest.len() as u64, rest);
        self.consume(tail, rest.len());
    }

    fn consume(&mut self, tail: &mut Tail, len: usize) {
        tail.at += len;
        self.offset += len as u64;
    }
}

/// Whether these bytes are one JSON value; nothing else of it matters.
fn is_json(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

/// Replaces line breaks by spaces. Within a valid record they only stand between tokens.
fn reflow(record: &mut [u8]) -> u64 {
    let mut replaced = 0;
    for byte in record {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
            replaced += 1;
        }
    }
    replaced
}
