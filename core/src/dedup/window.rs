//! The decisions of one lane: one [`Window`] per lane, used by one thread at a time.
//!
//! In: the candidates of the running batch, in list order, and what was committed. Out: a [`Decision`] each.
//! The batch's new ids stay tentative until [`Window::commit`]; [`Window::void`] takes them back. A twin
//! counts for `window` seconds from its commit, and a duplicate does not prolong it.
//! After an error the batch must be voided; what was committed is not affected.

use std::collections::HashMap;

use crate::model::BatchId;

use super::entry::{ENTRY_LEN, Entry};
use super::error::DedupError;
use super::hot::Known;
use super::identity::Identity;
use super::segment::{Place, SEGMENT_KEY_LEN, SegmentKey};
use super::sorted::{self, Runs};
use super::stores::{CommittedIds, SpillStore, TakeRow, shard_of};
use super::tentative::{RECORD, Seen, Tentative};
use super::units::{Probe, UnitKey, Units};

/// A record to decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// What decides the segments.
    pub place: Place,
    /// Id and content.
    pub identity: Identity,
    /// The object, by its place in the batch's list.
    pub object: u32,
    /// The record, by its place in the object, from 0.
    pub record: u32,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// To be delivered. With `conflict`, its id came with other content before.
    Unique {
        /// Whether the same id is known with other content.
        conflict: bool,
    },
    /// Not to be delivered: its twin is.
    Duplicate {
        /// The twin.
        winner: Winner,
    },
}

/// The record that stands for its duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winner {
    /// The batch that delivers it: the running one or a committed one.
    pub batch: BatchId,
    /// The object, by its place in that batch's list.
    pub object: u32,
    /// The record, by its place in that object.
    pub record: u32,
}

/// Figures for telemetry; counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowStats {
    /// Bytes of hot units.
    pub hot_bytes: usize,
    /// Bytes of tentative ids in memory.
    pub tentative_bytes: usize,
    /// Tentative ids.
    pub tentative_ids: u32,
    /// Units asked for that were in memory.
    pub hits: u64,
    /// Units read and kept.
    pub loads: u64,
    /// Units searched and not kept.
    pub scans: u64,
    /// Units that had to go.
    pub evictions: u64,
}

/// Candidates that are worked on at once: at most 4 MiB of scratch. A unit that does not stay in memory is
/// read once for so many candidates.
const SLICE: usize = 32_768;

/// The duplicate decisions of one lane.
#[derive(Debug)]
pub struct Window {
    seconds: i64,
    units: Units,
    batch: Option<BatchId>,
    ids: Tentative,
    runs: Option<Runs>,
    is_sealed: bool,
}

impl Window {
    /// A window of `seconds`, whose hot units take at most `budget` bytes. Tentative ids come on top of that:
    /// see [`super::MAX_BATCH_IDS`].
    pub fn new(budget: usize, seconds: u32) -> Self {
        Self {
            seconds: i64::from(seconds),
            units: Units::new(budget),
            batch: None,
            ids: Tentative::default(),
            runs: None,
            is_sealed: false,
        }
    }

    /// Decides about the next records of `batch` at `now` (seconds since the Unix epoch), appending one
    /// decision per record to `out`. On an error `out` is incomplete and the batch must be voided.
    pub fn decide(
        &mut self,
        batch: BatchId,
        now: i64,
        records: impl Iterator<Item = Candidate>,
        committed: &mut dyn CommittedIds,
        spill: &mut dyn SpillStore,
        out: &mut Vec<Decision>,
    ) -> Result<(), DedupError> {
        self.begin(batch)?;
        let since = now.saturating_sub(self.seconds);
        let mut records = records.peekable();
        while records.peek().is_some() {
            let mut slice = Slice::default();
            for candidate in records.by_ref().take(SLICE) {
                slice.add(candidate, &mut self.units, committed)?;
            }
            slice.look(&mut self.units, committed, since)?;
            for pending in slice.pending {
                out.push(self.conclude(batch, pending, spill)?);
            }
        }
        Ok(())
    }

