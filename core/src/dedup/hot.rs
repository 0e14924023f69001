//! One unit of the index (a segment, or a shard of one) as a hash table in memory.
//!
//! In: packed rows with their batch and commit time. Out: what is known of an identity at a moment.
//!
//! The first content seen of an id is its *primary* entry, found by the id alone; any other content of the
//! same id is a *secondary* one, found by id and content together; and a primary remembers the latest
//! batch that brought a secondary. So a lookup takes one probe, or two for a conflict, even when somebody
//! plants a million contents under one id. Nothing here fails.

use hashbrown::HashTable;

use crate::model::BatchId;

use super::entry::Entry;
use super::identity::Identity;

/// What a unit knows of an identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The latest committed twin within the window.
    pub(super) twin: Option<Twin>,
    /// Whether the id was committed with other content within the window.
    pub(super) other_content: bool,
}

/// A committed record. The order (latest commit first decided by time, then by batch) makes the choice
/// between several twins independent of where they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Twin {
    pub(super) time: i64,
    pub(super) batch: BatchId,
    pub(super) object: u32,
    pub(super) record: u32,
}

impl Known {
    /// Puts together what two places know.
    pub(super) fn merge(&mut self, other: Known) {
        self.twin = self.twin.max(other.twin);
        self.other_content |= other.other_content;
    }
}

/// The ids of a unit.
#[derive(Debug, Default)]
pub(super) struct HotUnit {
    table: HashTable<HotEntry>,
    /// Batch and commit time, which entries name by index.
    batches: Vec<(i64, BatchId)>,
}

/// 48 bytes.
#[derive(Debug, Clone, Copy)]
struct HotEntry {
    id: [u64; 2],
    content: [u64; 2],
    object: u32,
    record: u32,
    batch: u32,
    /// Of a primary: the index of the latest batch that brought other content, or [`NONE`].
    /// Of a secondary: [`SECONDARY`].
    other: u32,
}

const NONE: u32 = u32::MAX;
const SECONDARY: u32 = u32::MAX - 1;

impl HotUnit {
    /// Adds a row that was committed by `batch` at `time`.
    pub(super) fn add_row(&mut self, time: i64, batch: BatchId, row: impl Iterator<Item = Entry>) {
        let batch = self.intern(time, batch);
        for entry in row {
            self.add(entry, batch);
        }
    }

    /// Adds entries of one batch one by one; see [`HotUnit::add`].
    pub(super) fn intern(&mut self, time: i64, batch: BatchId) -> u32 {
        if let Some(at) = self.batches.iter().rposition(|known| *known == (time, batch)) {
            return u32::try_from(at).unwrap_or(NONE);
        }
        self.batches.push((time, batch));
        u32::try_from(self.batches.len() - 1).unwrap_or(NONE)
    }

    /// Adds an entry of the interned `batch`. Of two commits of the same identity the later one counts.
    pub(super) fn add(&mut self, entry: Entry, batch: u32) {
        let identity = entry.identity;
        let new = HotEntry::new(entry, batch);
        let is_later = |one: u32, two: u32| time_of(&self.batches, one) > time_of(&self.batches, two);
        let Some(primary) = self.table.find_mut(id_hash(identity.id), |known| known.is_primary(identity.id))
        else {
            self.table.insert_unique(id_hash(identity.id), new, HotEntry::hash);
            return;
        };
        if primary.content == new.content {
            if is_later(batch, primary.batch) {
                *primary = HotEntry { other: primary.other, ..new };
            }
            return;
        }
        if primary.other == NONE || is_later(batch, primary.other) {
            primary.other = batch;
        }
        let new = HotEntry { other: SECONDARY, ..new };
        match self.table.find_mut(pair_hash(identity), |known| known.is_secondary(identity)) {
            Some(known) if is_later(batch, known.batch) => *known = new,
            Some(_) => {}
            None => {
                self.table.insert_unique(pair_hash(identity), new, HotEntry::hash);
            }
        }
    }

    /// What is known of an identity, counting only commits at `since` or later.
    pub(super) fn lookup(&self, identity: Identity, since: i64) -> Known {
        let Some(primary) = self.table.find(id_hash(identity.id), |known| known.is_primary(identity.id))
        else {
            return Known::default();
        };
        let is_live = |batch: u32| time_of(&self.batches, batch).is_some_and(|(time, _)| time >= since);
        if primary.content == halves(identity.content) {
            let twin = is_live(primary.batch).then(|| self.twin(primary)).flatten();
            return Known { twin, other_content: is_live(primary.other) };
        }
        let secondary = self.table.find(pair_hash(identity), |known| known.is_secondary(identity));
        let twin = secondary.filter(|known| is_live(known.batch)).and_then(|known| self.twin(known));
        // Where the twin itself is the only live secondary this says true although the primary may have
        // expired; a record with a twin is a duplicate, and its flag is not looked at.
        Known { twin, other_content: is_live(primary.batch) || is_live(primary.other) }
    }

