//! One id of the index as bytes: 40 of them, in an order that sorts by id, then by content.
//!
//! In: ids and where their records lie. Out: packed entries, and entries read back from a row. A row holds at
//! most [`MAX_ROW`] entries of one segment and one batch, sorted by their bytes. Rows that are not whole or
//! not sorted are told apart by [`is_sorted_row`]; nothing here fails.

use super::identity::Identity;

/// Bytes of one packed entry.
pub const ENTRY_LEN: usize = 40;
/// The most entries of one row: 160 KiB, a size that a ledger can hold as one value.
pub const MAX_ROW: usize = 4_096;

/// An id, the content that it came with, and where the record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Id and content.
    pub identity: Identity,
    /// The object, by its place in the batch's list.
    pub object: u32,
    /// The record, by its place in the object, from 0.
    pub record: u32,
}

impl Entry {
    /// Big-endian: id (16), content (16), object (4), record (4).
    pub fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let (id, rest) = bytes.split_at_mut(16);
        let (content, rest) = rest.split_at_mut(16);
        let (object, record) = rest.split_at_mut(4);
        id.copy_from_slice(&self.identity.id.to_be_bytes());
        content.copy_from_slice(&self.identity.content.to_be_bytes());
        object.copy_from_slice(&self.object.to_be_bytes());
        record.copy_from_slice(&self.record.to_be_bytes());
        bytes
    }

    /// The entry of these bytes; every 40 bytes are one.
    pub fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Self {
        let (id, rest) = split::<16>(bytes);
        let (content, rest) = split::<16>(rest);
        let (object, rest) = split::<4>(rest);
        let (record, _) = split::<4>(rest);
        Self {
            identity: Identity { id: u128::from_be_bytes(id), content: u128::from_be_bytes(content) },
            object: u32::from_be_bytes(object),
            record: u32::from_be_bytes(record),
        }
    }
}

fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    bytes.split_first_chunk::<N>().map_or(([0; N], &[]), |(head, rest)| (*head, rest))
}

/// The entries of a packed row, in order.
pub fn entries(packed: &[u8]) -> impl ExactSizeIterator<Item = Entry> {
    packed.as_chunks::<ENTRY_LEN>().0.iter().map(Entry::from_bytes)
}

/// Whether these bytes are a row: one to [`MAX_ROW`] whole entries whose (id, content) strictly ascend.
pub(super) fn is_sorted_row(packed: &[u8]) -> bool {
    let (chunks, rest) = packed.as_chunks::<ENTRY_LEN>();
    let key = |entry: &[u8; ENTRY_LEN]| entry.first_chunk::<32>().copied();
    rest.is_empty()
        && (1..=MAX_ROW).contains(&chunks.len())
        && chunks.iter().zip(chunks.iter().skip(1)).all(|(one, two)| key(one) < key(two))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_sort_like_entries(a in any::<(u128, u128, u32, u32)>(), b in any::<(u128, u128, u32, u32)>()) {
            let entry = |(id, content, object, record)| Entry { identity: Identity { id, content }, object, record };
            let (a, b) = (entry(a), entry(b));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(Entry::from_bytes(&a.to_bytes()), a);
        }
    }

    #[test]
    fn a_row_is_whole_and_sorted() {
        let entry = |id| Entry { identity: Identity { id, content: 0 }, object: 0, record: 0 }.to_bytes();
        assert!(is_sorted_row(&[entry(1), entry(2)].concat()));
        assert!(!is_sorted_row(&[entry(2), entry(1)].concat()));
        assert!(!is_sorted_row(&[entry(1), entry(1)].concat()));
        assert!(!is_sorted_row(&entry(1)[..39]));
        assert!(!is_sorted_row(&[]));
        assert!(!is_sorted_row(&(0..=MAX_ROW as u128).flat_map(entry).collect::<Vec<u8>>()));
    }
}
