//! Decodes one source object: inflate, hash, split.
//!
//! In: the object's stored bytes, in pieces of any size, and a chunk with room. Out: records in the chunk, and
//! at the end an [`Outcome`]. Invariant: between calls the chunk holds whole records only, so it may be taken
//! at any time; what is cut stays with the decoder, at most `record_bytes` and one window of it.

use aws_lc_rs::digest::{Context, SHA256};

use super::chunk::{Chunk, STORAGE};
use super::damage::{Damage, DamageReason};
use super::gzip::{Inflated, Inflater};
use super::limits::{DecodeLimits, WINDOW};
use super::split::{Pause, Splitter, Tail};

/// What a [`ObjectDecoder::push`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the input are done with.
    pub consumed: usize,
    /// The chunk is full: take it, and push the rest of the input (or finish) with an empty one.
    pub full: bool,
}

/// What is known of an object when all of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// SHA-256 of all inflated bytes of the first gzip member (or of the body, if not compressed): what a
    /// digest file vouches for. `None` when they were not all read: cut, broken, or more than the limit.
    pub inflated_sha256: Option<[u8; 32]>,
    /// Inflated bytes read.
    pub inflated_size: u64,
    /// Stored bytes given to the decoder.
    pub stored_size: u64,
    /// Records delivered.
    pub records: u32,
    /// What was not delivered, and why; empty for a good object.
    pub damages: Vec<Damage>,
    /// Line breaks between the tokens of delivered records, each replaced by a space so that a record stays
    /// on its line. `CloudTrail` writes none; a pretty-printed copy has them.
    pub reflowed: u64,
}

impl Outcome {
    /// Records that were not delivered; with [`Self::records`] they are the object's records in.
    pub fn damaged_records(&self) -> u32 {
        self.damages.iter().fold(0, |sum, damage| sum.saturating_add(damage.records))
    }
}

/// The state of decoding one object.
pub struct ObjectDecoder {
    inflater: Inflater,
    /// Not `sha2`: see `verify/hash.rs`.
    hasher: Context,
    splitter: Splitter,
    record_bytes: usize,
    /// Inflated bytes that are not consumed: at most a cut record and a window.
    parked: Vec<u8>,
    /// Below this length `parked` is not looked at again, so that a record that trickles in byte by byte is
    /// not copied for every byte.
    look_again: usize,
    inflated: u64,
    stored: u64,
    /// The stream's end, once reached, and how.
    end: Option<Inflated>,
    trailing: bool,
    finished: bool,
}

impl ObjectDecoder {
    /// Decodes the object that spans of the chunk will call `object`. The form of the document is told by its
    /// bytes, not by the family: both are accepted for each. A digest holds no records and is damage.
    pub fn new(object: u32, limits: &DecodeLimits) -> Self {
        let record_bytes = limits.record_bytes.min(MAX_RECORD_BYTES);
        Self {
            inflater: Inflater::new(limits.inflated_bytes),
            hasher: Context::new(&SHA256),
            splitter: Splitter::new(object, &DecodeLimits { record_bytes, ..*limits }),
            record_bytes,
            parked: Vec::new(),
            look_again: 0,
            inflated: 0,
            stored: 0,
            end: None,
            trailing: false,
            finished: false,
        }
    }

    /// Takes some of `input` and appends whole records to `chunk`. Unless the chunk is full, all input is
    /// taken.
    pub fn push(&mut self, input: &[u8], chunk: &mut Chunk) -> Progress {
        let mut consumed = 0;
        if !self.parked.is_empty() {
            consumed = self.fill_parked(input);
            if self.parked.len() < self.look_again && self.end.is_none() {
                return self.progress(consumed, false);
            }
        }
        let Some(mut tail) = self.unpark(chunk) else {
            return self.progress(consumed, true);
        };
        let full = loop {
            if self.splitter.run(chunk, &mut tail) == Pause::Full || !self.make_room(chunk, &mut tail) {
                break true;
            }
            let rest = input.get(consumed..).unwrap_or_default();
            if rest.is_empty() || self.end.is_some() {
                consumed = input.len();
                self.note_trailing(rest);
                break false;
            }
            let room = chunk.storage.get_mut(tail.end..tail.end + WINDOW).unwrap_or_default();
            let (taken, produced) = self.inflate(rest, room);
            consumed += taken;
            tail.end += produced;
        };
        self.park(chunk, &tail, full);
        self.progress(consumed, full)
    }

    /// The end of the object's bytes. `None` when the chunk is full: take it and call again with an empty one,
    /// until the outcome comes; the decoder is of no use after that.
    pub fn finish(&mut self, chunk: &mut Chunk) -> Option<Outcome> {
        let mut tail = self.unpark(chunk)?;
        if !self.finished {
            let room = chunk.storage.get_mut(tail.end..tail.end + WINDOW).unwrap_or_default();
            let step = self.inflater.finish(room);
            self.account(room, step.produced);
            tail.end += step.produced;
            self.end = Some(step.state);
            self.splitter.plain = self.inflater.is_plain();
            self.finished = true;
        }
        if self.splitter.run(chunk, &mut tail) == Pause::Full {
            self.park(chunk, &tail, true);
            return None;
        }
        self.conclude(chunk, &tail);
        chunk.close();
        Some(self.outcome())
    }

