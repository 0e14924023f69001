//! What a run has done, for people and as JSON.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use trailhaul_core::model::LaneId;

use super::counters::Counts;
use super::recover::Recovered;
use crate::ledger::{AccountTotals, FindingCounts, Held};

/// How a run ended, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Everything that was there is in the archive.
    Well,
    /// There is a finding about integrity.
    Finding,
    /// Something could not be reached or read, so that something may be missing.
    Unreachable,
    /// The agent is in doubt about its own work.
    Doubt,
}

/// What waits for digests in `integrity.mode: hold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldSummary {
    /// How many objects, and since when.
    pub held: Held,
    /// Whether there are more than were counted.
    pub more: bool,
    /// `integrity.max_hold`.
    pub longest: Duration,
}

impl HeldSummary {
    /// Until when the oldest and the newest wait at most; `None` where nothing waits.
    pub fn until(&self) -> Option<(Timestamp, Timestamp)> {
        let longest = i64::try_from(self.longest.as_secs()).unwrap_or(i64::MAX);
        let until = |since: i64| Timestamp::from_second(since.saturating_add(longest)).ok();
        self.held.oldest.and_then(until).zip(self.held.newest.and_then(until))
    }

    fn to_json(self) -> Value {
        let time = |seconds: i64| Timestamp::from_second(seconds).ok().map(|time| time.to_string());
        let until = self.until();
        json!({
            "objects": self.held.objects,
            "more": self.more,
            "since": self.held.oldest.and_then(time),
            "until_first": until.map(|(first, _)| first.to_string()),
            "until_last": until.map(|(_, last)| last.to_string()),
        })
    }
}

impl fmt::Display for HeldSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, objects) = (if self.more { "at least " } else { "" }, self.held.objects);
        write!(f, "{least}{objects} objects wait for their digests, and nothing of them is delivered yet")?;
        if let Some((first, last)) = self.until() {
            write!(
                f,
                "; without one the first is hauled at {first}, the last at {last} (integrity.max_hold)"
            )?;
        }
        Ok(())
    }
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How it ended.
    pub ended: Ended,
    /// What was done.
    pub counts: Counts,
    /// What recovery did at the start.
    pub recovered: Recovered,
    /// How long it took.
    pub took: Duration,
    /// What is left behind or in the way, one line each.
    pub troubles: Vec<String>,
    /// Lanes that stayed out.
    pub out: Vec<(LaneId, String)>,
    /// What waits for digests; `None` where nothing has to.
    pub held: Option<HeldSummary>,
    /// Findings on record, new and old.
    pub findings: FindingCounts,
}

impl Summary {
    /// The summary as JSON.
    pub fn to_json(&self) -> Value {
        let counts = &self.counts;
        let account = |totals: &AccountTotals| serde_json::to_value(totals).unwrap_or(Value::Null);
        let accounts: serde_json::Map<String, Value> =
            counts.accounts.iter().map(|(id, totals)| (id.to_string(), account(totals))).collect();
        json!({
            "ended": format!("{:?}", self.ended).to_lowercase(),
            "seconds": self.took.as_secs_f64(),
            "total": account(&counts.total()),
            "accounts": accounts,
            "batches": counts.batches,
            "delivered": counts.delivered,
            "written_bytes": counts.written,
            "objects_repeated": counts.repeated,
            "objects_rewritten": counts.rewritten,
            "objects_deferred": counts.deferred,
            "objects_held": self.held.map_or(0, |held| held.held.objects),
            "held": self.held.map(HeldSummary::to_json),
            "objects_expired": counts.expired,
            "objects_mismatched": counts.mismatched,
            "failed_attempts": counts.failed_attempts,
            "findings": self.findings.open,
            "findings_acknowledged": self.findings.acknowledged,
            "recovered": {
                "written": self.recovered.written,
                "dropped": self.recovered.dropped,
                "finished": self.recovered.finished,
                "noted": self.recovered.noted,
                "voided": self.recovered.voided,
            },
            "troubles": self.troubles,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let total = counts.total();
        let written: u64 = counts.written.values().sum();
        writeln!(
            f,
            "hauled {} objects in {} batches, {:.1} s",
            total.objects,
            counts.batches,
            self.took.as_secs_f64()
        )?;
        writeln!(
            f,
            "  records in   {:>12}   = {} unique + {} duplicates + {} quarantined",
            total.records, total.unique, total.duplicates, total.quarantined
        )?;
        writeln!(f, "  conflicts    {:>12}   (same id, other content: all delivered)", total.conflicts)?;
        writeln!(f, "  bytes in     {:>12}   stored, {} inflated", total.stored, total.inflated)?;
        writeln!(f, "  bytes out    {written:>12}")?;
        for (sink, delivered) in &counts.delivered {
            writeln!(f, "  sink {sink:<8}{delivered:>12}   records delivered")?;
        }
        if counts.repeated + counts.rewritten + counts.deferred > 0 {
            writeln!(
                f,
                "  objects      {:>12}   done before, {} rewritten, {} deferred",
                counts.repeated, counts.rewritten, counts.deferred
            )?;
        }
        let held = self.held.map_or(0, |held| held.held.objects);
        if held + counts.expired + counts.mismatched > 0 {
            writeln!(
                f,
                "  digests      {held:>12}   objects wait for theirs, {} hauled without, {} refused: other content",
                counts.expired, counts.mismatched
            )?;
        }
        if !counts.accounts.is_empty() {
            writeln!(
                f,
                "\n  {:<14}{:>9}{:>12}{:>12}{:>12}{:>11}{:>13}",
                "account", "objects", "records", "unique", "duplicates", "conflicts", "quarantined"
            )?;
            for (account, totals) in &counts.accounts {
                writeln!(
                    f,
                    "  {account}  {:>9}{:>12}{:>12}{:>12}{:>11}{:>13}",
                    totals.objects,
                    totals.records,
                    totals.unique,
                    totals.duplicates,
                    totals.conflicts,
                    totals.quarantined
                )?;
            }
        }
        if let Some(waiting) = self.held.filter(|_| held > 0) {
            writeln!(f, "\n{waiting}")?;
        }
        if self.findings.open > 0 {
            writeln!(f, "\n{} open findings: see `trailhaul status`", self.findings.open)?;
        }
        for (lane, reason) in &self.out {
            writeln!(f, "lane {lane} stayed out: {reason}")?;
        }
        for trouble in &self.troubles {
            writeln!(f, "trouble: {trouble}")?;
        }
        Ok(())
    }
}
