//! From digests to what the ledger knows of them.
//!
//! In: digests from the intake. Out: in one transaction for a few of them, each chain's new state, the log files
//! that proven ones name, and the digests as done. A digest that a successor vouches for is read again for the
//! log files that it names; one that cannot be read is tried again after [`AGAIN`] and accuses nobody meanwhile.
//!
//! Bounded: [`AT_ONCE`] readings; [`BATCH`] digests or [`BATCH_LOGS`] log files per transaction; [`DEFERRED`]
//! digests that wait for another try (more of them are found again by the next start).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use trailhaul_core::model::{LogKey, ObjectRef};
use trailhaul_core::verify::{CADENCE, ChainId, DigestKey, Examined, Place, Seen, Track};

use super::intake::DigestIntake;
use super::read::{Outcome, ReadDigest, read};
use super::{Ground, Shared, blocking};
use crate::ledger::{ChainRow, DigestWriter, LedgerError};

/// Digests that are read at once.
const AT_ONCE: usize = 4;
/// Digests that one transaction takes in.
const BATCH: usize = 64;
/// Log files that one transaction takes in, unless one digest alone names more.
const BATCH_LOGS: usize = 2_000;
/// Digests that wait for another try.
const DEFERRED: usize = 4_096;
/// Until another try, in seconds.
const AGAIN: i64 = 300;
/// How long an examined digest may wait for others.
const LINGER: Duration = Duration::from_millis(200);

/// Reads digests and records them.
pub(super) struct Examiner {
    pub(super) shared: Arc<Shared>,
    pub(super) intake: DigestIntake,
    pub(super) receiver: mpsc::Receiver<ObjectRef>,
    deferred: VecDeque<(i64, ObjectRef)>,
    /// Digests that a successor vouches for: to be read for the log files that they name.
    vouched: VecDeque<ObjectRef>,
}

impl Examiner {
    pub(super) fn new(
        shared: Arc<Shared>,
        intake: DigestIntake,
        receiver: mpsc::Receiver<ObjectRef>,
    ) -> Self {
        Self { shared, intake, receiver, deferred: VecDeque::new(), vouched: VecDeque::new() }
    }

    /// Works until `stop` asks for an end. What is not recorded by then is found again by the next start.
    ///
    /// # Errors
    /// When the ledger fails.
    pub(super) async fn run(mut self) -> Result<(), LedgerError> {
        let shared = Arc::clone(&self.shared);
        let mut running = FuturesUnordered::new();
        let mut done: Vec<ReadDigest> = Vec::new();
        loop {
            while running.len() < AT_ONCE {
                let Some(object) = self.next_waiting() else { break };
                if let Some(ground) = self.ground(&object) {
                    running.push(read(&shared, ground, object));
                }
            }
            let has_room = running.len() < AT_ONCE;
            tokio::select! {
                biased;
                () = shared.means.stop.cancelled() => return Ok(()),
                Some(digest) = running.next(), if !running.is_empty() => done.push(digest),
                Some(object) = self.receiver.recv(), if has_room => {
                    if let Some(ground) = self.ground(&object) {
                        running.push(read(&shared, ground, object));
                    }
                }
                () = tokio::time::sleep(LINGER) => {}
            }
            let logs: usize = done.iter().map(log_count).sum();
            let idle = running.is_empty() && self.receiver.is_empty();
            if !done.is_empty() && (idle || done.len() >= BATCH || logs >= BATCH_LOGS) {
                self.record(std::mem::take(&mut done)).await?;
            }
        }
    }

    /// The ground of a digest; one of a bucket that is not followed any more is left.
    fn ground(&self, object: &ObjectRef) -> Option<Arc<Ground>> {
        let key = LogKey::parse(&object.key).ok();
        let ground = key.and_then(|key| {
            let ground = self.shared.ground(&object.bucket, key.prefix)?;
            ground.admits(&key).then_some(ground)
        });
        if ground.is_none() {
            self.intake.ended(object);
        }
        ground
    }

    fn next_waiting(&mut self) -> Option<ObjectRef> {
        if let Some(object) = self.vouched.pop_front() {
            return Some(object);
        }
        let due = self.deferred.front().is_some_and(|(at, _)| *at <= self.shared.now());
        if due { self.deferred.pop_front().map(|(_, object)| object) } else { None }
    }

    async fn record(&mut self, digests: Vec<ReadDigest>) -> Result<(), LedgerError> {
        let (mut ended, mut unread) = (Vec::new(), Vec::new());
        for digest in &digests {
            match &digest.outcome {
                Outcome::Unread(why) => unread.push((digest.object.clone(), why.clone())),
                Outcome::Examined(_) | Outcome::Gone => ended.push(digest.object.clone()),
            }
        }
        let shared = Arc::clone(&self.shared);
        let vouched = blocking(move || {
            let ledger = shared.means.ledger.clone();
            ledger.write_digests(|writer| {
                Recorder { shared: &shared, writer, chains: BTreeMap::new() }.all(digests)
            })
        })
        .await?;
        // In work until they are read again: who waits for all digests waits for these.
        let again: BTreeSet<String> = vouched.iter().map(|object| self.intake.begun(object)).collect();
        self.vouched.extend(vouched);
        let ended = ended.iter().filter(|object| !again.contains(&object.to_string()));
        ended.for_each(|object| self.intake.ended(object));
        for (object, why) in unread {
            self.put_off(object, &why);
        }
        Ok(())
    }

