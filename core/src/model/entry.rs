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
use super::object::ObjectRef;

/// The format version that this program writes.
pub const ENTRY_FORMAT: u32 = 1;

/// The most bytes of one entry: it caps the objects of a batch, and what recovery reads at once.
pub const MAX_ENTRY_BYTES: usize = 4 * 1024 * 1024;

/// The kinds that this version writes and reads.
const KINDS: [&str; 3] = ["epoch", "batch", "void"];

/// Kinds whose names are taken by later versions. Reading one stops the agent all the same.
pub const RESERVED_KINDS: [&str; 9] =
    ["owe", "settle", "verdict", "finding", "ack", "key", "compact", "checkpoint", "beat"];

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

/// A committed batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The batch.
    pub batch: BatchId,
    /// The archive prefix that its objects render to, such as `date=2026-11-22/`.
    pub prefix: String,
    /// Everything that was prepared and is to be finished, in the order of finishing.
    pub outputs: Vec<Output>,
    /// The source objects, in the order in which they were read.
    pub objects: Vec<ObjectEntry>,
    /// The sums of the batch.
    pub books: Books,
    /// For each sink that does not get everything raw: format, filter and redaction as they stood.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub settings: std::collections::BTreeMap<String, String>,
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

/// What an output is for; finished in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What could not be read as a record.
    Quarantine,
    /// The ids of the batch.
    Index,
    /// The records in the home archive.
    Data,
    /// The records at another sink.
    Sink,
}

/// One output of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What it is for.
    pub role: Role,
    /// The sink's name.
    pub sink: String,
    /// How it is finished.
    #[serde(flatten)]
    pub place: Place,
    /// Records in it.
    pub records: u64,
    /// Its bytes, as stored.
    pub size: u64,
}

/// Where an output stands, and what is left to do for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// An upload that is complete but invisible.
    Upload {
        /// The store's URL.
        store: String,
        /// The key that it becomes.
        key: String,
        /// The upload's id.
        upload: String,
        /// Its parts.
        parts: Vec<PartRecord>,
    },
    /// Delivered and acknowledged before the entry was written; nothing is left to do.
    Acknowledged {
        /// Where it went, for people.
        target: String,
    },
}

/// A part of an upload: enough to complete it and to recognize what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// From 1.
    pub number: u32,
    /// What the store answered.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the part's bytes, lower-case hex.
    pub sha256: String,
}

/// What became of one source object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// SHA-256 (hex) of the inflated bytes; `None` where a cap ended the reading.
    pub sha256: Option<String>,
    /// Inflated bytes that were read.
    pub inflated: u64,
    /// Where its digest stands.
    pub verdict: Verdict,
    /// Records in, good and bad.
    pub records: u64,
    /// Records that became new records of the archive.
    pub unique: u64,
    /// Records dropped as duplicates.
    pub duplicates: u64,
    /// Records (or unreadable stretches) in quarantine.
    pub quarantined: u64,
    /// The number within the data output of its first unique record; the others follow it.
    pub first: u64,
    /// Records delivered although another content has their id (part of `unique`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conflicting: u64,
    /// Their record numbers, as inclusive ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<(u32, u32)>,
    /// Which records were dropped, and for which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
    /// `true` when it is an object that was hauled before, written again with the same content: not delivered
    /// again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewritten: bool,
    /// `true` when one of the lists is longer than [`MAX_RANGES`] and was cut; the counts are exact.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ranges_cut: bool,
}

/// The most ranges of dropped and of conflicting records that an object's entry lists (about 200 KiB of JSON): a real object of
/// the largest size (50 MB) stays below it, an artful one cannot fill the entry.
pub const MAX_RANGES: usize = 2_000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A run of dropped records and its winners, record by record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The first record dropped.
    pub from: u32,
    /// The last record dropped.
    pub to: u32,
    /// The batch of the winners; the first winner is `record` of `object` there, the others follow.
    pub batch: BatchId,
    /// The index of the winners' object in that batch.
    pub object: u32,
    /// The first winner's record number in that object.
    pub record: u32,
}

/// Where the digest of an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its digest has not come yet.
    Pending,
    /// A digest with a good signature names it with this hash.
    Verified,
    /// No digest will cover it.
    Undigested,
    /// A digest names it with another hash.
    Mismatch,
    /// A digest names it and it is not there.
    Missing,
    /// No digest names it although one should.
    Extra,
}

impl Verdict {
    /// The word for it, in the journal and in normalized events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Undigested => "undigested",
            Self::Mismatch => "mismatch",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }
}

/// The sums that must balance before anything is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Records in.
    pub records: u64,
    /// New records.
    pub unique: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Quarantined.
    pub quarantined: u64,
    /// Records delivered although another content has their id (part of `unique`).
    pub conflicts: u64,
    /// For each sink: what became of the unique records.
    pub sinks: std::collections::BTreeMap<String, SinkBooks>,
}

/// What became of a batch's unique records at one sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkBooks {
    /// Delivered.
    pub delivered: u64,
    /// Left out by the sink's filter.
    pub filtered: u64,
    /// To be delivered later.
    pub owed: u64,
    /// Not to be had by this sink.
    pub refused: u64,
}

