//! Which units of the index are in memory, and how those that are not get read.
//!
//! In: the probes of one unit at a time. Out: what is known of each. A unit (a segment, or a shard of one) is
//! kept as a hash table, the least recently used one going first when the budget is reached; one that
//! would take more than a quarter of the budget is searched row by row and not kept. Either way the answers are
//! the same. On failure nothing half-read is kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::BatchId;

use super::entry::{Entry, entries, is_sorted_row};
use super::error::DedupError;
use super::hot::{HotUnit, Known, Twin};
use super::identity::Identity;
use super::segment::SegmentKey;
use super::stores::{CommittedIds, shard_of};

/// One shard of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct UnitKey {
    pub(super) segment: SegmentKey,
    pub(super) shard: u16,
}

/// An identity that is looked up, and what was found so far.
pub(super) trait Probe {
    fn identity(&self) -> Identity;
    fn learn(&mut self, known: Known);
}

/// The units in memory.
#[derive(Debug, Default)]
pub(super) struct Units {
    budget: usize,
    bytes: usize,
    tick: u64,
    kept: HashMap<UnitKey, Kept>,
    by_use: BTreeMap<u64, UnitKey>,
    /// Shard bits of the segments that have units in memory, and how many those are.
    bits: HashMap<SegmentKey, (u8, u32)>,
    /// Units that were found too large to keep, so that they are not tried again; see [`MAX_LARGE`].
    large: HashSet<UnitKey>,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Kept {
    unit: HotUnit,
    bytes: usize,
    used: u64,
}

/// What happened so far, for telemetry.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) loads: u64,
    pub(super) scans: u64,
    pub(super) evictions: u64,
}

/// The memory of what is too large is itself bounded (about 64 KiB); when full it starts anew.
const MAX_LARGE: usize = 1_024;

impl Units {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The shard bits of a segment, as the ledger says. Units that were cut by others are dropped: the segment
    /// was cut anew, or it expired and began again.
    pub(super) fn bits(
        &mut self,
        committed: &mut dyn CommittedIds,
        segment: SegmentKey,
    ) -> Result<u8, DedupError> {
        let now =
            committed.shard_bits(segment).map_err(|source| DedupError::Committed { segment, source })?;
        if self.bits.get(&segment).is_some_and(|(kept, _)| *kept != now) {
            self.forget(segment);
        }
        Ok(now)
    }

    /// Tells the probes of one unit what was committed at `since` or later. `order` are the indexes of the
    /// probes that belong to the unit, and may be reordered.
    pub(super) fn look<P: Probe>(
        &mut self,
        committed: &mut dyn CommittedIds,
        key: UnitKey,
        bits: u8,
        since: i64,
        order: &mut [u32],
        probes: &mut [P],
    ) -> Result<(), DedupError> {
        if self.kept.contains_key(&key) {
            self.counts.hits += 1;
            self.touch(key);
        } else if let Some(unit) = self.load(committed, key, since)? {
            self.counts.loads += 1;
            self.keep(key, bits, unit);
        } else {
            self.counts.scans += 1;
            return scan(committed, key, since, order, probes);
        }
        if let Some(kept) = self.kept.get(&key) {
            for index in order {
                if let Some(probe) = probes.get_mut(*index as usize) {
                    probe.learn(kept.unit.lookup(probe.identity(), since));
                }
            }
        }
        Ok(())
    }

    /// Adds a committed entry to its unit, if that is in memory.
    pub(super) fn merge(&mut self, segment: SegmentKey, entry: Entry, time: i64, batch: BatchId) {
        let Some((bits, _)) = self.bits.get(&segment) else { return };
        let key = UnitKey { segment, shard: shard_of(entry.identity.id, *bits) };
        let Some(kept) = self.kept.get_mut(&key) else { return };
        let index = kept.unit.intern(time, batch);
        kept.unit.add(entry, index);
        let bytes = kept.unit.bytes();
        self.bytes = self.bytes - kept.bytes + bytes;
        kept.bytes = bytes;
        if bytes > self.largest() {
            self.drop_unit(key);
            self.remember_large(key);
        }
        self.make_room();
    }

    /// Drops what is in memory of a segment.
    pub(super) fn forget(&mut self, segment: SegmentKey) {
        let keys: Vec<UnitKey> = self.kept.keys().filter(|key| key.segment == segment).copied().collect();
        for key in keys {
            self.drop_unit(key);
        }
        self.large.retain(|key| key.segment != segment);
    }

    /// Drops everything.
    pub(super) fn forget_all(&mut self) {
        *self = Self { budget: self.budget, counts: self.counts, ..Self::default() };
    }

    fn largest(&self) -> usize {
        self.budget / 4
    }

