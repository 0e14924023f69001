//! Seeded pseudo-random numbers, the same on every machine and for every version of every library.
//!
//! In: a seed. Out: numbers and texts. SplitMix64: its 64-bit outputs never repeat within a period of 2^64,
//! so ids drawn from one generator are distinct. Not for secrets.

/// A generator; two with the same seed give the same sequence.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator for one purpose, so that a change in one part of the simulation leaves the others alone.
    pub fn fork(seed: u64, purpose: &str) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in purpose.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = Self::new(hash);
        rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).unsigned_abs().saturating_add(1);
        low.saturating_add_unsigned(self.below(span))
    }

    /// True in `per_million` of a million cases.
    pub fn chance(&mut self, per_million: u64) -> bool {
        self.below(1_000_000) < per_million
    }

    /// One of the items.
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is below the length; callers pass constant tables"
    )]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Puts the items into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Appends `count` characters of an ASCII alphabet.
    pub fn letters(&mut self, alphabet: &[u8], count: usize, out: &mut String) {
        for _ in 0..count {
            out.push(char::from(*self.pick(alphabet)));
        }
    }

    /// A GUID in its usual text form (version 4).
    pub fn guid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | (0b10 << 62));
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        let (d, e) = (low >> 48, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

/// Upper and lower case letters and digits.
pub const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Upper case letters and digits.
pub const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Lower-case hexadecimal digits.
pub const HEX: &[u8] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same() {
        assert_eq!(Rng::new(0).next_u64(), 0xe220_a839_7b1d_cdaf, "the published first output for seed 0");
        let draw = |mut rng: Rng| (0..50).map(|_| rng.guid()).collect::<Vec<_>>();
        assert_eq!(draw(Rng::fork(7, "a")), draw(Rng::fork(7, "a")));
        assert_ne!(draw(Rng::fork(7, "a")), draw(Rng::fork(7, "b")));
        assert_ne!(draw(Rng::fork(7, "a")), draw(Rng::fork(8, "a")));
    }

    #[test]
    fn ranges_keep_their_ends() {
        let mut rng = Rng::new(1);
        let seen: std::collections::BTreeSet<i64> = (0..1000).map(|_| rng.range(-2, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_guid_looks_like_one() {
        let guid = Rng::new(3).guid();
        assert_eq!(guid.len(), 36);
        assert_eq!(guid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&guid.as_bytes()[19]), "{guid}");
    }
}
