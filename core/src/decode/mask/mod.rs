//! Finds the bytes that end or interrupt a JSON string: quotes, backslashes, control characters.
//!
//! In: a slice. Out: their positions in rising order, 64 bytes looked at a time. Invariant: both ways of
//! looking (SSE2, which every x86-64 has, and portable code) give the same answer; a property test compares
//! them. Nothing here fails.

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2;

/// A cursor over the special bytes of a slice. Positions asked for never go back.
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// The start of the block that `mask` describes.
    base: usize,
    /// A bit for each special byte of the block.
    mask: u64,
}

impl<'a> Specials<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut specials = Self { bytes, base: 0, mask: 0 };
        specials.mask = specials.block();
        specials
    }

    /// The first special byte at or after `pos`; `None` when the slice ends before one.
    #[inline(always)]
    pub(super) fn next(&mut self, pos: usize) -> Option<usize> {
        let mut inner = pos.wrapping_sub(self.base);
        while inner >= 64 {
            self.base += 64;
            inner -= 64;
            if inner < 64 {
                self.mask = self.block();
            }
        }
        let mut mask = self.mask & (u64::MAX << inner);
        while mask == 0 {
            self.base += 64;
            if self.base >= self.bytes.len() {
                self.mask = 0;
                return None;
            }
            self.mask = self.block();
            mask = self.mask;
        }
        let at = self.base + mask.trailing_zeros() as usize;
        (at < self.bytes.len()).then_some(at)
    }

    /// The mask of the block at `base`. Beyond the end of the slice every bit is set, which the caller tells
    /// by the position.
    #[inline(always)]
    fn block(&self) -> u64 {
        match self.bytes.get(self.base..).and_then(<[u8]>::first_chunk) {
            Some(block) => mask(block),
            None => self.last_block(),
        }
    }

    #[cold]
    fn last_block(&self) -> u64 {
        let mut block = [0u8; 64];
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
        mask(&block)
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use sse2::mask;

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
use portable as mask;

/// Eight bytes at a time; a byte's flag is its top bit, gathered by a multiplication.
#[inline(always)]
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
fn portable(block: &[u8; 64]) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x8080_8080_8080_8080;
    let mut mask = 0;
    let (words, _) = block.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Exact per byte: no borrow crosses a byte, since the top bits are set before subtracting.
        let is_zero = |x: u64| !(((x & !TOP) + !TOP) | x | !TOP);
        let quote = is_zero(word ^ (LOW * 0x22));
        let backslash = is_zero(word ^ (LOW * 0x5c));
        let control = is_zero(word & (LOW * 0xe0));
        let flags = (quote | backslash | control) >> 7;
        let bits = flags.wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (index * 8);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bytes: &[u8]) -> Vec<usize> {
        let special = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
        (0..bytes.len()).filter(|&i| special(bytes[i])).collect()
    }

    #[test]
    fn every_byte_value_in_every_place() {
        for place in 0..64 {
            for byte in 0..=255u8 {
                let mut block = [b'x'; 64];
                block[place] = byte;
                let expected = naive(&block).iter().fold(0u64, |m, i| m | 1 << i);
                assert_eq!(portable(&block), expected, "{byte:#x} at {place}");
                assert_eq!(mask(&block), expected, "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(bytes in proptest::collection::vec(any::<u8>(), 64)) {
            let block: [u8; 64] = bytes.try_into().unwrap();
            prop_assert_eq!(mask(&block), portable(&block));
        }

        #[test]
        fn the_cursor_finds_every_special_byte(
            bytes in proptest::collection::vec(
                prop_oneof![10 => Just(b'x'), 1 => Just(b'"'), 1 => Just(b'\\'), 1 => any::<u8>()],
                0..400,
            ),
            skips in proptest::collection::vec(0usize..150, 1..20),
        ) {
            let expected = naive(&bytes);
            let mut specials = Specials::new(&bytes);
            let mut pos = 0;
            for skip in skips {
                pos += skip;
                let next = expected.iter().copied().find(|&i| i >= pos);
                prop_assert_eq!(specials.next(pos), next);
                pos = next.map_or(pos, |i| i + 1);
            }
        }
    }
}