    /// Notes what the end of the object means for the document.
    fn conclude(&mut self, chunk: &Chunk, tail: &Tail) {
        match self.end {
            Some(Inflated::Failed(reason)) if reason != DamageReason::Checksum => {
                self.splitter.cut(chunk, tail, reason);
            }
            _ if self.splitter.at_start() => self.splitter.cut(chunk, tail, DamageReason::Empty),
            _ if !self.splitter.at_end() && !self.splitter.is_lost() => {
                self.splitter.cut(chunk, tail, DamageReason::Truncated);
            }
            _ => {}
        }
        if self.end == Some(Inflated::Failed(DamageReason::Checksum)) {
            let (number, at) = (self.splitter.next_number(), self.inflated);
            self.splitter.damages.add(DamageReason::Checksum, number, 0, at..at, b"");
        }
    }

    fn outcome(&mut self) -> Outcome {
        let whole = matches!(self.end, Some(Inflated::Ended | Inflated::Failed(DamageReason::Checksum)));
        let hash = std::mem::replace(&mut self.hasher, Context::new(&SHA256)).finish();
        Outcome {
            inflated_sha256: hash.as_ref().try_into().ok().filter(|_| whole),
            inflated_size: self.inflated,
            stored_size: self.stored,
            records: self.splitter.records,
            damages: std::mem::take(&mut self.splitter.damages).into_list(),
            reflowed: self.splitter.reflowed,
        }
    }

    fn progress(&mut self, consumed: usize, full: bool) -> Progress {
        self.stored += consumed as u64;
        Progress { consumed, full }
    }

    /// One step of inflating and hashing: bytes taken and produced.
    fn inflate(&mut self, input: &[u8], room: &mut [u8]) -> (usize, usize) {
        let step = self.inflater.step(input, room);
        self.account(room, step.produced);
        if step.state != Inflated::More {
            self.end = Some(step.state);
        }
        self.splitter.plain = self.inflater.is_plain();
        (step.consumed, step.produced)
    }

    fn account(&mut self, out: &[u8], produced: usize) {
        self.hasher.update(out.get(..produced).unwrap_or_default());
        self.inflated += produced as u64;
    }

    /// Bytes behind the end of the member. They are the object's damage once, with a sample.
    fn note_trailing(&mut self, rest: &[u8]) {
        let ended = matches!(self.end, Some(Inflated::Ended | Inflated::Failed(DamageReason::Checksum)));
        if rest.is_empty() || !ended {
            return;
        }
        let at = self.inflated;
        if self.trailing {
            self.splitter.damages.extend_last(at, rest);
        } else {
            let number = self.splitter.next_number();
            self.splitter.damages.add(DamageReason::TrailingData, number, 1, at..at, rest);
            self.trailing = true;
        }
    }

    /// Grows what is parked, up to where it is worth looking at again.
    fn fill_parked(&mut self, input: &[u8]) -> usize {
        let mut consumed = 0;
        let mut held = std::mem::take(&mut self.parked);
        while held.len() < self.look_again && consumed < input.len() && self.end.is_none() {
            let start = held.len();
            let more = (self.look_again - start).min(WINDOW);
            held.resize(start + more, 0);
            let rest = input.get(consumed..).unwrap_or_default();
            let (taken, produced) = self.inflate(rest, held.get_mut(start..).unwrap_or_default());
            consumed += taken;
            held.truncate(start + produced);
        }
        self.parked = held;
        consumed
    }

    /// Puts the parked bytes behind the chunk's records. `None` when they do not fit: the chunk has to be
    /// taken first.
    fn unpark(&mut self, chunk: &mut Chunk) -> Option<Tail> {
        let at = chunk.len;
        let mut tail = Tail { at, end: at + self.parked.len() };
        if !self.make_room(chunk, &mut tail) {
            return None;
        }
        if let Some(to) = chunk.storage.get_mut(at..tail.end) {
            to.copy_from_slice(&self.parked);
        }
        self.parked.clear();
        self.parked.shrink_to(WINDOW);
        Some(tail)
    }

    /// Sees to a window of room, and a byte for a line feed, behind the tail. False when that would take a
    /// chunk that holds records beyond its bounds.
    fn make_room(&mut self, chunk: &mut Chunk, tail: &mut Tail) -> bool {
        let start = chunk.next_start().min(tail.at);
        if tail.at > start {
            if tail.end <= chunk.storage.len() {
                chunk.storage.copy_within(tail.at..tail.end, start);
            }
            *tail = Tail { at: start, end: start + tail.end - tail.at };
        }
        let needed = tail.end + WINDOW + 1;
        if needed > STORAGE && !chunk.is_empty() && needed > chunk.storage.len() {
            return false;
        }
        debug_assert!(tail.end - tail.at <= self.record_bytes + 2 * WINDOW);
        chunk.grow_to(needed);
        true
    }

    /// Takes the bytes that are not consumed out of the chunk, which is then whole.
    fn park(&mut self, chunk: &mut Chunk, tail: &Tail, full: bool) {
        let rest = chunk.storage.get(tail.at..tail.end).unwrap_or_default();
        self.parked.extend_from_slice(rest);
        // Never beyond a whole record: the splitter must see that it is too large.
        self.look_again = if full { 0 } else { (2 * self.parked.len()).min(self.record_bytes + WINDOW) };
        chunk.close();
    }
}

/// Spans are `u32`, so no record may be larger than this whatever the limits say.
const MAX_RECORD_BYTES: usize = 1 << 30;
