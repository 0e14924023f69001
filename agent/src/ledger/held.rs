//! Found objects that wait for a digest (`integrity.mode: hold`), and since when.
//!
//! In: objects and the time. Out: the moment from which an object waits. Invariant: that moment survives a restart, and
//! is set once for each content. Failure: none of its own. One timestamp in the object's row.

use redb::{ReadableDatabase, ReadableTable};
use trailhaul_core::model::ObjectRef;

use super::inventory::{decode_found, key_of, known_key};
use super::tables::FOUND;
use super::{Ledger, LedgerError};

impl Ledger {
    /// Since when a found object waits (Unix seconds); `None` when it does not, or is not among the found.
    pub fn held_since(&self, object: &ObjectRef) -> Result<Option<i64>, LedgerError> {
        let read = self.db.begin_read()?;
        let Some(key) = known_key(&read, object)? else { return Ok(None) };
        let table = read.open_table(FOUND)?;
        let row = table.get(key.as_slice())?.map(|row| decode_found(row.value())).transpose()?;
        Ok(row.and_then(|row| row.held))
    }

    /// These found objects wait from now on, as far as they do not yet.
    pub fn hold(&self, objects: &[ObjectRef], now: i64) -> Result<(), LedgerError> {
        if objects.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            for object in objects {
                let Some(key) = key_of(transaction, object)? else { continue };
                let mut table = transaction.open_table(FOUND)?;
                let row = table.get(key.as_slice())?.map(|row| decode_found(row.value())).transpose()?;
                let Some(mut row) = row.filter(|row| row.held.is_none()) else { continue };
                row.held = Some(now);
                let bytes = serde_json::to_vec(&row).map_err(|_| LedgerError::Row { table: "found" })?;
                table.insert(key.as_slice(), bytes.as_slice())?;
            }
            Ok(())
        })
    }
}
