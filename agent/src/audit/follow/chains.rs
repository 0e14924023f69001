//! Reviews of the chains: what is missing, what proves nothing, and trails that moved.
//!
//! In: chains in the ledger whose time has come. Out: findings. An hour is called missing only when the folder of
//! its day was listed whole after the grace, asking for the very key gave nothing, and no digest of the chain came
//! while it was asked; what is there after all goes to the examiner. Bounded: [`PAGE`] chains at a time.

use std::sync::Arc;

use trailhaul_core::model::{LogKey, ObjectRef, StreamKey};
use trailhaul_core::plan::Day;
use trailhaul_core::verify::{ChainId, DigestKey, Problem, ProblemKind, Review, Track, TrackRules};

use super::intake::DigestIntake;
use super::{Ground, Shared, blocking, silence};
use crate::ledger::{ChainRow, LedgerError};

/// Chains reviewed together.
const PAGE: usize = 100;

/// What is not known of a problem yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Certain,
    NotYet,
}

/// Reviews one page of chains; the place where it ended, `None` at the end. With `all`, also those whose time has
/// not come.
pub(super) async fn review(
    shared: &Arc<Shared>,
    intake: &DigestIntake,
    after: Option<String>,
    all: bool,
) -> Result<Option<String>, LedgerError> {
    let ledger = shared.means.ledger.clone();
    let (rows, next) = blocking(move || ledger.chains(after.as_deref(), PAGE)).await?;
    let now = shared.now();
    for row in rows.into_iter().filter(|row| all || row.look_at <= now) {
        review_one(shared, intake, row).await?;
    }
    Ok(next)
}

