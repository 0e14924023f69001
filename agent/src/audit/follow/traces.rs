//! What of the archive came from an object, and which other objects hold the same events.
//!
//! In: an object's row in the inventory. Out: the archive object and the records in it that are its own, from the
//! batch's entry in the journal; and other objects with the same events, earlier ones for which its records were
//! dropped and later ones whose records were dropped for them, with their verdicts: one that is verified vouches
//! for the events. Read only when somebody is accused.
//!
//! Bounded: [`AHEAD`] entries are looked through, [`MAX_VOUCHERS`] objects named; that it was cut is said. On
//! failure: what cannot be read is left out, and said.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use trailhaul_core::model::{BatchEntry, BatchId, Dropped, EntryBody, ObjectRef, Place, Role, Verdict};

use super::{Shared, blocking};
use crate::ledger::{InventoryRow, LedgerError};

/// Journal entries behind the object's own that are looked through.
const AHEAD: u64 = 256;
/// Objects that are named as holding the same events.
const MAX_VOUCHERS: usize = 20;
/// Ranges named per object.
const MAX_RANGES: usize = 20;

/// Where an object's records went, and who else has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// Archive object, first record and number of records.
    archive: Vec<(String, u64, u64)>,
    vouchers: Vec<Voucher>,
    /// Not everything could be looked at.
    cut: bool,
}

/// An object that holds some of the same events.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Voucher {
    object: String,
    verdict: Verdict,
    /// Records of the accused object, first and last.
    records: Vec<(u32, u32)>,
}

/// Traces an object's records.
pub(super) async fn trace(
    shared: &Arc<Shared>,
    object: &ObjectRef,
    row: &InventoryRow,
) -> Result<Trace, LedgerError> {
    let mut trace = Trace::default();
    let (ledger, batch) = (shared.means.ledger.clone(), row.batch);
    let Some(place) = blocking(move || ledger.batch(batch)).await? else { return Ok(Trace::cut()) };
    let Some(Some(body)) = entry(shared, row.batch.lane, place.entry).await else { return Ok(Trace::cut()) };
    if let Some(entry) = body.objects.get(row.object as usize)
        && entry.object.key == object.key
    {
        for output in body.outputs.iter().filter(|output| output.role == Role::Data && entry.unique > 0) {
            if let Place::Upload { store, key, .. } = &output.place {
                trace.archive.push((format!("{store}/{key}"), entry.first, entry.unique));
            }
        }
    }
    let mut vouchers = Vec::new();
    let own = body.objects.get(row.object as usize).filter(|entry| entry.object.key == object.key);
    if let Some(own) = own {
        winners(shared, &own.dropped, &mut vouchers).await?;
    }
    note_vouchers(&body, row, &mut vouchers);
    for number in place.entry + 1..=place.entry + AHEAD {
        match entry(shared, row.batch.lane, number).await {
            Some(Some(later)) => note_vouchers(&later, row, &mut vouchers),
            Some(None) => {}
            None => break,
        }
        trace.cut = number == place.entry + AHEAD || vouchers.len() >= MAX_VOUCHERS;
        if trace.cut {
            break;
        }
    }
    let ledger = shared.means.ledger.clone();
    trace.vouchers = blocking(move || {
        let mut named = Vec::new();
        for (object, records) in vouchers.into_iter().take(MAX_VOUCHERS) {
            let verdict = ledger.object(&object)?.map_or(Verdict::Pending, |row| row.verdict);
            named.push(Voucher { object: object.to_string(), verdict, records });
        }
        Ok(named)
    })
    .await?;
    Ok(trace)
}

/// The batch of a journal entry; `None` inside for another kind, outside for none or an unreadable one.
async fn entry(
    shared: &Shared,
    lane: trailhaul_core::model::LaneId,
    number: u64,
) -> Option<Option<BatchEntry>> {
    match shared.means.journal.read(lane, number).await {
        Ok(Some((entry, _))) => match entry.body {
            EntryBody::Batch(batch) => Some(Some(*batch)),
            _ => Some(None),
        },
        Ok(None) | Err(_) => None,
    }
}

/// The objects for whose records some of the accused one's were dropped: they have the same events.
async fn winners(
    shared: &Arc<Shared>,
    dropped: &[Dropped],
    vouchers: &mut Vec<(ObjectRef, Vec<(u32, u32)>)>,
) -> Result<(), LedgerError> {
    let mut by: BTreeMap<(BatchId, u32), Vec<(u32, u32)>> = BTreeMap::new();
    for run in dropped {
        let ranges = by.entry((run.batch, run.object)).or_default();
        if ranges.len() < MAX_RANGES {
            ranges.push((run.from, run.to));
        }
    }
    for ((batch, object), records) in by.into_iter().take(MAX_VOUCHERS) {
        let ledger = shared.means.ledger.clone();
        let Some(place) = blocking(move || ledger.batch(batch)).await? else { continue };
        let Some(Some(body)) = entry(shared, batch.lane, place.entry).await else { continue };
        if let Some(winner) = body.objects.get(object as usize) {
            vouchers.push((winner.object.clone(), records));
        }
    }
    Ok(())
}

/// The objects of a batch that dropped records for those of the accused one.
fn note_vouchers(batch: &BatchEntry, row: &InventoryRow, vouchers: &mut Vec<(ObjectRef, Vec<(u32, u32)>)>) {
    for entry in &batch.objects {
        let same = entry.dropped.iter().filter(|d| d.batch == row.batch && d.object == row.object);
        let records: Vec<_> = same.map(|d| (d.record, d.record + (d.to - d.from))).take(MAX_RANGES).collect();
        if !records.is_empty() {
            vouchers.push((entry.object.clone(), records));
        }
    }
}

impl Trace {
    fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    /// Adds what was found to a finding's details.
    pub(super) fn details(&self, details: &mut Map<String, Value>) {
        let archive = self
            .archive
            .iter()
            .map(|(object, first, count)| json!({"object": object, "first_record": first, "records": count}));
        let vouchers = self.vouchers.iter().map(|voucher| {
            json!({"object": voucher.object, "verdict": voucher.verdict, "records": voucher.records})
        });
        details.insert("archive".to_owned(), archive.collect());
        details.insert("same_events_in".to_owned(), vouchers.collect());
        if self.cut {
            details.insert("same_events_in_cut".to_owned(), json!(true));
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.archive.is_empty() {
            f.write_str("None of its records is in the archive under its name")?;
        }
        for (object, first, count) in &self.archive {
            let last = first + count.saturating_sub(1);
            write!(f, "Its records are {first} to {last} of {object}")?;
        }
        for voucher in &self.vouchers {
            let verdict = serde_json::to_value(voucher.verdict).unwrap_or(Value::Null);
            let verdict = verdict.as_str().unwrap_or_default();
            write!(f, "; {} ({verdict}) holds some of the same events", voucher.object)?;
        }
        Ok(())
    }
}
