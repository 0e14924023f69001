//! A batch entry: what a committed batch read, wrote and decided.
//!
//! In: the outcome of a batch. Out: the body of a journal entry, with everything that finishing it needs.
//! Invariant: the books balance ([`BatchEntry::check_books`]). Failure: an equation that does not hold is named.

use serde::{Deserialize, Serialize};

use super::super::ids::BatchId;
use super::super::object::ObjectRef;

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
    /// SHA-256 (hex) of the inflated bytes; `None` where a cap ended the reading, or the container is damaged.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
        // A sink may have several outputs: files of a data lake.
        let mut sums: std::collections::BTreeMap<&str, u64> =
            books.sinks.keys().map(|sink| (sink.as_str(), 0)).collect();
        for output in self.outputs.iter().filter(|o| matches!(o.role, Role::Data | Role::Sink)) {
            *sums.entry(&output.sink).or_default() += output.records;
        }
        for (sink, records) in sums {
            let delivered = books.sinks.get(sink).map_or(0, |sink| sink.delivered);
            if records != delivered {
                return Err(format!(
                    "sink {sink}: {records} records delivered, but {delivered} in the books"
                ));
            }
        }
        Ok(())
    }
}
