//! The mill of one lane: decode ► dedup ► encode, for one batch after the other.
//!
//! In: pieces of source objects, in list order. Out: frames for each sink, quarantine lines, and a tally per
//! object. Runs on the CPU pool and owns all that it needs (what is large is lent for a batch: [`Tools`]), so
//! that a step is one move there and back.
//! Invariant: decisions are made in list order; every record is counted once as unique, duplicate or
//! quarantined. Failure: an error ends the batch, which is then void; what was committed is not touched.
//!
//! Bounded: one chunk, one frame per sink, the window's budget and the tentative ids.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use trailhaul_core::decode::{Chunk, DecodeLimits, ObjectDecoder, Outcome, RecordSpan};
use trailhaul_core::dedup::{
    BoxError, Candidate, CommittedIds, Decision, DedupError, IdentityHasher, OccurrenceCounter, Place,
    SegmentKey, Window,
};
use trailhaul_core::encode::EncodeError;
use trailhaul_core::encode::parquet::FilePiece;
use trailhaul_core::mill::{Kept, OutputFrame};
use trailhaul_core::model::{AccountId, BatchId, LaneId, ObjectRef, SinkBooks, Verdict};
use trailhaul_core::normalize::{AccountInfo, Context, RepeatKey};

use super::compare::Mismatch;
use super::scratch::Scratch;
use super::tally::Tally;
use super::tools::Tools;
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
    pub frames: Vec<SinkFrame>,
    /// Lines for the quarantine.
    pub quarantine: Vec<u8>,
    /// Lines about records that a sink cannot take, with the sink's place.
    pub refused: Vec<(usize, Vec<u8>)>,
    /// Whether there is more to do with the pieces at hand.
    pub more: bool,
}

/// A frame for one sink.
#[derive(Debug, Default)]
pub struct SinkFrame {
    /// The frame.
    pub frame: OutputFrame,
    /// For a sink that sends records one by one: the partition key of each.
    pub keys: Vec<String>,
    /// For such a sink: the object and the number of each record.
    pub origins: Vec<(u32, u32)>,
    /// For a sink in Parquet: pieces of its files. The frame is empty then.
    pub files: Vec<FilePiece>,
}

/// What a sink's records are partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyBy {
    /// The event's id; of a record without one, its identity.
    Event,
    /// Account and region of the object.
    Account,
}

/// What is known of accounts, by id.
pub(super) type Accounts = Arc<BTreeMap<AccountId, Arc<AccountInfo>>>;

