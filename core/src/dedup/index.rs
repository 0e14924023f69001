//! The file that carries a batch's ids in the archive's `index/`.
//!
//! In: packed rows. Out: bytes, and the rows read back from them. A lost ledger is rebuilt from these files.
//!
//! ```text
//! header   "THIX", version (1), lane (2), epoch (4), batch (4)
//! row      1, segment key (17), count (4), count entries of 40 bytes
//! footer   0, entries in all (8), SHA-256 of everything before this hash (32)
//! ```
//!
//! All numbers are big-endian. Rows ascend by segment and first entry, and so do the entries of a row.
//! The decoder buffers one row at most (160 KiB), whatever the counts say, and refuses more than
//! [`MAX_BATCH_IDS`] entries, rows out of order, a wrong hash, missing and surplus bytes. Rows are handed
//! over before the hash was seen: whoever keeps them must be able to take them back.

use sha2::{Digest, Sha256};

use crate::model::{BatchId, LaneId};

use super::entry::{ENTRY_LEN, MAX_ROW, is_sorted_row};
use super::error::BoxError;
use super::segment::{SEGMENT_KEY_LEN, SegmentKey};
use super::stores::TakeRow;
use super::tentative::MAX_BATCH_IDS;

const MAGIC: [u8; 4] = *b"THIX";
const VERSION: u8 = 1;
const HEADER: usize = 15;
const ROW_HEAD: usize = 1 + SEGMENT_KEY_LEN + 4;
const FOOTER: usize = 1 + 8 + 32;
const IS_ROW: u8 = 1;
const IS_FOOTER: u8 = 0;

/// Why bytes are not an index file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// It does not start like one.
    #[error("not an index file of version {VERSION}")]
    Header,
    /// A row's head, count or order is wrong; the number counts entries before it.
    #[error("the row after entry {0} is damaged")]
    Row(u64),
    /// More entries than a batch can have.
    #[error("more than {MAX_BATCH_IDS} entries")]
    TooMany,
    /// The footer's count or hash is not that of the bytes before it.
    #[error("count or hash in the footer do not match")]
    Footer,
    /// The bytes end too early.
    #[error("the file is cut off")]
    Cut,
    /// Bytes follow the footer.
    #[error("bytes follow the footer")]
    Surplus,
    /// The receiver of the rows failed.
    #[error("take a row of the index")]
    Output(#[source] BoxError),
}

/// Writes an index file.
#[derive(Debug)]
pub struct IndexEncoder {
    hash: Sha256,
    entries: u64,
}

impl IndexEncoder {
    /// Starts the file of a batch, appending its first bytes to `out`.
    pub fn new(batch: BatchId, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&batch.lane.0.to_be_bytes());
        out.extend_from_slice(&batch.epoch.to_be_bytes());
        out.extend_from_slice(&batch.batch.to_be_bytes());
        let mut encoder = Self { hash: Sha256::new(), entries: 0 };
        encoder.absorb(out, start);
        encoder
    }

    /// Appends one packed row, as [`super::Window::rows`] gives them.
    pub fn row(&mut self, segment: SegmentKey, packed: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let count = u32::try_from(packed.len() / ENTRY_LEN).unwrap_or(u32::MAX);
        out.push(IS_ROW);
        out.extend_from_slice(&segment.to_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(packed);
        self.entries += u64::from(count);
        self.absorb(out, start);
    }

    /// Ends the file, appending its last bytes.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(IS_FOOTER);
        out.extend_from_slice(&self.entries.to_be_bytes());
        self.absorb(out, start);
        out.extend_from_slice(&self.hash.finalize());
    }

    fn absorb(&mut self, out: &[u8], start: usize) {
        self.hash.update(out.get(start..).unwrap_or_default());
    }
}

/// What a whole, sound file held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSummary {
    /// The batch that it belongs to.
    pub batch: BatchId,
    /// How many entries it held.
    pub entries: u64,
}

/// Reads an index file piece by piece.
#[derive(Debug, Default)]
pub struct IndexDecoder {
    buffer: Vec<u8>,
    hash: Sha256,
    batch: Option<BatchId>,
    entries: u64,
    /// Segment and first id and content of the row before.
    last: Option<[u8; SEGMENT_KEY_LEN + 32]>,
    is_over: bool,
}

