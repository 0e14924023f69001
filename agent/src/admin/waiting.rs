//! What an object waits for that was found and is not hauled.
//!
//! In: its row in the ledger, and the chains of digests of its place. Out: since when and until when it waits, and for
//! which digests. Invariant: reading changes nothing. Failure: the ledger's.

use jiff::Timestamp;
use trailhaul_core::model::{LogKey, ObjectRef};
use trailhaul_core::verify::{CADENCE, ChainId, ChainKind, Track};

use super::protocol::{AwaitedDigest, WaitingStatus};
use crate::ledger::{Ledger, LedgerError, Unhauled};

/// Trails that are named: CloudTrail allows five in a region.
const TRAILS: usize = 20;

/// What is known of an object that waits; `hold` is `integrity.max_hold` in seconds, where objects wait for digests.
pub(super) fn status(
    ledger: &Ledger,
    waiting: Unhauled,
    hold: Option<i64>,
) -> Result<WaitingStatus, LedgerError> {
    let Unhauled { found, held, vouched, gone } = waiting;
    let (object, stamp) = (found.object, found.stamp);
    let digest = if vouched { ledger.expected(&object)? } else { None };
    let is_held = hold.is_some() && digest.is_none();
    let since = held.filter(|_| is_held);
    let until = since.zip(hold).map(|(since, longest)| since.saturating_add(longest));
    let awaits = if is_held { awaits(ledger, &object, stamp)? } else { Vec::new() };
    let time = |seconds: i64| Timestamp::from_second(seconds).ok();
    Ok(WaitingStatus {
        bucket: object.bucket.to_string(),
        key: object.key,
        etag: object.etag,
        size: object.size,
        held: is_held,
        held_since: since.and_then(time),
        held_until: until.and_then(time),
        digest: digest.map(|digest| format!("{}/{}", digest.chain.bucket, digest.digest())),
        awaits,
        gone,
    })
}

/// Of each trail that writes digests of this account and region there, the next one that may name the object: a
/// digest names what was delivered in its hour, some minutes after the object's stamp.
fn awaits(ledger: &Ledger, object: &ObjectRef, stamp: i64) -> Result<Vec<AwaitedDigest>, LedgerError> {
    let Ok(key) = LogKey::parse(&object.key) else { return Ok(Vec::new()) };
    let place = ChainId {
        bucket: object.bucket.to_string(),
        prefix: key.prefix.to_owned(),
        organization: key.organization.clone(),
        account: key.account,
        region: key.region.to_owned(),
        trail: String::new(),
        home_region: String::new(),
        kind: ChainKind::Normal,
    };
    let mut awaits = Vec::new();
    for row in ledger.chains_of(&place)?.into_iter().take(TRAILS) {
        let newest = Track::from_bytes(&row.state).and_then(|track| track.newest());
        let Some(newest) = newest.filter(|_| row.id.kind == ChainKind::Normal) else { continue };
        let end = next_end(newest, stamp);
        let Ok(hour_until) = Timestamp::from_second(end) else { continue };
        awaits.push(AwaitedDigest { trail: row.id.trail.clone(), key: row.id.key_at(end), hour_until });
    }
    Ok(awaits)
}

/// The end of the first hour behind the chain's newest that ends after the stamp.
fn next_end(newest: i64, stamp: i64) -> i64 {
    let hours = stamp.saturating_sub(newest).max(0) / CADENCE + 1;
    newest.saturating_add(hours.saturating_mul(CADENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_digest_is_of_the_first_hour_that_may_hold_the_delivery() {
        for (newest, stamp, end) in [
            (1_000, 900, 4_600),
            (1_000, 1_000, 4_600),
            (1_000, 4_599, 4_600),
            (1_000, 4_600, 8_200),
            (1_000, 10_000, 11_800),
        ] {
            assert_eq!(next_end(newest, stamp), end, "newest {newest}, stamp {stamp}");
        }
    }
}
