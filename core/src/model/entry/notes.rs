//! Notes: what a journal remembers beside batches: verdicts, findings, acknowledgements, public keys.
//!
//! In: what the audit, the haul or a person has to say about a lane's accounts. Out: bodies of journal entries,
//! each with several notes of one kind. Invariant: a note that went through [`Note::bounded`] is smaller than
//! [`MAX_NOTE_BYTES`], whatever its texts were, so that it always fits an entry. Failure: none; what is too long
//! is cut, and ends in `…`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::ids::{AccountId, BatchId};
use super::batch::{Output, Verdict};

/// The most objects of one verdict note; longer ones are split.
pub const MAX_JUDGED: usize = 400;

/// The most bytes of one bounded note as JSON. The largest is a verdict: its objects have keys of at most 1,024
/// bytes, which JSON may write sixfold; real ones take a tenth of that.
pub const MAX_NOTE_BYTES: usize = 3 * 1024 * 1024;

/// So many bytes of notes share an entry; a larger note gets one of its own.
pub const MAX_NOTES_BYTES: usize = 1024 * 1024;

/// One thing to be noted in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "lowercase")]
pub enum Note {
    /// Where the digests of some objects stand from now on.
    Verdict(VerdictNote),
    /// Something that a person must look at.
    Finding(FindingNote),
    /// A person has looked at it.
    Ack(AckNote),
    /// A public key of CloudTrail.
    Key(KeyNote),
}

/// The same verdict on some objects of one bucket and account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictNote {
    /// The bucket's URL.
    pub bucket: String,
    /// Where their digest stands now. It follows what was said before; nothing is taken back.
    pub verdict: Verdict,
    /// When that was found out.
    pub at: Timestamp,
    /// The digest that says so, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestRef>,
    /// Why, for people: at most [`MAX_CAUSE`] characters.
    pub cause: String,
    /// The objects: at most [`MAX_JUDGED`].
    pub objects: Vec<JudgedObject>,
}

/// The most characters of a verdict's cause.
pub const MAX_CAUSE: usize = 500;

/// A digest file that says something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DigestRef {
    /// The bucket's URL.
    pub bucket: String,
    /// The key below the bucket.
    pub key: String,
    /// SHA-256 of its inflated content, lower-case hex.
    pub sha256: String,
}

/// An object that a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JudgedObject {
    /// The key below the bucket.
    pub key: String,
    /// The ETag under which it was read; empty where there is no such object.
    pub etag: String,
    /// The version id, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Something that a person must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingNote {
    /// The kind, such as `foreign_account`: a closed list in the agent's telemetry.
    pub kind: String,
    /// What it is about: an object, a prefix, an hour of a chain. Kind and subject name the finding.
    pub subject: String,
    /// What happened and what to do.
    pub text: String,
    /// The account that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// What it rests on, such as an ETag or a hash: an acknowledged finding with other evidence is open again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// More facts, for programs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// When it was first seen.
    pub at: Timestamp,
}

/// The most characters of a finding's subject: a bucket and a key of 1,024 bytes fit.
pub const MAX_SUBJECT: usize = 1_500;
/// The most characters of a finding's text, and of the reason of an acknowledgement.
pub const MAX_TEXT: usize = 2_000;
/// The most characters of a finding's evidence, and of the name of who acknowledges.
pub const MAX_SHORT: usize = 200;
/// The most bytes of a finding's details as JSON: some dozen places in the archive.
pub const MAX_DETAILS: usize = 16 * 1024;

/// A person has looked at a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckNote {
    /// The finding's kind.
    pub finding: String,
    /// The finding's subject.
    pub subject: String,
    /// The finding's evidence as the person saw it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Why it is no trouble, or what was done.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// A public key with which CloudTrail signs digests, as `cloudtrail:ListPublicKeys` gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNote {
    /// The region that it signs in.
    pub region: String,
    /// Its fingerprint (MD5 of the DER, hex), as digests name it.
    pub fingerprint: String,
    /// The DER of the key, base64.
    pub public_key: String,
    /// The first moment of its validity.
    pub from: Timestamp,
    /// The last moment of its validity.
    pub until: Timestamp,
    /// When it was fetched.
    pub at: Timestamp,
}

/// Verdicts on objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictEntry {
    /// In the order in which they were given.
    pub verdicts: Vec<VerdictNote>,
}

