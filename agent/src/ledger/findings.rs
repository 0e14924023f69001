//! Findings: what a person must look at. One row per kind and subject, so that a finding that recurs counts up
//! instead of piling up.

use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};

use super::tables::FINDINGS;
use super::{Ledger, LedgerError};

/// The most findings kept (about 50 MB); the one after them is kept as `overflow`, with a count.
const MAX_FINDINGS: u64 = 100_000;

/// Something that a person must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind, such as `foreign_account`; a closed list in `telemetry`.
    pub kind: String,
    /// What it is about: an object, a prefix, a lane.
    pub subject: String,
    /// What happened and what to do.
    pub text: String,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often it was seen.
    pub count: u64,
}

impl Ledger {
    /// Records a finding; `true` when it is a new one.
    pub fn find(&self, kind: &str, subject: &str, text: &str, now: Timestamp) -> Result<bool, LedgerError> {
        let damaged = || LedgerError::Row { table: "findings" };
        self.write(|transaction| {
            let mut table = transaction.open_table(FINDINGS)?;
            let subject: String = subject.chars().take(1_500).collect();
            let mut key = format!("{kind}\0{subject}");
            let mut finding = Finding {
                kind: kind.to_owned(),
                subject,
                text: text.chars().take(2_000).collect(),
                first: now,
                last: now,
                count: 0,
            };
            if table.get(key.as_str())?.is_none() && table.len()? >= MAX_FINDINGS {
                "overflow".clone_into(&mut finding.kind);
                finding.subject.clear();
                key = "overflow\0".to_owned();
            }
            let old = table.get(key.as_str())?.map(|row| row.value().to_vec());
            let new = old.is_none();
            if let Some(bytes) = old {
                let old: Finding = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
                finding.first = old.first;
                finding.count = old.count;
            }
            finding.count += 1;
            let bytes = serde_json::to_vec(&finding).map_err(|_| damaged())?;
            table.insert(key.as_str(), bytes.as_slice())?;
            Ok(new)
        })
    }

    /// At most `limit` findings, by kind and subject.
    pub fn findings(&self, limit: usize) -> Result<Vec<Finding>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(FINDINGS)?;
        let mut findings = Vec::new();
        for row in table.iter()?.take(limit) {
            let (_, value) = row?;
            let finding = serde_json::from_slice(value.value());
            findings.push(finding.map_err(|_| LedgerError::Row { table: "findings" })?);
        }
        Ok(findings)
    }

    /// How many findings there are.
    pub fn finding_count(&self) -> Result<u64, LedgerError> {
        let read = self.db.begin_read()?;
        Ok(read.open_table(FINDINGS)?.len()?)
    }
}
