//! The outbox: notes that are to go into a lane's journal, in the order in which they were posted.
//!
//! In: notes from anybody, durably, also as part of another transaction. Out: bodies of journal entries for the
//! lane's task. Invariant: a note stands in exactly one of the outbox, the lane's prepared entry and the journal;
//! what is prepared and not written comes back, before everything posted since. Failure: a row that does not parse
//! is a damaged ledger. Bounded by its sources: verdicts by the inventory, findings and keys by their own tables.

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use trailhaul_core::model::{Entry, EntryBody, LaneId, MAX_NOTES_BYTES, Note, entry_of};

use super::tables::{OUTBOX, PREPARED};
use super::{Given, LaneState, Ledger, LedgerError, notes};

/// The most notes of one entry, and the most rows looked at for it.
const MAX_ROWS: usize = 2_000;

/// Numbers begin here, so that what comes back finds room before the others.
const FIRST: u64 = 1 << 40;

/// Notes of one kind that make the next entry of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The body of the entry.
    pub body: EntryBody,
    /// Whether more waits behind it.
    pub more: bool,
    rows: Vec<Vec<u8>>,
}

impl Ledger {
    /// Posts notes for a lane's journal. They are there when this returns, whatever becomes of the process.
    pub fn post(&self, lane: LaneId, notes: &[Note]) -> Result<(), LedgerError> {
        if notes.is_empty() {
            return Ok(());
        }
        self.write(|transaction| put(transaction, lane, notes.iter().cloned()))?;
        self.ears.tell(|listener| listener.posted(lane));
        Ok(())
    }

    /// The notes that make the lane's next entry: of the kind of the first, in order. Findings and their
    /// acknowledgements keep their order among each other.
    pub fn outgoing(&self, lane: LaneId) -> Result<Option<Outgoing>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(OUTBOX)?;
        let (low, high) = (row_key(lane, 0), row_key(lane, u64::MAX));
        let (mut rows, mut chosen, mut bytes) = (Vec::new(), Vec::new(), 0);
        let (mut kind, mut more) = ("", false);
        for (seen, row) in table.range(low.as_slice()..=high.as_slice())?.enumerate() {
            let (key, value) = row?;
            let note: Note = serde_json::from_slice(value.value()).map_err(|_| DAMAGED)?;
            if kind.is_empty() {
                kind = note.kind();
            }
            if seen >= MAX_ROWS || (note.kind() != kind && is_ordered(kind) && is_ordered(note.kind())) {
                more = true;
                break;
            }
            if note.kind() != kind {
                more = true;
                continue;
            }
            bytes += value.value().len();
            if bytes > MAX_NOTES_BYTES && !rows.is_empty() {
                more = true;
                break;
            }
            rows.push(key.value().to_vec());
            chosen.push(note);
        }
        Ok(entry_of(chosen).map(|body| Outgoing { body, more, rows }))
    }

    /// Keeps the exact bytes of the entry that carries these notes and is about to be written to the journal; from
    /// now on the notes are there and no longer in the outbox.
    pub fn prepare_notes(&self, lane: LaneId, entry: &[u8], outgoing: &Outgoing) -> Result<(), LedgerError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(OUTBOX)?;
            for row in &outgoing.rows {
                table.remove(row.as_slice())?;
            }
            transaction.open_table(PREPARED)?.insert(lane.0, entry)?;
            Ok(())
        })
    }

    /// Brings the ledger up to an entry of notes that is in the journal, with these bytes. The verdicts that are new.
    pub fn apply_notes(&self, state: &LaneState, entry: &Entry, bytes: &[u8]) -> Result<Given, LedgerError> {
        self.write(|transaction| {
            let given = notes::apply(transaction, entry)?;
            super::transaction::put_lane(transaction, entry.lane, state)?;
            let mut prepared = transaction.open_table(PREPARED)?;
            let same = prepared.get(entry.lane.0)?.is_some_and(|row| row.value() == bytes);
            if same {
                prepared.remove(entry.lane.0)?;
            }
            Ok(given)
        })
    }
}

const DAMAGED: LedgerError = LedgerError::Row { table: "outbox" };

/// Whether the order of these kinds among each other means something.
fn is_ordered(kind: &str) -> bool {
    matches!(kind, "finding" | "ack")
}

/// Posts notes within a transaction.
pub(super) fn put(
    transaction: &WriteTransaction,
    lane: LaneId,
    notes: impl IntoIterator<Item = Note>,
) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(OUTBOX)?;
    let (low, high) = (row_key(lane, 0), row_key(lane, u64::MAX));
    let last = table.range(low.as_slice()..=high.as_slice())?.next_back().transpose()?;
    let mut next = last.map_or(FIRST, |(key, _)| number_of(key.value()).saturating_add(1));
    for note in notes.into_iter().flat_map(Note::bounded) {
        let bytes = serde_json::to_vec(&note).map_err(|_| DAMAGED)?;
        table.insert(row_key(lane, next).as_slice(), bytes.as_slice())?;
        next = next.saturating_add(1);
    }
    Ok(())
}

/// Puts notes back in front, within a transaction.
pub(super) fn put_back(
    transaction: &WriteTransaction,
    lane: LaneId,
    notes: Vec<Note>,
) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(OUTBOX)?;
    let (low, high) = (row_key(lane, 0), row_key(lane, u64::MAX));
    let first = table.range(low.as_slice()..=high.as_slice())?.next().transpose()?;
    let first = first.map_or(FIRST, |(key, _)| number_of(key.value()));
    let mut next = first.saturating_sub(notes.len() as u64);
    for note in notes {
        let bytes = serde_json::to_vec(&note).map_err(|_| DAMAGED)?;
        table.insert(row_key(lane, next).as_slice(), bytes.as_slice())?;
        next = next.saturating_add(1);
    }
    Ok(())
}

fn row_key(lane: LaneId, number: u64) -> [u8; 10] {
    let mut key = [0; 10];
    let (head, tail) = key.split_at_mut(2);
    head.copy_from_slice(&lane.0.to_be_bytes());
    tail.copy_from_slice(&number.to_be_bytes());
    key
}

fn number_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(FIRST, |bytes| u64::from_be_bytes(*bytes))
}
