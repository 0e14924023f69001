//! What a verification found.
//!
//! Findings are integrity findings: something is not as CloudTrail wrote it. Unknowns could not be checked.
//! Notes explain and accuse nobody. Of each chain at most [`MAX_PROBLEMS`] are listed; all are counted.

use serde::Serialize;
use trailhaul_core::verify::{ChainId, Class};

/// The most problems that are listed per chain.
pub(super) const MAX_PROBLEMS: usize = 10_000;

/// How a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// An explanation; everything may be in order.
    Note,
    /// Could not be checked.
    Unknown,
    /// Not as CloudTrail wrote it.
    Finding,
}

impl From<Class> for Weight {
    fn from(class: Class) -> Self {
        match class {
            Class::Good => Self::Note,
            Class::Unknown => Self::Unknown,
            Class::Finding => Self::Finding,
        }
    }
}

/// Something to say of an object or of an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How it weighs.
    pub weight: Weight,
    /// What it is about: `digest`, `interval`, `log`, `folder`.
    pub subject: &'static str,
    /// The outcome class, such as `hash-mismatch`.
    pub outcome: &'static str,
    /// The object: `s3://bucket/key` as CloudTrail names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Start of the interval concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The reason, in words.
    pub message: String,
}

impl Problem {
    pub(super) fn object(
        weight: impl Into<Weight>,
        subject: &'static str,
        outcome: &'static str,
        object: String,
        message: impl Into<String>,
    ) -> Self {
        let (weight, object, message) = (weight.into(), Some(object), message.into());
        Self { weight, subject, outcome, object, from: None, to: None, message }
    }

    #[must_use]
    pub(super) fn during(mut self, from: i64, to: i64) -> Self {
        (self.from, self.to) = (Some(time(from)), Some(time(to)));
        self
    }
}

/// How many files of a kind there are, by how they came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Proven to be as CloudTrail wrote them.
    pub valid: u64,
    /// Of the valid ones: proven by a successor only, since their own signature is lost.
    pub vouched: u64,
    /// Findings, missing ones included.
    pub invalid: u64,
    /// Not checked.
    pub unknown: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.valid += other.valid;
        self.vouched += other.vouched;
        self.invalid += other.invalid;
        self.unknown += other.unknown;
    }

    pub(super) fn count(&mut self, class: Class) {
        match class {
            Class::Good => self.valid += 1,
            Class::Unknown => self.unknown += 1,
            Class::Finding => self.invalid += 1,
        }
    }
}

/// What was found of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The chain.
    pub chain: ChainId,
    /// Everything up to here is vouched for, or explained by CloudTrail itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validated_until: Option<String>,
    /// Where its survey starts, in seconds since the Unix epoch.
    #[serde(skip)]
    pub(super) surveyed_from: i64,
    /// Its digests.
    pub digests: Counts,
    /// The log files that its proven digests name.
    pub logs: Counts,
    /// Seconds of the range that are vouched for.
    pub covered_seconds: i64,
    /// What there is to say, worst first.
    pub problems: Vec<Problem>,
    /// Integrity findings, listed or not.
    pub findings: u64,
    /// Things that could not be checked, listed or not.
    pub unknowns: u64,
    /// Problems beyond those listed.
    pub unlisted: u64,
}

impl ChainReport {
    pub(super) fn new(chain: ChainId) -> Self {
        Self {
            chain,
            validated_until: None,
            surveyed_from: 0,
            digests: Counts::default(),
            logs: Counts::default(),
            covered_seconds: 0,
            problems: Vec::new(),
            findings: 0,
            unknowns: 0,
            unlisted: 0,
        }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        match problem.weight {
            Weight::Finding => self.findings += 1,
            Weight::Unknown => self.unknowns += 1,
            Weight::Note => {}
        }
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.unlisted += 1;
        }
    }
}

/// Sums over all chains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Chains.
    pub chains: u64,
    /// All digests.
    pub digests: Counts,
    /// All log files.
    pub logs: Counts,
    /// Integrity findings.
    pub findings: u64,
    /// Things that could not be checked.
    pub unknowns: u64,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Format version of this document.
    pub version: u32,
    /// Start of the range; each chain's own where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range.
    pub until: String,
    /// Sums.
    pub totals: Totals,
    /// Each chain, in order.
    pub chains: Vec<ChainReport>,
    /// What concerns no chain: folders without digests, listings that failed.
    pub problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(
        from: Option<i64>,
        until: i64,
        chains: Vec<ChainReport>,
        problems: Vec<Problem>,
    ) -> Self {
        let mut totals = Totals { chains: chains.len() as u64, ..Totals::default() };
        for chain in &chains {
            totals.digests.add(chain.digests);
            totals.logs.add(chain.logs);
            totals.findings += chain.findings;
            totals.unknowns += chain.unknowns;
        }
        for problem in &problems {
            match problem.weight {
                Weight::Finding => totals.findings += 1,
                Weight::Unknown => totals.unknowns += 1,
                Weight::Note => {}
            }
        }
        Self { version: 1, from: from.map(time), until: time(until), totals, chains, problems }
    }

    /// 1 with an integrity finding; else 69 when something could not be checked or there was nothing to
    /// check; else 0.
    pub fn exit_code(&self) -> u8 {
        match (self.totals.findings, self.totals.unknowns, self.totals.chains) {
            (1.., _, _) => 1,
            (0, 1.., _) | (0, 0, 0) => 69,
            (0, 0, _) => 0,
        }
    }
}

/// A time as reports print it: RFC 3339, UTC.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
