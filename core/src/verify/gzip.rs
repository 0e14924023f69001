//! Inflating exactly one gzip member, under a cap.
//!
//! In: stored bytes in pieces of any size. Out: inflated bytes, a scratch buffer at a time, and whether
//! anything follows the member. As strict as zlib's own reader, which the AWS CLI uses: reserved flags, the
//! header's checksum where there is one, checksum and size at the end. Appended members are trailing bytes,
//! which plain gzip readers would join on silently. Failure: a [`FormatFault`]; nothing more comes out then.
//!
//! Header and trailer are read here and not by the decoder: its own CRC-32 takes a third of the time that
//! inflating takes, `crc32fast` a tenth. Format: RFC 1952 (gzip), RFC 1951 (deflate).

use crc32fast::Hasher as Crc32;
use flate2::{Decompress, FlushDecompress, Status};

use super::inflate::FormatFault;

/// Inflated bytes per step: they stay in the second-level cache until they are hashed, and the 32 KiB that
/// the decoder copies to its window after each step hardly count.
const STEP: usize = 128 * 1024;

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// One gzip member being inflated.
pub(super) struct Member {
    stage: Stage,
    header: Header,
    deflate: Decompress,
    crc: Crc32,
    /// Inflated bytes, modulo 2^32 as the trailer has them.
    size: u32,
    /// The trailer, as far as it was read: the latest byte is the highest.
    trailer: u64,
    scratch: Vec<u8>,
    left: u64,
    cap: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Deflate,
    /// So many of the eight bytes of the trailer were read.
    Trailer(u8),
    Ended,
}

impl Member {
    /// A member of at most `cap` inflated bytes.
    pub(super) fn new(cap: u64) -> Self {
        Self {
            stage: Stage::Header,
            header: Header::new(),
            deflate: Decompress::new(false),
            crc: Crc32::new(),
            size: 0,
            trailer: 0,
            scratch: vec![0; STEP],
            left: cap,
            cap,
        }
    }

    /// Begins another member, with the same buffers and cap.
    pub(super) fn restart(&mut self) {
        self.stage = Stage::Header;
        self.header = Header::new();
        self.deflate.reset(false);
        self.crc.reset();
        (self.size, self.trailer, self.left) = (0, 0, self.cap);
    }

    /// Whether the whole member was read, and is good.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Inflates `input` into `sink`; the number of bytes that lie behind the end of the member.
    pub(super) fn push(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, FormatFault> {
        loop {
            match self.next(&mut input)? {
                0 => return Ok(if self.has_ended() { input.len() } else { 0 }),
                wrote => sink(self.scratch.get(..wrote).unwrap_or_default()),
            }
        }
    }

    /// Inflates a step further; how many bytes [`Member::inflated`] begins with now. 0: nothing more comes of the
    /// input, of which is left what lies behind the member.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<usize, FormatFault> {
        loop {
            match self.stage {
                Stage::Ended => return Ok(0),
                Stage::Deflate => {
                    let (read, wrote) = self.inflate(input)?;
                    *input = input.get(read..).unwrap_or_default();
                    if wrote > 0 || (self.stage == Stage::Deflate && read == 0) {
                        return Ok(wrote);
                    }
                }
                Stage::Header | Stage::Trailer(_) => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(0) };
                    *input = rest;
                    self.take(byte)?;
                }
            }
        }
    }

    /// The buffer into which it inflates.
    pub(super) fn inflated(&self) -> &[u8] {
        &self.scratch
    }

    /// One step: the bytes read and written.
    fn inflate(&mut self, input: &[u8]) -> Result<(usize, usize), FormatFault> {
        let (read, wrote) = (self.deflate.total_in(), self.deflate.total_out());
        let status = self
            .deflate
            .decompress(input, &mut self.scratch, FlushDecompress::None)
            .map_err(|_| FormatFault::Corrupt)?;
        let read = usize::try_from(self.deflate.total_in() - read).unwrap_or(usize::MAX);
        let wrote = usize::try_from(self.deflate.total_out() - wrote).unwrap_or(usize::MAX);
        self.left = self.left.checked_sub(wrote as u64).ok_or(FormatFault::TooLarge(self.cap))?;
        self.crc.update(self.scratch.get(..wrote).unwrap_or_default());
        self.size = self.size.wrapping_add(u32::try_from(wrote).unwrap_or_default());
        if status == Status::StreamEnd {
            self.stage = Stage::Trailer(0);
        }
        Ok((read, wrote))
    }

    /// A byte of the header or the trailer.
    fn take(&mut self, byte: u8) -> Result<(), FormatFault> {
        match self.stage {
            Stage::Header if self.header.take(byte)? => self.stage = Stage::Deflate,
            Stage::Trailer(read) => {
                self.trailer = self.trailer >> 8 | u64::from(byte) << 56;
                self.stage = if read < 7 { Stage::Trailer(read + 1) } else { Stage::Ended };
                let expected = u64::from(self.crc.clone().finalize()) | u64::from(self.size) << 32;
                if self.stage == Stage::Ended && self.trailer != expected {
                    self.stage = Stage::Trailer(7);
                    return Err(FormatFault::Corrupt);
                }
            }
            Stage::Header | Stage::Deflate | Stage::Ended => {}
        }
        Ok(())
    }
}

