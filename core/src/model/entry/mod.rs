//! Journal entries: what a lane has committed, one JSON document each.
//!
//! In: entries to be written, bytes that were read. Out: exact bytes, and their SHA-256, which the next entry
//! carries. Invariant: an entry is only ever written as the bytes that [`Entry::to_bytes`] made once; whoever
//! repeats a write repeats those bytes. An unknown format or kind is an error that asks for an upgrade: an
//! agent that cannot read a lane's past must not write its future.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{BatchId, LaneId};

mod batch;
mod notes;

pub use batch::{
    BatchEntry, Books, Dropped, MAX_RANGES, ObjectEntry, Output, PartRecord, Place, Role, SinkBooks, Verdict,
};
pub use notes::{
    AckEntry, AckNote, DigestRef, FindingEntry, FindingNote, JudgedObject, KeyEntry, KeyNote, MAX_CAUSE,
    MAX_DETAILS, MAX_JUDGED, MAX_NOTE_BYTES, MAX_NOTES_BYTES, MAX_SHORT, MAX_SUBJECT, MAX_TEXT, Note,
    VerdictEntry, VerdictNote, entry_of, finding_id, notes_of,
};

/// The format version that this program writes.
pub const ENTRY_FORMAT: u32 = 1;

/// The most bytes of one entry: it caps the objects of a batch, and what recovery reads at once.
pub const MAX_ENTRY_BYTES: usize = 4 * 1024 * 1024;

/// The kinds that this version writes and reads.
const KINDS: [&str; 7] = ["epoch", "batch", "void", "verdict", "finding", "ack", "key"];

/// Kinds whose names are taken by later versions. Reading one stops the agent all the same.
pub const RESERVED_KINDS: [&str; 5] = ["owe", "settle", "compact", "checkpoint", "beat"];

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A later version wrote it.
    #[error("entry of format {format}, kind {kind:?} is not known to this version: upgrade trailhaul")]
    Upgrade {
        /// The entry's format version.
        format: u32,
        /// The entry's kind.
        kind: String,
    },
    /// Not an entry at all, or a damaged one.
    #[error("not a journal entry")]
    Damaged(#[source] serde_json::Error),
    /// Larger than [`MAX_ENTRY_BYTES`].
    #[error("entry of {0} bytes is over the limit of {MAX_ENTRY_BYTES} bytes")]
    TooLarge(usize),
    /// The entry before it is not the one that it was written after.
    #[error("entry {number} of lane {lane} does not follow the entry before it: the journal was changed")]
    Chain {
        /// The lane.
        lane: LaneId,
        /// The entry's number.
        number: u64,
    },
}

/// One entry of a lane's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: u32,
    /// The lane.
    pub lane: LaneId,
    /// The place in the lane's journal, counted from 1 without gaps.
    pub number: u64,
    /// SHA-256 (hex) of the bytes of the entry before it; of the genesis for the first.
    pub previous: String,
    /// When it was prepared.
    pub at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub body: EntryBody,
    /// Room for a detached signature.
    pub signature: Option<String>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EntryBody {
    /// The lane has a new owner, or none.
    Epoch(EpochEntry),
    /// A batch is committed.
    Batch(Box<BatchEntry>),
    /// The batch entry before it could not be finished: nothing of it stands in the archive.
    Void(VoidEntry),
    /// What digests say of objects that were hauled.
    Verdict(VerdictEntry),
    /// Something that a person must look at.
    Finding(FindingEntry),
    /// A person has looked at findings.
    Ack(AckEntry),
    /// Public keys of CloudTrail, kept for ever.
    Key(KeyEntry),
}

/// Who writes the lane from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochEntry {
    /// Counted from 1 for each lane.
    pub epoch: u32,
    /// The id of the owning agent (it lives in the agent's state folder); `None` when the lane is released.
    pub owner: Option<String>,
    /// The host that it ran on, for people.
    pub host: String,
    /// The version of the program.
    pub program: String,
    /// Whether the lane was taken from another owner by `--take-lanes`.
    pub forced: bool,
}

/// The entry before it came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidEntry {
    /// The number of the batch entry that is void.
    pub entry: u64,
    /// The batch that is void.
    pub batch: BatchId,
    /// Why.
    pub reason: String,
}

impl EntryBody {
    /// What is to be finished when the entry is in the journal, and under which number; `None` for an entry
    /// without outputs.
    pub fn outputs(&self) -> Option<(BatchId, &[Output])> {
        match self {
            Self::Batch(entry) => Some((entry.batch, &entry.outputs)),
            Self::Finding(FindingEntry { batch: Some(batch), outputs, .. }) if !outputs.is_empty() => {
                Some((*batch, outputs))
            }
            _ => None,
        }
    }
}

impl Entry {
    /// The bytes of the entry. Made once; repeats of a write repeat these bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let mut bytes = serde_json::to_vec(self).map_err(EntryError::Damaged)?;
        bytes.push(b'\n');
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads an entry's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            kind: String,
        }
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(EntryError::Damaged)?;
        if head.format != ENTRY_FORMAT || !KINDS.contains(&head.kind.as_str()) {
            return Err(EntryError::Upgrade { format: head.format, kind: head.kind });
        }
        serde_json::from_slice(bytes).map_err(EntryError::Damaged)
    }

    /// Checks that the entry stands right after the one with this number and hash.
    pub fn check_follows(&self, lane: LaneId, number: u64, hash: &str) -> Result<(), EntryError> {
        if self.lane == lane && self.number == number + 1 && self.previous == hash {
            Ok(())
        } else {
            Err(EntryError::Chain { lane, number: number + 1 })
        }
    }
}

/// Lower-case hex of the SHA-256 of some bytes: how entries and the genesis are named by those after them.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
