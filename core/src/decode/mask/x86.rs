//! The ways of x86-64: SSE2, which every such processor has, and AVX2 with its companions, found at run time.
//!
//! In and out as in the portable twin, which property tests compare with both. The only unsafe code of the
//! crate, here because it makes splitting measurably faster (see the benchmarks).
#![expect(unsafe_code, reason = "loads within a 64-byte array and calls behind a feature check; hot path")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
};

use super::{Finding, Mask, record_with};

/// Looks at the record at the start of `bytes`, in the fastest way that this processor has.
pub(super) fn validate(bytes: &[u8]) -> Finding {
    if has_avx2() {
        // SAFETY: the features that the function is compiled for were found just now.
        unsafe { validate_avx2(bytes) }
    } else {
        record_with::<Sse2>(bytes)
    }
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
fn validate_avx2(bytes: &[u8]) -> Finding {
    record_with::<Avx2>(bytes)
}

struct Sse2;

impl Mask for Sse2 {
    #[inline(always)]
    fn of(block: &[u8; 64]) -> u64 {
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
}

/// Private to this module, so that [`Mask::of`] is only ever called from [`validate_avx2`].
struct Avx2;

impl Mask for Avx2 {
    #[inline(always)]
    fn of(block: &[u8; 64]) -> u64 {
        // SAFETY: only code inlined into `validate_avx2` (and the tests, after a check) comes here.
        unsafe { mask_avx2(block) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask_avx2(block: &[u8; 64]) -> u64 {
    let (halves, _) = block.as_chunks::<32>();
    let mut mask = 0;
    for (index, half) in halves.iter().enumerate() {
        // SAFETY: the load, which needs no alignment, reads exactly the 32 bytes that `half` borrows.
        let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()) };
        let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x22));
        let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x5c));
        let bits = _mm256_movemask_epi8(_mm256_or_si256(quote, backslash));
        mask |= u64::from(bits as u32) << (index * 32);
    }
    mask
}

/// All ways that this processor has.
#[cfg(test)]
pub(super) fn ways() -> Vec<fn(&[u8; 64]) -> u64> {
    if has_avx2() { vec![Sse2::of, Avx2::of] } else { vec![Sse2::of] }
}
