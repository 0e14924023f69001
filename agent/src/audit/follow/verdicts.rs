//! Verdicts on log files that proven digests name.
//!
//! In: awaited log files, and what the inventory knows of them. Out: `verified` and `mismatch` for what was
//! hauled, from the hash noted then; `missing`, once the grace has passed, for what is not in the bucket; and
//! what is there and nobody has seen is recorded as found and handed to the lanes. Invariant: a verdict is posted
//! before its log file stops being awaited. On failure: what cannot be asked for stays awaited.

use std::collections::BTreeMap;
use std::sync::Arc;

use trailhaul_core::model::{DigestRef, JudgedObject, LogKey, Note, ObjectRef, Verdict, VerdictNote};
use trailhaul_core::plan::{Day, FoundObject, Standing};
use trailhaul_core::verify::{Class, LogHasher, LogOutcome, Sha256};

use super::asking::{Answer, Asking};
use super::versions::{at, noncurrent, original};
use super::{Ground, Shared, blocking};
use crate::ledger::{Awaited, Expected, InventoryRow, LedgerError, RowMark};
use crate::store::{ObjectReader, ObjectVersion, ReadError};
use crate::tail::Found;
use crate::telemetry::Metric;

/// Log files looked at together.
const PAGE: usize = 256;

/// What a look at the awaited log files came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Given to the lanes.
    pub(super) handed: u64,
    /// Still open.
    pub(super) open: u64,
    /// Could not be asked for.
    pub(super) unknown: u64,
    /// Verdicts given.
    pub(super) settled: u64,
}

/// Looks at one page of awaited log files; the place where it ended, `None` at the end of the list.
pub(super) async fn look(
    shared: &Arc<Shared>,
    asking: &mut Asking,
    after: Option<RowMark>,
    looked: &mut Looked,
) -> Result<Option<RowMark>, LedgerError> {
    let ledger = shared.means.ledger.clone();
    let (page, next) = blocking(move || {
        let (awaited, next) = ledger.awaited(after.as_deref(), PAGE)?;
        let mut page = Vec::with_capacity(awaited.len());
        for awaited in awaited {
            let expected = ledger.expected(&awaited.object)?;
            let row = ledger.object(&awaited.object)?;
            let waits = if row.is_none() { ledger.waits(&awaited.object)? } else { None };
            page.push((awaited, expected, row, waits));
        }
        Ok((page, next))
    })
    .await?;
    let mut verdicts = Verdicts::new(shared);
    for (awaited, expected, row, waits) in page {
        match (expected, row) {
            // Expired between two reads.
            (None, _) => verdicts.settled.push(awaited.object),
            (Some(expected), Some(row)) => verdicts.hauled(&awaited.object, &expected, &row).await?,
            (Some(expected), None) => match waits.filter(|waits| !waits.gone) {
                Some(waits) => found(shared, waits.found, looked),
                // Seen and gone before it was hauled is as good as never seen.
                None => unseen(&awaited, &expected, asking, &mut verdicts, looked).await?,
            },
        }
    }
    looked.settled += verdicts.settled.len() as u64;
    verdicts.post().await?;
    Ok(next)
}

/// A log file that was found and is not hauled yet. Where it waited for this very digest, it goes to its lane.
fn found(shared: &Shared, found: FoundObject, looked: &mut Looked) {
    looked.open += 1;
    // A single pass offers all at once.
    if shared.rules.holds && !shared.rules.once && shared.means.lanes.room(found.account) > 0 {
        // Closed means that the process stops; a lane that has it already drops it.
        let _closed = shared.means.lanes.offer(Found { object: found, standing: Standing::Known });
    }
}

/// A log file that nobody has seen: it is handed over, missing, or not known yet.
async fn unseen(
    awaited: &Awaited,
    expected: &Expected,
    asking: &mut Asking,
    verdicts: &mut Verdicts<'_>,
    looked: &mut Looked,
) -> Result<(), LedgerError> {
    let (shared, object) = (verdicts.shared, &awaited.object);
    let key = LogKey::parse(&object.key).ok();
    let ground = key.as_ref().and_then(|key| shared.ground(&object.bucket, key.prefix));
    let (Some(key), Some(ground)) = (key, ground) else {
        looked.open += 1;
        return Ok(());
    };
    match scope(shared, &ground, object, Day::from(key.day)).await? {
        Scope::Outside => {
            verdicts.settled.push(object.clone());
            return Ok(());
        }
        Scope::NotYet => {
            looked.open += 1;
            return Ok(());
        }
        Scope::Listed => {}
    }
    match asking.head(&*ground.store, &ground.url, &object.key).await {
        Answer::There(meta) => {
            let object =
                ObjectRef { etag: meta.etag, version: meta.version, size: meta.size, ..object.clone() };
            hand_over(shared, object, looked).await
        }
        Answer::Gone if awaited.end + shared.rules.grace <= shared.now() => {
            verdicts.missing(&ground, object, expected, looked).await
        }
        Answer::Gone => {
            looked.open += 1;
            Ok(())
        }
        Answer::Unknown(error) => {
            if let Some(error) = error.filter(|_| shared.told.first(&("head", &object.bucket))) {
                tracing::warn!(%object, %error, "cannot ask for a log file that a digest names");
            }
            looked.unknown += 1;
            Ok(())
        }
    }
}