impl IndexDecoder {
    /// A decoder at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch of the file, once its header was read.
    pub fn batch(&self) -> Option<BatchId> {
        self.batch
    }

    /// Reads the next bytes, of any length, and calls `f` with each row that is complete.
    pub fn feed(&mut self, mut bytes: &[u8], f: &mut TakeRow<'_>) -> Result<(), IndexError> {
        while !bytes.is_empty() {
            // Never more than what the next step needs, so that the buffer stays at one row.
            let missing = self.wanted()?.saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == self.wanted()? {
                self.step(f)?;
            }
        }
        Ok(())
    }

    /// Ends the file: only now is it known to be whole and sound.
    pub fn finish(self) -> Result<IndexSummary, IndexError> {
        match self.batch {
            Some(batch) if self.is_over => Ok(IndexSummary { batch, entries: self.entries }),
            _ => Err(IndexError::Cut),
        }
    }

    /// How many bytes the buffer must hold for the next step. Grows when the head of a row is in it.
    fn wanted(&self) -> Result<usize, IndexError> {
        if self.is_over {
            return Err(IndexError::Surplus);
        }
        if self.batch.is_none() {
            return Ok(HEADER);
        }
        match self.buffer.first() {
            None => Ok(1),
            Some(&IS_FOOTER) => Ok(FOOTER),
            Some(&IS_ROW) => {
                match self.buffer.first_chunk::<ROW_HEAD>().and_then(|head| head.last_chunk::<4>()) {
                    None => Ok(ROW_HEAD),
                    Some(count) => Ok(ROW_HEAD + self.checked(u32::from_be_bytes(*count))? * ENTRY_LEN),
                }
            }
            Some(_) => Err(IndexError::Row(self.entries)),
        }
    }

    /// A row's count, if it is one that a row may have.
    fn checked(&self, count: u32) -> Result<usize, IndexError> {
        if self.entries + u64::from(count) > u64::from(MAX_BATCH_IDS) {
            return Err(IndexError::TooMany);
        }
        let count = count as usize;
        if (1..=MAX_ROW).contains(&count) { Ok(count) } else { Err(IndexError::Row(self.entries)) }
    }

    /// Uses up a full buffer: header, footer, or row; or learns that more is needed.
    fn step(&mut self, f: &mut TakeRow<'_>) -> Result<(), IndexError> {
        if self.batch.is_none() {
            self.batch = Some(header(&self.buffer).ok_or(IndexError::Header)?);
        } else if self.buffer.first() == Some(&IS_FOOTER) {
            return self.footer();
        } else {
            self.row(f)?;
        }
        self.hash.update(&self.buffer);
        self.buffer.clear();
        Ok(())
    }

    fn row(&mut self, f: &mut TakeRow<'_>) -> Result<(), IndexError> {
        let damaged = IndexError::Row(self.entries);
        let (head, packed) = self.buffer.split_at_checked(ROW_HEAD).unwrap_or_default();
        let key = head.get(1..).and_then(|head| head.first_chunk::<SEGMENT_KEY_LEN>());
        let (Some(key), Some(first)) = (key, packed.first_chunk::<32>()) else { return Err(damaged) };
        let mut start = [0; SEGMENT_KEY_LEN + 32];
        start.iter_mut().zip(key.iter().chain(first)).for_each(|(to, from)| *to = *from);
        let Some(segment) = SegmentKey::from_bytes(key) else { return Err(damaged) };
        if !is_sorted_row(packed) || self.last.is_some_and(|last| last >= start) {
            return Err(damaged);
        }
        f(segment, packed).map_err(IndexError::Output)?;
        self.last = Some(start);
        self.entries += (packed.len() / ENTRY_LEN) as u64;
        Ok(())
    }

    fn footer(&mut self) -> Result<(), IndexError> {
        let (covered, hash) = self.buffer.split_at_checked(FOOTER - 32).ok_or(IndexError::Footer)?;
        let count = covered.last_chunk::<8>().map(|count| u64::from_be_bytes(*count));
        self.hash.update(covered);
        let found = std::mem::take(&mut self.hash).finalize();
        if count != Some(self.entries) || found.as_slice() != hash {
            return Err(IndexError::Footer);
        }
        self.buffer.clear();
        self.is_over = true;
        Ok(())
    }
}

