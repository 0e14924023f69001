//! Where each lane's journal stands, and the one entry that may be prepared.

use redb::{ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};
use trailhaul_core::model::{Entry, LaneId, notes_of};

use super::tables::{LANES, PREPARED};
use super::{Ledger, LedgerError, outbox};

/// The last entry of a lane that is finished and in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// Its number; 0 before the first.
    pub number: u64,
    /// SHA-256 (hex) of its bytes; of the genesis before the first.
    pub hash: String,
    /// The lane's last epoch; 0 before the first.
    pub epoch: u32,
    /// The owner of that epoch; `None` before the first and when released.
    pub owner: Option<String>,
}

impl LaneState {
    /// A lane without entries, in an archive with this genesis.
    pub fn start(genesis_hash: &str) -> Self {
        Self { number: 0, hash: genesis_hash.to_owned(), epoch: 0, owner: None }
    }
}

impl Ledger {
    /// The lane's state; `None` when the ledger knows nothing of the lane.
    pub fn lane(&self, lane: LaneId) -> Result<Option<LaneState>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(LANES)?;
        match table.get(lane.0)? {
            None => Ok(None),
            Some(row) => {
                serde_json::from_slice(row.value()).map(Some).map_err(|_| LedgerError::Row { table: "lanes" })
            }
        }
    }

    /// Every lane that the ledger knows something of, in order.
    pub fn lanes(&self) -> Result<Vec<(LaneId, LaneState)>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(LANES)?;
        let mut lanes = Vec::new();
        for row in table.iter()? {
            let (lane, state) = row?;
            let state = serde_json::from_slice(state.value());
            lanes.push((LaneId(lane.value()), state.map_err(|_| LedgerError::Row { table: "lanes" })?));
        }
        Ok(lanes)
    }

    /// Notes an entry that brought no records (`epoch`, `void`). A prepared entry that it overtakes is dropped.
    pub fn set_lane(&self, lane: LaneId, state: &LaneState) -> Result<(), LedgerError> {
        self.write(|transaction| {
            super::transaction::put_lane(transaction, lane, state)?;
            transaction.open_table(PREPARED)?.remove(lane.0)?;
            Ok(())
        })
    }

    /// Notes where a lane stands while its journal is walked; leaves a prepared entry alone.
    pub fn note_lane(&self, lane: LaneId, state: &LaneState) -> Result<(), LedgerError> {
        self.write(|transaction| super::transaction::put_lane(transaction, lane, state))
    }

    /// Keeps the exact bytes of the entry that is about to be written to the journal.
    pub fn prepare(&self, lane: LaneId, entry: &[u8]) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.open_table(PREPARED)?.insert(lane.0, entry)?;
            Ok(())
        })
    }

    /// The prepared entry's bytes.
    pub fn prepared(&self, lane: LaneId) -> Result<Option<Vec<u8>>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(PREPARED)?;
        Ok(table.get(lane.0)?.map(|row| row.value().to_vec()))
    }

    /// Forgets the prepared entry: it will not be written. Notes that it carried wait in the outbox again.
    pub fn drop_prepared(&self, lane: LaneId) -> Result<(), LedgerError> {
        self.write(|transaction| {
            let dropped = transaction.open_table(PREPARED)?.remove(lane.0)?.map(|row| row.value().to_vec());
            let entry = dropped.and_then(|bytes| Entry::from_bytes(&bytes).ok());
            match entry {
                Some(entry) => outbox::put_back(transaction, lane, notes_of(entry.body)),
                None => Ok(()),
            }
        })
    }
}
