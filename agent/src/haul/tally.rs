//! What becomes of one source object: its counts, its hash, its dropped records, its lines in the quarantine.

use std::sync::Arc;

use super::compare::Mismatch;
use base64::Engine;
use serde_json::json;
use trailhaul_core::decode::{Damage, DamageReason, Outcome};
use trailhaul_core::dedup::Decision;
use trailhaul_core::model::{
    AccountId, BatchId, Dropped, LogKey, MAX_RANGES, ObjectEntry, ObjectRef, Verdict,
};
use trailhaul_core::normalize::AccountInfo;

/// The counts of one object of the running batch.
#[derive(Debug)]
pub struct Tally {
    /// The account of the object's key.
    pub account: AccountId,
    /// The object's stamp, in Unix seconds.
    pub stamp: i64,
    /// The object's day folder, in days since the Unix epoch.
    pub day: i32,
    /// The region of the object's folder.
    pub region: String,
    /// What is known of the account.
    pub info: Option<Arc<AccountInfo>>,
    /// The object's line in the journal. Its verdict is what was known when the batch was made: normalized
    /// events carry it.
    pub entry: ObjectEntry,
}

impl Tally {
    /// An object that is about to be read.
    pub fn new(object: ObjectRef) -> Self {
        let key = LogKey::parse(&object.key).ok();
        let zero = jiff::civil::date(1970, 1, 1);
        let day = key.as_ref().map_or(0, |key| key.day.duration_since(zero).as_hours() / 24);
        Self {
            // Objects are planned by their parsed keys: one that does not parse never gets here.
            account: key.as_ref().map(|key| key.account).unwrap_or_default(),
            stamp: key.as_ref().map_or(0, |key| key.stamp.unix_seconds()),
            day: i32::try_from(day).unwrap_or(0),
            region: key.as_ref().map_or_else(String::new, |key| key.region.to_owned()),
            info: None,
            entry: ObjectEntry {
                object,
                sha256: None,
                inflated: 0,
                verdict: Verdict::Pending,
                records: 0,
                unique: 0,
                duplicates: 0,
                quarantined: 0,
                first: 0,
                conflicting: 0,
                conflicts: Vec::new(),
                dropped: Vec::new(),
                rewritten: false,
                ranges_cut: false,
            },
        }
    }

    /// Notes the decision about a record. `unique` counts the batch's unique records.
    pub fn note(&mut self, record: u32, decision: &Decision, unique: &mut u64) {
        let entry = &mut self.entry;
        entry.records += 1;
        match decision {
            Decision::Unique { conflict } => {
                if entry.unique == 0 {
                    entry.first = *unique;
                }
                entry.unique += 1;
                *unique += 1;
                if *conflict {
                    note_conflict(entry, record);
                }
            }
            Decision::Duplicate { winner } => {
                entry.duplicates += 1;
                note_dropped(entry, record, winner.batch, winner.object, winner.record);
            }
        }
    }

    /// Notes the end of the object, and writes a line per damage.
    pub fn conclude(&mut self, outcome: &Outcome, quarantine: &mut Vec<u8>) {
        let entry = &mut self.entry;
        // Of a container that is not whole, or goes on behind its end, the hash says too little.
        let odd =
            |damage: &Damage| matches!(damage.reason, DamageReason::TrailingData | DamageReason::Checksum);
        let sound = !outcome.damages.iter().any(odd);
        entry.sha256 = outcome.inflated_sha256.filter(|_| sound).map(hex::encode);
        entry.inflated = outcome.inflated_size;
        let damaged = u64::from(outcome.damaged_records());
        entry.quarantined += damaged;
        entry.records += damaged;
        for damage in &outcome.damages {
            let text = std::str::from_utf8(&damage.sample).ok();
            let line = json!({
                "bucket": entry.object.bucket,
                "key": entry.object.key,
                "etag": entry.object.etag,
                "version": entry.object.version,
                "reason": damage.reason.label(),
                "records": damage.records,
                "first_record": damage.first,
                "bytes": [damage.bytes.start, damage.bytes.end],
                "sample": text,
                "sample_base64": text.is_none().then(|| {
                    base64::engine::general_purpose::STANDARD.encode(&damage.sample)
                }),
            });
            quarantine.extend_from_slice(line.to_string().as_bytes());
            quarantine.push(b'\n');
        }
    }

    /// Notes that the object is not what its digest says, and writes a line about it.
    pub fn mismatch(&mut self, mismatch: &Mismatch, quarantine: &mut Vec<u8>) {
        let entry = &mut self.entry;
        let (found, expected) = (mismatch.content.sha256.to_string(), mismatch.expected.to_string());
        let line = json!({
            "bucket": entry.object.bucket,
            "key": entry.object.key,
            "etag": entry.object.etag,
            "version": entry.object.version,
            "reason": "digest_mismatch",
            "expected_sha256": expected,
            "sha256": found,
            "records": 1,
        });
        quarantine.extend_from_slice(line.to_string().as_bytes());
        quarantine.push(b'\n');
        entry.sha256 = Some(found);
        entry.inflated = mismatch.content.inflated;
        entry.verdict = Verdict::Mismatch;
        (entry.records, entry.quarantined) = (1, 1);
    }

    /// Writes a line about a record that a sink cannot take.
    pub fn refuse(&self, record: u32, reason: &str, lines: &mut Vec<u8>) {
        let object = &self.entry.object;
        let line = json!({
            "bucket": object.bucket,
            "key": object.key,
            "etag": object.etag,
            "version": object.version,
            "record": record,
            "reason": reason,
        });
        lines.extend_from_slice(line.to_string().as_bytes());
        lines.push(b'\n');
    }

    /// About how many bytes the object takes in the journal entry.
    pub fn entry_bytes(&self) -> usize {
        const FIXED: usize = 420;
        const RANGE: usize = 100;
        let object = &self.entry.object;
        FIXED
            + object.key.len()
            + object.bucket.len()
            + object.etag.len()
            + RANGE * self.entry.dropped.len()
            + 24 * self.entry.conflicts.len()
    }
}

fn note_conflict(entry: &mut ObjectEntry, record: u32) {
    entry.conflicting += 1;
    if let Some((_, to)) = entry.conflicts.last_mut()
        && *to + 1 == record
    {
        *to = record;
        return;
    }
    if entry.conflicts.len() >= MAX_RANGES {
        entry.ranges_cut = true;
        return;
    }
    entry.conflicts.push((record, record));
}

fn note_dropped(entry: &mut ObjectEntry, record: u32, batch: BatchId, object: u32, winner: u32) {
    if let Some(run) = entry.dropped.last_mut()
        && run.batch == batch
        && run.object == object
        && run.to + 1 == record
        && run.record + (record - run.from) == winner
    {
        run.to = record;
        return;
    }
    if entry.dropped.len() >= MAX_RANGES {
        entry.ranges_cut = true;
        return;
    }
    entry.dropped.push(Dropped { from: record, to: record, batch, object, record: winner });
}