/// A header, byte by byte: however long its name and comment are, it takes no memory.
struct Header {
    part: Part,
    flags: u8,
    crc: Crc32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Magic (2), method, flags, time (4), extra flags, operating system.
    Fixed(u8),
    ExtraLength(Option<u8>),
    Extra(u16),
    Name,
    Comment,
    Check(Option<u8>),
    Over,
}

impl Header {
    fn new() -> Self {
        Self { part: Part::Fixed(0), flags: 0, crc: Crc32::new() }
    }

    /// Takes one byte; `true` with the last one.
    fn take(&mut self, byte: u8) -> Result<bool, FormatFault> {
        if !matches!(self.part, Part::Check(_)) {
            self.crc.update(&[byte]);
        }
        self.part = match self.part {
            Part::Fixed(at) => {
                self.check_fixed(at, byte)?;
                if at < 9 { Part::Fixed(at + 1) } else { self.after(0) }
            }
            Part::ExtraLength(None) => Part::ExtraLength(Some(byte)),
            Part::ExtraLength(Some(low)) => match u16::from_le_bytes([low, byte]) {
                0 => self.after(EXTRA),
                length => Part::Extra(length),
            },
            Part::Extra(left) if left > 1 => Part::Extra(left - 1),
            Part::Extra(_) => self.after(EXTRA),
            Part::Name if byte == 0 => self.after(NAME),
            Part::Comment if byte == 0 => self.after(COMMENT),
            Part::Check(None) => Part::Check(Some(byte)),
            Part::Check(Some(low)) => {
                let sum = self.crc.clone().finalize() & 0xffff;
                if u32::from(u16::from_le_bytes([low, byte])) != sum {
                    return Err(FormatFault::Corrupt);
                }
                Part::Over
            }
            same => same,
        };
        Ok(self.part == Part::Over)
    }

    fn check_fixed(&mut self, at: u8, byte: u8) -> Result<(), FormatFault> {
        let good = match at {
            0 => byte == 0x1f,
            1 => byte == 0x8b,
            2 => byte == 8, // deflate, the only method there is
            3 => {
                self.flags = byte;
                byte & RESERVED == 0
            }
            _ => true,
        };
        if good { Ok(()) } else { Err(FormatFault::Corrupt) }
    }

