//! The four durable steps of a commit: prepare, journal, finish, ledger.
//!
//! In: a batch whose outputs are complete but invisible. Out: the lane's new state, with the batch visible and
//! remembered. Invariant: nothing becomes visible before its entry is in the journal; what is in the journal is
//! finished before the lane writes anything else. Failure: every error says what the lane must do next
//! ([`CommitError`]); an unknown outcome is never guessed, it is asked again.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use trailhaul_core::model::{
    BatchEntry, BatchId, ENTRY_FORMAT, Entry, EntryBody, EntryError, EpochEntry, LaneId, Output, Place, Role,
    VoidEntry, sha256_hex,
};

use super::Places;
use crate::archive::{Appended, Journal, JournalError};
use crate::ledger::{Finished, Given, IdRows, LaneState, Ledger, LedgerError, NewFinding, Outgoing};
use crate::runtime::Clock;
use crate::store::{ErrorKind, Patience, StoreError};
use crate::telemetry::FindingKind;

/// Why a commit did not end well, by what the lane does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The books of a batch do not balance: nothing was written. The lane stops, the process exits with 70.
    #[error("lane {lane}, batch {batch}: the books do not balance: {what}")]
    Imbalance {
        /// The lane.
        lane: LaneId,
        /// The batch.
        batch: BatchId,
        /// Which equation.
        what: String,
    },
    /// The entry cannot be written as it is; the batch is tried again in smaller pieces.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Another process writes the lane: this one stops touching it.
    #[error("lane {lane} is lost: entry {number} in {place} is another owner's")]
    Lost {
        /// The lane.
        lane: LaneId,
        /// The number of the entry that was refused.
        number: u64,
        /// The journal.
        place: String,
    },
    /// Nothing of the batch stands in the archive, and the journal says so. The sources are planned again.
    #[error("lane {lane}, batch {batch} is void: {reason}")]
    Void {
        /// The lane.
        lane: LaneId,
        /// The batch.
        batch: BatchId,
        /// Why.
        reason: String,
    },
    /// A store could not be reached and the agent is stopping, or patience ended. Recovery goes on from here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger failed: the lane stops, the process exits.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The writing end of one lane's journal.
#[derive(Debug)]
pub struct LaneWriter {
    /// The lane.
    pub lane: LaneId,
    /// The journal.
    pub journal: Journal,
    /// The ledger.
    pub ledger: Ledger,
    /// Where outputs are finished.
    pub places: Arc<Places>,
    /// How calls are repeated: what was begun is asked until it is known.
    pub patience: Patience,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// `dedup.window`, in seconds.
    pub window_seconds: i64,
    /// A folder for files that do not outlive the process.
    pub scratch: PathBuf,
    /// Where the lane stands: its last entry, finished and in the ledger.
    pub state: LaneState,
    /// Whether this process has taken an epoch of the lane.
    pub claimed: bool,
}

impl LaneWriter {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An entry of the lane's journal and its bytes; `None` when the journal ends before it.
    pub async fn read_entry(&self, number: u64) -> Result<Option<(Entry, Vec<u8>)>, CommitError> {
        let read = || async {
            match self.journal.read(self.lane, number).await {
                Ok(entry) => Ok(Ok(entry)),
                // What cannot be read because of the store is asked for again; what makes no sense is not.
                Err(JournalError::Store(error)) => Err(error),
                Err(error) => Ok(Err(error)),
            }
        };
        Ok(self.patience.run(read).await??)
    }

    /// Commits a batch. `rows` gives its ids; returns the segments whose cached shards are stale.
    pub async fn commit(
        &mut self,
        batch: BatchEntry,
        at: Timestamp,
        rows: &mut IdRows<'_>,
    ) -> Result<Vec<Vec<u8>>, CommitError> {
        let id = batch.batch;
        batch.check_books().map_err(|what| CommitError::Imbalance { lane: self.lane, batch: id, what })?;
        let entry = self.next(EntryBody::Batch(Box::new(batch)), at);
        let bytes = Bytes::from(entry.to_bytes()?);
        self.ledger.prepare(self.lane, &bytes)?;
        self.append(&entry, &bytes).await?;
        let EntryBody::Batch(batch) = &entry.body else { return Ok(Vec::new()) };
        self.finish(entry.number, &bytes, at, batch).await?;
        self.note_finished(entry.number, &bytes, at, batch, rows)
    }

