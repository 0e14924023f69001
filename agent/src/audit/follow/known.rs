//! Public keys for the follower: those that are known, and more where CloudTrail may be asked.
//!
//! In: a region and a time. Out: the keys known then. What CloudTrail answers is kept in the ledger, which posts it
//! to the journal: keys are remembered for ever. Failure: why nobody answered; what was known stays known.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use trailhaul_core::model::KeyNote;
use trailhaul_core::verify::{KeyRing, PublicKey};

use super::{Shared, blocking};
use crate::ledger::{Ledger, LedgerError};

/// Adds the keys that the ledger remembers.
///
/// # Errors
/// When the ledger fails.
pub fn remembered_keys(ledger: &Ledger, ring: &mut KeyRing) -> Result<(), LedgerError> {
    for note in ledger.public_keys()? {
        let Ok(der) = STANDARD.decode(&note.public_key) else { continue };
        let (from, until) = (note.from.as_second(), note.until.as_second());
        ring.add(Some(&note.region), [PublicKey::new(&note.fingerprint, der, from, until)]);
    }
    Ok(())
}

/// What is known after asking for the keys of a region at a time (Unix seconds).
pub(super) async fn more_keys(shared: &Shared, region: &str, at: i64) -> Result<Arc<KeyRing>, String> {
    let ring = shared.means.keys.for_range(region, at, at).await.map_err(|error| error.to_string())?;
    let now = shared.means.clock.now();
    let notes: Vec<KeyNote> =
        shared.means.keys.take_fetched().iter().filter_map(|(region, key)| note(region, key, now)).collect();
    if !notes.is_empty() {
        let ledger = shared.means.ledger.clone();
        let kept = blocking(move || ledger.keep_keys(&notes)).await;
        kept.map_err(|error| error.to_string())?;
    }
    Ok(ring)
}

fn note(region: &str, key: &PublicKey, at: Timestamp) -> Option<KeyNote> {
    let (from, until) = key.validity();
    Some(KeyNote {
        region: region.to_owned(),
        fingerprint: key.fingerprint().to_owned(),
        public_key: STANDARD.encode(key.der()),
        from: Timestamp::from_second(from).ok()?,
        until: Timestamp::from_second(until).ok()?,
        at,
    })
}