    /// The first part that the flags ask for behind `done`, in the order in which they stand.
    fn after(&self, done: u8) -> Part {
        let parts = [
            (EXTRA, Part::ExtraLength(None)),
            (NAME, Part::Name),
            (COMMENT, Part::Comment),
            (HEADER_CRC, Part::Check(None)),
        ];
        let passed = parts.iter().position(|(flag, _)| *flag == done).map_or(0, |at| at + 1);
        let next = parts.iter().skip(passed).find(|(flag, _)| self.flags & flag != 0);
        next.map_or(Part::Over, |(_, part)| *part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::gzip;
    use super::*;

    /// What came of a member in pieces of this size: its bytes, and how many follow it.
    fn read(stored: &[u8], piece: usize) -> Result<(Vec<u8>, usize), FormatFault> {
        let mut member = Member::new(1 << 20);
        read_with(&mut member, stored, piece)
    }

    fn read_with(member: &mut Member, stored: &[u8], piece: usize) -> Result<(Vec<u8>, usize), FormatFault> {
        let (mut bytes, mut behind) = (Vec::new(), 0);
        for piece in stored.chunks(piece) {
            behind += member.push(piece, &mut |inflated| bytes.extend_from_slice(inflated))?;
        }
        if member.has_ended() { Ok((bytes, behind)) } else { Err(FormatFault::Truncated) }
    }

    /// The same by zlib's own reader of gzip.
    fn reference(stored: &[u8]) -> Result<(Vec<u8>, usize), FormatFault> {
        let (mut decoder, mut bytes) = (Decompress::new_gzip(15), Vec::with_capacity(2 << 20));
        let status = decoder.decompress_vec(stored, &mut bytes, FlushDecompress::Finish);
        match status.map_err(|_| FormatFault::Corrupt)? {
            Status::StreamEnd => Ok((bytes, stored.len() - usize::try_from(decoder.total_in()).unwrap())),
            Status::Ok | Status::BufError => Err(FormatFault::Truncated),
        }
    }

    /// A header with the parts that the flags name, and a good or a wrong checksum of its own.
    fn with_header(flags: u8, good: bool, text: &[u8]) -> Vec<u8> {
        let mut stored = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        for (flag, part) in [(EXTRA, &[3, 0, 0, 1, 2][..]), (NAME, b"name\0"), (COMMENT, b"\0")] {
            stored.extend_from_slice(if flags & flag == 0 { b"" } else { part });
        }
        if flags & HEADER_CRC != 0 {
            let sum = crc32fast::hash(&stored).to_le_bytes();
            stored.extend_from_slice(&[sum[0], sum[1] ^ u8::from(!good)]);
        }
        stored.extend_from_slice(&gzip(text)[10..]);
        stored
    }

    #[test]
    fn headers_with_every_part_are_read_as_zlib_reads_them() {
        for flags in 0..=255_u8 {
            for good in [true, false] {
                let stored = with_header(flags, good, b"text");
                let expected = reference(&stored);
                for piece in [1, 3, stored.len()] {
                    assert_eq!(read(&stored, piece), expected, "flags {flags:#x}, {good}");
                }
                let faulty = flags & RESERVED != 0 || (flags & HEADER_CRC != 0 && !good);
                assert_eq!(expected.is_err(), faulty, "flags {flags:#x}, {good}");
            }
        }
    }

    #[test]
    fn a_member_after_any_other_is_read_as_the_first() {
        let mut member = Member::new(1 << 20);
        let text = b"some text ".repeat(40_000);
        let stored = gzip(&text);
        for broken in [&stored[..5], &stored[..stored.len() - 3], b"\x1f\x8b\x07", &stored[..400]] {
            drop(read_with(&mut member, broken, 100));
            member.restart();
            assert_eq!(read_with(&mut member, &stored, 700), Ok((text.clone(), 0)));
            member.restart();
        }
    }

    proptest! {
        /// Whatever was changed, cut or added: what is good, its bytes and what follows are zlib's. Of what is changed
        /// and then ends too early, one reader may see the change first and another the end.
        #[test]
        fn any_change_is_judged_as_zlib_judges_it(
            len in 0..3000_usize,
            at in any::<prop::sample::Index>(),
            flip in any::<u8>(),
            cut in prop::option::of(any::<prop::sample::Index>()),
            behind in 0..3_usize,
            piece in 1..900_usize,
        ) {
            let text: Vec<u8> = (0..len).map(|n| (n * n % 251) as u8).collect();
            let mut stored = with_header(flip & 0x1e, true, &text);
            let at = at.index(stored.len());
            stored[at] ^= flip;
            stored.extend(std::iter::repeat_n(0x1f, behind));
            stored.truncate(cut.map_or(stored.len(), |cut| cut.index(stored.len())));
            let (read, reference) = (read(&stored, piece), reference(&stored));
            let early = |result: &Result<_, FormatFault>| {
                matches!(result, Err(FormatFault::Truncated | FormatFault::Corrupt))
            };
            let either = early(&read) && early(&reference);
            prop_assert!(read == reference || either, "{read:?}, {reference:?}");
        }
    }
}
