//! A chunk: whole raw records in one piece of memory, one per line.
//!
//! In: records, from the splitter, which inflates straight into the chunk's storage. Out: the records as one
//! slice of NDJSON, and the place and fields of each. Invariant: [`Chunk::ndjson`] is exactly the records in
//! order, each followed by one `\n`, and no record holds a line break. Bounded by [`CHUNK_BYTES`] and
//! [`CHUNK_RECORDS`], and for a single larger record by `DecodeLimits::record_bytes`.

use std::num::NonZeroU32;
use std::ops::Range;

use super::limits::WINDOW;

/// A chunk is full at this many bytes of records: the size of a compressed frame's content, at which zstd is
/// both fast and dense on such data.
pub const CHUNK_BYTES: usize = 2 << 20;

/// A chunk is full at this many records, so that tiny records cannot make the table of spans outgrow the
/// bytes.
pub const CHUNK_RECORDS: usize = 16_384;

/// A piece of a chunk's bytes that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: NonZeroU32,
}

impl Span {
    /// The span of a range; `None` when it is empty or beyond 4 GiB.
    pub(super) fn new(range: Range<usize>) -> Option<Self> {
        let start = u32::try_from(range.start).ok()?;
        let len = u32::try_from(range.end.checked_sub(range.start)?).ok()?;
        Some(Self { start, len: NonZeroU32::new(len)? })
    }

    /// The span as a range of positions in the chunk.
    pub fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len.get() as usize
    }

    /// The same span, `by` bytes further on.
    pub(super) fn shift(self, by: u32) -> Self {
        Self { start: self.start.saturating_add(by), len: self.len }
    }
}

/// What is known of a record without parsing it: the top-level fields that identity, order and routing need,
/// as the bytes between their quotes. A field that is absent, empty or not a string is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// `eventID`, in aggregated events `eventId`. `None` as well where the record contradicts itself (the
    /// key twice, with different values) or escapes the value: its identity is then its content.
    pub id: Option<Span>,
    /// `eventTime`, in aggregated events `timeWindow.windowStart`: seconds since the Unix epoch. `None` where
    /// absent, malformed or contradictory.
    pub time: Option<i64>,
    /// `eventName`.
    pub name: Option<Span>,
    /// `eventSource`.
    pub source: Option<Span>,
    /// `awsRegion`.
    pub region: Option<Span>,
    /// `recipientAccountId`, in aggregated events `accountId`.
    pub account: Option<Span>,
    /// One of the fields above stands in the record twice, under an escaped key or with an escaped value.
    /// The spans are then a strict parser's findings, without the fields that were escaped or contradictory:
    /// whoever needs the value itself has to parse the record.
    pub irregular: bool,
}

impl Fields {
    pub(super) fn shift(self, by: u32) -> Self {
        let shift = |span: Option<Span>| span.map(|s| s.shift(by));
        Self {
            id: shift(self.id),
            name: shift(self.name),
            source: shift(self.source),
            region: shift(self.region),
            account: shift(self.account),
            ..self
        }
    }
}

/// One record of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// Where the record starts in [`Chunk::ndjson`].
    pub start: u32,
    /// Where it ends; the line feed stands there.
    pub end: u32,
    /// The object that it came from: the number given to [`super::ObjectDecoder::new`].
    pub object: u32,
    /// Its number within the object from 0, counting those that were damaged.
    pub number: u32,
    /// What is known of it.
    pub fields: Fields,
}

/// Whole raw records, in the order in which they were read.
pub struct Chunk {
    /// Initialised storage. Up to `len` stand records; beyond it a decoder works while it is being pushed.
    pub(super) storage: Vec<u8>,
    /// The length of the records; while `open`, without the last one's line feed.
    pub(super) len: usize,
    /// The last record still lacks its line feed. Never while no decoder is at work.
    pub(super) open: bool,
    pub(super) records: Vec<RecordSpan>,
}

impl Chunk {
    /// An empty chunk.
    pub fn new() -> Self {
        Self { storage: vec![0; STORAGE], len: 0, open: false, records: Vec::new() }
    }

    /// An empty chunk without memory; it grows with its first use.
    pub const fn empty() -> Self {
        Self { storage: Vec::new(), len: 0, open: false, records: Vec::new() }
    }

    /// The records, each followed by `\n`.
    pub fn ndjson(&self) -> &[u8] {
        self.storage.get(..self.len).unwrap_or_default()
    }

    /// The records' places and fields, in order.
    pub fn records(&self) -> &[RecordSpan] {
        &self.records
    }

    /// The bytes of a record, without its line feed; empty for a record that is not of this chunk.
    pub fn record(&self, record: &RecordSpan) -> &[u8] {
        self.ndjson().get(record.start as usize..record.end as usize).unwrap_or_default()
    }

    /// The bytes of a field's span; empty for a span that is not of this chunk.
    pub fn field(&self, span: Span) -> &[u8] {
        self.ndjson().get(span.range()).unwrap_or_default()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it has reached one of its bounds: it is time to take it.
    pub fn is_full(&self) -> bool {
        self.len >= CHUNK_BYTES || self.records.len() >= CHUNK_RECORDS
    }

    /// The bytes of memory that it occupies, for the budget.
    pub fn memory(&self) -> usize {
        self.storage.capacity() + self.records.capacity() * size_of::<RecordSpan>()
    }

    /// Empties it for the next use; memory beyond the usual size is given back.
    pub fn clear(&mut self) {
        self.len = 0;
        self.open = false;
        self.records.clear();
        self.storage.truncate(STORAGE);
        self.storage.shrink_to(STORAGE);
    }

    /// Makes sure that positions below `end` are storage.
    pub(super) fn grow_to(&mut self, end: usize) {
        if self.storage.len() < end {
            self.storage.reserve_exact(end - self.storage.len());
            self.storage.resize(end, 0);
        }
    }

    /// Where the next record will start.
    pub(super) fn next_start(&self) -> usize {
        self.len + usize::from(self.open)
    }

    /// Makes the bytes `from..from + len` of the storage the next record, moving them down if necessary.
    /// `from` is at least [`Self::next_start`], and storage reaches one byte beyond.
    pub(super) fn commit(&mut self, from: usize, len: usize, object: u32, number: u32, fields: Fields) {
        let start = self.next_start();
        self.close();
        debug_assert!(from >= start && from + len < self.storage.len());
        if from != start && from + len <= self.storage.len() {
            self.storage.copy_within(from..from + len, start);
        }
        self.len = start + len;
        self.open = true;
        let (start, end) = (clamp(start), clamp(self.len));
        self.records.push(RecordSpan { start, end, object, number, fields: fields.shift(start) });
    }

    /// Gives the last record its line feed.
    pub(super) fn close(&mut self) {
        if self.open {
            if let Some(byte) = self.storage.get_mut(self.len) {
                *byte = b'\n';
            }
            self.len += 1;
            self.open = false;
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").field("bytes", &self.len).field("records", &self.records.len()).finish()
    }
}

/// The usual storage: a full chunk, the record that filled it being cut short by the window's end.
pub(super) const STORAGE: usize = CHUNK_BYTES + 2 * WINDOW;

/// Positions fit `u32`: storage is bounded by [`CHUNK_BYTES`] and `DecodeLimits::record_bytes`, which the
/// decoder clamps to 1 GiB.
fn clamp(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