fn header(bytes: &[u8]) -> Option<BatchId> {
    let rest = bytes.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?;
    let (lane, rest) = rest.split_first_chunk::<2>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let batch = rest.first_chunk::<4>()?;
    Some(BatchId {
        lane: LaneId(u16::from_be_bytes(*lane)),
        epoch: u32::from_be_bytes(*epoch),
        batch: u32::from_be_bytes(*batch),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::Entry;
    use super::super::identity::Identity;
    use super::super::segment::Slot;
    use super::*;

    type Rows = Vec<(SegmentKey, Vec<u8>)>;

    const BATCH: BatchId = BatchId { lane: LaneId(3), epoch: 7, batch: 9 };

    fn segment(n: i64) -> SegmentKey {
        SegmentKey { account: "111122223333".parse().unwrap(), slot: Slot::Event(n) }
    }

    /// Segment `n` with entries whose ids are `ids`.
    fn file(rows: &[(i64, Vec<u128>)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = IndexEncoder::new(BATCH, &mut out);
        for (n, ids) in rows {
            let packed: Vec<u8> = ids.iter().flat_map(|id| packed(*id)).collect();
            encoder.row(segment(*n), &packed, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    fn packed(id: u128) -> [u8; ENTRY_LEN] {
        Entry { identity: Identity { id, content: 5 }, object: 1, record: 2 }.to_bytes()
    }

    fn decode(pieces: &mut dyn Iterator<Item = &[u8]>) -> Result<(Rows, IndexSummary), IndexError> {
        let (mut decoder, mut rows) = (IndexDecoder::new(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut |segment, packed| {
                rows.push((segment, packed.to_vec()));
                Ok(())
            })?;
            assert!(decoder.buffer.capacity() <= 2 * (ROW_HEAD + MAX_ROW * ENTRY_LEN));
        }
        Ok((rows, decoder.finish()?))
    }

    proptest! {
        #[test]
        fn rows_survive_in_pieces_of_any_size(
            rows in prop::collection::btree_map(any::<i64>(), prop::collection::btree_set(any::<u128>(), 1..20), 0..10),
            piece in 1..100_usize
        ) {
            let rows: Vec<(i64, Vec<u128>)> = rows.into_iter().map(|(n, ids)| (n, ids.into_iter().collect())).collect();
            let bytes = file(&rows);
            let (read, summary) = decode(&mut bytes.chunks(piece)).unwrap();
            let expected: Vec<(SegmentKey, Vec<u8>)> =
                rows.iter().map(|(n, ids)| (segment(*n), ids.iter().flat_map(|id| packed(*id)).collect())).collect();
            let entries = rows.iter().map(|(_, ids)| ids.len() as u64).sum();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(summary, IndexSummary { batch: BATCH, entries });
        }

        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>()) {
            let mut bytes = file(&[(1, vec![1, 2, 3]), (1, vec![4]), (2, vec![1])]);
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            prop_assert!(decode(&mut bytes.chunks(7)).is_err());
        }

        #[test]
        fn any_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut prefixed = file(&[]);
            prefixed.truncate(HEADER);
            prefixed.extend(&bytes);
            prop_assert!(decode(&mut std::iter::once(bytes.as_slice())).is_err());
            prop_assert!(decode(&mut std::iter::once(prefixed.as_slice())).is_err());
        }
    }

    #[test]
    fn what_is_out_of_order_or_too_much_is_refused() {
        let fails = |bytes: Vec<u8>| decode(&mut std::iter::once(bytes.as_slice())).unwrap_err();
        assert!(matches!(fails(file(&[(2, vec![1]), (1, vec![1])])), IndexError::Row(1)));
        assert!(matches!(fails(file(&[(1, vec![2]), (1, vec![1])])), IndexError::Row(1)));
        assert!(matches!(fails(file(&[(1, vec![2, 1])])), IndexError::Row(0)));
        assert!(matches!(fails(file(&[(1, vec![])])), IndexError::Row(0)));
        assert!(matches!(fails(file(&[(1, (0..4_097).collect())])), IndexError::Row(0)));
        let surplus = [file(&[]), vec![0]].concat();
        assert!(matches!(fails(surplus), IndexError::Surplus));
        assert!(matches!(fails(Vec::new()), IndexError::Cut));
        assert!(matches!(fails(b"THIX\x02".repeat(4)), IndexError::Header));
    }
}