/// Whether the tail has been where a log file lies.
enum Scope {
    /// It lies before the first day that counts.
    Outside,
    /// Not yet: nobody can have seen it.
    NotYet,
    /// It has.
    Listed,
}

async fn scope(
    shared: &Arc<Shared>,
    ground: &Ground,
    object: &ObjectRef,
    day: Day,
) -> Result<Scope, LedgerError> {
    let Some((stream, ..)) = crate::ledger::place_of(object) else { return Ok(Scope::Outside) };
    let ledger = shared.means.ledger.clone();
    let plan = blocking(move || ledger.plan(&stream)).await?;
    Ok(match plan {
        Some(plan) if day < plan.first() => Scope::Outside,
        Some(plan) if plan.listed(day).is_none() => Scope::NotYet,
        // A stream that nobody has listed may be one that listings do not show.
        None if day < ground.from => Scope::Outside,
        Some(_) | None => Scope::Listed,
    })
}

async fn hand_over(shared: &Arc<Shared>, object: ObjectRef, looked: &mut Looked) -> Result<(), LedgerError> {
    let Ok(found) = FoundObject::new(object.clone()) else { return Ok(()) };
    if shared.means.lanes.room(found.account) == 0 {
        looked.open += 1;
        return Ok(());
    }
    if let Some((stream, ..)) = crate::ledger::place_of(&object) {
        let (ledger, recorded) = (shared.means.ledger.clone(), object.clone());
        let new = blocking(move || ledger.record_found(&stream, &[recorded])).await?;
        let key = LogKey::parse(&object.key).ok();
        if let Some(ground) = key.and_then(|key| shared.ground(&object.bucket, key.prefix)) {
            shared.means.metrics.series(Metric::ObjectsFound, &[&ground.name]).add(new);
        }
    }
    tracing::info!(%object, "a digest names a log file that no listing has shown: haul it");
    // Closed means that the process stops: it is recorded, and the next start takes it up.
    let _closed = shared.means.lanes.offer(Found { object: found, standing: Standing::New });
    looked.handed += 1;
    Ok(())
}

/// Verdicts that are to be posted together.
pub(super) struct Verdicts<'a> {
    shared: &'a Arc<Shared>,
    notes: BTreeMap<Group, Vec<JudgedObject>>,
    settled: Vec<ObjectRef>,
    /// Found once, and gone: to be forgotten with their verdict.
    gone: Vec<ObjectRef>,
}