/// Tells chains in other buckets or folders that their trail went on here.
pub(super) async fn follow_moves(shared: &Arc<Shared>) -> Result<(), LedgerError> {
    let mut after = None;
    loop {
        let (ledger, from) = (shared.means.ledger.clone(), after);
        let (rows, next) = blocking(move || ledger.chains(from.as_deref(), PAGE)).await?;
        for row in rows {
            if let Some(track) = Track::from_bytes(&row.state) {
                tell_origins(shared, &row.id, &track).await?;
            }
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

async fn review_one(shared: &Arc<Shared>, intake: &DigestIntake, row: ChainRow) -> Result<(), LedgerError> {
    let Some(track) = Track::from_bytes(&row.state) else { return Ok(()) };
    let Some(ground) = shared.ground(&row.id.bucket, &row.id.prefix) else { return Ok(()) };
    tell_origins(shared, &row.id, &track).await?;
    let (ledger, stream) = (shared.means.ledger.clone(), stream_of(&row.id, &row.id.key_at(0)));
    let plan = match stream {
        Some(stream) => blocking(move || ledger.plan(&stream)).await?,
        None => None,
    };
    let first = plan.map_or(ground.from, |plan| plan.first());
    let rules = TrackRules {
        from: (first > Day::BEGINNING).then(|| first.begin()),
        now: shared.now(),
        grace: shared.rules.grace,
        keep: shared.rules.keep,
    };
    let Review { problems, mut look_at, newest } = track.review(&row.id, &rules);
    let mut certain = Vec::new();
    for problem in problems {
        match standing(shared, intake, &ground, &row.id, &problem).await? {
            Standing::Certain => certain.push(problem),
            Standing::NotYet => look_at = look_at.min(rules.now + 30),
        }
    }
    let accused = silence::weigh(shared, &ground, &row.id, newest, certain).await;
    if accused.excused {
        look_at = look_at.min(rules.now + silence::AGAIN.as_secs().cast_signed());
    }
    // Whatever had been found when it was asked whether the intake is idle is in the chain's state by now: had it
    // been anything of this chain, the state would be another, and the problems with it.
    let (ledger, id) = (shared.means.ledger.clone(), row.id.clone());
    let now = blocking(move || ledger.chain(&id)).await?;
    if now.is_none_or(|now| now.state != row.state) {
        return Ok(());
    }
    for problem in accused.problems {
        if shared.told.first(&("chain", problem.kind, &row.id, &problem.place.key)) {
            shared.accuse_chain(&row.id, &problem).await?;
        }
    }
    let ledger = shared.means.ledger.clone();
    blocking(move || {
        ledger.write_digests(|writer| {
            // A digest that came meanwhile asks for another review.
            match writer.chain(&row.id)? {
                Some(now) if now.state == row.state && now.look_at != look_at => {
                    writer.put_chain(&ChainRow { look_at, ..row })
                }
                _ => Ok(()),
            }
        })
    })
    .await
}

/// Whether a problem can be told yet.
async fn standing(
    shared: &Arc<Shared>,
    intake: &DigestIntake,
    ground: &Ground,
    id: &ChainId,
    problem: &Problem,
) -> Result<Standing, LedgerError> {
    if !matches!(problem.kind, ProblemKind::Missing | ProblemKind::Stopped) {
        return Ok(Standing::Certain);
    }
    // The hours before: a digest of theirs may lie in a folder that was not listed yet.
    let prefix = stream_of(id, &problem.place.key).map_or_else(String::new, |stream| stream.prefix);
    let listed = |end: i64| {
        let at = ground.listings.listed(&prefix, Day::of(end));
        at.is_some_and(|at| at >= end.saturating_add(shared.rules.grace))
    };
    let walked = || shared.grounds().iter().all(|ground| ground.listings.is_walked());
    if !listed(problem.from) || !listed(problem.to) || !intake.is_idle() || !walked() {
        return Ok(Standing::NotYet);
    }
    if problem.kind == ProblemKind::Stopped {
        return Ok(Standing::Certain);
    }
    is_gone(shared, intake, ground, id, &problem.place.key).await
}

/// Asks for a digest that should be there; one that is there is taken up.
async fn is_gone(
    shared: &Arc<Shared>,
    intake: &DigestIntake,
    ground: &Ground,
    id: &ChainId,
    key: &str,
) -> Result<Standing, LedgerError> {
    let object = ground.object(key);
    let (ledger, asked) = (shared.means.ledger.clone(), object.clone());
    if blocking(move || ledger.is_found(&asked)).await? {
        return Ok(Standing::NotYet);
    }
    let head = shared.means.retry.run(&shared.means.stop, || ground.store.head(&object.key)).await;
    match head {
        Ok(None) => Ok(Standing::Certain),
        Ok(Some(meta)) => {
            let object = ObjectRef { etag: meta.etag, version: meta.version, size: meta.size, ..object };
            if let Some((stream, ..)) = crate::ledger::place_of(&object) {
                let (ledger, object) = (shared.means.ledger.clone(), object.clone());
                blocking(move || ledger.record_found(&stream, &[object])).await?;
            }
            intake.put(object).await;
            Ok(Standing::NotYet)
        }
        Err(gave_up) => {
            if shared.told.first(&("head", &*ground.url)) {
                tracing::warn!(chain = %id, error = %gave_up.error, "cannot ask for a digest");
            }
            Ok(Standing::NotYet)
        }
    }
}

/// The stream of a chain's digest.
fn stream_of(id: &ChainId, key: &str) -> Option<StreamKey> {
    let bucket = id.bucket.as_str().into();
    let object = ObjectRef { bucket, key: key.to_owned(), etag: String::new(), version: None, size: 0 };
    crate::ledger::place_of(&object).map(|(stream, ..)| stream)
}

/// Tells the chains from which this one came that their trail went on here.
async fn tell_origins(shared: &Arc<Shared>, id: &ChainId, track: &Track) -> Result<(), LedgerError> {
    for (at, stated) in track.arrivals() {
        let Ok(name) = DigestKey::parse(&stated.place.key) else { continue };
        let Ok(key) = LogKey::parse(&stated.place.key) else { continue };
        let grounds = shared.grounds();
        // A member's bucket may not speak of chains in another's: only what both are pinned for counts.
        let origin = grounds.iter().find(|ground| {
            ground.bucket == stated.place.bucket
                && ground.prefix == key.prefix
                && name.place.account == id.account
        });
        let Some(origin) = origin else { continue };
        let from = name.chain(&origin.url);
        if from == *id {
            continue;
        }
        let ledger = shared.means.ledger.clone();
        blocking(move || {
            ledger.write_digests(|writer| {
                let Some(row) = writer.chain(&from)? else { return Ok(()) };
                let Some(mut track) = Track::from_bytes(&row.state) else { return Ok(()) };
                track.moved_on(at, &stated);
                let state = track.to_bytes();
                if state == row.state {
                    Ok(())
                } else {
                    writer.put_chain(&ChainRow { look_at: 0, state, ..row })
                }
            })
        })
        .await?;
    }
    Ok(())
}

/// Digests that could not be read or judged, over all chains.
pub(super) fn unread(ledger: &crate::ledger::Ledger) -> Result<u64, LedgerError> {
    let (mut after, mut count) = (None, 0);
    loop {
        let (rows, next) = ledger.chains(after.as_deref(), PAGE)?;
        for row in rows {
            count += Track::from_bytes(&row.state).map_or(0, |track| track.unread().count() as u64);
        }
        if next.is_none() {
            return Ok(count);
        }
        after = next;
    }
}
