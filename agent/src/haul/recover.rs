//! Recovery: from whatever a crash left to a lane that stands right after its last journal entry.
//!
//! In: the journal, the ledger's prepared entry, unfinished uploads. Out: every entry finished, the ledger
//! level with the journal, everything else of ours dropped. Invariant: no bytes are ever made again; what was
//! prepared is written as it stands or not at all. Failure: the lane does not start, and the error names what
//! is in the way.

use bytes::Bytes;
use trailhaul_core::model::{Entry, EntryBody, LaneId, Place, sha256_hex};

use super::commit::{CommitError, LaneWriter};
use super::index_file as index;
use crate::archive::Layout;
use crate::ledger::LaneState;
use crate::store::{ErrorKind, ObjectStore, StoreError};

/// Why a lane does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Somebody else owns it.
    #[error(
        "lane {lane} is owned by agent {owner} on host {host}: stop that agent, or start this one with --take-lanes"
    )]
    Owned {
        /// The lane.
        lane: LaneId,
        /// The owner's id.
        owner: String,
        /// Its host.
        host: String,
    },
    /// The ledger remembers an entry that the journal does not hold.
    #[error(
        "lane {lane}: the ledger is ahead of the journal in {place} (entry {number} is missing or another): \
         somebody changed the journal or the archive was exchanged; put the archive back, or use a new state folder with `start`"
    )]
    Ahead {
        /// The lane.
        lane: LaneId,
        /// The entry.
        number: u64,
        /// The journal's store.
        place: String,
    },
    /// An output of a committed batch cannot be finished where its entry says.
    #[error(
        "batch {batch} is committed, but its output for sink {sink} cannot be finished in {place}: {source}"
    )]
    Unfinished {
        /// The batch.
        batch: trailhaul_core::model::BatchId,
        /// The sink.
        sink: String,
        /// Where it stands.
        place: String,
        /// The cause.
        source: StoreError,
    },
    /// A step of a commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What recovery did, for logs and for tests that count the rows of the crash table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Prepared entries that were written to the journal.
    pub written: u64,
    /// Prepared entries that were dropped.
    pub dropped: u64,
    /// Journal entries that were finished.
    pub finished: u64,
    /// Journal entries that were only noted in the ledger.
    pub noted: u64,
    /// Batches found void.
    pub voided: u64,
    /// Uploads that were dropped.
    pub aborted: u64,
}

impl Recovered {
    /// Adds another lane's counts.
    pub fn add(&mut self, other: Self) {
        self.written += other.written;
        self.dropped += other.dropped;
        self.finished += other.finished;
        self.noted += other.noted;
        self.voided += other.voided;
        self.aborted += other.aborted;
    }
}

/// The owner as the lane's last epoch entry names it.
#[derive(Debug, Clone, Default)]
struct Owner {
    host: String,
}

/// Recovers one lane. `take` allows taking it from another owner.
pub async fn recover(writer: &mut LaneWriter, take: bool) -> Result<Recovered, RecoverError> {
    let mut done = Recovered::default();
    check_known(writer).await?;
    drop_lost(writer, &mut done).await?;
    let mut owner = Owner::default();
    let last = catch_up(writer, &mut owner, &mut done).await?;
    check_owner(writer, &owner, take)?;
    settle_prepared(writer, &mut done).await?;
    if let Some((entry, bytes)) = last {
        finish_last(writer, &entry, &bytes, &mut done).await?;
    }
    if done != Recovered::default() {
        tracing::info!(lane = %writer.lane, ?done, "recover lane");
    }
    Ok(done)
}

/// The journal must hold the last entry that the ledger knows.
async fn check_known(writer: &LaneWriter) -> Result<(), RecoverError> {
    let state = &writer.state;
    if state.number == 0 {
        return Ok(());
    }
    let found = read(writer, state.number).await?;
    if found.is_some_and(|(_, bytes)| sha256_hex(&bytes) == state.hash) {
        return Ok(());
    }
    Err(RecoverError::Ahead {
        lane: writer.lane,
        number: state.number,
        place: writer.journal.store().url().to_owned(),
    })
}

