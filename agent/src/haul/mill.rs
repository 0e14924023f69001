//! The mill of one lane: decode ► dedup ► encode, for one batch after the other.
//!
//! In: pieces of source objects, in list order. Out: frames for each sink, quarantine lines, and a tally per
//! object. Runs on the CPU pool and owns all that it needs, so that a step is one move there and back.
//! Invariant: decisions are made in list order; every record is counted once as unique, duplicate or
//! quarantined. Failure: an error ends the batch, which is then void; what was committed is not touched.
//!
//! Bounded: one chunk, one frame per sink, the window's budget and the tentative ids.

use std::collections::VecDeque;

use bytes::Bytes;
use trailhaul_core::decode::{Chunk, DecodeLimits, ObjectDecoder, Outcome};
use trailhaul_core::dedup::{
    BoxError, Candidate, CommittedIds, Decision, DedupError, IdentityHasher, OccurrenceCounter, Place,
    SegmentKey, Window,
};
use trailhaul_core::encode::{Compression, EncodeError, FrameEncoder};
use trailhaul_core::mill::{Kept, OutputFrame, RawOutput};
use trailhaul_core::model::{BatchId, LaneId, ObjectRef};

use super::scratch::Scratch;
use super::tally::Tally;
use crate::ledger::{LaneIds, Ledger, LedgerError};