/// Findings, and the records of them that went to sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingEntry {
    /// In the order in which they were made.
    pub findings: Vec<FindingNote>,
    /// The number under which their records went to sinks, where a sink asks for findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// What was prepared for those sinks and is to be finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// Acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckEntry {
    /// In the order in which they were given.
    pub acks: Vec<AckNote>,
}

/// Public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// In the order in which they were fetched.
    pub keys: Vec<KeyNote>,
}

impl Note {
    /// The kind of the entry that it goes into.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Verdict(_) => "verdict",
            Self::Finding(_) => "finding",
            Self::Ack(_) => "ack",
            Self::Key(_) => "key",
        }
    }

    /// The note with every text cut to its bound; a verdict on many objects becomes several.
    pub fn bounded(self) -> Vec<Self> {
        match self {
            Self::Verdict(note) => note.bounded().into_iter().map(Self::Verdict).collect(),
            Self::Finding(note) => vec![Self::Finding(note.bounded())],
            Self::Ack(note) => vec![Self::Ack(note.bounded())],
            Self::Key(note) => vec![Self::Key(note)],
        }
    }
}

impl VerdictNote {
    fn bounded(mut self) -> Vec<Self> {
        cut(&mut self.cause, MAX_CAUSE);
        let objects = std::mem::take(&mut self.objects);
        let chunks = objects.chunks(MAX_JUDGED);
        chunks.map(|chunk| Self { objects: chunk.to_vec(), ..self.clone() }).collect()
    }
}

/// A short name of a finding, for people: the first 12 hex digits of SHA-256 of kind, NUL, subject.
pub fn finding_id(kind: &str, subject: &str) -> String {
    super::sha256_hex(format!("{kind}\0{subject}").as_bytes()).chars().take(12).collect()
}

impl FindingNote {
    /// The note with every text cut to its bound. Details that are too long are left out, and say so.
    pub fn bounded(mut self) -> Self {
        cut(&mut self.subject, MAX_SUBJECT);
        cut(&mut self.text, MAX_TEXT);
        cut(&mut self.evidence, MAX_SHORT);
        let length = serde_json::to_vec(&self.details).map_or(usize::MAX, |bytes| bytes.len());
        if length > MAX_DETAILS {
            self.details = Map::from_iter([("cut".to_owned(), Value::Bool(true))]);
        }
        self
    }
}

impl AckNote {
    /// The note with every text cut to its bound.
    pub fn bounded(mut self) -> Self {
        cut(&mut self.reason, MAX_TEXT);
        cut(&mut self.who, MAX_SHORT);
        self
    }
}

fn cut(text: &mut String, most: usize) {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.pop();
        text.push('…');
    }
}

/// The body of an entry with these notes, which are of one kind; `None` when there are none, or of several.
pub fn entry_of(notes: Vec<Note>) -> Option<super::EntryBody> {
    use super::EntryBody;
    let count = notes.len();
    let (mut verdicts, mut findings, mut acks, mut keys) = (vec![], vec![], vec![], vec![]);
    for note in notes {
        match note {
            Note::Verdict(note) => verdicts.push(note),
            Note::Finding(note) => findings.push(note),
            Note::Ack(note) => acks.push(note),
            Note::Key(note) => keys.push(note),
        }
    }
    if count == 0 {
        return None;
    }
    let body = if verdicts.len() == count {
        EntryBody::Verdict(VerdictEntry { verdicts })
    } else if findings.len() == count {
        EntryBody::Finding(FindingEntry { findings, batch: None, outputs: Vec::new() })
    } else if acks.len() == count {
        EntryBody::Ack(AckEntry { acks })
    } else if keys.len() == count {
        EntryBody::Key(KeyEntry { keys })
    } else {
        return None;
    };
    Some(body)
}

/// The notes of an entry; none for one that carries no notes.
pub fn notes_of(body: super::EntryBody) -> Vec<Note> {
    use super::EntryBody;
    match body {
        EntryBody::Verdict(entry) => entry.verdicts.into_iter().map(Note::Verdict).collect(),
        EntryBody::Finding(entry) => entry.findings.into_iter().map(Note::Finding).collect(),
        EntryBody::Ack(entry) => entry.acks.into_iter().map(Note::Ack).collect(),
        EntryBody::Key(entry) => entry.keys.into_iter().map(Note::Key).collect(),
        EntryBody::Epoch(_) | EntryBody::Batch(_) | EntryBody::Void(_) => Vec::new(),
    }
}
