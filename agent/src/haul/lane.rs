//! A lane: its batches, one after the other, from the queue to the commit.
//!
//! In: plans from the lane's queue, and notes from its outbox. Out: committed batches, entries of notes. Invariant:
//! one batch of a lane at a time; a batch number is used once in an epoch, whatever became of the attempt. Failure:
//! what can be tried again goes back to the queue; what cannot ends the lane with a [`LaneEnd`] that says what the
//! process does.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trailhaul_core::decode::DecodeLimits;
use trailhaul_core::dedup::{BoxError, DedupError};
use trailhaul_core::model::{BatchEntry, BatchId, EntryBody, EntryError, LogKey, ObjectRef, Verdict};
use trailhaul_core::plan::FoundObject;
use trailhaul_core::verify::{LogContent, Sha256};

use super::batch::{AttemptError, Bench, Prepared};
use super::commit::{CommitError, LaneWriter};
use super::compare::{self, Expectation, Expectations, Mismatch, Unhashed};
use super::counters::Counters;
use super::findings;
use super::mill::{Mill, MillError};
use super::queue::{LaneQueue, Plan, Work};
use super::tools::Toolbox;
use crate::ledger::{LedgerError, NewFinding, Outgoing, place_of};
use crate::runtime::Budget;
use crate::sinks::SinkError;
use crate::store::{ReadError, StoreError};
use crate::telemetry::FindingKind;

/// Why a lane ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneEnd {
    /// Another process owns it now. The others go on.
    #[error(transparent)]
    Lost(CommitError),
    /// The books do not balance, the ledger failed, or the mill is gone: the process exits with 70 when the
    /// other lanes have drained.
    #[error("lane {lane} stops: {reason}")]
    Doubt {
        /// The lane.
        lane: trailhaul_core::model::LaneId,
        /// Why.
        reason: String,
    },
    /// A store could not be reached for as long as patience lasts.
    #[error(transparent)]
    Unreachable(StoreError),
}

/// Everything that a lane owns.
#[derive(Debug)]
pub struct Lane {
    /// The writing end of its journal.
    pub writer: LaneWriter,
    /// Sinks, source, CPU pool.
    pub bench: Bench,
    /// Its mill; `None` while a step has it.
    pub mill: Option<Box<Mill>>,
    /// Its queue.
    pub queue: Arc<LaneQueue>,
    /// The memory budget, and a working set's share of it.
    pub budget: Budget,
    /// Bytes of one working set.
    pub working_set: u64,
    /// The working memory that a permit entitles to.
    pub toolbox: Arc<Toolbox>,
    /// What the process counts.
    pub counters: Arc<Counters>,
    /// The host's name, for the epoch entry.
    pub host: String,
    /// Limits of decoding, for the objects that are read twice.
    pub decode: DecodeLimits,
    /// Whether objects are compared with their digests before they are delivered.
    pub hold: bool,
    /// The epoch that this process took, once it has written.
    pub epoch: Option<u32>,
    /// The last batch number used in it.
    pub batch: u32,
    /// How often in a row a sink did not take findings.
    pub untold: u32,
}

impl std::fmt::Debug for Mill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mill")
    }
}

/// What stands under the key of an object that could not be read.
enum Anew {
    /// Nothing else that is known.
    Same,
    /// Another one, which is among the found.
    Other(Box<FoundObject>),
    /// Nothing: the audit has called it missing.
    Settled,
}

/// What became of a plan.
enum Hauled {
    /// It is committed, or there was nothing to do.
    Done,
    /// It went back to the queue; the lane pauses before the next.
    Again,
}

/// Pauses after failed attempts grow from the first to the last of these.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

