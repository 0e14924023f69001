//! The ids of committed batches, by segment and shard.
//!
//! A segment's ids lie in `2^bits` shards by the top bits of the id; when a segment has outgrown its shards it
//! is cut into sixteen times as many, in the transaction that made it grow. A row holds the ids that one batch
//! brought to one shard, sorted, and its commit time; a lookup reads the few rows of one shard.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use trailhaul_core::model::{BatchId, LaneId};

use super::tables::{IDS, SEGMENTS, after_prefix, take};
use super::{Ledger, LedgerError};

/// Bytes of one packed id: 16 id, 16 content, 4 object, 4 record.
const ENTRY: usize = 40;

/// A shard is cut when it holds more than this many ids: 640 KiB to read for a cold lookup.
const SHARD_IDS: u64 = 16_384;

/// A cut makes this many shards of one, as a power of two.
const CUT_BITS: u8 = 4;

/// Shards are at most `2^12` per segment: sixty-seven million ids of one account in ten minutes.
const MAX_BITS: u8 = 12;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SegmentState {
    bits: u8,
    ids: u64,
    last_commit: i64,
}

impl SegmentState {
    fn decode(mut row: &[u8]) -> Result<Self, LedgerError> {
        const TABLE: &str = "segments";
        let row = &mut row;
        let [bits] = take::<1>(row, TABLE)?;
        let ids = u64::from_be_bytes(take(row, TABLE)?);
        let last_commit = i64::from_be_bytes(take(row, TABLE)?);
        if bits > MAX_BITS {
            return Err(LedgerError::Row { table: TABLE });
        }
        Ok(Self { bits, ids, last_commit })
    }

    fn encode(self) -> [u8; 17] {
        let mut row = [0; 17];
        let (bits, rest) = row.split_at_mut(1);
        let (ids, commit) = rest.split_at_mut(8);
        bits.copy_from_slice(&[self.bits]);
        ids.copy_from_slice(&self.ids.to_be_bytes());
        commit.copy_from_slice(&self.last_commit.to_be_bytes());
        row
    }
}

/// A lane's view of its committed ids at one moment.
pub struct LaneIds {
    read: ReadTransaction,
    lane: LaneId,
}

impl LaneIds {
    /// Into how many shards (as a power of two) a segment is cut.
    pub fn shard_bits(&self, segment: &[u8]) -> Result<u8, LedgerError> {
        let table = self.read.open_table(SEGMENTS)?;
        match table.get(segment_key(self.lane, segment).as_slice())? {
            None => Ok(0),
            Some(row) => Ok(SegmentState::decode(row.value())?.bits),
        }
    }

    /// Visits the rows of one shard: the batch, its commit time (Unix seconds) and the packed ids.
    pub fn rows(
        &self,
        segment: &[u8],
        shard: u16,
        visit: &mut dyn FnMut(BatchId, i64, &[u8]),
    ) -> Result<(), LedgerError> {
        let table = self.read.open_table(IDS)?;
        let low = shard_key(self.lane, segment, shard);
        let high = after_prefix(&low).unwrap_or_default();
        for row in table.range(low.as_slice()..high.as_slice())? {
            let (key, value) = row?;
            let (batch, commit, ids) = decode_row(self.lane, key.value(), value.value())?;
            visit(batch, commit, ids);
        }
        Ok(())
    }
}

impl Ledger {
    /// The lane's committed ids as of now.
    pub fn ids(&self, lane: LaneId) -> Result<LaneIds, LedgerError> {
        Ok(LaneIds { read: self.db.begin_read()?, lane })
    }

    /// Drops segments whose last commit lies before this moment (Unix seconds); returns how many.
    pub fn expire_ids(&self, before: i64) -> Result<u64, LedgerError> {
        let old: Vec<Vec<u8>> = {
            let read = self.db.begin_read()?;
            let table = read.open_table(SEGMENTS)?;
            let mut old = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                if SegmentState::decode(value.value())?.last_commit < before {
                    old.push(key.value().to_vec());
                }
                // Bounded work per call; the next call goes on.
                if old.len() >= 10_000 {
                    break;
                }
            }
            old
        };
        if old.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            let mut segments = transaction.open_table(SEGMENTS)?;
            let mut ids = transaction.open_table(IDS)?;
            for key in &old {
                segments.remove(key.as_slice())?;
                let high = after_prefix(key).unwrap_or_default();
                ids.retain_in(key.as_slice()..high.as_slice(), |_, _| false)?;
            }
            Ok(old.len() as u64)
        })
    }
}

/// Adds a batch's ids within a transaction.
pub(super) struct Writer<'t> {
    segments: redb::Table<'t, &'static [u8], &'static [u8]>,
    ids: redb::Table<'t, &'static [u8], &'static [u8]>,
    lane: LaneId,
    batch: BatchId,
    commit: i64,
    row: u16,
    current: Option<(Vec<u8>, SegmentState)>,
    recut: BTreeSet<Vec<u8>>,
}

