//! The mask of 64 bytes with SSE2.
//!
//! In and out as in the portable twin, which a property test compares with it. The only unsafe code of the
//! decoder, here because it makes splitting measurably faster (see the benchmarks).
#![expect(unsafe_code, reason = "loads of 16 bytes within a 64-byte array; measured hot path")]

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
};

/// A bit for each byte that is a quote or a backslash.
#[inline(always)]
pub(in crate::decode) fn mask(block: &[u8; 64]) -> u64 {
    let (quarters, _) = block.as_chunks::<16>();
    let mut mask = 0;
    for (index, quarter) in quarters.iter().enumerate() {
        // SAFETY: SSE2 is part of x86-64, and the load, which needs no alignment, reads exactly the 16 bytes
        // that `quarter` borrows.
        let bits = unsafe {
            let bytes = _mm_loadu_si128(quarter.as_ptr().cast::<__m128i>());
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
            _mm_movemask_epi8(_mm_or_si128(quote, backslash))
        };
        // The mask of 16 bytes has 16 bits.
        mask |= u64::from(bits as u16) << (index * 16);
    }
    mask
}
