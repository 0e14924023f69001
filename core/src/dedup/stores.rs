//! The two stores that duplicate decisions lean on.
//!
//! [`CommittedIds`] is the ledger: what earlier batches committed, as packed rows. [`SpillStore`] is scratch
//! space that lives as long as a batch: a file in the agent, memory in tests. What either fails with reaches
//! the caller as the source of a [`super::DedupError`].

use super::error::BoxError;
use super::segment::SegmentKey;
use crate::model::BatchId;

/// The most bits by which a segment is split into shards.
pub const MAX_SHARD_BITS: u8 = 16;

/// Takes one packed row of a segment: at most [`super::MAX_ROW`] entries of 40 bytes, sorted.
pub type TakeRow<'a> = dyn FnMut(SegmentKey, &[u8]) -> Result<(), BoxError> + 'a;

/// The shard of an id in a segment that is split by `bits` (at most 16): its top bits.
pub fn shard_of(id: u128, bits: u8) -> u16 {
    let bits = bits.min(MAX_SHARD_BITS);
    let top = (id >> (128 - u32::from(MAX_SHARD_BITS))) as u16;
    top.checked_shr(u32::from(MAX_SHARD_BITS - bits)).unwrap_or(0)
}

/// What was committed. Answers must reflect every commit and every new cut of a segment up to now. When rows
/// are dropped that still count, the window must be told ([`super::Window::forget`]); rows older than
/// the window, and whole segments of them, may go at any time.
pub trait CommittedIds {
    /// By how many top bits of the id the rows of this segment are split; 0 for a segment that is unknown.
    fn shard_bits(&mut self, segment: SegmentKey) -> Result<u8, BoxError>;

    /// Calls `f` with batch, commit time (seconds since the Unix epoch) and packed entries of every row of
    /// one shard, in any order. Rows that are older than the window may be left out or not.
    fn rows(
        &mut self,
        segment: SegmentKey,
        shard: u16,
        f: &mut dyn FnMut(BatchId, i64, &[u8]),
    ) -> Result<(), BoxError>;
}

/// Append-only scratch space.
pub trait SpillStore: Send {
    /// Appends bytes and returns the offset of the first. Appends without a `clear` between them are
    /// contiguous.
    fn append(&mut self, bytes: &[u8]) -> Result<u64, BoxError>;

    /// Fills `into` with the bytes at `offset`; fewer bytes than that are an error.
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), BoxError>;

    /// Drops everything; the next append starts at 0.
    fn clear(&mut self) -> Result<(), BoxError>;
}

/// Scratch space in memory: for tests, and for small jobs.
#[derive(Debug, Default)]
pub struct MemorySpill(Vec<u8>);

impl SpillStore for MemorySpill {
    fn append(&mut self, bytes: &[u8]) -> Result<u64, BoxError> {
        let offset = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(offset)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), BoxError> {
        let from = usize::try_from(offset)?;
        let found = from.checked_add(into.len()).and_then(|to| self.0.get(from..to));
        into.copy_from_slice(found.ok_or("read past the end of the scratch space")?);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), BoxError> {
        self.0.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_top_bits() {
        let id = 0xabcd_u128 << 112;
        assert_eq!([0, 1, 4, 8, 16, 99].map(|bits| shard_of(id, bits)), [0, 1, 0xa, 0xab, 0xabcd, 0xabcd]);
    }

    #[test]
    fn memory_reads_back_what_it_was_given() {
        let mut spill = MemorySpill::default();
        assert_eq!((spill.append(b"ab").unwrap(), spill.append(b"cd").unwrap()), (0, 2));
        let mut two = [0; 2];
        spill.read_at(1, &mut two).unwrap();
        assert_eq!(&two, b"bc");
        assert!(spill.read_at(3, &mut two).is_err());
        spill.clear().unwrap();
        assert!(spill.read_at(0, &mut two).is_err());
    }
}
