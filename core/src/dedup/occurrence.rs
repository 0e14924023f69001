//! Which of several equal records without an id, within one object, is this one?
//!
//! In: the content hashes of an object's records that have no id, in order. Out: their [`Occurrence`]s, a
//! function of the object's bytes alone, so that a copy of the object gets the same ones.
//!
//! Bounded: 57,344 different contents are counted, about 1.1 MiB, however many records the object
//! holds (a million equal ones are one content). Past that, a record whose content is not being counted is
//! told apart by its record number: two equal records are then never taken for one, and copies of
//! the whole object are still recognized; a copy in another order is not. Nothing here fails.

use hashbrown::HashTable;

/// So many different contents are counted: seven eighths of 65,536 buckets, where the table would grow.
pub(super) const MAX_CONTENTS: usize = 57_344;

/// Tells equal records without an id apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occurrence {
    /// The n-th record with this content in its object, from 0.
    Nth(u32),
    /// The record with this number in its object; used where counting would take too much memory.
    AtRecord(u32),
}

impl Occurrence {
    /// Fixed-width bytes, different for different occurrences.
    pub(super) fn to_bytes(self) -> [u8; 5] {
        let (tag, number) = match self {
            Self::Nth(number) => (0, number),
            Self::AtRecord(number) => (1, number),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [tag, a, b, c, d]
    }
}

/// Counts equal contents within one object.
#[derive(Debug, Default)]
pub struct OccurrenceCounter {
    // Half of a content's hash is enough: a collision of two contents within one object (2^-64 per pair)
    // would only make two numbers larger.
    counts: HashTable<(u64, u32)>,
}

impl OccurrenceCounter {
    /// A counter for the first object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what was counted: the next object begins.
    pub fn next_object(&mut self) {
        self.counts.clear();
    }

    /// The occurrence of the record with number `record` in its object, whose content hash is `content`.
    pub fn next(&mut self, content: u128, record: u32) -> Occurrence {
        let print = (content >> 64) as u64;
        if let Some((_, count)) = self.counts.find_mut(print, |(other, _)| *other == print) {
            *count = count.saturating_add(1);
            return Occurrence::Nth(*count);
        }
        if self.counts.len() >= MAX_CONTENTS {
            return Occurrence::AtRecord(record);
        }
        self.counts.insert_unique(print, (print, 0), |(other, _)| *other);
        Occurrence::Nth(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_equal_records_take_one_place() {
        let mut counter = OccurrenceCounter::new();
        for n in 0..1_000_000 {
            assert_eq!(counter.next(42 << 64, n), Occurrence::Nth(n));
        }
        assert_eq!(counter.counts.len(), 1);
        counter.next_object();
        assert_eq!(counter.next(42 << 64, 0), Occurrence::Nth(0));
    }

    #[test]
    fn beyond_the_cap_equal_records_stay_apart() {
        let mut counter = OccurrenceCounter::new();
        let content = |n: u32| u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let cap = u32::try_from(MAX_CONTENTS).unwrap();
        for n in 0..cap {
            assert_eq!(counter.next(content(n), n), Occurrence::Nth(0));
        }
        assert_eq!(counter.next(content(cap), cap), Occurrence::AtRecord(cap));
        assert_eq!(counter.next(content(cap), cap + 1), Occurrence::AtRecord(cap + 1));
        assert_eq!(counter.next(content(0), cap + 2), Occurrence::Nth(1));
        assert!(counter.counts.allocation_size() <= 1_200_000);
    }
}
