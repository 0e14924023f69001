//! Inflates exactly one gzip member, or passes a body that is not compressed.
//!
//! In: stored bytes in pieces of any size. Out: inflated bytes into the caller's slice, never more than it
//! holds and never more than the cap. Invariant: the bytes given out are those of the first member alone.
//! Failure: a status, after which nothing more comes out. Format: RFC 1952 (gzip), RFC 1951 (deflate).

use crc32fast::Hasher as Crc32;
use flate2::{Decompress, FlushDecompress, Status};

use super::damage::DamageReason;

/// How a step of inflating ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inflated {
    /// Input or room for output is used up.
    More,
    /// The member (or its trailer's check) is through; further input is not looked at.
    Ended,
    /// It is broken from here on.
    Failed(DamageReason),
}

/// What a step did.
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) state: Inflated,
}

/// Reads one gzip member.
pub(super) struct Inflater {
    stage: Stage,
    /// Bytes of input seen by the header or trailer at hand.
    small: Vec<u8>,
    flags: u8,
    deflate: Decompress,
    crc: Crc32,
    produced: u64,
    cap: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first two bytes decide: gzip, or a body that is not compressed.
    Magic,
    /// Eight bytes after the magic.
    Header,
    ExtraLength,
    Extra(u16),
    Name,
    Comment,
    HeaderCrc,
    Deflate,
    Trailer,
    Plain,
    Over(Inflated),
}

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Inflater {
    /// Reads at most `cap` inflated bytes.
    pub(super) fn new(cap: u64) -> Self {
        Self {
            stage: Stage::Magic,
            small: Vec::with_capacity(8),
            flags: 0,
            deflate: Decompress::new(false),
            crc: Crc32::new(),
            produced: 0,
            cap,
        }
    }

    /// Whether the body is taken as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.stage == Stage::Plain
    }

    /// Takes some of `input`, writes to the start of `out` (which is not empty).
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match self.stage {
                Stage::Over(state) => return Step { consumed, produced: 0, state },
                Stage::Deflate | Stage::Plain => {
                    let room = self.cap.saturating_add(1).saturating_sub(self.produced);
                    let room = usize::try_from(room).unwrap_or(usize::MAX).min(out.len());
                    let out = out.get_mut(..room).unwrap_or_default();
                    let mut step = if self.is_plain() { copy(rest, out) } else { self.inflate(rest, out) };
                    step.consumed += consumed;
                    self.cap_output(&mut step);
                    if step.produced == 0 && matches!(self.stage, Stage::Trailer) {
                        consumed = step.consumed;
                        continue;
                    }
                    return step;
                }
                _ => {
                    let Some(&byte) = rest.first() else {
                        return Step { consumed, produced: 0, state: Inflated::More };
                    };
                    if self.small_byte(byte) {
                        consumed += 1;
                    } else if let Some(step) = self.pass_magic(consumed, out) {
                        return step;
                    }
                }
            }
        }
    }

    /// The end of the input: whether the body is whole. A body of one byte, which could still have become
    /// gzip, is passed on through `out` (which is not empty).
    pub(super) fn finish(&mut self, out: &mut [u8]) -> Step {
        if self.stage == Stage::Magic
            && !self.small.is_empty()
            && let Some(mut step) = self.pass_magic(0, out)
        {
            step.state = Inflated::Ended;
            return step;
        }
        let state = match self.stage {
            Stage::Over(state) => state,
            Stage::Magic | Stage::Plain => Inflated::Ended,
            _ => Inflated::Failed(DamageReason::Truncated),
        };
        self.stage = Stage::Over(state);
        Step { consumed: 0, produced: 0, state }
    }

    /// The body is not gzip: the bytes held back while that was open come out.
    fn pass_magic(&mut self, consumed: usize, out: &mut [u8]) -> Option<Step> {
        self.stage = Stage::Plain;
        let held = std::mem::take(&mut self.small);
        let mut step = copy(&held, out);
        step.consumed = consumed;
        self.produced += step.produced as u64;
        (step.produced > 0).then_some(step)
    }

    fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let (before_in, before_out) = (self.deflate.total_in(), self.deflate.total_out());
        let result = self.deflate.decompress(input, out, FlushDecompress::None);
        let consumed = usize::try_from(self.deflate.total_in() - before_in).unwrap_or(0);
        let produced = usize::try_from(self.deflate.total_out() - before_out).unwrap_or(0);
        self.crc.update(out.get(..produced).unwrap_or_default());
        let state = match result {
            Ok(Status::StreamEnd) => {
                self.small.clear();
                self.stage = Stage::Trailer;
                Inflated::More
            }
            Ok(Status::Ok | Status::BufError) => {
                // Input and room at hand but no progress: a decoder in its senses never does that.
                let stuck = consumed == 0 && produced == 0 && !input.is_empty() && !out.is_empty();
                if stuck { self.over(Inflated::Failed(DamageReason::CorruptGzip)) } else { Inflated::More }
            }
            Err(_) => self.over(Inflated::Failed(DamageReason::CorruptGzip)),
        };
        Step { consumed, produced, state }
    }

    /// Counts output; a byte beyond the cap was asked for only to know that there is one.
    fn cap_output(&mut self, step: &mut Step) {
        self.produced += step.produced as u64;
        if self.produced > self.cap {
            step.produced = step.produced.saturating_sub(1);
            self.produced = self.cap;
            step.state = self.over(Inflated::Failed(DamageReason::InflatedTooLarge));
        }
    }

    fn over(&mut self, state: Inflated) -> Inflated {
        self.stage = Stage::Over(state);
        state
    }

    /// Takes one byte of magic, header or trailer; `false` when it turns out that there is no magic, and the
    /// byte is not taken.
    fn small_byte(&mut self, byte: u8) -> bool {
        match self.stage {
            Stage::Magic => {
                let expected = if self.small.is_empty() { 0x1f } else { 0x8b };
                if byte != expected {
                    return false;
                }
                self.small.push(byte);
                if self.small.len() == 2 {
                    self.enter(Stage::Header);
                }
            }
            Stage::Header => self.header_byte(byte),
            Stage::ExtraLength => {
                self.small.push(byte);
                if let [low, high] = *self.small {
                    match u16::from_le_bytes([low, high]) {
                        0 => self.next_header_part(FEXTRA),
                        length => self.enter(Stage::Extra(length)),
                    }
                }
            }
            Stage::Extra(1) => self.next_header_part(FEXTRA),
            Stage::Extra(left) => self.stage = Stage::Extra(left - 1),
            Stage::Name if byte == 0 => self.next_header_part(FNAME),
            Stage::Comment if byte == 0 => self.next_header_part(FCOMMENT),
            Stage::HeaderCrc => {
                self.small.push(byte);
                if self.small.len() == 2 {
                    self.enter(Stage::Deflate);
                }
            }
            Stage::Trailer => self.trailer_byte(byte),
            Stage::Name | Stage::Comment | Stage::Deflate | Stage::Plain | Stage::Over(_) => {}
        }
        true
    }

    /// Method, flags, time (4), extra flags, operating system.
    fn header_byte(&mut self, byte: u8) {
        self.small.push(byte);
        if let [method, flags, _, _, _, _, _, _] = *self.small {
            if method != 8 || flags & RESERVED != 0 {
                self.over(Inflated::Failed(DamageReason::CorruptGzip));
                return;
            }
            self.flags = flags;
            self.next_header_part(0);
        }
    }

    /// Moves on to the first optional part after `done`, in the order in which they stand.
    fn next_header_part(&mut self, done: u8) {
        let parts = [
            (FEXTRA, 0, Stage::ExtraLength),
            (FNAME, 1, Stage::Name),
            (FCOMMENT, 2, Stage::Comment),
            (FHCRC, 3, Stage::HeaderCrc),
        ];
        let passed = parts.iter().find(|(flag, ..)| *flag == done).map_or(0, |(_, order, _)| order + 1);
        let next = parts.iter().find(|(flag, order, _)| *order >= passed && self.flags & flag != 0);
        self.enter(next.map_or(Stage::Deflate, |(_, _, stage)| *stage));
    }

    /// CRC-32 and size modulo 2^32 of the inflated bytes.
    fn trailer_byte(&mut self, byte: u8) {
        self.small.push(byte);
        if let [c0, c1, c2, c3, s0, s1, s2, s3] = *self.small {
            let crc = u32::from_le_bytes([c0, c1, c2, c3]);
            let size = u32::from_le_bytes([s0, s1, s2, s3]);
            let good = crc == self.crc.clone().finalize() && u64::from(size) == self.produced % (1 << 32);
            self.over(if good { Inflated::Ended } else { Inflated::Failed(DamageReason::Checksum) });
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.small.clear();
        self.stage = stage;
    }
}

fn copy(input: &[u8], out: &mut [u8]) -> Step {
    let n = input.len().min(out.len());
    if let (Some(from), Some(to)) = (input.get(..n), out.get_mut(..n)) {
        to.copy_from_slice(from);
    }
    Step { consumed: n, produced: n, state: Inflated::More }
}
