//! The tables, and how their keys and values look in bytes. Keys are big-endian, so that byte order is the
//! order of lanes, segments, days and names.

use redb::TableDefinition;

use super::LedgerError;

/// The schema version that this program writes.
pub(super) const SCHEMA: u64 = 1;

/// Name to value: `schema`, `lanes`.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Name to text: `archive`, the id of the home archive.
pub(super) const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("texts");
/// Lane to its [`super::LaneState`] as JSON.
pub(super) const LANES: TableDefinition<u16, &[u8]> = TableDefinition::new("lanes");
/// Lane to the exact bytes of the entry that is prepared and perhaps not yet in the journal.
pub(super) const PREPARED: TableDefinition<u16, &[u8]> = TableDefinition::new("prepared");
/// Bucket, NUL, prefix to the stream's number.
pub(super) const STREAMS: TableDefinition<&str, u32> = TableDefinition::new("streams");
/// Stream number (4), day (4), file name to an [`super::InventoryRow`].
pub(super) const INVENTORY: TableDefinition<&[u8], &[u8]> = TableDefinition::new("inventory");
/// The same key to an object that was found and is not done, as JSON.
pub(super) const FOUND: TableDefinition<&[u8], &[u8]> = TableDefinition::new("found");
/// Bucket, NUL, prefix to the stream's place in its history, as JSON.
pub(super) const PLANS: TableDefinition<&str, &[u8]> = TableDefinition::new("plans");
/// Lane (2), segment to bits (1), ids (8), last commit in Unix seconds (8).
pub(super) const SEGMENTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("segments");
/// Lane (2), segment, shard (2), epoch (4), batch (4), row (2) to commit time (8) and packed ids.
pub(super) const IDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("ids");
/// Account to its [`super::AccountTotals`] as JSON.
pub(super) const ACCOUNTS: TableDefinition<u64, &[u8]> = TableDefinition::new("accounts");
/// Kind, NUL, subject to a [`super::Finding`] as JSON.
pub(super) const FINDINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("findings");

/// Lane (2), number (8) to a [`trailhaul_core::model::Note`] as JSON that is to go into the lane's journal.
pub(super) const OUTBOX: TableDefinition<&[u8], &[u8]> = TableDefinition::new("outbox");
/// The key of [`INVENTORY`] to what was said of an object that once had a bad verdict, as JSON.
pub(super) const VERDICTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("verdicts");
/// Region, NUL, fingerprint to a [`trailhaul_core::model::KeyNote`] as JSON.
pub(super) const KEYS: TableDefinition<&str, &[u8]> = TableDefinition::new("keys");
/// Chain (bucket, prefix, organization, account, region, trail, home region and kind, NUL between them) to the
/// time of its next review (8) and its state as JSON.
pub(super) const CHAINS: TableDefinition<&str, &[u8]> = TableDefinition::new("chains");
/// Chain to its number.
pub(super) const CHAIN_NUMBERS: TableDefinition<&str, u32> = TableDefinition::new("chain_numbers");
/// The number of a chain to its name.
pub(super) const CHAIN_NAMES: TableDefinition<u32, &str> = TableDefinition::new("chain_names");
/// An inventory key to what a proven digest says of that log file: SHA-256 (32), chain number (4), end of the
/// digest's hour (8).
pub(super) const EXPECTED: TableDefinition<&[u8], &[u8]> = TableDefinition::new("expected");
/// The same key to the end of the digest's hour (8), while the verdict is open.
pub(super) const AWAITED: TableDefinition<&[u8], &[u8]> = TableDefinition::new("awaited");
/// Lane (2), epoch (4), batch (4) to commit time (8) and the number of the batch's entry (8).
pub(super) const BATCHES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("batches");

/// Takes the first `N` bytes off a row.
pub(super) fn take<const N: usize>(row: &mut &[u8], table: &'static str) -> Result<[u8; N], LedgerError> {
    let (head, rest) = row.split_first_chunk::<N>().ok_or(LedgerError::Row { table })?;
    *row = rest;
    Ok(*head)
}

/// The least byte string that is greater than every string starting with `prefix`; `None` when there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