impl<'t> Writer<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        lane: LaneId,
        batch: BatchId,
        commit: i64,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            segments: transaction.open_table(SEGMENTS)?,
            ids: transaction.open_table(IDS)?,
            lane,
            batch,
            commit,
            row: 0,
            current: None,
            recut: BTreeSet::new(),
        })
    }

    /// Adds a row of a segment: whole packed ids, sorted. Rows of one segment come together.
    pub(super) fn put(&mut self, segment: &[u8], row: &[u8]) -> Result<(), LedgerError> {
        if !row.len().is_multiple_of(ENTRY) {
            return Err(LedgerError::Row { table: "ids" });
        }
        if self.current.as_ref().is_none_or(|(open, _)| open != segment) {
            self.close_segment()?;
            let state = match self.segments.get(segment_key(self.lane, segment).as_slice())? {
                None => SegmentState::default(),
                Some(row) => SegmentState::decode(row.value())?,
            };
            self.current = Some((segment.to_vec(), state));
            self.row = 0;
        }
        let Some((_, mut state)) = self.current.take() else { return Ok(()) };
        state.ids += (row.len() / ENTRY) as u64;
        state.last_commit = state.last_commit.max(self.commit);
        while state.bits < MAX_BITS && state.ids > SHARD_IDS << state.bits {
            self.cut(segment, state.bits)?;
            state.bits += CUT_BITS;
            self.recut.insert(segment.to_vec());
        }
        let commit = self.commit;
        for (shard, ids) in split(row, state.bits) {
            let key = row_key(&shard_key(self.lane, segment, shard), self.batch, self.row);
            self.ids.insert(key.as_slice(), encode_row(commit, ids).as_slice())?;
        }
        self.row = self.row.wrapping_add(1);
        self.current = Some((segment.to_vec(), state));
        Ok(())
    }

    /// Returns the segments that were cut.
    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.close_segment()?;
        Ok(self.recut.into_iter().collect())
    }

    fn close_segment(&mut self) -> Result<(), LedgerError> {
        if let Some((segment, state)) = self.current.take() {
            self.segments.insert(segment_key(self.lane, &segment).as_slice(), state.encode().as_slice())?;
        }
        Ok(())
    }

    /// Cuts every shard of a segment. Shard by shard and row by row, so that memory stays at one row.
    fn cut(&mut self, segment: &[u8], bits: u8) -> Result<(), LedgerError> {
        // From the last shard to the first: the new shards of shard n are n*16 and up, so that they never
        // fall onto an old shard that has yet to be cut.
        for shard in (0..1u16 << bits).rev() {
            let low = shard_key(self.lane, segment, shard);
            let high = after_prefix(&low).unwrap_or_default();
            let mut keys = Vec::new();
            for row in self.ids.range(low.as_slice()..high.as_slice())? {
                keys.push(row?.0.value().to_vec());
            }
            for key in keys {
                let Some(old) = self.ids.remove(key.as_slice())?.map(|row| row.value().to_vec()) else {
                    continue;
                };
                let (batch, commit, ids) = decode_row(self.lane, &key, &old)?;
                let number = key.last_chunk::<2>().map_or(0, |row| u16::from_be_bytes(*row));
                for (shard, ids) in split(ids, bits + CUT_BITS) {
                    let key = row_key(&shard_key(self.lane, segment, shard), batch, number);
                    self.ids.insert(key.as_slice(), encode_row(commit, ids).as_slice())?;
                }
            }
        }
        Ok(())
    }
}

/// Cuts a sorted row at shard borders.
fn split(row: &[u8], bits: u8) -> impl Iterator<Item = (u16, &[u8])> {
    let shard_of = move |entry: &[u8]| -> u16 {
        let top = entry.first_chunk::<2>().map_or(0, |top| u16::from_be_bytes(*top));
        if bits == 0 { 0 } else { top >> (16 - bits) }
    };
    let mut rest = row;
    std::iter::from_fn(move || {
        let shard = shard_of(rest.get(..ENTRY)?);
        let same = rest.chunks_exact(ENTRY).take_while(|entry| shard_of(entry) == shard).count();
        let (ids, more) = rest.split_at_checked(same * ENTRY)?;
        rest = more;
        Some((shard, ids))
    })
}

fn segment_key(lane: LaneId, segment: &[u8]) -> Vec<u8> {
    let mut key = lane.0.to_be_bytes().to_vec();
    key.extend_from_slice(segment);
    key
}

fn shard_key(lane: LaneId, segment: &[u8], shard: u16) -> Vec<u8> {
    let mut key = segment_key(lane, segment);
    key.extend_from_slice(&shard.to_be_bytes());
    key
}

fn row_key(shard_key: &[u8], batch: BatchId, row: u16) -> Vec<u8> {
    let mut key = shard_key.to_vec();
    key.extend_from_slice(&batch.epoch.to_be_bytes());
    key.extend_from_slice(&batch.batch.to_be_bytes());
    key.extend_from_slice(&row.to_be_bytes());
    key
}

fn encode_row(commit: i64, ids: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + ids.len());
    row.extend_from_slice(&commit.to_be_bytes());
    row.extend_from_slice(ids);
    row
}

fn decode_row<'a>(
    lane: LaneId,
    key: &[u8],
    mut row: &'a [u8],
) -> Result<(BatchId, i64, &'a [u8]), LedgerError> {
    const TABLE: &str = "ids";
    let commit = i64::from_be_bytes(take(&mut row, TABLE)?);
    let mut tail: &[u8] = key.last_chunk::<10>().ok_or(LedgerError::Row { table: TABLE })?;
    let epoch = u32::from_be_bytes(take(&mut tail, TABLE)?);
    let batch = u32::from_be_bytes(take(&mut tail, TABLE)?);
    Ok((BatchId { lane, epoch, batch }, commit, row))
}
