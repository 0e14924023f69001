//! Running totals per account, for `status` and for the summary of a run.

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use trailhaul_core::model::{AccountId, LogKey, ObjectEntry};

use super::tables::ACCOUNTS;
use super::{Ledger, LedgerError};

/// What was committed for an account since the ledger began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTotals {
    /// Source objects.
    pub objects: u64,
    /// Records in.
    pub records: u64,
    /// New records.
    pub unique: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Conflicts (part of `unique`).
    pub conflicts: u64,
    /// Quarantined.
    pub quarantined: u64,
    /// Stored bytes read.
    pub stored: u64,
    /// Inflated bytes read.
    pub inflated: u64,
    /// The newest object stamp, in Unix seconds.
    pub newest_stamp: i64,
    /// The last commit, in Unix seconds.
    pub last_commit: i64,
}

impl AccountTotals {
    /// The totals that one committed object brings.
    pub fn of(object: &ObjectEntry, key: &LogKey<'_>, commit: i64) -> Self {
        Self {
            objects: 1,
            records: object.records,
            unique: object.unique,
            duplicates: object.duplicates,
            conflicts: object.conflicting,
            quarantined: object.quarantined,
            stored: object.object.size,
            inflated: object.inflated,
            newest_stamp: key.stamp.unix_seconds(),
            last_commit: commit,
        }
    }

    /// Adds the counts of another; takes the later of the times.
    pub fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.records += other.records;
        self.unique += other.unique;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.quarantined += other.quarantined;
        self.stored += other.stored;
        self.inflated += other.inflated;
        self.newest_stamp = self.newest_stamp.max(other.newest_stamp);
        self.last_commit = self.last_commit.max(other.last_commit);
    }
}

/// Adds to an account's totals within a transaction.
pub(super) fn add(
    transaction: &WriteTransaction,
    account: AccountId,
    more: &AccountTotals,
) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(ACCOUNTS)?;
    let mut totals = match table.get(account.as_u64())? {
        None => AccountTotals::default(),
        Some(row) => {
            serde_json::from_slice(row.value()).map_err(|_| LedgerError::Row { table: "accounts" })?
        }
    };
    totals.add(more);
    let bytes = serde_json::to_vec(&totals).map_err(|_| LedgerError::Row { table: "accounts" })?;
    table.insert(account.as_u64(), bytes.as_slice())?;
    Ok(())
}

impl Ledger {
    /// The totals of every account, in order.
    pub fn accounts(&self) -> Result<Vec<(AccountId, AccountTotals)>, LedgerError> {
        let damaged = || LedgerError::Row { table: "accounts" };
        let read = self.db.begin_read()?;
        let table = read.open_table(ACCOUNTS)?;
        let mut accounts = Vec::new();
        for row in table.iter()? {
            let (account, totals) = row?;
            let account = AccountId::from_u64(account.value()).map_err(|_| damaged())?;
            accounts.push((account, serde_json::from_slice(totals.value()).map_err(|_| damaged())?));
        }
        Ok(accounts)
    }
}
