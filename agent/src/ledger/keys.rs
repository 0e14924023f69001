//! CloudTrail's public keys, as `cloudtrail:ListPublicKeys` gave them: kept for ever, because digests of years ago
//! are validated with the keys of those years.
//!
//! In: keys that were fetched. Out: every key ever fetched. Invariant: a key that is known is never replaced.
//! Bounded: CloudTrail has a few keys per region and year; beyond [`MAX_KEYS`] none is taken.

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
use trailhaul_core::model::{KeyNote, LaneId, Note};

use super::tables::KEYS;
use super::{Ledger, LedgerError, outbox};

/// The most keys (about 50 MB): some hundred regions, a key a month, for fifty years.
const MAX_KEYS: u64 = 60_000;

/// Keys belong to no account: lane 0 has them.
const LANE: LaneId = LaneId(0);

impl Ledger {
    /// Every public key that was ever fetched, by region and fingerprint.
    pub fn public_keys(&self) -> Result<Vec<KeyNote>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(KEYS)?;
        let mut keys = Vec::new();
        for row in table.iter()? {
            let (_, value) = row?;
            let key = serde_json::from_slice(value.value());
            keys.push(key.map_err(|_| LedgerError::Row { table: "keys" })?);
        }
        Ok(keys)
    }

    /// Keeps keys that were fetched, and posts those that are new to the journal. Returns how many are new.
    pub fn keep_keys(&self, keys: &[KeyNote]) -> Result<usize, LedgerError> {
        let known = self.public_keys()?;
        let is_known = |key: &KeyNote| {
            known.iter().any(|old| old.region == key.region && old.fingerprint == key.fingerprint)
        };
        let fresh: Vec<KeyNote> = keys.iter().filter(|key| !is_known(key)).cloned().collect();
        if fresh.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            for key in &fresh {
                put(transaction, key)?;
            }
            outbox::put(transaction, LANE, fresh.iter().cloned().map(Note::Key))
        })?;
        self.ears.tell(|listener| listener.posted(LANE));
        Ok(fresh.len())
    }
}

/// Adds a key within a transaction, unless it is known.
pub(super) fn put(transaction: &redb::WriteTransaction, key: &KeyNote) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(KEYS)?;
    let name = format!("{}\0{}", key.region, key.fingerprint);
    if table.get(name.as_str())?.is_some() || table.len()? >= MAX_KEYS {
        return Ok(());
    }
    let bytes = serde_json::to_vec(key).map_err(|_| LedgerError::Row { table: "keys" })?;
    table.insert(name.as_str(), bytes.as_slice())?;
    Ok(())
}