    /// How many identities it holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory that it takes, with a share for being kept in maps.
    pub(super) fn bytes(&self) -> usize {
        const KEPT: usize = 256;
        KEPT + self.table.allocation_size() + self.batches.capacity() * size_of::<(i64, BatchId)>()
    }

    fn twin(&self, entry: &HotEntry) -> Option<Twin> {
        let (time, batch) = time_of(&self.batches, entry.batch)?;
        Some(Twin { time, batch, object: entry.object, record: entry.record })
    }
}

impl HotEntry {
    fn new(entry: Entry, batch: u32) -> Self {
        let Entry { identity, object, record } = entry;
        Self {
            id: halves(identity.id),
            content: halves(identity.content),
            object,
            record,
            batch,
            other: NONE,
        }
    }

    fn is_primary(&self, id: u128) -> bool {
        self.id == halves(id) && self.other != SECONDARY
    }

    fn is_secondary(&self, identity: Identity) -> bool {
        self.other == SECONDARY && self.id == halves(identity.id) && self.content == halves(identity.content)
    }

    fn hash(&self) -> u64 {
        let [low, _] = self.id;
        if self.other == SECONDARY { mix(low, self.content) } else { low }
    }
}

fn time_of(batches: &[(i64, BatchId)], index: u32) -> Option<(i64, BatchId)> {
    batches.get(usize::try_from(index).ok()?).copied()
}

fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

/// Ids are keyed hashes already; the top bits choose the shard, so the low ones are taken.
fn id_hash(id: u128) -> u64 {
    id as u64
}

/// The hash of an id and a content together, for everything beyond the first content of an id.
pub(super) fn pair_hash(identity: Identity) -> u64 {
    mix(identity.id as u64, halves(identity.content))
}

fn mix(id: u64, [low, high]: [u64; 2]) -> u64 {
    // Both are keyed hashes: adding keeps them as good. The odd factor keeps (a, b) apart from (b, a).
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(low).rotate_left(17).wrapping_add(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LaneId;

    fn batch(batch: u32) -> BatchId {
        BatchId { lane: LaneId(0), epoch: 1, batch }
    }

    fn entry(id: u128, content: u128, record: u32) -> Entry {
        Entry { identity: Identity { id, content }, object: 0, record }
    }

    #[test]
    fn contents_of_an_id_are_told_apart_and_expire_alone() {
        let mut unit = HotUnit::default();
        unit.add_row(10, batch(1), [entry(1, 100, 0)].into_iter());
        unit.add_row(20, batch(2), [entry(1, 200, 1)].into_iter());
        let at = |unit: &HotUnit, content, since| {
            let known = unit.lookup(Identity { id: 1, content }, since);
            (known.twin.map(|twin| twin.record), known.other_content)
        };
        assert_eq!(at(&unit, 100, 0), (Some(0), true));
        assert_eq!(at(&unit, 200, 0), (Some(1), true));
        assert_eq!(at(&unit, 300, 0), (None, true));
        assert_eq!(at(&unit, 100, 11), (None, true));
        assert_eq!(at(&unit, 300, 11), (None, true));
        assert_eq!(at(&unit, 300, 21), (None, false));
        assert_eq!(unit.lookup(Identity { id: 2, content: 100 }, 0), Known::default());
        unit.add_row(30, batch(3), [entry(1, 100, 7)].into_iter());
        assert_eq!(at(&unit, 100, 25), (Some(7), false));
        assert_eq!(unit.len(), 2);
    }

    #[test]
    fn the_latest_commit_counts_in_any_order() {
        for order in [[1, 2], [2, 1]] {
            let mut unit = HotUnit::default();
            for n in order {
                unit.add_row(i64::from(n), batch(n), [entry(1, 1, n), entry(1, 2, n)].into_iter());
            }
            for content in [1, 2] {
                assert_eq!(unit.lookup(Identity { id: 1, content }, 0).twin.map(|t| t.record), Some(2));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_contents_of_one_id_are_quick() {
        let mut unit = HotUnit::default();
        unit.add_row(1, batch(1), (0..100_000).map(|n| entry(5, u128::from(n) << 70, n)));
        for n in (0..100_000).step_by(997) {
            let known = unit.lookup(Identity { id: 5, content: u128::from(n) << 70 }, 0);
            assert_eq!(known.twin.map(|twin| twin.record), Some(n));
        }
    }
}