    fn put_off(&mut self, object: ObjectRef, why: &str) {
        if self.shared.told.first(&("unread", &object.key)) {
            tracing::warn!(%object, why, "cannot read a digest; it is tried again");
        }
        // A single pass ends with what it could read.
        self.intake.ended(&object);
        if self.deferred.len() < DEFERRED {
            self.deferred.push_back((self.shared.now() + AGAIN, object));
        }
    }
}

fn log_count(digest: &ReadDigest) -> usize {
    if let Outcome::Examined(examined) = &digest.outcome { examined.logs.len() } else { 0 }
}

/// Records digests within a transaction; each chain is read and written once.
struct Recorder<'a, 'w, 't> {
    shared: &'a Shared,
    writer: &'w mut DigestWriter<'t>,
    chains: BTreeMap<ChainId, Track>,
}

impl Recorder<'_, '_, '_> {
    /// Records all; the digests that are vouched for by now.
    fn all(mut self, digests: Vec<ReadDigest>) -> Result<Vec<ObjectRef>, LedgerError> {
        let mut vouched = Vec::new();
        for digest in digests {
            let Ok(name) = DigestKey::parse(&digest.object.key) else { continue };
            let (id, end) = (name.chain(&digest.ground.url), name.end);
            match &digest.outcome {
                Outcome::Examined(examined) => {
                    vouched.extend(self.examined(&digest, &id, end, examined)?);
                }
                Outcome::Unread(why) => {
                    let place =
                        Place { bucket: digest.ground.bucket.clone(), key: digest.object.key.clone() };
                    self.track(&id)?.accept_unread(place, end, why);
                }
                Outcome::Gone => self.writer.forget(&digest.object)?,
            }
        }
        let settled = self.shared.now() - self.shared.rules.grace - 24 * CADENCE;
        for (id, mut track) in std::mem::take(&mut self.chains) {
            track.settle(settled, self.shared.rules.keep);
            // At once: what a digest brought to light is not left for later.
            self.writer.put_chain(&ChainRow { id, look_at: 0, state: track.to_bytes() })?;
        }
        Ok(vouched)
    }

    fn examined(
        &mut self,
        digest: &ReadDigest,
        id: &ChainId,
        end: i64,
        examined: &Examined,
    ) -> Result<Vec<ObjectRef>, LedgerError> {
        let track = self.track(id)?;
        let followed = track.accept(&digest.object.key, end, examined);
        let trusted = followed.trusted || track.is_vouched(&digest.object.key);
        if trusted {
            track.list(examined);
            let logs = self.logs(&digest.ground, id, examined);
            self.writer.expect(id, end, &logs)?;
        }
        let sha256 = match &examined.seen {
            Seen::Signed(link) | Seen::Unproven(link) | Seen::Vouched(link) => Some(link.sha256.0),
            Seen::Unusable { .. } => None,
        };
        self.writer.done(&digest.object, trusted, sha256)?;
        let again = followed.vouched.iter().map(|place| digest.ground.object(&place.key));
        Ok(again.collect())
    }

    /// The log files that a proven digest names and may speak of.
    fn logs(&self, ground: &Arc<Ground>, id: &ChainId, examined: &Examined) -> Vec<(ObjectRef, [u8; 32])> {
        let claimed = match &examined.seen {
            Seen::Signed(link) | Seen::Unproven(link) | Seen::Vouched(link) => link.place.bucket.as_str(),
            Seen::Unusable { .. } => return Vec::new(),
        };
        let mut logs = Vec::with_capacity(examined.logs.len());
        let mut elsewhere = 0_u64;
        for log in &examined.logs {
            let place = Place { bucket: log.bucket.clone(), key: log.key.clone() };
            let there = self.shared.ground_of_place(ground, claimed, &place);
            let key = LogKey::parse(&log.key).ok();
            match (there, key) {
                (Some(there), Some(key))
                    if key.account == id.account
                        && key.region == id.region
                        && key.family.holds_records()
                        && there.families.contains(&key.family)
                        && there.admits(&key) =>
                {
                    logs.push((there.object(&log.key), log.sha256.0));
                }
                _ => elsewhere += 1,
            }
        }
        if elsewhere > 0 {
            tracing::debug!(chain = %id, elsewhere, "a digest names files that are out of scope");
        }
        logs
    }

    fn track(&mut self, id: &ChainId) -> Result<&mut Track, LedgerError> {
        if !self.chains.contains_key(id) {
            let row = self.writer.chain(id)?;
            let track = row.and_then(|row| Track::from_bytes(&row.state)).unwrap_or_default();
            self.chains.insert(id.clone(), track);
        }
        // Just inserted.
        Ok(self.chains.entry(id.clone()).or_default())
    }
}