    /// How many new ids the running batch holds.
    pub fn tentative_ids(&self) -> u32 {
        self.ids.len()
    }

    /// Visits the running batch's ids as packed rows, in (segment, id, content) order: at most
    /// [`super::MAX_ROW`] entries each, of one segment. Every call gives the same rows, and after the first
    /// one no records can be added to the batch. Takes about 4 MiB of memory while it runs.
    pub fn rows(&mut self, spill: &mut dyn SpillStore, f: &mut TakeRow<'_>) -> Result<(), DedupError> {
        self.is_sealed = true;
        sorted::pack(&mut self.ids, &mut self.runs, spill, f)
    }

    /// The running batch was committed at `at` (seconds since the Unix epoch): its ids count from now on.
    /// Call it after the ledger's transaction. After an error (the scratch space failed) the window is
    /// empty but right: everything is read from the ledger again.
    pub fn commit(&mut self, spill: &mut dyn SpillStore, at: i64) -> Result<(), DedupError> {
        let merged = self.merge(spill, at);
        if merged.is_err() {
            self.units.forget_all();
        }
        self.void(spill).and(merged)
    }

    /// Takes the running batch's ids back.
    pub fn void(&mut self, spill: &mut dyn SpillStore) -> Result<(), DedupError> {
        self.batch = None;
        self.ids = Tentative::default();
        self.runs = None;
        self.is_sealed = false;
        spill.clear().map_err(DedupError::Spill)
    }

    /// Drops what is in memory of a segment. Needed when rows that still count were dropped or changed in the
    /// ledger; other shard bits are noticed anyway.
    pub fn forget(&mut self, segment: SegmentKey) {
        self.units.forget(segment);
    }

    /// Figures for telemetry.
    pub fn stats(&self) -> WindowStats {
        let counts = self.units.counts;
        WindowStats {
            hot_bytes: self.units.bytes(),
            tentative_bytes: self.ids.bytes(),
            tentative_ids: self.ids.len(),
            hits: counts.hits,
            loads: counts.loads,
            scans: counts.scans,
            evictions: counts.evictions,
        }
    }

    fn begin(&mut self, batch: BatchId) -> Result<(), DedupError> {
        match self.batch {
            Some(running) if running != batch => Err(DedupError::OtherBatch { running, next: batch }),
            _ if self.is_sealed => Err(DedupError::Sealed(batch)),
            _ => {
                self.batch = Some(batch);
                Ok(())
            }
        }
    }

    /// Decides about one record, after everything before it was decided.
    fn conclude(
        &mut self,
        batch: BatchId,
        pending: Pending,
        spill: &mut dyn SpillStore,
    ) -> Result<Decision, DedupError> {
        if let Some(twin) = pending.known.twin {
            let winner = Winner { batch: twin.batch, object: twin.object, record: twin.record };
            return Ok(Decision::Duplicate { winner });
        }
        let seen = self.ids.lookup(spill, pending.entry.identity)?;
        if let Seen::Twin(twin) = seen {
            let winner = Winner { batch, object: twin.object, record: twin.record };
            return Ok(Decision::Duplicate { winner });
        }
        self.ids.add(spill, pending.home, pending.entry, seen)?;
        Ok(Decision::Unique { conflict: pending.known.other_content || seen == Seen::OtherContent })
    }