impl BatchEntry {
    /// Checks every equation of the books; the error names the object or the sink that does not balance.
    pub fn check_books(&self) -> Result<(), String> {
        let mut sum = Books::default();
        for object in &self.objects {
            let out = object.unique + object.duplicates + object.quarantined;
            if object.records != out {
                return Err(format!(
                    "{}: {} records in, but {} unique + {} duplicates + {} quarantined",
                    object.object, object.records, object.unique, object.duplicates, object.quarantined
                ));
            }
            sum.records += object.records;
            sum.unique += object.unique;
            sum.duplicates += object.duplicates;
            sum.quarantined += object.quarantined;
            sum.conflicts += object.conflicting;
        }
        let books = &self.books;
        sum.sinks.clone_from(&books.sinks);
        if *books != sum {
            return Err(format!("the batch's sums {books:?} are not those of its objects {sum:?}"));
        }
        for (name, sink) in &books.sinks {
            let out = sink.delivered + sink.filtered + sink.owed + sink.refused;
            if out != books.unique {
                return Err(format!("sink {name}: {} unique records, but {sink:?}", books.unique));
            }
        }
        for output in self.outputs.iter().filter(|o| matches!(o.role, Role::Data | Role::Sink)) {
            let delivered = books.sinks.get(&output.sink).map_or(0, |sink| sink.delivered);
            if output.records != delivered {
                return Err(format!(
                    "sink {}: {} records delivered, but {delivered} in the books",
                    output.sink, output.records
                ));
            }
        }
        Ok(())
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
mod tests {
    use super::*;

    fn epoch_entry() -> Entry {
        Entry {
            format: ENTRY_FORMAT,
            lane: LaneId(3),
            number: 7,
            previous: sha256_hex(b"before"),
            at: "2026-11-22T07:00:00Z".parse().unwrap(),
            body: EntryBody::Epoch(EpochEntry {
                epoch: 2,
                owner: Some("a1".into()),
                host: "log-archive".into(),
                program: "0.1.0".into(),
                forced: false,
            }),
            signature: None,
        }
    }

    fn batch_entry() -> BatchEntry {
        let object = ObjectEntry {
            object: ObjectRef {
                bucket: "file:///trail".into(),
                key: "k".into(),
                etag: "e".into(),
                version: None,
                size: 9,
            },
            sha256: Some(sha256_hex(b"x")),
            inflated: 20,
            verdict: Verdict::Pending,
            records: 6,
            unique: 3,
            duplicates: 2,
            quarantined: 1,
            first: 0,
            conflicting: 1,
            conflicts: vec![(1, 1)],
            dropped: vec![],
            rewritten: false,
            ranges_cut: false,
        };
        let sink = SinkBooks { delivered: 3, ..SinkBooks::default() };
        BatchEntry {
            batch: BatchId { lane: LaneId(3), epoch: 2, batch: 1 },
            prefix: "date=2026-11-22/".into(),
            outputs: vec![Output {
                role: Role::Data,
                sink: "archive".into(),
                place: Place::Upload {
                    store: "file:///a".into(),
                    key: "data/x".into(),
                    upload: "u".into(),
                    parts: vec![],
                },
                records: 3,
                size: 0,
            }],
            objects: vec![object],
            books: Books {
                records: 6,
                unique: 3,
                duplicates: 2,
                quarantined: 1,
                conflicts: 1,
                sinks: [("archive".to_owned(), sink)].into(),
            },
            settings: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let mut entry = epoch_entry();
        for body in [
            entry.body.clone(),
            EntryBody::Batch(Box::new(batch_entry())),
            EntryBody::Void(VoidEntry {
                entry: 6,
                batch: batch_entry().batch,
                reason: "the upload is gone".into(),
            }),
        ] {
            entry.body = body;
            let bytes = entry.to_bytes().unwrap();
            assert_eq!(Entry::from_bytes(&bytes).unwrap(), entry);
            assert_eq!(Entry::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn what_a_later_version_wrote_asks_for_an_upgrade() {
        let bytes = epoch_entry().to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for changed in [text.replace("\"format\":1", "\"format\":2"), text.replace("\"epoch\",", "\"owe\",")]
        {
            let error = Entry::from_bytes(changed.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("upgrade"), "{error}");
        }
        assert!(matches!(Entry::from_bytes(b"{}"), Err(EntryError::Damaged(_))));
    }

    #[test]
    fn the_chain_names_its_place() {
        let entry = epoch_entry();
        assert!(entry.check_follows(LaneId(3), 6, &sha256_hex(b"before")).is_ok());
        assert!(entry.check_follows(LaneId(3), 6, &sha256_hex(b"other")).is_err());
        assert!(entry.check_follows(LaneId(3), 7, &sha256_hex(b"before")).is_err());
        assert!(entry.check_follows(LaneId(4), 6, &sha256_hex(b"before")).is_err());
    }

    #[test]
    fn every_imbalance_is_seen() {
        let good = batch_entry();
        assert_eq!(good.check_books(), Ok(()));
        let changes: [fn(&mut BatchEntry); 5] = [
            |b| b.objects[0].unique += 1,
            |b| b.books.records += 1,
            |b| b.books.sinks.get_mut("archive").unwrap().filtered += 1,
            |b| b.outputs[0].records -= 1,
            |b| b.books.quarantined -= 1,
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(bad.check_books().is_err());
        }
    }
}
