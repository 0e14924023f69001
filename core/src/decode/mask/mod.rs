//! Finds the bytes that end or interrupt a JSON string, quotes and backslashes, 64 bytes at a time.
//!
//! In: 64 bytes. Out: a bit for each of them, the first one's lowest. Invariant: both ways of looking, SSE2
//! (which every x86-64 has, so that nothing need be detected) and portable code, give the same answer; a
//! property test compares them. Nothing here fails. AVX2 was tried, and gained nothing that counts: see the
//! benchmarks before adding it.

#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(target_arch = "x86_64")]
pub(super) use sse2::mask;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable as mask;

/// Eight bytes at a time; a byte's flag is its top bit, gathered by a multiplication.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(super) fn portable(block: &[u8; 64]) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
                assert_eq!(mask(&block), naive(&block), "{byte:#x} at {place}");
                assert_eq!(portable(&block), naive(&block), "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')], 64),
        ) {
            let block: [u8; 64] = bytes.try_into().unwrap();
            prop_assert_eq!(mask(&block), naive(&block));
            prop_assert_eq!(portable(&block), naive(&block));
        }
    }
}