/// Walks the journal from where the ledger stands. Returns the last entry when it is a batch: it may be
/// unfinished. All before it are finished, by the rule that the next entry waits for that.
async fn catch_up(
    writer: &mut LaneWriter,
    owner: &mut Owner,
    done: &mut Recovered,
) -> Result<Option<(Entry, Vec<u8>)>, RecoverError> {
    if writer.state.number > 0
        && let Some((entry, _)) = read(writer, writer.state.number).await?
    {
        note_owner(&entry, owner);
    }
    let mut last: Option<(Entry, Vec<u8>)> = None;
    let mut state = writer.state.clone();
    while let Some((entry, bytes)) = read(writer, state.number + 1).await? {
        entry.check_follows(writer.lane, state.number, &state.hash).map_err(CommitError::from)?;
        note_owner(&entry, owner);
        if let Some((before, before_bytes)) = last.take() {
            let void = matches!(&entry.body, EntryBody::Void(void) if void.entry == before.number);
            note(writer, &before, &before_bytes, void, done).await?;
        }
        state.number = entry.number;
        state.hash = sha256_hex(&bytes);
        match &entry.body {
            EntryBody::Epoch(epoch) => {
                state.epoch = epoch.epoch;
                state.owner.clone_from(&epoch.owner);
                writer.state = state.clone();
                set_lane(writer)?;
            }
            EntryBody::Void(_) => {
                writer.state = state.clone();
                set_lane(writer)?;
            }
            body if body.outputs().is_some() || matches!(body, EntryBody::Batch(_)) => {
                last = Some((entry, bytes));
            }
            EntryBody::Batch(_)
            | EntryBody::Verdict(_)
            | EntryBody::Finding(_)
            | EntryBody::Ack(_)
            | EntryBody::Key(_) => {
                writer.apply_notes(&entry, &bytes)?;
                done.noted += 1;
            }
        }
    }
    Ok(last)
}

/// Brings the ledger up to a batch entry that has a successor.
async fn note(
    writer: &mut LaneWriter,
    entry: &Entry,
    bytes: &[u8],
    void: bool,
    done: &mut Recovered,
) -> Result<(), RecoverError> {
    let EntryBody::Batch(batch) = &entry.body else {
        writer.apply_notes(entry, bytes)?;
        done.noted += 1;
        return Ok(());
    };
    if void {
        writer.state.number = entry.number;
        writer.state.hash = sha256_hex(bytes);
        done.voided += 1;
        return Ok(());
    }
    let ids = index::spool(writer, batch, entry.at).await?;
    writer.note_finished(entry.number, bytes, entry.at, batch, &mut |visit| ids.rows(visit))?;
    done.noted += 1;
    Ok(())
}