    /// Reads a unit; `None` when it is too large to keep.
    fn load(
        &mut self,
        committed: &mut dyn CommittedIds,
        key: UnitKey,
        since: i64,
    ) -> Result<Option<HotUnit>, DedupError> {
        let largest = self.largest();
        let mut unit = HotUnit::default();
        if self.large.contains(&key) || unit.bytes() > largest {
            return Ok(None);
        }
        let mut is_large = false;
        each_row(committed, key, since, &mut |time, batch, row| {
            if !is_large {
                unit.add_row(time, batch, entries(row));
                is_large = unit.bytes() > largest;
                if is_large {
                    unit = HotUnit::default();
                }
            }
        })?;
        if is_large {
            self.remember_large(key);
            return Ok(None);
        }
        Ok(Some(unit))
    }

    fn remember_large(&mut self, key: UnitKey) {
        if self.large.len() >= MAX_LARGE {
            self.large.clear();
        }
        self.large.insert(key);
    }

    fn keep(&mut self, key: UnitKey, bits: u8, unit: HotUnit) {
        let bytes = unit.bytes();
        self.tick += 1;
        self.bytes += bytes;
        self.kept.insert(key, Kept { unit, bytes, used: self.tick });
        self.by_use.insert(self.tick, key);
        self.bits.entry(key.segment).or_insert((bits, 0)).1 += 1;
        self.make_room();
    }

    fn touch(&mut self, key: UnitKey) {
        if let Some(kept) = self.kept.get_mut(&key) {
            self.tick += 1;
            self.by_use.remove(&kept.used);
            self.by_use.insert(self.tick, key);
            kept.used = self.tick;
        }
    }

    /// Evicts until the budget holds. The unit used last stays: alone it takes a quarter at most.
    fn make_room(&mut self) {
        while self.bytes > self.budget {
            let Some((_, key)) = self.by_use.first_key_value() else { return };
            self.counts.evictions += 1;
            self.drop_unit(*key);
        }
    }

    fn drop_unit(&mut self, key: UnitKey) {
        let Some(kept) = self.kept.remove(&key) else { return };
        self.bytes -= kept.bytes;
        self.by_use.remove(&kept.used);
        if let Some((_, units)) = self.bits.get_mut(&key.segment) {
            *units -= 1;
            if *units == 0 {
                self.bits.remove(&key.segment);
            }
        }
    }
}

/// Looks probes up in the rows of a unit in passing.
fn scan<P: Probe>(
    committed: &mut dyn CommittedIds,
    key: UnitKey,
    since: i64,
    order: &mut [u32],
    probes: &mut [P],
) -> Result<(), DedupError> {
    order.sort_unstable_by_key(|index| probes.get(*index as usize).map(Probe::identity));
    each_row(committed, key, since, &mut |time, batch, row| {
        let mut rest = row.as_chunks::<{ super::entry::ENTRY_LEN }>().0;
        for index in order.iter() {
            let Some(probe) = probes.get_mut(*index as usize) else { continue };
            let identity = probe.identity();
            let below = rest.partition_point(|bytes| Entry::from_bytes(bytes).identity.id < identity.id);
            rest = rest.get(below..).unwrap_or_default();
            probe.learn(search(rest, identity, time, batch));
        }
    })
}

/// What a row knows of an identity; `rest` starts at the first entry whose id is not below its id.
fn search(rest: &[[u8; super::entry::ENTRY_LEN]], identity: Identity, time: i64, batch: BatchId) -> Known {
    let at = |index: usize| {
        rest.get(index).map(Entry::from_bytes).filter(|entry| entry.identity.id == identity.id)
    };
    // Where the first content of the id is this one, others behind it do not matter: there is a twin.
    let other_content = at(0).is_some_and(|entry| entry.identity != identity);
    let below = if other_content {
        rest.partition_point(|bytes| Entry::from_bytes(bytes).identity < identity)
    } else {
        0
    };
    let twin = at(below).filter(|entry| entry.identity == identity).map(|entry| Twin {
        time,
        batch,
        object: entry.object,
        record: entry.record,
    });
    Known { twin, other_content }
}

/// Visits the rows of a unit that count, after checking that they are rows.
fn each_row(
    committed: &mut dyn CommittedIds,
    key: UnitKey,
    since: i64,
    f: &mut dyn FnMut(i64, BatchId, &[u8]),
) -> Result<(), DedupError> {
    let segment = key.segment;
    let mut is_whole = true;
    let mut visit = |batch: BatchId, time: i64, row: &[u8]| {
        if time < since || !is_whole {
            return;
        }
        is_whole = is_sorted_row(row);
        if is_whole {
            f(time, batch, row);
        }
    };
    committed
        .rows(segment, key.shard, &mut visit)
        .map_err(|source| DedupError::Committed { segment, source })?;
    if is_whole { Ok(()) } else { Err(DedupError::CorruptRow { segment }) }
}
