//! The top-level fields that are looked for, and what was found of them.
//!
//! In: the place of a key, and of its value. Out: [`Fields`]. Keys are told by their first eight bytes, closing
//! quote included, in a table without collisions, and then compared whole: one look for the many keys that
//! are none of them.

use super::chunk::{Fields, Span};
use super::time;

/// The fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Id,
    Time,
    Name,
    Source,
    Region,
    Account,
    TimeWindow,
}

/// Their keys. Two keys of one field in one record make it irregular.
const KEYS: [(&[u8], Field); 9] = [
    (b"eventID", Field::Id),
    (b"eventId", Field::Id),
    (b"eventTime", Field::Time),
    (b"eventName", Field::Name),
    (b"eventSource", Field::Source),
    (b"awsRegion", Field::Region),
    (b"recipientAccountId", Field::Account),
    (b"accountId", Field::Account),
    (b"timeWindow", Field::TimeWindow),
];

impl Field {
    /// The field that the key at `start..end` names; at `end` stands its closing quote.
    #[inline(always)]
    pub(super) fn at(bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        let Some(first) = bytes.get(start..).and_then(<[u8]>::first_chunk) else {
            // So few bytes before the end of all: the record is not whole, or its last key is short.
            return bytes.get(start..end).and_then(Self::named);
        };
        let first = u64::from_le_bytes(*first);
        let &(expected, key, field) = TABLE.get(slot(first))?;
        (first == expected && bytes.get(start..end) == Some(key)).then_some(field)
    }

    /// The field of a key.
    pub(super) fn named(key: &[u8]) -> Option<Self> {
        KEYS.iter().find(|(name, _)| *name == key).map(|(_, field)| *field)
    }

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

type Entry = (u64, &'static [u8], Field);

/// Each key at the slot of its first eight bytes; elsewhere an entry that no bytes of JSON are equal to.
static TABLE: [Entry; 16] = table();

/// Spreads the keys without a collision, which [`table`] checks when it is compiled.
const MULTIPLIER: u64 = find_multiplier();

#[inline(always)]
const fn slot(first: u64) -> usize {
    (first.wrapping_mul(MULTIPLIER) >> 60) as usize
}

#[expect(clippy::indexing_slicing, reason = "runs when compiled; a wrong index would not compile")]
const fn table() -> [Entry; 16] {
    let mut table: [Entry; 16] = [(0, b"", Field::Id); 16];
    let mut i = 0;
    while i < KEYS.len() {
        let (key, field) = KEYS[i];
        table[slot(first_eight(key))] = (first_eight(key), key, field);
        i += 1;
    }
    table
}

/// The first eight bytes from a key's start, of a key of seven bytes with its closing quote.
#[expect(clippy::indexing_slicing, reason = "runs when compiled; a wrong index would not compile")]
const fn first_eight(key: &[u8]) -> u64 {
    let mut first = [b'"'; 8];
    let mut i = 0;
    while i < 8 && i < key.len() {
        first[i] = key[i];
        i += 1;
    }
    u64::from_le_bytes(first)
}

#[expect(clippy::indexing_slicing, reason = "runs when compiled; a wrong index would not compile")]
const fn find_multiplier() -> u64 {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        let mut taken = 0u32;
        let mut i = 0;
        while i < KEYS.len() {
            taken |= 1 << (first_eight(KEYS[i].0).wrapping_mul(multiplier) >> 60);
            i += 1;
        }
        if taken.count_ones() as usize == KEYS.len() {
            return multiplier;
        }
        multiplier = multiplier.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(2);
    }
}

/// Where the values of the fields stand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found([(u32, u32); 8]);

impl Found {
    /// Notes a string value.
    #[inline(always)]
    pub(super) fn note(&mut self, field: Field, start: usize, end: usize) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            // Records are far smaller than 4 GiB.
            *slot = (start as u32, end as u32);
        }
    }

    pub(super) fn into_fields(self, record: &[u8]) -> Fields {
        let range = |field: Field| {
            let (start, end) = self.0.get(field as usize).copied().unwrap_or_default();
            start as usize..end as usize
        };
        let span = |field| Span::new(range(field));
        Fields {
            id: span(Field::Id),
            time: record.get(range(Field::Time)).and_then(time::parse),
            name: span(Field::Name),
            source: span(Field::Source),
            region: span(Field::Region),
            account: span(Field::Account),
            irregular: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_their_neighbours() {
        for (key, field) in KEYS {
            let text = [b"\"", key, b"\":1,\"more\":2"].concat();
            assert_eq!(Field::at(&text, 1, 1 + key.len()), Some(field));
            for wrong in [&key[1..], &key[..key.len() - 1], &[key, b"x"].concat(), &[key, key].concat(), b""]
            {
                for behind in [&b"\""[..], b"\":1,\"more\":2"] {
                    let text = [b"\"", wrong, behind].concat();
                    assert_eq!(Field::at(&text, 1, 1 + wrong.len()), None, "{}", text.escape_ascii());
                }
            }
        }
    }
}
