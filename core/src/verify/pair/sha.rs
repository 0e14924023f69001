//! SHA-256 of two messages in step, with the processor's own instructions.
//!
//! In: states and whole blocks. Out: the states after them. An instruction of a round waits four cycles for the one
//! before it, and another can begin every two: two messages that take turns come nearly twice as far in a cycle as one.
//! The safe twin is aws-lc's SHA-256, which takes one message at a time; a property test compares both. Failure: none.
//! The order of the rounds is FIPS 180-4's; the halves of the state are as Intel's SHA extensions want them.

#![expect(unsafe_code, reason = "calls of functions for a processor's features; measured hot path")]

use std::arch::x86_64::*;

/// The state before the first block (FIPS 180-4, 5.3.3).
pub(super) const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The constants of the rounds, four at a time (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// The words a to h.
pub(super) type State = [u32; 8];

/// A block of a message.
pub(super) type Block = [u8; 64];

/// The instructions, where the processor has them. Invariant: made by [`Sha::detect`] alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sha(());

impl Sha {
    /// `None` where the processor lacks an instruction.
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse2")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has.then_some(Self(()))
    }

    /// Takes in the blocks of one message.
    pub(super) fn one(self, state: &mut State, blocks: &[Block]) {
        // SAFETY: `self` was made after the processor was asked for every feature that the function is built for.
        unsafe { one(state, blocks) }
    }

    /// Takes in as many blocks of either message as the shorter of the two has.
    pub(super) fn two(self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        // SAFETY: as in `one`.
        unsafe { two(states, blocks) }
    }
}

/// A message on its way: the words a, b, e and f, the others, and the next sixteen words of the schedule.
struct Lane {
    abef: __m128i,
    cdgh: __m128i,
    words: [__m128i; 4],
}

macro_rules! four_rounds {
    ($lane:ident, $at:literal) => {
        let sum = _mm_add_epi32($lane.words[$at % 4], constants(&ROUNDS[$at]));
        $lane.cdgh = _mm_sha256rnds2_epu32($lane.cdgh, $lane.abef, sum);
        $lane.abef = _mm_sha256rnds2_epu32($lane.abef, $lane.cdgh, _mm_shuffle_epi32(sum, 0x0e));
        if $at < 12 {
            let (first, second) = ($lane.words[$at % 4], $lane.words[($at + 1) % 4]);
            let (third, fourth) = ($lane.words[($at + 2) % 4], $lane.words[($at + 3) % 4]);
            let next = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), _mm_alignr_epi8(fourth, third, 4));
            $lane.words[$at % 4] = _mm_sha256msg2_epu32(next, fourth);
        }
    };
}

macro_rules! all_rounds {
    ($lanes:tt) => { all_rounds!($lanes 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
    ($lanes:tt $($at:literal)+) => { $(all_rounds!(@ $lanes $at);)+ };
    (@ [$($lane:ident)+] $at:literal) => { $(four_rounds!($lane, $at);)+ };
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn one(state: &mut State, blocks: &[Block]) {
    let mut lane = load(state);
    for block in blocks {
        let before = (lane.abef, lane.cdgh);
        lane.words = words(block);
        all_rounds!([lane]);
        add(&mut lane, before);
    }
    *state = store(&lane);
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn two([one, two]: [&mut State; 2], [ones, twos]: [&[Block]; 2]) {
    let (mut first, mut second) = (load(one), load(two));
    for (block, other) in ones.iter().zip(twos) {
        let before = ((first.abef, first.cdgh), (second.abef, second.cdgh));
        (first.words, second.words) = (words(block), words(other));
        all_rounds!([first second]);
        add(&mut first, before.0);
        add(&mut second, before.1);
    }
    (*one, *two) = (store(&first), store(&second));
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn load(state: &State) -> Lane {
    let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
    let words = [_mm_setzero_si128(); 4];
    Lane { abef: _mm_set_epi32(a, b, e, f), cdgh: _mm_set_epi32(c, d, g, h), words }
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn store(lane: &Lane) -> State {
    let (x, y) = (lane.abef, lane.cdgh);
    let [a, b] = [_mm_extract_epi32(x, 3), _mm_extract_epi32(x, 2)];
    let [c, d] = [_mm_extract_epi32(y, 3), _mm_extract_epi32(y, 2)];
    let [e, f] = [_mm_extract_epi32(x, 1), _mm_extract_epi32(x, 0)];
    let [g, h] = [_mm_extract_epi32(y, 1), _mm_extract_epi32(y, 0)];
    [a, b, c, d, e, f, g, h].map(i32::cast_unsigned)
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn add(lane: &mut Lane, (abef, cdgh): (__m128i, __m128i)) {
    lane.abef = _mm_add_epi32(lane.abef, abef);
    lane.cdgh = _mm_add_epi32(lane.cdgh, cdgh);
}

/// The constants of four rounds. Written out, like the words of a block: what is not inlined costs four times as much.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn constants([k0, k1, k2, k3]: &[u32; 4]) -> __m128i {
    _mm_set_epi32(k3.cast_signed(), k2.cast_signed(), k1.cast_signed(), k0.cast_signed())
}

/// The sixteen words of a block.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn words(block: &Block) -> [__m128i; 4] {
    match block.as_chunks::<16>().0 {
        [first, second, third, fourth] => [four(first), four(second), four(third), four(fourth)],
        // A block has four times sixteen bytes.
        _ => [_mm_setzero_si128(); 4],
    }
}

/// Four words, which are big-endian.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn four(bytes: &[u8; 16]) -> __m128i {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let bytes = u128::from_le_bytes(*bytes);
    let (high, low) = ((bytes >> 64) as u64, bytes as u64);
    _mm_shuffle_epi8(_mm_set_epi64x(high.cast_signed(), low.cast_signed()), swap)
}
