//! What this process has done so far: the source of the summary, of metrics and of progress.
//!
//! Bounded: one row per account seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use trailhaul_core::model::{AccountId, BatchEntry, LogKey, Verdict};

use super::meters::Meters;
use crate::ledger::{AccountTotals, Given};
use crate::store::ReadError;

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    counts: Mutex<Counts>,
    meters: Arc<Meters>,
}

/// A copy of the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Committed, per account.
    pub accounts: BTreeMap<AccountId, AccountTotals>,
    /// Batches committed.
    pub batches: u64,
    /// Bytes written, per sink (`home` is index and quarantine).
    pub written: BTreeMap<String, u64>,
    /// Records delivered, per sink.
    pub delivered: BTreeMap<String, u64>,
    /// Objects found that were done already.
    pub repeated: u64,
    /// Objects set aside because they could not be read.
    pub deferred: u64,
    /// Objects written again with the same content.
    pub rewritten: u64,
    /// Attempts at a batch that came to nothing.
    pub failed_attempts: u64,
    /// Objects hauled without a digest because their longest wait was over.
    pub expired: u64,
    /// Objects that are not what their digests say: nothing of them was delivered.
    pub mismatched: u64,
    /// Open findings about integrity that were seen.
    pub findings: u64,
}

impl Counts {
    /// The sum over the accounts.
    pub fn total(&self) -> AccountTotals {
        let mut total = AccountTotals::default();
        self.accounts.values().for_each(|account| total.add(account));
        total
    }
}

impl Counters {
    /// Nothing was counted yet; what is will be counted in these meters too.
    pub fn new(meters: Arc<Meters>) -> Self {
        Self { counts: Mutex::default(), meters }
    }

    /// The counts as of now.
    pub fn counts(&self) -> Counts {
        self.with(|counts| counts.clone())
    }

    /// A batch was committed.
    pub fn committed(&self, batch: &BatchEntry, at: Timestamp) {
        self.meters.committed(batch);
        self.with(|counts| {
            counts.batches += 1;
            for output in &batch.outputs {
                *counts.written.entry(output.sink.clone()).or_default() += output.size;
            }
            for (sink, books) in &batch.books.sinks {
                *counts.delivered.entry(sink.clone()).or_default() += books.delivered;
            }
            for object in &batch.objects {
                counts.rewritten += u64::from(object.rewritten);
                counts.mismatched += u64::from(object.verdict == Verdict::Mismatch);
                let Ok(key) = LogKey::parse(&object.object.key) else { continue };
                counts.accounts.entry(key.account).or_default().add(&AccountTotals::of(
                    object,
                    &key,
                    at.as_second(),
                ));
            }
        });
    }

    /// Objects were found that are done already.
    pub fn repeated_objects(&self, count: u64) {
        self.with(|counts| counts.repeated += count);
    }

    /// An object was set aside.
    pub fn deferred_object(&self, error: &ReadError) {
        self.meters.deferred(error);
        self.with(|counts| counts.deferred += 1);
    }

    /// Objects are hauled because their longest wait is over.
    pub fn expired_objects(&self, count: u64) {
        self.with(|counts| counts.expired += count);
    }

    /// Attempts at a batch failed.
    pub fn failed_attempts(&self, count: u64) {
        self.with(|counts| counts.failed_attempts += count);
    }

    /// Verdicts were given that are new to their objects.
    pub fn judged(&self, given: &Given) {
        given.iter().for_each(|(verdict, count)| self.meters.judged(*verdict, *count));
    }

    /// An attempt came to nothing, whatever the reason.
    pub fn voided_attempt(&self) {
        self.meters.voided();
    }

    /// A finding was recorded for the first time, or is open again.
    pub fn finding(&self, kind: &str) {
        self.meters.finding(kind);
    }

    /// Open findings about integrity were seen.
    pub fn new_findings(&self, count: u64) {
        self.with(|counts| counts.findings += count);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