/// Objects with the same verdict for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    lane: trailhaul_core::model::LaneId,
    bucket: String,
    verdict: Verdict,
    digest: Option<(String, String)>,
    cause: String,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared, notes: BTreeMap::new(), settled: Vec::new(), gone: Vec::new() }
    }

    /// Compares an object that was hauled with what its digest says.
    pub(super) async fn hauled(
        &mut self,
        object: &ObjectRef,
        expected: &Expected,
        row: &InventoryRow,
    ) -> Result<(), LedgerError> {
        let outcome = match row.sha256 {
            Some(sha256) if sha256 == expected.sha256 => LogOutcome::Valid,
            Some(_) => LogOutcome::HashMismatch,
            None => read_again(self.shared, object, expected).await,
        };
        if outcome.class() == Class::Unknown {
            return Ok(());
        }
        let object = ObjectRef { etag: row.etag.clone(), ..object.clone() };
        let verdict = if outcome.class() == Class::Good { Verdict::Verified } else { Verdict::Mismatch };
        if verdict == Verdict::Mismatch {
            let older = self.shared.accuse_mismatch(&object, expected, row, outcome).await?;
            if !self.haul_original(&object, expected, &older).await? {
                // Its lane has no room: another time.
                return Ok(());
            }
        }
        if row.verdict != verdict {
            self.note(&object, verdict, Some(expected), &outcome.to_string()).await?;
        }
        self.settled.push(object);
        Ok(())
    }

    /// Hauls what stood there before it was overwritten, if that is what the digest names; whether nothing is left to
    /// do. Once by a process: the present version is known by another ETag then, and hauled again when it is listed.
    async fn haul_original(
        &self,
        object: &ObjectRef,
        expected: &Expected,
        older: &[ObjectVersion],
    ) -> Result<bool, LedgerError> {
        let Some(original) = original(self.shared, object, expected, older).await else { return Ok(true) };
        let key = LogKey::parse(&object.key).ok();
        if key.is_some_and(|key| self.shared.means.lanes.room(key.account) == 0) {
            return Ok(false);
        }
        if self.shared.told.first(&("original", &original.key, &original.version)) {
            hand_over(self.shared, original, &mut Looked::default()).await?;
        }
        Ok(true)
    }

    async fn missing(
        &mut self,
        ground: &Ground,
        object: &ObjectRef,
        expected: &Expected,
        looked: &mut Looked,
    ) -> Result<(), LedgerError> {
        let older = noncurrent(self.shared, ground, &object.key).await;
        self.shared.accuse_missing(ground, object, expected, &older).await?;
        // What was deleted is not lost where versions are kept.
        let original = original(self.shared, object, expected, &older).await;
        // Without it the newest is taken, and what it is worth its hash will say.
        match original.or_else(|| older.first().map(|newest| at(object, newest))) {
            Some(older) => {
                let handed = looked.handed;
                hand_over(self.shared, older, looked).await?;
                if looked.handed == handed {
                    // Its lane has no room: another time.
                    return Ok(());
                }
            }
            None => self.gone.push(object.clone()),
        }
        let cause = "a proven digest names it, and it is not in the bucket";
        self.note(object, Verdict::Missing, Some(expected), cause).await?;
        self.settled.push(object.clone());
        Ok(())
    }

    /// Gives a verdict that rests on no digest.
    pub(super) async fn without_digest(
        &mut self,
        object: &ObjectRef,
        verdict: Verdict,
        cause: &str,
    ) -> Result<(), LedgerError> {
        self.note(object, verdict, None, cause).await
    }

    async fn note(
        &mut self,
        object: &ObjectRef,
        verdict: Verdict,
        expected: Option<&Expected>,
        cause: &str,
    ) -> Result<(), LedgerError> {
        let Ok(key) = LogKey::parse(&object.key) else { return Ok(()) };
        let (bucket, lane) = (object.bucket.to_string(), self.shared.lane(key.account));
        let digest = expected.map(|expected| (expected.chain.bucket.clone(), expected.digest()));
        let group = Group { lane, bucket, verdict, digest, cause: cause.to_owned() };
        self.notes.entry(group).or_default().push(JudgedObject {
            key: object.key.clone(),
            etag: object.etag.clone(),
            version: object.version.clone(),
        });
        Ok(())
    }

    /// Posts what was noted, then takes the log files off the list.
    pub(super) async fn post(self) -> Result<(), LedgerError> {
        let Self { shared, notes, settled, gone } = self;
        let (shared, at) = (Arc::clone(shared), shared.means.clock.now());
        blocking(move || {
            let ledger = &shared.means.ledger;
            for (group, objects) in notes {
                let digest = group.digest.map(|(bucket, key)| digest_ref(ledger, bucket, key)).transpose()?;
                let note = VerdictNote {
                    bucket: group.bucket,
                    verdict: group.verdict,
                    at,
                    digest,
                    cause: group.cause,
                    objects,
                };
                ledger.post(group.lane, &[Note::Verdict(note)])?;
            }
            ledger.forget_found(&gone)?;
            ledger.settle_awaited(&settled)
        })
        .await
    }
}

fn digest_ref(ledger: &crate::ledger::Ledger, bucket: String, key: String) -> Result<DigestRef, LedgerError> {
    let object = ObjectRef {
        bucket: bucket.as_str().into(),
        key: key.clone(),
        etag: String::new(),
        version: None,
        size: 0,
    };
    let sha256 = ledger.object(&object)?.and_then(|row| row.sha256);
    Ok(DigestRef { bucket, key, sha256: sha256.map(hex::encode).unwrap_or_default() })
}

/// The haul could not hash it whole: its container is damaged, or larger than a limit. What it is then is found
/// out by reading it once more.
pub(super) async fn read_again(shared: &Shared, object: &ObjectRef, expected: &Expected) -> LogOutcome {
    let key = LogKey::parse(&object.key).ok();
    let Some(ground) = key.and_then(|key| shared.ground(&object.bucket, key.prefix)) else {
        return LogOutcome::Unreadable;
    };
    let means = &shared.means;
    let mut reader = ObjectReader::new(Arc::clone(&ground.store), object, means.retry, means.stop.clone());
    let mut hasher = LogHasher::new(shared.rules.max_log);
    loop {
        let piece = match reader.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return LogOutcome::of(&hasher.finish(), Sha256(expected.sha256)),
            // It was there when it was hauled, and what it held is in the archive: not what the digest names.
            Err(ReadError::Vanished(_)) => return LogOutcome::HashMismatch,
            Err(ReadError::Denied(_)) => return LogOutcome::AccessDenied,
            Err(ReadError::Archived(_)) => return LogOutcome::Archived,
            Err(_) => return LogOutcome::Unreadable,
        };
        let hashed = means.cpu.run(move || {
            hasher.push(&piece);
            hasher
        });
        hasher = match hashed.await {
            Ok(hasher) => hasher,
            Err(_) => return LogOutcome::Unreadable,
        };
        if hasher.is_over() {
            return LogOutcome::of(&hasher.finish(), Sha256(expected.sha256));
        }
    }
}
