//! Finds the bytes that end or interrupt a JSON string, quotes and backslashes, 64 bytes at a time.
//!
//! In: 64 bytes. Out: a bit for each of them, the first one's lowest. Invariant: every way of looking gives the
//! same answer; a property test compares them. Which one is used is decided in [`validate`] at run time.
//! Nothing here fails.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::validate::{Finding, record_with};

/// A way of looking at 64 bytes.
pub(super) trait Mask {
    /// A bit for each byte that is a quote or a backslash.
    fn of(block: &[u8; 64]) -> u64;
}

/// Looks at the record at the start of `bytes`, in the fastest way that this processor has.
#[cfg(target_arch = "x86_64")]
pub(super) fn validate(bytes: &[u8]) -> Finding {
    x86::validate(bytes)
}

/// Looks at the record at the start of `bytes`.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn validate(bytes: &[u8]) -> Finding {
    record_with::<Portable>(bytes)
}

/// Eight bytes at a time; a byte's flag is its top bit, gathered by a multiplication.
pub(super) struct Portable;

impl Mask for Portable {
    #[inline(always)]
    fn of(block: &[u8; 64]) -> u64 {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const TOP: u64 = 0x8080_8080_8080_8080;
        let mut mask = 0;
        let (words, _) = block.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            // Exact per byte: nothing is carried from one to the next, since the sums stay below 256.
            let is_zero = |x: u64| !(((x & !TOP) + !TOP) | x | !TOP);
            let flags = (is_zero(word ^ (LOW * 0x22)) | is_zero(word ^ (LOW * 0x5c))) >> 7;
            mask |= (flags.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (index * 8);
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ways() -> Vec<fn(&[u8; 64]) -> u64> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "there is but one"))]
        let mut ways: Vec<fn(&[u8; 64]) -> u64> = vec![Portable::of];
        #[cfg(target_arch = "x86_64")]
        ways.extend(x86::ways());
        ways
    }

    fn naive(block: &[u8; 64]) -> u64 {
        let special = |i: &usize| block[*i] == b'"' || block[*i] == b'\\';
        (0..64).filter(special).fold(0, |mask, i| mask | 1 << i)
    }

    #[test]
    fn every_byte_value_in_every_place() {
        for place in 0..64 {
            for byte in 0..=255u8 {
                let mut block = [b'x'; 64];
                block[place] = byte;
                for way in ways() {
                    assert_eq!(way(&block), naive(&block), "{byte:#x} at {place}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn all_ways_agree(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')], 64),
        ) {
            let block: [u8; 64] = bytes.try_into().unwrap();
            for way in ways() {
                prop_assert_eq!(way(&block), naive(&block));
            }
        }

        #[test]
        fn all_ways_validate_alike(text in r#"\{("[a\\"{}\[\]:, 0-9tru-]{0,90}":?"?[a\\"{}:,1]{0,70},?){0,3}\}"#) {
            prop_assert_eq!(validate(text.as_bytes()), record_with::<Portable>(text.as_bytes()));
        }
    }
}
