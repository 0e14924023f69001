//! What is asked and answered over the control socket: one line of JSON each.
//!
//! In and out: the types below. Invariant: a request fits [`MAX_REQUEST`], an answer [`MAX_ANSWER`]; lists are cut
//! where they would not, and say so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trailhaul_core::model::{AccountId, BatchId, LaneId, Verdict};

use crate::ledger::{AccountTotals, Filter, Finding, FindingCounts, Held, Said};

/// The most bytes of a request: some hundred ids of findings, or the longest key.
pub(super) const MAX_REQUEST: usize = 64 * 1024;

/// The most bytes of an answer: the totals of 10,000 accounts are 3 MB.
pub(super) const MAX_ANSWER: usize = 16 << 20;

/// The most findings of one answer, and so many bytes of them at most.
pub(super) const PAGE: usize = 1_000;
/// See [`PAGE`].
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// The most ids of one request.
pub(super) const MAX_IDS: usize = 1_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// What was hauled, and what stands in the way.
    Status {},
    /// What is known of one source object.
    Object {
        /// Its key, or its whole URL.
        key: String,
    },
    /// Findings, a page of them.
    Findings {
        /// Which.
        filter: Filter,
        /// Only those after this one: the `next` of the page before.
        after: Option<(String, String)>,
    },
    /// One finding.
    Finding {
        /// The beginning of its id.
        id: String,
    },
    /// Acknowledge findings.
    Ack {
        /// Their ids, or beginnings of them.
        ids: Vec<String>,
        /// Instead of ids: all that are open, of this kind and account; a thousand at a time.
        all: Option<Filter>,
        /// Why.
        reason: String,
        /// Who says so.
        who: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Object`].
    Object {
        /// `None` when it was not hauled.
        object: Option<Box<ObjectStatus>>,
        /// What was found under its key and is not hauled yet.
        waiting: Option<Box<WaitingStatus>>,
    },
    /// To [`Request::Findings`].
    Findings(FindingsPage),
    /// To [`Request::Finding`] and [`Request::Ack`]: the findings as they are now.
    Found {
        /// The findings.
        findings: Vec<Finding>,
        /// Ids of which there is no finding, or more than one.
        unknown: Vec<String>,
        /// Whether more are to be acknowledged by the same request, made again.
        more: bool,
    },
    /// The request could not be answered.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What an agent has done, and what stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's id.
    pub agent: String,
    /// The id of the home archive; `None` before the first start.
    pub archive: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// What was hauled, per account.
    pub accounts: Vec<(AccountId, AccountTotals)>,
    /// How many objects of each account have which verdict.
    pub verdicts: Vec<(AccountId, Verdict, u64)>,
    /// Whether there are more objects than were counted.
    pub verdicts_more: bool,
    /// The lanes in use.
    pub lanes: Vec<LaneLine>,
    /// Objects found and not hauled yet, as far as they were counted.
    pub waiting: u64,
    /// Whether there are more of them.
    pub waiting_more: bool,
    /// Those that wait for their digests; `None` where none has to.
    pub held: Option<HeldStatus>,
    /// The first findings that are open.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub counts: FindingCounts,
}

/// A lane in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneLine {
    /// The lane.
    pub lane: LaneId,
    /// Entries of its journal.
    pub entries: u64,
    /// Its epoch.
    pub epoch: u32,
}

/// What is known of one source object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStatus {
    /// The bucket's URL.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The ETag under which it was read.
    pub etag: String,
    /// SHA-256 of its inflated bytes, hex.
    pub sha256: Option<String>,
    /// Where its digest stands.
    pub verdict: Verdict,
    /// The number of the entry in its lane's journal that says so; `None` when it is the batch's own.
    pub verdict_entry: Option<u64>,
    /// What was said of it, where it was ever bad.
    pub verdicts: Vec<Said>,
    /// The batch that hauled it.
    pub batch: BatchId,
    /// Its index among the batch's objects.
    pub object_in_batch: u32,
}

/// Objects that wait for their digests (`integrity.mode: hold`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// How many, and since when.
    pub total: Held,
    /// The same per account.
    pub accounts: Vec<(AccountId, Held)>,
    /// `integrity.max_hold` in seconds: how long one waits at most.
    pub longest: i64,
}

/// An object that was found and is not hauled yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// The bucket's URL.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The ETag under which it was found.
    pub etag: String,
    /// Its size in bytes, as stored.
    pub size: u64,
    /// Whether it waits for a digest; otherwise for its lane.
    pub held: bool,
    /// Since when, where it waits for a digest and that is noted already.
    pub held_since: Option<Timestamp>,
    /// When it is hauled without one at the latest.
    pub held_until: Option<Timestamp>,
    /// The proven digest that names it.
    pub digest: Option<String>,
    /// The digests that may name it, one of each trail that writes digests there.
    pub awaits: Vec<AwaitedDigest>,
    /// Whether it was gone from its bucket when it was to be read.
    pub gone: bool,
}

/// A digest that has not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedDigest {
    /// The trail that writes it.
    pub trail: String,
    /// Its key.
    pub key: String,
    /// The end of its hour.
    pub hour_until: Timestamp,
}

/// Some findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingsPage {
    /// The findings, by kind and subject.
    pub findings: Vec<Finding>,
    /// What to ask for next; `None` at the end.
    pub next: Option<(String, String)>,
    /// How many there are in all, whatever the filter.
    pub counts: FindingCounts,
}