    /// Writes notes of the outbox to the journal as the lane's next entry, by the same steps as a batch. What was
    /// prepared for sinks stands in the entry. The verdicts that are new.
    pub async fn commit_notes(&mut self, outgoing: Outgoing, at: Timestamp) -> Result<Given, CommitError> {
        let entry = self.next(outgoing.body.clone(), at);
        let bytes = Bytes::from(entry.to_bytes()?);
        self.ledger.prepare_notes(self.lane, &bytes, &outgoing)?;
        self.append(&entry, &bytes).await?;
        self.finish_notes(&entry, &bytes).await
    }

    /// Finishes the outputs of an entry of notes that is in the journal, and brings the ledger up to it. Repeatable.
    pub async fn finish_notes(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Given, CommitError> {
        if let Some((batch, outputs)) = entry.body.outputs() {
            // Nothing of it is the archive's own data: what is lost is a finding, and the entry stands.
            let _ = self.finish_outputs(batch, outputs).await?;
        }
        self.apply_notes(entry, bytes)
    }

    /// Brings the ledger up to an entry of notes that is in the journal.
    pub fn apply_notes(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Given, CommitError> {
        let state = LaneState { number: entry.number, hash: sha256_hex(bytes), ..self.state.clone() };
        let given = self.ledger.apply_notes(&state, entry, bytes)?;
        self.state = state;
        Ok(given)
    }

    /// Finishes the outputs of a batch entry that is in the journal, from the entry alone. Repeatable. A batch
    /// of which nothing can stand any more is declared void: [`CommitError::Void`].
    pub async fn finish(
        &mut self,
        number: u64,
        bytes: &[u8],
        at: Timestamp,
        batch: &BatchEntry,
    ) -> Result<(), CommitError> {
        if let Err(reason) = self.finish_outputs(batch.batch, &batch.outputs).await? {
            self.state.number = number;
            self.state.hash = sha256_hex(bytes);
            return Err(self.void(number, batch.batch, reason, at).await);
        }
        Ok(())
    }

    /// Brings the ledger up to a batch entry that is finished.
    pub fn note_finished(
        &mut self,
        number: u64,
        bytes: &[u8],
        at: Timestamp,
        batch: &BatchEntry,
        rows: &mut IdRows<'_>,
    ) -> Result<Vec<Vec<u8>>, CommitError> {
        let state = LaneState { number, hash: sha256_hex(bytes), ..self.state.clone() };
        let finished = Finished {
            lane: self.lane,
            state: state.clone(),
            batch: batch.batch,
            commit: at.as_second(),
            objects: &batch.objects,
        };
        let recut = self.ledger.finish(&finished, rows)?;
        self.state = state;
        Ok(recut)
    }

    /// Takes the next epoch of the lane for this agent.
    pub async fn claim(&mut self, host: &str) -> Result<u32, CommitError> {
        let agent = self.ledger.agent().to_owned();
        let entry = EpochEntry {
            epoch: self.state.epoch + 1,
            forced: self.state.owner.as_ref().is_some_and(|owner| *owner != agent),
            owner: Some(agent),
            host: host.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let epoch = entry.epoch;
        let now = self.now();
        self.take_epoch(entry, now).await?;
        self.claimed = true;
        Ok(epoch)
    }

    /// Takes a new epoch, or (with no owner) releases the lane.
    pub async fn take_epoch(&mut self, epoch: EpochEntry, at: Timestamp) -> Result<(), CommitError> {
        let state = LaneState { epoch: epoch.epoch, owner: epoch.owner.clone(), ..self.state.clone() };
        let entry = self.next(EntryBody::Epoch(epoch), at);
        let bytes = Bytes::from(entry.to_bytes()?);
        // Prepared like any entry: after a crash the very same bytes are found in the journal, or not.
        self.ledger.prepare(self.lane, &bytes)?;
        self.append(&entry, &bytes).await?;
        self.state = LaneState { number: entry.number, hash: sha256_hex(&bytes), ..state };
        self.ledger.set_lane(self.lane, &self.state)?;
        Ok(())
    }

    /// Creates an entry in the journal; asks again for as long as the outcome is unknown.
    pub async fn append(&self, entry: &Entry, bytes: &Bytes) -> Result<(), CommitError> {
        let appended = self.patience.run(|| self.journal.append(self.lane, entry.number, bytes)).await?;
        match appended {
            Appended::Committed => Ok(()),
            Appended::Lost => {
                self.ledger.drop_prepared(self.lane)?;
                Err(CommitError::Lost {
                    lane: self.lane,
                    number: entry.number,
                    place: self.journal.store().url().to_owned(),
                })
            }
        }
    }

    fn next(&self, body: EntryBody, at: Timestamp) -> Entry {
        Entry {
            format: ENTRY_FORMAT,
            lane: self.lane,
            number: self.state.number + 1,
            previous: self.state.hash.clone(),
            at,
            body,
            signature: None,
        }
    }

    /// Completes the outputs in the order of their roles: quarantine and index, the data, the other sinks.
    /// The inner error says why the batch is void.
    async fn finish_outputs(
        &self,
        batch: BatchId,
        all: &[Output],
    ) -> Result<Result<(), String>, CommitError> {
        let mut outputs: Vec<&Output> = all.iter().collect();
        outputs.sort_by_key(|output| output.role);
        for output in &outputs {
            if self.complete(batch, output).await? {
                continue;
            }
            let Place::Upload { key, store, .. } = &output.place else { continue };
            let what = format!("the upload of {store}/{key} is gone, and nothing stands there");
            if output.role == Role::Sink {
                // The archive has the batch: it stays committed, and a person must know of the gap.
                let text = format!(
                    "{what}: sink {} lacks batch {batch}; the archive and its journal have what was meant for it",
                    output.sink
                );
                let place = format!("{store}/{key}");
                let finding = NewFinding::new(FindingKind::OutputLost.name(), &place, &text);
                self.ledger.find(&finding.lane(self.lane), self.now())?;
                continue;
            }
            self.abort_outputs(all).await;
            return Ok(Err(what));
        }
        Ok(Ok(()))
    }

    /// Completes one output; `false` when its upload is gone and nothing of it stands under its key.
    async fn complete(&self, batch: BatchId, output: &Output) -> Result<bool, CommitError> {
        let Place::Upload { store, key, upload, parts } = &output.place else { return Ok(true) };
        let place = self.patience.run(|| self.places.get(store)).await.map_err(|error| {
            tracing::error!(sink = output.sink, %batch, %error, "cannot finish an output");
            error
        })?;
        let completed = self.patience.run(|| place.complete_upload(key, upload, parts)).await;
        match completed {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::NoSuchUpload | ErrorKind::AlreadyExists) => {
                Ok(self.patience.run(|| place.holds(key, parts)).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops every upload of an entry that is void or will not be committed.
    pub async fn abort_outputs(&self, outputs: &[Output]) {
        for output in outputs {
            let Place::Upload { store, key, upload, .. } = &output.place else { continue };
            if let Ok(place) = self.places.get(store).await
                && let Err(error) = place.abort_upload(key, upload).await
            {
                tracing::debug!(%error, "leave an upload for recovery to drop");
            }
        }
    }

    /// Writes the entry that says that the one before it came to nothing.
    async fn void(&mut self, entry: u64, batch: BatchId, reason: String, at: Timestamp) -> CommitError {
        let body = EntryBody::Void(VoidEntry { entry, batch, reason: reason.clone() });
        let void = self.next(body, at);
        let written = async {
            let bytes = Bytes::from(void.to_bytes()?);
            self.append(&void, &bytes).await?;
            let state = LaneState { number: void.number, hash: sha256_hex(&bytes), ..self.state.clone() };
            self.ledger.set_lane(self.lane, &state)?;
            let subject = batch.to_string();
            let finding = NewFinding::new(FindingKind::VoidBatch.name(), &subject, &reason);
            self.ledger.find(&finding.lane(self.lane), at)?;
            Ok::<_, CommitError>(state)
        };
        match written.await {
            Ok(state) => {
                self.state = state;
                CommitError::Void { lane: self.lane, batch, reason }
            }
            Err(error) => error,
        }
    }
}
