//! Verdicts on hauled objects that no digest has vouched for.
//!
//! In: rows of the inventory whose verdict is pending. Out: for one that a digest names, the comparison (it was
//! hauled again under another ETag); for the others, once `integrity.extra_after` has passed since their haul,
//! `extra` or `undigested`. `Extra` accuses somebody, so it is said only when all trails that write to the place
//! are known by name, each has a chain of digests there that covers the time without a hole, and has ever named
//! that family; everything else is `undigested`, with the cause.

use std::collections::BTreeSet;
use std::sync::Arc;

use trailhaul_core::model::{LogKey, ObjectRef, Verdict};
use trailhaul_core::plan::FoundObject;
use trailhaul_core::verify::{CADENCE, ChainId, ChainKind, Track};

use super::verdicts::Verdicts;
use super::{Ground, Shared, blocking};
use crate::ledger::{ChainRow, Expected, InventoryRow, LedgerError, RowMark};

/// Rows looked at together.
const SCAN: usize = 2_000;

/// How long before its stamp a log file may have been delivered, in seconds: stamps are the end of a window of five
/// minutes, and real ones lie up to six minutes after the delivery.
const EARLIER: i64 = 900;

/// A pending object with what decides about it.
struct Pending {
    object: ObjectRef,
    row: InventoryRow,
    expected: Option<Expected>,
    /// When it was hauled, in Unix seconds.
    hauled: i64,
    chains: Vec<ChainRow>,
}

/// Looks at one page of the inventory; the place where it ended, `None` at the end.
pub(super) async fn sweep(
    shared: &Arc<Shared>,
    after: Option<RowMark>,
) -> Result<Option<RowMark>, LedgerError> {
    let looking = Arc::clone(shared);
    let (pending, next) = blocking(move || gather(&looking, after.as_deref())).await?;
    let mut verdicts = Verdicts::new(shared);
    for pending in pending {
        if let Some(expected) = &pending.expected {
            verdicts.hauled(&pending.object, expected, &pending.row).await?;
            continue;
        }
        let Ok(found) = FoundObject::new(pending.object.clone()) else { continue };
        let Ok(key) = LogKey::parse(&pending.object.key) else { continue };
        let Some(ground) = shared.ground(&pending.object.bucket, key.prefix) else { continue };
        let judged = judge(&ground, &found, pending.hauled, &pending.chains);
        let (verdict, cause) = match judged {
            Ok(()) => (Verdict::Extra, "no digest names it, although one should".to_owned()),
            Err(cause) => (Verdict::Undigested, cause),
        };
        if !shared.told.first(&("verdict", &pending.object.key, &pending.row.etag)) {
            continue;
        }
        if verdict == Verdict::Extra {
            shared.accuse_extra(&ground, &pending.object, &pending.row).await?;
        }
        verdicts.without_digest(&pending.object, verdict, &cause).await?;
    }
    verdicts.post().await?;
    Ok(next)
}

fn gather(shared: &Shared, after: Option<&[u8]>) -> Result<(Vec<Pending>, Option<RowMark>), LedgerError> {
    let ledger = &shared.means.ledger;
    let (rows, next) = ledger.pending(after, SCAN)?;
    let mut pending = Vec::new();
    for (object, row) in rows {
        let expected = ledger.expected(&object)?;
        // A batch that is not remembered was committed longer ago than anything waits.
        let hauled = ledger.batch(row.batch)?.map_or(0, |batch| batch.commit);
        let is_due = hauled.saturating_add(shared.rules.extra_after) <= shared.now();
        if expected.is_none() && !is_due {
            continue;
        }
        let chains = match place_of(&object) {
            Some(place) if expected.is_none() => ledger.chains_of(&place)?,
            _ => Vec::new(),
        };
        pending.push(Pending { object, row, expected, hauled, chains });
    }
    Ok((pending, next))
}

/// A chain of the place in which an object lies.
fn place_of(object: &ObjectRef) -> Option<ChainId> {
    let key = LogKey::parse(&object.key).ok()?;
    Some(ChainId {
        bucket: object.bucket.to_string(),
        prefix: key.prefix.to_owned(),
        organization: key.organization.clone(),
        account: key.account,
        region: key.region.to_owned(),
        trail: String::new(),
        home_region: String::new(),
        kind: ChainKind::Normal,
    })
}

/// Whether the object is extra; otherwise why that cannot be said.
fn judge(ground: &Ground, found: &FoundObject, hauled: i64, chains: &[ChainRow]) -> Result<(), String> {
    let writers =
        ground.writers.as_ref().ok_or("not all trails that write here are known (trails[].writers)")?;
    if let Some(other) = others(chains, writers) {
        return Err(format!("trail {other} writes here too, and is not among trails[].writers"));
    }
    let (from, least) = (found.stamp - EARLIER, found.stamp + CADENCE);
    for writer in writers {
        let mut spoken = false;
        let mut cause = format!("trail {writer} has no digests of this account and region");
        for row in chains.iter().filter(|row| row.id.trail == *writer && row.id.kind == ChainKind::Normal) {
            let Some(track) = Track::from_bytes(&row.state) else { continue };
            let newest = track.newest().unwrap_or(i64::MIN);
            let until = hauled.max(least).min(newest);
            if newest < least {
                cause = format!("no digest of trail {writer} has come for its time");
            } else if !track.lists(found.family) {
                cause = format!("the digests of trail {writer} have never named a {}", found.family.folder());
            } else if !track.speaks_for(&row.id, found.family, from, until) {
                cause = format!("the digests of trail {writer} do not cover its time without a gap");
            } else {
                spoken = true;
            }
        }
        if !spoken {
            return Err(cause);
        }
    }
    Ok(())
}

/// A trail with digests here that the configuration does not name.
fn others<'a>(chains: &'a [ChainRow], writers: &BTreeSet<String>) -> Option<&'a str> {
    chains.iter().map(|row| row.id.trail.as_str()).find(|trail| !writers.contains(*trail))
}