impl Lane {
    /// Works until the queue is closed and empty, or `stop` asks for an end between two batches.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), LaneEnd> {
        let mut pause = PAUSE.0;
        loop {
            let work = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                work = self.queue.next() => work,
            };
            let work = work.unwrap_or(Work::Rest);
            if !matches!(work, Work::Plan(_)) && self.outgoing()?.is_none() {
                match work {
                    Work::Rest => return Ok(()),
                    _ => continue,
                }
            }
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                permit = self.budget.acquire(self.working_set) => permit,
            };
            let _permit = permit.map_err(|error| self.doubt(&error.to_string()))?;
            let hauled = match work {
                Work::Plan(plan) => self.haul_equipped(plan).await?,
                Work::Notes | Work::Rest => self.write_notes().await?,
            };
            match hauled {
                Hauled::Done => pause = PAUSE.0,
                Hauled::Again => {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Writes an entry of notes from the outbox; more wait for another turn, behind a batch that is due.
    async fn write_notes(&mut self) -> Result<Hauled, LaneEnd> {
        let Some(mut outgoing) = self.outgoing()? else { return Ok(Hauled::Done) };
        if self.epoch.is_none() {
            self.take_epoch().await?;
        }
        let at = self.writer.now();
        if let EntryBody::Finding(entry) = &mut outgoing.body
            && !self.bench.findings.is_empty()
        {
            let batch = self.next_batch().await?;
            match findings::prepare(&self.bench.findings, batch, at, &entry.findings).await {
                Ok(outputs) => (entry.batch, entry.outputs) = (Some(batch), outputs),
                Err((sink, error)) => return self.untold(&sink, error),
            }
        }
        self.untold = 0;
        if outgoing.more {
            self.queue.nudge();
        }
        let given = self.writer.commit_notes(outgoing, at).await.map_err(|error| self.ended(error))?;
        self.counters.judged(&given);
        Ok(Hauled::Done)
    }

    /// A sink did not take findings: they wait in the outbox, and are tried again.
    fn untold(&mut self, sink: &str, error: SinkError) -> Result<Hauled, LaneEnd> {
        self.untold += 1;
        if self.queue.attempts().is_some_and(|most| self.untold >= most) {
            return Err(LaneEnd::Unreachable(error));
        }
        tracing::warn!(sink, %error, "keep findings for a sink that does not take them; they are tried again");
        self.queue.nudge();
        Ok(Hauled::Again)
    }

    fn outgoing(&self) -> Result<Option<Outgoing>, LaneEnd> {
        self.writer.ledger.outgoing(self.writer.lane).map_err(|error| self.ledger_failed(&error))
    }

    /// Hauls with a set of tools, which must be there for whoever holds a permit.
    async fn haul_equipped(&mut self, plan: Plan) -> Result<Hauled, LaneEnd> {
        let (Some(mill), Some(tools)) = (self.mill.as_mut(), self.toolbox.take()) else {
            return Err(self.doubt("the mill or its tools are gone"));
        };
        mill.equip(tools);
        let hauled = self.haul(plan).await;
        if let Some(mill) = self.mill.as_mut() {
            self.toolbox.put(mill.unequip());
        }
        hauled
    }

    async fn haul(&mut self, plan: Plan) -> Result<Hauled, LaneEnd> {
        let (mut fresh, rewritten) = self.sort_out(plan.objects).await?;
        let (expected, mismatches) =
            if self.hold { self.compare(&mut fresh).await? } else { Default::default() };
        if fresh.is_empty() && rewritten.is_empty() && mismatches.is_empty() {
            return Ok(Hauled::Done);
        }
        let batch = self.next_batch().await?;
        let now = self.writer.now();
        let Some(mill) = self.mill.as_mut() else { return Err(self.doubt("the mill is gone")) };
        if let Err(error) = mill.begin(batch, now.as_second()) {
            return Err(self.doubt(&error.to_string()));
        }
        for (object, sha256, inflated) in rewritten.clone() {
            mill.add_rewritten(object, sha256, inflated);
        }
        for mismatch in &mismatches {
            mill.add_mismatch(mismatch);
        }
        let done = rewritten.into_iter().map(|r| r.0).chain(mismatches.into_iter().map(|m| m.object));
        let every: Vec<ObjectRef> = fresh.iter().cloned().chain(done).collect();
        match self.bench.attempt(&mut self.mill, batch, &plan.partition, (fresh, &expected)).await {
            Ok(prepared) => self.commit(prepared, every).await,
            Err(error) => self.give_up(error, every).await,
        }
    }

    /// Sorts out what is done already, and what was rewritten with the same content.
    async fn sort_out(
        &mut self,
        objects: Vec<ObjectRef>,
    ) -> Result<(Vec<ObjectRef>, Vec<(ObjectRef, String, u64)>), LaneEnd> {
        let (mut fresh, mut rewritten) = (Vec::new(), Vec::new());
        for object in objects {
            let known = self.writer.ledger.object(&object).map_err(|error| self.ledger_failed(&error))?;
            match known {
                None => fresh.push(object),
                Some(row) if row.etag == object.etag => {
                    self.queue.done(std::slice::from_ref(&object));
                    self.counters.repeated_objects(1);
                }
                Some(row) => match self.content(&object).await? {
                    Ok(content) if row.sha256 == Some(content.sha256.0) => {
                        rewritten.push((object, content.sha256.to_string(), content.inflated));
                    }
                    Ok(_) => {
                        self.find_changed(&object)?;
                        fresh.push(object);
                    }
                    Err(error) => self.defer(object, &error).await?,
                },
            }
        }
        Ok((fresh, rewritten))
    }

    /// What digests expect of these objects; large ones are compared here, and those whose content is another are
    /// taken out.
    async fn compare(&self, fresh: &mut Vec<ObjectRef>) -> Result<(Expectations, Vec<Mismatch>), LaneEnd> {
        let (mut expectations, mut mismatches) = (Expectations::new(), Vec::new());
        for object in std::mem::take(fresh) {
            let known = self.writer.ledger.expected(&object).map_err(|error| self.ledger_failed(&error))?;
            let Some(expected) = known.map(|known| Sha256(known.sha256)) else {
                fresh.push(object);
                continue;
            };
            if compare::is_small(&object) {
                expectations.insert(object.clone(), Expectation::Hash(expected));
                fresh.push(object);
                continue;
            }
            match self.content(&object).await? {
                Ok(content) if compare::matches(&content, expected) => {
                    expectations.insert(object.clone(), Expectation::Met(expected));
                    fresh.push(object);
                }
                Ok(content) => mismatches.push(Mismatch { object, expected, content }),
                Err(error) => self.defer(object, &error).await?,
            }
        }
        Ok((expectations, mismatches))
    }

    /// What an object holds, from a reading of its own.
    async fn content(&self, object: &ObjectRef) -> Result<Result<LogContent, ReadError>, LaneEnd> {
        let cap = self.decode.inflated_bytes;
        match compare::read_content(&self.bench.fetcher, &self.bench.cpu, object, cap).await {
            Ok(content) => Ok(Ok(content)),
            Err(Unhashed::Read(error)) => Ok(Err(error)),
            Err(Unhashed::Cpu(error)) => Err(self.doubt(&error.to_string())),
        }
    }

    async fn commit(&mut self, prepared: Prepared, every: Vec<ObjectRef>) -> Result<Hauled, LaneEnd> {
        let Prepared { entry, deferred, left } = prepared;
        let mut pause = false;
        let deferred_count = deferred.len();
        for (object, error) in &deferred {
            self.defer(object.clone(), error).await?;
        }
        let crowded = left.len();
        self.queue.give_back(left, false);
        if entry.objects.is_empty() {
            self.void()?;
            return Ok(if deferred_count > 0 && crowded == 0 { Hauled::Done } else { Hauled::Again });
        }
        // Before the entry: a crash in between must not leave a mismatch that nobody is told of.
        for object in entry.objects.iter().filter(|object| object.verdict == Verdict::Mismatch) {
            let text = "the content is not what its proven digest says: nothing of it was delivered, and its place \
                        is in the quarantine";
            // The evidence that the audit gives, so that an acknowledgement of one holds for the other.
            let evidence = &object.object.etag;
            self.find(FindingKind::LogMismatch, &object.object, text, evidence)?;
        }
        let done: Vec<ObjectRef> = entry.objects.iter().map(|object| object.object.clone()).collect();
        let at = self.writer.now();
        let kept = entry.clone();
        let Some(mut mill) = self.mill.take() else { return Err(self.doubt("the mill is gone")) };
        let committed = {
            let mill = &mut mill;
            self.writer
                .commit(entry, at, &mut |visit| {
                    let rows = mill.window.rows(&mut mill.scratch, &mut |segment, row| {
                        visit(&segment.to_bytes(), row).map_err(BoxError::from)
                    });
                    rows.map_err(from_dedup)
                })
                .await
        };
        match committed {
            Ok(recut) => {
                let merged = mill.committed(at.as_second(), &recut);
                self.mill = Some(mill);
                merged.map_err(|error| self.doubt(&error.to_string()))?;
                self.counters.committed(&kept, at);
                self.charge(&kept);
                self.queue.done(&done);
            }
            Err(error) => {
                self.mill = Some(mill);
                pause = self.not_committed(error, &kept, every).await?;
            }
        }
        Ok(if pause { Hauled::Again } else { Hauled::Done })
    }

    /// Puts a batch that was not committed back, or ends the lane.
    async fn not_committed(
        &mut self,
        error: CommitError,
        entry: &BatchEntry,
        every: Vec<ObjectRef>,
    ) -> Result<bool, LaneEnd> {
        match error {
            CommitError::Void { reason, .. } => {
                tracing::warn!(batch = %entry.batch, reason, "plan the sources of a void batch again");
                self.void()?;
                self.queue.give_back(every, false);
                Ok(true)
            }
            CommitError::Entry(EntryError::TooLarge(bytes)) => {
                tracing::info!(batch = %entry.batch, bytes, "split a batch whose entry is too large");
                self.writer.abort_outputs(&entry.outputs).await;
                self.void()?;
                self.queue.give_back(every, true);
                Ok(false)
            }
            CommitError::Lost { .. } => {
                self.writer.abort_outputs(&entry.outputs).await;
                Err(LaneEnd::Lost(error))
            }
            CommitError::Imbalance { .. } => {
                self.writer.abort_outputs(&entry.outputs).await;
                Err(self.doubt(&error.to_string()))
            }
            CommitError::Store(error) => Err(LaneEnd::Unreachable(error)),
            other => Err(self.doubt(&other.to_string())),
        }
    }

    /// An attempt failed: nothing was committed, nothing is visible.
    async fn give_up(&mut self, error: AttemptError, every: Vec<ObjectRef>) -> Result<Hauled, LaneEnd> {
        if matches!(error, AttemptError::Gone(_)) {
            return Err(self.doubt(&error.to_string()));
        }
        self.void()?;
        match error {
            AttemptError::Source { object, source } => {
                let others = every.into_iter().filter(|other| other != object.as_ref()).collect();
                self.queue.give_back(others, false);
                self.defer(*object, &source).await?;
                Ok(Hauled::Done)
            }
            AttemptError::Mill(MillError::Dedup(DedupError::TooManyIds { .. })) if every.len() > 1 => {
                self.queue.give_back(every, true);
                Ok(Hauled::Done)
            }
            AttemptError::Sink { sink, source } => {
                self.counters.failed_attempts(1);
                tracing::warn!(sink, error = %source, "give up a batch; it is tried again");
                self.queue.failed(every, &format!("sink {sink}: {source}"));
                Ok(Hauled::Again)
            }
            other => Err(self.doubt(&other.to_string())),
        }
    }

    /// Sets an object aside that cannot be read now.
    async fn defer(&self, object: ObjectRef, error: &ReadError) -> Result<(), LaneEnd> {
        if self.queue.waits_for_bucket(&object, error.kind()) {
            tracing::debug!(%object, error = %error, "wait for the bucket of an object");
            self.queue.give_back(vec![object], false);
            return Ok(());
        }
        let anew = match error {
            ReadError::Vanished(_) | ReadError::Changed(_) => self.found_anew(&object, error).await?,
            _ => Anew::Same,
        };
        if matches!(anew, Anew::Settled) {
            tracing::debug!(%object, "leave an object that is missing");
            self.queue.done(std::slice::from_ref(&object));
            return Ok(());
        }
        let kind = match error {
            // Nothing is wrong with it: the agent is stopping.
            ReadError::Cancelled => {
                self.queue.give_back(vec![object], false);
                return Ok(());
            }
            ReadError::Vanished(_) => FindingKind::ObjectVanished,
            ReadError::Changed(_) => FindingKind::ObjectChanged,
            ReadError::Denied(_) => FindingKind::ObjectDenied,
            ReadError::Archived(_) => FindingKind::ObjectArchived,
            _ => FindingKind::ObjectUnreadable,
        };
        self.counters.deferred_object(error);
        tracing::warn!(%object, error = %error, "defer an object");
        if let Anew::Other(other) = anew {
            let text = format!("{error}; it is read as it is now");
            self.find(kind, &object, &text, "")?;
            self.queue.renew(*other, &error.to_string());
            return Ok(());
        }
        let text = format!("{error}; it is tried again at growing intervals");
        self.find(kind, &object, &text, "")?;
        self.queue.defer(object, &error.to_string());
        Ok(())
    }

    /// What stands under the key of an object that is gone or another one by now.
    async fn found_anew(&self, object: &ObjectRef, error: &ReadError) -> Result<Anew, LaneEnd> {
        let ledger = &self.writer.ledger;
        let failed = |error| self.ledger_failed(&error);
        let same = |other: &ObjectRef| other.etag == object.etag && other.version == object.version;
        // A listing, or the audit, was quicker.
        match ledger.waits(object).map_err(failed)? {
            Some(waits) if !same(&waits.found.object) => return Ok(Anew::Other(Box::new(waits.found))),
            None if ledger.is_settled_missing(object).map_err(failed)? => return Ok(Anew::Settled),
            _ => {}
        }
        if matches!(error, ReadError::Vanished(_)) {
            ledger.mark_gone(object).map_err(failed)?;
            return Ok(Anew::Same);
        }
        let Ok(store) = self.bench.fetcher.places.get(&object.bucket).await else { return Ok(Anew::Same) };
        let Ok(Some(meta)) = store.head(&object.key).await else { return Ok(Anew::Same) };
        let other = ObjectRef { etag: meta.etag, version: None, size: meta.size, ..object.clone() };
        let (Some((stream, ..)), Ok(found)) = (place_of(&other), FoundObject::new(other.clone())) else {
            return Ok(Anew::Same);
        };
        if same(&other) || object.version.is_some() {
            return Ok(Anew::Same);
        }
        ledger.record_found(&stream, &[other]).map_err(failed)?;
        Ok(Anew::Other(Box::new(found)))
    }

    fn find_changed(&self, object: &ObjectRef) -> Result<(), LaneEnd> {
        let text = "the object was hauled before with other content: CloudTrail never rewrites a log file; \
                    what is new in it is delivered";
        self.find(FindingKind::ObjectRewritten, object, text, &object.etag)
    }

    /// Records a finding about an object of the lane.
    fn find(&self, kind: FindingKind, object: &ObjectRef, text: &str, evidence: &str) -> Result<(), LaneEnd> {
        let subject = object.to_string();
        let mut finding =
            NewFinding::new(kind.name(), &subject, text).lane(self.writer.lane).evidence(evidence);
        if let Ok(key) = LogKey::parse(&object.key) {
            finding = finding.account(key.account);
        }
        let found = self.writer.ledger.find(&finding, self.writer.now());
        found.map(|_| ()).map_err(|error| self.ledger_failed(&error))
    }

    /// The next batch's id; takes an epoch first where this process has none yet.
    async fn next_batch(&mut self) -> Result<BatchId, LaneEnd> {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.take_epoch().await?,
        };
        self.batch = self.batch.checked_add(1).ok_or_else(|| self.doubt("the batch numbers are used up"))?;
        Ok(BatchId { lane: self.writer.lane, epoch, batch: self.batch })
    }

    async fn take_epoch(&mut self) -> Result<u32, LaneEnd> {
        match self.writer.claim(&self.host).await {
            Ok(epoch) => {
                self.epoch = Some(epoch);
                Ok(epoch)
            }
            Err(error) => Err(self.ended(error)),
        }
    }

    /// What the failure of a step means for the lane.
    fn ended(&self, error: CommitError) -> LaneEnd {
        match error {
            CommitError::Lost { .. } => LaneEnd::Lost(error),
            CommitError::Store(error) => LaneEnd::Unreachable(error),
            error => self.doubt(&error.to_string()),
        }
    }

    /// What an account's objects really cost counts against its share.
    fn charge(&self, entry: &BatchEntry) {
        for object in &entry.objects {
            self.queue.charge(&object.object, object.inflated);
        }
    }

    fn void(&mut self) -> Result<(), LaneEnd> {
        self.counters.voided_attempt();
        let Some(mill) = self.mill.as_mut() else { return Ok(()) };
        mill.void().map_err(|error| self.doubt(&error.to_string()))
    }

    fn ledger_failed(&self, error: &LedgerError) -> LaneEnd {
        self.doubt(&error.to_string())
    }

    fn doubt(&self, reason: &str) -> LaneEnd {
        LaneEnd::Doubt { lane: self.writer.lane, reason: reason.to_owned() }
    }
}

/// The visitor's own failure is the ledger's; the window's failure is one of the scratch space.
fn from_dedup(error: DedupError) -> LedgerError {
    match error {
        DedupError::Output(inner) => match inner.downcast::<LedgerError>() {
            Ok(inner) => *inner,
            Err(_) => LedgerError::Row { table: "ids" },
        },
        other => LedgerError::Scratch(other.to_string()),
    }
}