/// Finishes the last entry of the journal: a batch, or notes that go to sinks too.
async fn finish_last(
    writer: &mut LaneWriter,
    entry: &Entry,
    bytes: &[u8],
    done: &mut Recovered,
) -> Result<(), RecoverError> {
    reach_outputs(writer, entry).await?;
    let EntryBody::Batch(batch) = &entry.body else {
        writer.finish_notes(entry, bytes).await?;
        done.finished += 1;
        return Ok(());
    };
    match writer.finish(entry.number, bytes, entry.at, batch).await {
        Ok(()) => {
            let ids = index::spool(writer, batch, entry.at).await?;
            writer.note_finished(entry.number, bytes, entry.at, batch, &mut |visit| ids.rows(visit))?;
            done.finished += 1;
        }
        Err(CommitError::Void { batch, reason, .. }) => {
            tracing::warn!(lane = %writer.lane, %batch, reason, "plan the sources of a void batch again");
            done.voided += 1;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Every place of an unfinished entry must be within reach, also when its sink has left the configuration.
async fn reach_outputs(writer: &LaneWriter, entry: &Entry) -> Result<(), RecoverError> {
    let Some((batch, outputs)) = entry.body.outputs() else { return Ok(()) };
    for output in outputs {
        let Place::Upload { store, .. } = &output.place else { continue };
        writer.places.get(store).await.map_err(|source| RecoverError::Unfinished {
            batch,
            sink: output.sink.clone(),
            place: store.clone(),
            source,
        })?;
    }
    Ok(())
}

fn check_owner(writer: &LaneWriter, owner: &Owner, take: bool) -> Result<(), RecoverError> {
    match &writer.state.owner {
        Some(id) if id != writer.ledger.agent() && !take => {
            Err(RecoverError::Owned { lane: writer.lane, owner: id.clone(), host: owner.host.clone() })
        }
        _ => Ok(()),
    }
}

/// What was prepared and lost its place in the journal to another owner is dropped.
async fn drop_lost(writer: &mut LaneWriter, done: &mut Recovered) -> Result<(), RecoverError> {
    let Some(bytes) = writer.ledger.prepared(writer.lane).map_err(CommitError::from)? else { return Ok(()) };
    let entry = Entry::from_bytes(&bytes).map_err(CommitError::from)?;
    match read(writer, entry.number).await? {
        Some((_, found)) if found != bytes => drop_prepared(writer, &entry, done).await,
        _ => Ok(()),
    }
}

/// What was prepared is written to the journal if the lane is still ours and the place still free, else dropped.
async fn settle_prepared(writer: &mut LaneWriter, done: &mut Recovered) -> Result<(), RecoverError> {
    let lane = writer.lane;
    let Some(bytes) = writer.ledger.prepared(lane).map_err(CommitError::from)? else { return Ok(()) };
    let entry = Entry::from_bytes(&bytes).map_err(CommitError::from)?;
    if entry.number <= writer.state.number || read(writer, entry.number).await?.is_some() {
        // Ours and in the journal: the walk has it.
        return Ok(());
    }
    let ours = writer.state.owner.as_deref() == Some(writer.ledger.agent());
    let follows = entry.check_follows(lane, writer.state.number, &writer.state.hash).is_ok();
    if !ours || !follows || matches!(entry.body, EntryBody::Epoch(_) | EntryBody::Void(_)) {
        return drop_prepared(writer, &entry, done).await;
    }
    reach_outputs(writer, &entry).await?;
    writer.append(&entry, &Bytes::from(bytes.clone())).await?;
    done.written += 1;
    finish_last(writer, &entry, &bytes, done).await
}

async fn drop_prepared(
    writer: &mut LaneWriter,
    entry: &Entry,
    done: &mut Recovered,
) -> Result<(), RecoverError> {
    if let Some((_, outputs)) = entry.body.outputs() {
        writer.abort_outputs(outputs).await;
    }
    writer.ledger.drop_prepared(writer.lane).map_err(CommitError::from)?;
    done.dropped += 1;
    Ok(())
}

/// Drops the uploads in a store that carry a lane of ours and an epoch up to the lane's, after every entry was
/// finished: nothing names them any more.
pub async fn drop_leftovers(
    store: &dyn ObjectStore,
    prefixes: &[String],
    lanes: &[(LaneId, u32)],
) -> Result<u64, StoreError> {
    /// As many as a crash can leave many times over; the next start goes on.
    const LIMIT: usize = 10_000;
    let mut dropped = 0;
    for prefix in prefixes {
        for upload in store.list_uploads(prefix, LIMIT).await? {
            let Some(batch) = Layout::batch_of(&upload.key) else { continue };
            let ours = lanes.iter().any(|(lane, epoch)| *lane == batch.lane && batch.epoch <= *epoch);
            if ours {
                match store.abort_upload(&upload.key, &upload.upload).await {
                    Ok(()) => dropped += 1,
                    Err(error) if error.kind() == ErrorKind::NoSuchUpload => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(dropped)
}

fn note_owner(entry: &Entry, owner: &mut Owner) {
    if let EntryBody::Epoch(epoch) = &entry.body {
        owner.host.clone_from(&epoch.host);
    }
}

fn set_lane(writer: &LaneWriter) -> Result<(), RecoverError> {
    let state: &LaneState = &writer.state;
    writer.ledger.note_lane(writer.lane, state).map_err(CommitError::from)?;
    Ok(())
}

async fn read(writer: &LaneWriter, number: u64) -> Result<Option<(Entry, Vec<u8>)>, RecoverError> {
    writer.read_entry(number).await.map_err(RecoverError::from)
}