    fn merge(&mut self, spill: &mut dyn SpillStore, at: i64) -> Result<(), DedupError> {
        const AT_ONCE: u32 = 1_024;
        let Some(batch) = self.batch else { return Ok(()) };
        let mut bytes = vec![0; AT_ONCE as usize * RECORD];
        for first in (0..self.ids.len()).step_by(AT_ONCE as usize) {
            let length = self.ids.read(spill, first, &mut bytes)?;
            for record in bytes.get(..length).unwrap_or_default().as_chunks::<RECORD>().0 {
                let segment = record.first_chunk::<SEGMENT_KEY_LEN>().and_then(SegmentKey::from_bytes);
                let entry = record.last_chunk::<ENTRY_LEN>().map(Entry::from_bytes);
                let (Some(segment), Some(entry)) = (segment, entry) else {
                    return Err(DedupError::Spill("a tentative entry reads back damaged".into()));
                };
                self.units.merge(segment, entry, at, batch);
            }
        }
        Ok(())
    }
}

/// A candidate on its way to a decision.
#[derive(Debug)]
struct Pending {
    home: SegmentKey,
    entry: Entry,
    known: Known,
}

impl Probe for Pending {
    fn identity(&self) -> Identity {
        self.entry.identity
    }

    fn learn(&mut self, known: Known) {
        self.known.merge(known);
    }
}

/// Some candidates, and the units that have to be asked about them.
#[derive(Debug, Default)]
struct Slice {
    pending: Vec<Pending>,
    /// (unit, candidate), both by index.
    probes: Vec<(u32, u32)>,
    units: Vec<(UnitKey, u8)>,
    unit_index: HashMap<UnitKey, u32>,
    bits: HashMap<SegmentKey, u8>,
    /// The segment seen last with its bits, and the unit with its index: most records follow their like.
    last_segment: Option<(SegmentKey, u8)>,
    last_unit: Option<(UnitKey, u32)>,
}

impl Slice {
    fn add(
        &mut self,
        candidate: Candidate,
        units: &mut Units,
        committed: &mut dyn CommittedIds,
    ) -> Result<(), DedupError> {
        let Candidate { place, identity, object, record } = candidate;
        let index = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        for segment in place.segments() {
            let bits = self.bits_of(segment, units, committed)?;
            let unit = self.unit_of(UnitKey { segment, shard: shard_of(identity.id, bits) }, bits);
            self.probes.push((unit, index));
        }
        let entry = Entry { identity, object, record };
        self.pending.push(Pending { home: place.home(), entry, known: Known::default() });
        Ok(())
    }

    fn bits_of(
        &mut self,
        segment: SegmentKey,
        units: &mut Units,
        committed: &mut dyn CommittedIds,
    ) -> Result<u8, DedupError> {
        if let Some((last, bits)) = self.last_segment
            && last == segment
        {
            return Ok(bits);
        }
        let bits = match self.bits.get(&segment) {
            Some(bits) => *bits,
            None => {
                let bits = units.bits(committed, segment)?;
                self.bits.insert(segment, bits);
                bits
            }
        };
        self.last_segment = Some((segment, bits));
        Ok(bits)
    }

    fn unit_of(&mut self, key: UnitKey, bits: u8) -> u32 {
        if let Some((last, index)) = self.last_unit
            && last == key
        {
            return index;
        }
        let units = &mut self.units;
        let index = *self.unit_index.entry(key).or_insert_with(|| {
            units.push((key, bits));
            u32::try_from(units.len() - 1).unwrap_or(u32::MAX)
        });
        self.last_unit = Some((key, index));
        index
    }

    /// Asks each unit once.
    fn look(
        &mut self,
        units: &mut Units,
        committed: &mut dyn CommittedIds,
        since: i64,
    ) -> Result<(), DedupError> {
        self.probes.sort_unstable();
        let mut order = Vec::new();
        for group in self.probes.chunk_by(|one, two| one.0 == two.0) {
            let Some((key, bits)) = group.first().and_then(|(unit, _)| self.units.get(*unit as usize)) else {
                continue;
            };
            order.clear();
            order.extend(group.iter().map(|(_, candidate)| *candidate));
            units.look(committed, *key, *bits, since, &mut order, &mut self.pending)?;
        }
        Ok(())
    }
}
