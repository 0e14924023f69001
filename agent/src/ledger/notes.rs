//! What an entry of notes does to the ledger: verdicts of objects, findings, acknowledgements, keys.
//!
//! In: entries of the journal, in order. Out: rows. Invariant: applying the whole journal to an empty ledger gives
//! what the ledger had; what held already when it was posted is not done twice. Bounded: [`MAX_SAID`] per object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use trailhaul_core::model::{DigestRef, Entry, EntryBody, ObjectRef, Verdict, VerdictNote};

use super::tables::VERDICTS;
use super::{Ledger, LedgerError, findings, inventory, keys};

/// The most verdicts kept per object; the journal has all.
const MAX_SAID: usize = 16;

/// A verdict as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The verdict.
    pub verdict: Verdict,
    /// When it was found out.
    pub at: Timestamp,
    /// The digest that says so.
    pub digest: Option<DigestRef>,
    /// Why.
    pub cause: String,
    /// The number of the entry in the lane's journal.
    pub entry: u64,
}

impl Ledger {
    /// What was said of an object that once had a bad verdict, oldest first; nothing for all others, whose latest
    /// verdict stands in the inventory, with the number of the journal entry that has the rest.
    pub fn verdicts(&self, object: &ObjectRef) -> Result<Vec<Said>, LedgerError> {
        let read = self.db.begin_read()?;
        let Some(key) = inventory::known_key(&read, object)? else { return Ok(Vec::new()) };
        let table = read.open_table(VERDICTS)?;
        let row = table.get(key.as_slice())?;
        row.map_or(Ok(Vec::new()), |row| serde_json::from_slice(row.value()).map_err(|_| DAMAGED))
    }
}

const DAMAGED: LedgerError = LedgerError::Row { table: "verdicts" };

/// How many objects have got which verdict, and did not have it before.
pub type Given = BTreeMap<Verdict, u64>;

/// Applies an entry's notes within a transaction.
pub(super) fn apply(transaction: &WriteTransaction, entry: &Entry) -> Result<Given, LedgerError> {
    let mut given = Given::new();
    match &entry.body {
        EntryBody::Verdict(body) => {
            for note in &body.verdicts {
                *given.entry(note.verdict).or_default() += judge(transaction, note, entry.number)?;
            }
            Ok(())
        }
        EntryBody::Finding(body) => {
            body.findings.iter().try_for_each(|note| findings::restore(transaction, note, entry.lane))
        }
        EntryBody::Ack(body) => {
            body.acks.iter().try_for_each(|note| findings::restore_ack(transaction, note))
        }
        EntryBody::Key(body) => body.keys.iter().try_for_each(|key| keys::put(transaction, key)),
        EntryBody::Epoch(_) | EntryBody::Batch(_) | EntryBody::Void(_) => Ok(()),
    }?;
    Ok(given)
}

/// To how many of the objects the verdict is new.
fn judge(transaction: &WriteTransaction, note: &VerdictNote, entry: u64) -> Result<u64, LedgerError> {
    let mut new = 0;
    let bad = matches!(note.verdict, Verdict::Mismatch | Verdict::Missing | Verdict::Extra);
    for judged in &note.objects {
        let object = ObjectRef {
            bucket: note.bucket.as_str().into(),
            key: judged.key.clone(),
            etag: judged.etag.clone(),
            version: judged.version.clone(),
            size: 0,
        };
        let Some(key) = inventory::key_of(transaction, &object)? else { continue };
        let before = inventory::set_verdict(transaction, &key, &judged.etag, note.verdict, entry)?;
        // What is missing was never hauled, or is remembered by what it was then.
        new += u64::from(before.map_or(note.verdict == Verdict::Missing, |before| before != note.verdict));
        remember(transaction, &key, note, entry, bad)?;
    }
    Ok(new)
}

/// Adds to what was said of an object, where that is kept.
fn remember(
    transaction: &WriteTransaction,
    key: &[u8],
    note: &VerdictNote,
    entry: u64,
    begin: bool,
) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(VERDICTS)?;
    let known = table.get(key)?.map(|row| serde_json::from_slice(row.value())).transpose();
    let known: Option<Vec<Said>> = known.map_err(|_| DAMAGED)?;
    if known.is_none() && !begin {
        return Ok(());
    }
    let mut said = known.unwrap_or_default();
    said.push(Said {
        verdict: note.verdict,
        at: note.at,
        digest: note.digest.clone(),
        cause: note.cause.clone(),
        entry,
    });
    let surplus = said.len().saturating_sub(MAX_SAID);
    said.drain(..surplus);
    let bytes = serde_json::to_vec(&said).map_err(|_| DAMAGED)?;
    table.insert(key, bytes.as_slice())?;
    Ok(())
}
