//! The truth about a tree: every record that was written, and every object that holds it.
//!
//! A file of JSON lines, in this order: one `head`; then `content` and `object` lines, each content before
//! the first object that holds it; one `tail`. Contents and objects are numbered from 0 in file order. It is
//! written while the tree is written, so its size is no limit; reading takes it into memory (about 150 bytes
//! per content). A file without a tail was not finished, and reading it is an error.

mod file;
mod sha;

use serde::{Deserialize, Serialize};

use crate::org::{Account, Options, Organization};
use crate::records::Family;
pub use file::{TruthWriter, read, write_all};
pub use sha::Sha;

/// Everything that is known of a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Who and what was simulated.
    pub head: Head,
    /// The distinct records, by number.
    pub contents: Vec<Content>,
    /// The objects, by number.
    pub objects: Vec<Object>,
    /// Totals.
    pub tail: Tail,
}

impl Truth {
    /// Brings the totals in line with the lists, after changes.
    pub fn recount(&mut self) {
        let sum = |of: fn(&Object) -> u64| self.objects.iter().map(of).sum();
        self.tail = Tail {
            objects: self.objects.len() as u64,
            contents: self.contents.len() as u64,
            records: sum(Object::count),
            raw_bytes: sum(|object| object.raw_size),
            stored_bytes: sum(|object| object.size),
            ..self.tail.clone()
        };
    }
}

/// Who and what was simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The options of the run.
    pub options: Options,
    /// The organization.
    pub organization: Organization,
}

/// One record's exact bytes. Two contents with one account and id are in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its number.
    #[serde(rename = "n")]
    pub number: u64,
    /// The account in whose folder it lies.
    pub account: Account,
    /// `eventID`, or `eventId` of an aggregation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: Sha,
    /// Its time, in seconds since the Unix epoch.
    pub time: i64,
}

/// One object of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its number.
    #[serde(rename = "n")]
    pub number: u64,
    /// The trail that wrote it, by its position in the organization; none for what was planted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<usize>,
    /// The bucket's name: a folder of the tree.
    pub bucket: String,
    /// The key below the bucket.
    pub key: String,
    /// The account of its folder.
    pub account: Account,
    /// What kind of file it is.
    pub family: Family,
    /// The region of its folder.
    pub region: String,
    /// When it appeared in the bucket, in seconds since the Unix epoch.
    pub delivered: i64,
    /// Bytes as stored.
    pub size: u64,
    /// Inflated bytes; for what does not inflate to its end, as far as it does.
    pub raw_size: u64,
    /// SHA-256 of the inflated bytes; absent where it does not inflate as one whole gzip member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha>,
    /// The records that a correct haul takes from it, in their order.
    pub records: Vec<Run>,
    /// Records that a haul may take or refuse: those behind broken JSON, or beyond any sensible size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<Run>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// What was done to it after it was written, and must be noticed by verification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tampered: Vec<String>,
}

impl Object {
    /// How many records a correct haul takes from it.
    pub fn count(&self) -> u64 {
        self.records.iter().map(|run| run.count()).sum()
    }
}

/// Records in a row: one, or the same one several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Run {
    /// The content of this number.
    One(u64),
    /// This content, so many times.
    Repeat(u64, u64),
}

impl Run {
    /// The number of the content.
    pub fn content(self) -> u64 {
        match self {
            Self::One(content) | Self::Repeat(content, _) => content,
        }
    }

    /// How many records it stands for.
    pub fn count(self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Repeat(_, count) => count,
        }
    }
}

/// Totals, for people and for a first check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Objects written.
    pub objects: u64,
    /// Distinct contents.
    pub contents: u64,
    /// Records in the objects.
    pub records: u64,
    /// Inflated bytes.
    pub raw_bytes: u64,
    /// Stored bytes.
    pub stored_bytes: u64,
    /// Contents that another content of the same account and id precedes.
    pub conflicts: u64,
    /// Objects that appeared before one with an older stamp in the same folder tree.
    pub overtaken: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Head(Box<Head>),
    Content(Content),
    Object(Object),
    Tail(Tail),
}
