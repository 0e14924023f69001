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

/// A trail with proven digests here that the configuration does not name. One that proves nothing says nothing of a
/// trail: whoever plants a log could plant it too.
fn others<'a>(chains: &'a [ChainRow], writers: &BTreeSet<String>) -> Option<&'a str> {
    let mut unnamed = chains.iter().filter(|row| !writers.contains(&row.id.trail));
    let is_proven =
        |row: &&ChainRow| Track::from_bytes(&row.state).is_some_and(|track| track.newest().is_some());
    unnamed.find(is_proven).map(|row| row.id.trail.as_str())
}

#[cfg(test)]
mod tests {
    use trailhaul_core::verify::{DigestLog, Examined, Link, Place, Previous, Seen, Sha256};

    use super::super::super::source::Outlook;
    use super::super::Listings;
    use super::*;
    use crate::store::MemoryStore;

    /// 2026-05-20T00:00:00Z.
    const T0: i64 = 1_779_235_200;
    const FOLDER: &str = "AWSLogs/111122223333/CloudTrail";

    fn ground(writers: Option<&[&str]>) -> Ground {
        let store = Arc::new(MemoryStore::new("bucket"));
        let writers = writers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Ground {
            name: "trail".to_owned(),
            store,
            url: "memory://bucket".into(),
            bucket: "bucket".to_owned(),
            outlook: Outlook::Live,
            prefix: String::new(),
            carries: crate::tail::Carries::default(),
            families: BTreeSet::new(),
            writers,
            from: trailhaul_core::plan::Day::BEGINNING,
            listings: Arc::new(Listings::default()),
        }
    }

    fn log(family: &str) -> String {
        format!(
            "{FOLDER}{family}/eu-west-1/2026/05/20/111122223333_CloudTrail{family}_eu-west-1_20260520T0400Z_x.json.gz"
        )
    }

    /// A chain of a trail with a digest for each of these hours; those of one run are linked.
    fn chain(trail: &str, hours: &[i64], family: &str) -> ChainRow {
        let object = ObjectRef {
            bucket: "memory://bucket".into(),
            key: log(""),
            etag: String::new(),
            version: None,
            size: 0,
        };
        let id =
            ChainId { trail: trail.into(), home_region: "us-east-1".into(), ..place_of(&object).unwrap() };
        let mut track = Track::default();
        let mut last: Option<Link> = None;
        for hour in hours {
            let (start, end) = (T0 + hour * CADENCE, T0 + (hour + 1) * CADENCE);
            let key = id.key_at(end);
            let previous = last.filter(|last| last.end == start).map(|last| Previous {
                place: last.place.clone(),
                sha256: Some(last.sha256),
                signature: last.signature,
            });
            let link = Link {
                place: Place { bucket: "bucket".into(), key: key.clone() },
                start,
                end,
                sha256: Sha256::of(key.as_bytes()),
                signature: None,
                previous,
            };
            let named: DigestLog = serde_json::from_value(serde_json::json!({
                "s3Bucket": "bucket", "s3Object": log(family), "hashAlgorithm": "SHA-256",
                "hashValue": "00".repeat(32),
            }))
            .unwrap();
            let examined = Examined { fault: None, seen: Seen::Signed(link.clone()), logs: vec![named] };
            track.accept(&key, end, &examined);
            last = Some(link);
        }
        ChainRow { id, look_at: 0, state: track.to_bytes() }
    }

    /// A chain of a single digest that its signature does not prove.
    fn forged(trail: &str) -> ChainRow {
        let genuine = chain(trail, &[3], "");
        let end = T0 + 4 * CADENCE;
        let place = Place { bucket: "bucket".into(), key: genuine.id.key_at(end) };
        let mut track = Track::default();
        let seen = Seen::Unusable { place: place.clone(), end };
        track.accept(&place.key, end, &Examined { fault: None, seen, logs: Vec::new() });
        ChainRow { state: track.to_bytes(), ..genuine }
    }

    /// What it is, who is said to write, their chains, when the object was hauled, and the cause that is told.
    type Case<'a> = (&'a str, Option<&'a [&'a str]>, Vec<ChainRow>, i64, &'a str);

    #[test]
    fn extra_is_said_only_when_every_writer_speaks_for_the_place_and_the_time() {
        let whole: Vec<i64> = (0..8).collect();
        let at_once = T0 + 4 * CADENCE + 600;
        let one = || chain("one", &whole, "");
        let two = || chain("two", &whole, "");
        let cases: [Case<'_>; 11] = [
            ("all is known and covered", Some(&["one"]), vec![one()], at_once, ""),
            ("two trails, both with digests", Some(&["one", "two"]), vec![one(), two()], at_once, ""),
            ("hauled hours later", Some(&["one"]), vec![one()], T0 + 7 * CADENCE, ""),
            ("nobody says who writes here", None, vec![one()], at_once, "not all trails"),
            (
                "one of two has no validation",
                Some(&["one", "two"]),
                vec![one()],
                at_once,
                "two has no digests",
            ),
            ("a forged digest of another trail", Some(&["one"]), vec![one(), forged("two")], at_once, ""),
            ("a trail that is not named", Some(&["one"]), vec![one(), two()], at_once, "two writes here too"),
            (
                "validation was off for an hour",
                Some(&["one"]),
                vec![chain("one", &[0, 1, 2, 4, 5, 6, 7], "")],
                at_once,
                "without a gap",
            ),
            (
                "it was off when the object came late",
                Some(&["one"]),
                vec![chain("one", &[0, 1, 2, 3, 4, 6, 7], "")],
                T0 + 7 * CADENCE,
                "without a gap",
            ),
            (
                "a family that digests do not list",
                Some(&["one"]),
                vec![chain("one", &whole, "-Insight")],
                at_once,
                "never named",
            ),
            (
                "its digests have not come",
                Some(&["one"]),
                vec![chain("one", &[0, 1, 2, 3], "")],
                at_once,
                "has come",
            ),
        ];
        let object = ObjectRef {
            bucket: "memory://bucket".into(),
            key: log(""),
            etag: String::new(),
            version: None,
            size: 0,
        };
        let found = FoundObject::new(object).unwrap();
        for (case, writers, chains, hauled, cause) in cases {
            match judge(&ground(writers), &found, hauled, &chains) {
                Ok(()) => assert_eq!(cause, "", "{case}"),
                Err(told) => assert!(!cause.is_empty() && told.contains(cause), "{case}: {told}"),
            }
        }
    }
}
