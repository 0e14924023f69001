//! The last step of a commit: one transaction that brings the ledger up to a finished entry.

use redb::WriteTransaction;
use trailhaul_core::model::{LaneId, LogKey, ObjectEntry};

use super::tables::{LANES, PREPARED};
use super::{
    AccountTotals, BatchRow, InventoryRow, LaneState, Ledger, LedgerError, accounts, digests, ids, inventory,
};

/// A finished batch entry, as the ledger notes it.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The lane.
    pub lane: LaneId,
    /// The lane's state with this entry as its last.
    pub state: LaneState,
    /// The entry's batch.
    pub batch: trailhaul_core::model::BatchId,
    /// When the batch was committed, in Unix seconds.
    pub commit: i64,
    /// Its objects.
    pub objects: &'a [ObjectEntry],
}

/// Takes a segment and a packed row of that segment, sorted by id.
pub type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), LedgerError> + 'a;

/// Where the ids of a batch come from: the batch just made, or its `index/` output.
pub type IdRows<'a> = dyn FnMut(&mut RowVisitor<'_>) -> Result<(), LedgerError> + Send + 'a;

impl Ledger {
    /// Notes a finished batch: its objects, its ids, its account totals and the lane's new state, or nothing.
    /// Returns the segments that were cut anew, whose cached shards are stale.
    pub fn finish(&self, batch: &Finished<'_>, rows: &mut IdRows<'_>) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.write(|transaction| {
            for (index, object) in batch.objects.iter().enumerate() {
                put_object(transaction, batch, u32::try_from(index).unwrap_or(u32::MAX), object)?;
            }
            let mut writer = ids::Writer::new(transaction, batch.lane, batch.batch, batch.commit)?;
            rows(&mut |segment, row| writer.put(segment, row))?;
            let recut = writer.finish()?;
            let row = BatchRow { commit: batch.commit, entry: batch.state.number };
            digests::put_batch(transaction, batch.batch, row)?;
            put_lane(transaction, batch.lane, &batch.state)?;
            transaction.open_table(PREPARED)?.remove(batch.lane.0)?;
            Ok(recut)
        })
    }
}

fn put_object(
    transaction: &WriteTransaction,
    batch: &Finished<'_>,
    index: u32,
    entry: &ObjectEntry,
) -> Result<(), LedgerError> {
    let sha256 = entry.sha256.as_ref().and_then(|hash| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).ok().map(|()| bytes)
    });
    let row = InventoryRow {
        etag: entry.object.etag.clone(),
        sha256,
        verdict: entry.verdict,
        batch: batch.batch,
        object: index,
        said: 0,
    };
    inventory::put(transaction, &entry.object, &row)?;
    let Ok(key) = LogKey::parse(&entry.object.key) else { return Ok(()) };
    accounts::add(transaction, key.account, &AccountTotals::of(entry, &key, batch.commit))
}

pub(super) fn put_lane(
    transaction: &WriteTransaction,
    lane: LaneId,
    state: &LaneState,
) -> Result<(), LedgerError> {
    let bytes = serde_json::to_vec(state).map_err(|_| LedgerError::Row { table: "lanes" })?;
    transaction.open_table(LANES)?.insert(lane.0, bytes.as_slice())?;
    Ok(())
}