/// The state of one lane's mill.
pub struct Mill {
    lane: LaneId,
    ledger: Ledger,
    hasher: IdentityHasher,
    limits: DecodeLimits,
    accounts: Accounts,
    /// The lane's duplicate decisions.
    pub window: Window,
    /// Scratch space for the ids of the running batch.
    pub scratch: Scratch,
    /// Lent for a batch; empty between batches.
    tools: Tools,
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
    /// For each sink: what was filtered and refused.
    left_out: Vec<SinkBooks>,
    /// Quarantine lines of objects that are not what their digests say, until the next step.
    mismatches: Vec<u8>,
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
    ) -> Self {
        let (accounts, tools) = (Accounts::default(), Tools::new(Vec::new()));
        Self { lane, ledger, hasher, limits, accounts, window, scratch, tools, batch: None }
    }

    /// The same, with what is known of accounts.
    #[must_use]
    pub fn knowing(self, accounts: Accounts) -> Self {
        Self { accounts, ..self }
    }

    /// Lends the mill its working memory, for the next batch.
    pub fn equip(&mut self, tools: Tools) {
        self.tools = tools;
    }

    /// Takes the working memory back, after a batch.
    pub fn unequip(&mut self) -> Tools {
        std::mem::replace(&mut self.tools, Tools::new(Vec::new()))
    }

    /// Starts a batch at this moment (Unix seconds).
    pub fn begin(&mut self, id: BatchId, now: i64) -> Result<(), MillError> {
        self.tools.chunk.clear();
        self.tools.sinks.iter_mut().for_each(|(sink, _)| sink.begin());
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
            left_out: vec![SinkBooks::default(); self.tools.sinks.len()],
            mismatches: Vec::new(),
        });
        Ok(())
    }

    /// A sink can never take a record that was rendered for it: writes a line about it.
    pub fn refuse(&mut self, sink: usize, origin: (u32, u32), reason: &str, lines: &mut Vec<u8>) {
        let Some(batch) = &mut self.batch else { return };
        if let Some(left_out) = batch.left_out.get_mut(sink) {
            left_out.refused += 1;
        }
        if let Some(tally) = batch.tallies.get(origin.0 as usize) {
            tally.refuse(origin.1, reason, lines);
        }
    }

    /// Adds an object to the batch and returns its place there.
    pub fn add(&mut self, object: ObjectRef) -> u32 {
        let Some(batch) = &mut self.batch else { return 0 };
        let index = u32::try_from(batch.tallies.len()).unwrap_or(u32::MAX);
        let mut tally = Tally::new(object);
        tally.info = self.accounts.get(&tally.account).cloned();
        batch.tallies.push(tally);
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

    /// What is known of an object's digest when it is delivered.
    pub fn judge(&mut self, object: u32, verdict: Verdict) {
        let tally = self.batch.as_mut().and_then(|batch| batch.tallies.get_mut(object as usize));
        if let Some(tally) = tally {
            tally.entry.verdict = verdict;
        }
    }

    /// Adds an object whose content is not what its proven digest says: nothing of it is delivered, and it counts as
    /// one stretch in quarantine.
    pub fn add_mismatch(&mut self, mismatch: &Mismatch) {
        if let Some(batch) = &mut self.batch {
            let mut tally = Tally::new(mismatch.object.clone());
            tally.mismatch(mismatch, &mut batch.mismatches);
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
        let mut step = self.begin_step();
        while let Some(batch) = &mut self.batch {
            let Some(piece) = batch.pieces.front_mut() else { return Ok(step) };
            let limits = &self.limits;
            let object = piece.object;
            let (_, decoder) =
                batch.decoder.get_or_insert_with(|| (object, ObjectDecoder::new(object, limits)));
            if !piece.bytes.is_empty() {
                let progress = decoder.push(&piece.bytes, &mut self.tools.chunk);
                let _ = piece.bytes.split_to(progress.consumed.min(piece.bytes.len()));
                if progress.full {
                    self.flush(&mut step)?;
                    step.more = true;
                    return Ok(step);
                }
            }
            if piece.last {
                match decoder.finish(&mut self.tools.chunk) {
                    None => {
                        self.flush(&mut step)?;
                        step.more = true;
                        return Ok(step);
                    }
                    Some(outcome) => self.conclude(object, outcome, &mut step.quarantine),
                }
            }
            if let Some(batch) = &mut self.batch {
                batch.pieces.pop_front();
                if step.quarantine.len() > QUARANTINE_BYTES || self.tools.chunk.is_full() {
                    step.more = !batch.pieces.is_empty();
                    if self.tools.chunk.is_full() {
                        self.flush(&mut step)?;
                    }
                    return Ok(step);
                }
            }
        }
        Ok(step)
    }

    /// The frames of what is left in the chunk, at the end of the batch.
    pub fn drain(&mut self) -> Result<Step, MillError> {
        let mut step = self.begin_step();
        self.flush(&mut step)?;
        step.frames.resize_with(self.tools.sinks.len(), SinkFrame::default);
        for ((sink, _), frame) in self.tools.sinks.iter_mut().zip(&mut step.frames) {
            frame.files.extend(sink.finish()?);
        }
        Ok(step)
    }

    fn begin_step(&mut self) -> Step {
        let quarantine = self.batch.as_mut().map(|batch| std::mem::take(&mut batch.mismatches));
        Step { quarantine: quarantine.unwrap_or_default(), ..Step::default() }
    }

    /// Files that the batch makes so far, over all sinks, and whether it should take no further object because
    /// of them.
    pub fn files(&mut self) -> (u32, bool) {
        let files = self.tools.sinks.iter_mut().map(|(sink, _)| sink.files());
        files.fold((0, false), |(sum, full), (count, is_full)| (sum + count, full | is_full))
    }

    /// Ends the batch: the tallies of its objects, in order, and what each sink left out. The window keeps its
    /// ids until [`Mill::committed`] or [`Mill::void`].
    pub fn finish(&mut self) -> (Vec<Tally>, Vec<SinkBooks>) {
        self.batch.take().map(|batch| (batch.tallies, batch.left_out)).unwrap_or_default()
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
        self.tools.chunk.clear();
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
    fn flush(&mut self, step: &mut Step) -> Result<(), MillError> {
        let Some(batch) = &mut self.batch else { return Ok(()) };
        if self.tools.chunk.is_empty() {
            return Ok(());
        }
        self.tools.candidates.clear();
        self.tools.decisions.clear();
        for record in self.tools.chunk.records() {
            let Some(tally) = batch.tallies.get(record.object as usize) else { continue };
            if batch.counted != Some(record.object) {
                batch.occurrences.next_object();
                batch.counted = Some(record.object);
            }
            let content = self.hasher.content(self.tools.chunk.record(record));
            let id = record.fields.id.map(|span| self.tools.chunk.field(span));
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
            self.tools.candidates.push(Candidate {
                place,
                identity,
                object: record.object,
                record: record.number,
            });
        }
        self.window.decide(
            batch.id,
            batch.now,
            self.tools.candidates.iter().copied(),
            &mut batch.ids,
            &mut self.scratch,
            &mut self.tools.decisions,
        )?;
        let mut kept = Kept::all(self.tools.chunk.records().len());
        for (index, (record, decision)) in
            self.tools.chunk.records().iter().zip(&self.tools.decisions).enumerate()
        {
            if matches!(decision, Decision::Duplicate { .. }) {
                kept.drop(index);
            }
            if let Some(tally) = batch.tallies.get_mut(record.object as usize) {
                tally.note(record.number, decision, &mut batch.unique);
            }
        }
        self.render(&kept, step)?;
        self.tools.chunk.clear();
        Ok(())
    }

    /// Makes each sink's frame of the kept records, and a line for each record that it refuses.
    fn render(&mut self, kept: &Kept, step: &mut Step) -> Result<(), MillError> {
        let Some(batch) = &mut self.batch else { return Ok(()) };
        let (chunk, candidates, tallies) = (&self.tools.chunk, &self.tools.candidates, &batch.tallies);
        let hauled_at = batch.now.saturating_mul(1_000);
        for (index, (sink, key_by)) in self.tools.sinks.iter_mut().enumerate() {
            let rendered =
                sink.frame(chunk, kept, |span| context(chunk, candidates, tallies, hauled_at, span))?;
            if let Some(left_out) = batch.left_out.get_mut(index) {
                left_out.filtered += u64::from(rendered.filtered);
                left_out.refused += rendered.refused.len() as u64;
            }
            if !rendered.refused.is_empty() {
                let mut lines = Vec::new();
                for (place, refusal) in &rendered.refused {
                    let record = chunk.records().get(*place as usize);
                    let tally = record.and_then(|record| tallies.get(record.object as usize));
                    if let (Some(record), Some(tally)) = (record, tally) {
                        tally.refuse(record.number, &refusal.to_string(), &mut lines);
                    }
                }
                step.refused.push((index, lines));
            }
            let mut frame =
                SinkFrame { frame: rendered.frame, files: rendered.files, ..SinkFrame::default() };
            if let Some(key_by) = key_by {
                for place in rendered.places {
                    let Some(record) = chunk.records().get(place as usize) else { continue };
                    let context = context(chunk, candidates, tallies, hauled_at, record);
                    frame.keys.push(partition_key(*key_by, &context, tallies.get(record.object as usize)));
                    frame.origins.push((record.object, record.number));
                }
            }
            step.frames.push(frame);
        }
        Ok(())
    }
}

/// What is known of a record beside its bytes.
fn context<'a>(
    chunk: &'a Chunk,
    candidates: &'a [Candidate],
    tallies: &'a [Tally],
    hauled_at: i64,
    span: &'a RecordSpan,
) -> Context<'a> {
    // Candidates stand in the order of the chunk's records: by object, then by number.
    let at = candidates.binary_search_by_key(&(span.object, span.number), |c| (c.object, c.record));
    let candidate = at.ok().and_then(|at| candidates.get(at));
    let tally = tallies.get(span.object as usize);
    let account = tally.map(|tally| tally.account).unwrap_or_default();
    let id = span.fields.id.and_then(|id| std::str::from_utf8(chunk.field(id)).ok()).unwrap_or_default();
    Context {
        account,
        bucket: tally.map_or("", |tally| tally.entry.object.bucket.as_ref()),
        key: tally.map_or("", |tally| tally.entry.object.key.as_str()),
        region: tally.map_or("", |tally| tally.region.as_str()),
        record_number: span.number,
        repeat_key: RepeatKey {
            account,
            id,
            id_hash: candidate.map_or(0, |candidate| candidate.identity.id),
            content: candidate.map_or(0, |candidate| candidate.identity.content),
        },
        verdict: tally.map_or("", |tally| tally.entry.verdict.as_str()),
        hauled_at,
        object_time: tally.map_or(0, |tally| tally.stamp.saturating_mul(1_000)),
        enrichment: tally.and_then(|tally| tally.info.as_deref()),
    }
}

/// At most 256 characters, never empty.
fn partition_key(key_by: KeyBy, context: &Context<'_>, tally: Option<&Tally>) -> String {
    match key_by {
        KeyBy::Event if !context.repeat_key.id.is_empty() => {
            context.repeat_key.id.chars().take(256).collect()
        }
        KeyBy::Event => format!("{:032x}", context.repeat_key.id_hash),
        KeyBy::Account => {
            let region = tally.map_or("", |tally| tally.region.as_str());
            format!("{}/{region}", context.account)
        }
    }
}

/// Quarantine lines gathered in one step before they are handed over.
const QUARANTINE_BYTES: usize = 512 * 1024;