/// Why a batch cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MillError {
    /// Deciding about duplicates failed.
    #[error(transparent)]
    Dedup(#[from] DedupError),
    /// Compressing failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Some bytes of an object.
#[derive(Debug)]
pub struct Piece {
    /// The object, by its place in the batch.
    pub object: u32,
    /// The bytes; may be empty.
    pub bytes: Bytes,
    /// Whether the object ends here.
    pub last: bool,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Step {
    /// A frame for each sink, in the order of the sinks; empty when the step made none.
    pub frames: Vec<OutputFrame>,
    /// Lines for the quarantine.
    pub quarantine: Vec<u8>,
    /// Whether there is more to do with the pieces at hand.
    pub more: bool,
}

/// The state of one lane's mill.
pub struct Mill {
    lane: LaneId,
    ledger: Ledger,
    hasher: IdentityHasher,
    limits: DecodeLimits,
    /// The lane's duplicate decisions.
    pub window: Window,
    /// Scratch space for the ids of the running batch.
    pub scratch: Scratch,
    sinks: Vec<RawOutput>,
    chunk: Chunk,
    candidates: Vec<Candidate>,
    decisions: Vec<Decision>,
    batch: Option<Running>,
}

/// The batch at hand.
struct Running {
    id: BatchId,
    now: i64,
    ids: LedgerIds,
    pieces: VecDeque<Piece>,
    decoder: Option<(u32, ObjectDecoder)>,
    occurrences: OccurrenceCounter,
    counted: Option<u32>,
    tallies: Vec<Tally>,
    unique: u64,
    inflated: u64,
}

/// The ledger's committed ids, as the window asks for them.
struct LedgerIds(LaneIds);

impl CommittedIds for LedgerIds {
    fn shard_bits(&mut self, segment: SegmentKey) -> Result<u8, BoxError> {
        Ok(self.0.shard_bits(&segment.to_bytes())?)
    }

    fn rows(
        &mut self,
        segment: SegmentKey,
        shard: u16,
        f: &mut dyn FnMut(BatchId, i64, &[u8]),
    ) -> Result<(), BoxError> {
        Ok(self.0.rows(&segment.to_bytes(), shard, f)?)
    }
}

impl Mill {
    /// A mill without a batch.
    pub fn new(
        lane: LaneId,
        ledger: Ledger,
        hasher: IdentityHasher,
        limits: DecodeLimits,
        window: Window,
        scratch: Scratch,
        sinks: &[Compression],
    ) -> Result<Self, MillError> {
        let sinks = sinks
            .iter()
            .map(|compression| FrameEncoder::new(*compression).map(RawOutput::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            lane,
            ledger,
            hasher,
            limits,
            window,
            scratch,
            sinks,
            chunk: Chunk::new(),
            candidates: Vec::new(),
            decisions: Vec::new(),
            batch: None,
        })
    }

    /// Starts a batch at this moment (Unix seconds).
    pub fn begin(&mut self, id: BatchId, now: i64) -> Result<(), MillError> {
        self.chunk.clear();
        self.batch = Some(Running {
            id,
            now,
            ids: LedgerIds(self.ledger.ids(self.lane)?),
            pieces: VecDeque::new(),
            decoder: None,
            occurrences: OccurrenceCounter::new(),
            counted: None,
            tallies: Vec::new(),
            unique: 0,
            inflated: 0,
        });
        Ok(())
    }

    /// Adds an object to the batch and returns its place there.
    pub fn add(&mut self, object: ObjectRef) -> u32 {
        let Some(batch) = &mut self.batch else { return 0 };
        let index = u32::try_from(batch.tallies.len()).unwrap_or(u32::MAX);
        batch.tallies.push(Tally::new(object));
        index
    }

    /// Adds an object that was rewritten with the content that is known already: it is done, without records.
    pub fn add_rewritten(&mut self, object: ObjectRef, sha256: String, inflated: u64) {
        if let Some(batch) = &mut self.batch {
            let mut tally = Tally::new(object);
            tally.entry.sha256 = Some(sha256);
            tally.entry.inflated = inflated;
            tally.entry.rewritten = true;
            batch.tallies.push(tally);
        }
    }

    /// Hands over bytes of an object that was added. Pieces of one object come together, in order.
    pub fn feed(&mut self, piece: Piece) {
        if let Some(batch) = &mut self.batch {
            batch.pieces.push_back(piece);
        }
    }

    /// Inflated bytes of the batch so far.
    pub fn inflated(&self) -> u64 {
        self.batch.as_ref().map_or(0, |batch| batch.inflated)
    }

    /// Stored bytes of the batch's objects so far.
    pub fn stored(&self) -> u64 {
        let tallies = self.batch.iter().flat_map(|batch| &batch.tallies);
        tallies.map(|tally| tally.entry.object.size).sum()
    }

    /// About how many bytes the batch's objects will take in its journal entry.
    pub fn entry_bytes(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.tallies.iter().map(Tally::entry_bytes).sum())
    }

    /// Works until a chunk is full or the pieces are used up.
    pub fn step(&mut self) -> Result<Step, MillError> {
        let mut step = Step::default();
        while let Some(batch) = &mut self.batch {
            let Some(piece) = batch.pieces.front_mut() else { return Ok(step) };
            let limits = &self.limits;
            let object = piece.object;
            let (_, decoder) =
                batch.decoder.get_or_insert_with(|| (object, ObjectDecoder::new(object, limits)));
            if !piece.bytes.is_empty() {
                let progress = decoder.push(&piece.bytes, &mut self.chunk);
                let _ = piece.bytes.split_to(progress.consumed.min(piece.bytes.len()));
                if progress.full {
                    step.frames = self.flush()?;
                    step.more = true;
                    return Ok(step);
                }
            }
            if piece.last {
                match decoder.finish(&mut self.chunk) {
                    None => {
                        step.frames = self.flush()?;
                        step.more = true;
                        return Ok(step);
                    }
                    Some(outcome) => self.conclude(object, outcome, &mut step.quarantine),
                }
            }
            if let Some(batch) = &mut self.batch {
                batch.pieces.pop_front();
                if step.quarantine.len() > QUARANTINE_BYTES || self.chunk.is_full() {
                    step.more = !batch.pieces.is_empty();
                    if self.chunk.is_full() {
                        step.frames = self.flush()?;
                    }
                    return Ok(step);
                }
            }
        }
        Ok(step)
    }

    /// The frames of what is left in the chunk, at the end of the batch.
    pub fn drain(&mut self) -> Result<Vec<OutputFrame>, MillError> {
        self.flush()
    }

    /// Ends the batch: the tallies of its objects, in order. The window keeps its ids until
    /// [`Mill::committed`] or [`Mill::void`].
    pub fn finish(&mut self) -> Vec<Tally> {
        self.batch.take().map(|batch| batch.tallies).unwrap_or_default()
    }

    /// The batch is committed: its ids count from now on. `recut` names segments that were cut anew.
    pub fn committed(&mut self, at: i64, recut: &[Vec<u8>]) -> Result<(), MillError> {
        self.window.commit(&mut self.scratch, at)?;
        for segment in recut {
            if let Some(segment) = segment.first_chunk().and_then(SegmentKey::from_bytes) {
                self.window.forget(segment);
            }
        }
        Ok(())
    }

    /// The batch is void: nothing of it counts.
    pub fn void(&mut self) -> Result<(), MillError> {
        self.batch = None;
        self.chunk.clear();
        Ok(self.window.void(&mut self.scratch)?)
    }

    fn conclude(&mut self, object: u32, outcome: Outcome, quarantine: &mut Vec<u8>) {
        let Some(batch) = &mut self.batch else { return };
        batch.decoder = None;
        batch.inflated += outcome.inflated_size;
        if let Some(tally) = batch.tallies.get_mut(object as usize) {
            tally.conclude(&outcome, quarantine);
        }
    }

    /// Decides about the records of the chunk and makes the sinks' frames of it.
    fn flush(&mut self) -> Result<Vec<OutputFrame>, MillError> {
        let Some(batch) = &mut self.batch else { return Ok(Vec::new()) };
        if self.chunk.is_empty() {
            return Ok(Vec::new());
        }
        self.candidates.clear();
        self.decisions.clear();
        for record in self.chunk.records() {
            let Some(tally) = batch.tallies.get(record.object as usize) else { continue };
            if batch.counted != Some(record.object) {
                batch.occurrences.next_object();
                batch.counted = Some(record.object);
            }
            let content = self.hasher.content(self.chunk.record(record));
            let id = record.fields.id.map(|span| self.chunk.field(span));
            let occurrences = &mut batch.occurrences;
            let identity = self
                .hasher
                .with_content(tally.account, id, content, || occurrences.next(content, record.number));
            let place = Place {
                account: tally.account,
                event_time: record.fields.time,
                stamp: tally.stamp,
                day: tally.day,
            };
            self.candidates.push(Candidate { place, identity, object: record.object, record: record.number });
        }
        self.window.decide(
            batch.id,
            batch.now,
            self.candidates.iter().copied(),
            &mut batch.ids,
            &mut self.scratch,
            &mut self.decisions,
        )?;
        let mut kept = Kept::all(self.chunk.records().len());
        for (index, (record, decision)) in self.chunk.records().iter().zip(&self.decisions).enumerate() {
            if matches!(decision, Decision::Duplicate { .. }) {
                kept.drop(index);
            }
            if let Some(tally) = batch.tallies.get_mut(record.object as usize) {
                tally.note(record.number, decision, &mut batch.unique);
            }
        }
        let mut frames = Vec::with_capacity(self.sinks.len());
        for sink in &mut self.sinks {
            frames.push(sink.frame(&self.chunk, &kept)?);
        }
        self.chunk.clear();
        Ok(frames)
    }
}

/// Quarantine lines gathered in one step before they are handed over.
const QUARANTINE_BYTES: usize = 512 * 1024;
