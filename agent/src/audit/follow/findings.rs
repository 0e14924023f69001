//! Findings of the audit: what is wrong, whom and when it concerns, and what of the archive.
//!
//! In: verdicts that accuse, problems of chains. Out: findings in the ledger, which posts them to the journal,
//! counts and logs them. The subject is the object's URL; account, region, hour, hashes and the archive's records
//! are details, and stand in the text too.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use trailhaul_core::model::{LogKey, ObjectRef};
use trailhaul_core::verify::{ChainId, LogOutcome, Problem, ProblemKind, Sha256};

use super::super::report::time;
use super::traces::{Trace, trace};
use super::versions::noncurrent;
use super::{Ground, Shared, blocking, digest_url};
use crate::ledger::{Expected, InventoryRow, LedgerError, NewFinding};
use crate::store::ObjectVersion;
use crate::telemetry::FindingKind;

impl Shared {
    /// A log file that was hauled is not what its digest names. Its older versions, where some are kept.
    pub(super) async fn accuse_mismatch(
        self: &Arc<Self>,
        object: &ObjectRef,
        expected: &Expected,
        row: &InventoryRow,
        outcome: LogOutcome,
    ) -> Result<Vec<ObjectVersion>, LedgerError> {
        let prefix = LogKey::parse(&object.key).ok().map(|key| key.prefix);
        let older = match prefix.and_then(|prefix| self.ground(&object.bucket, prefix)) {
            Some(ground) => noncurrent(self, &ground, &object.key).await,
            None => Vec::new(),
        };
        self.tell_older(object, &older).await?;
        let trace = trace(self, object, row).await?;
        let mut details = facts(object);
        digest_facts(&mut details, expected);
        details.insert("outcome".to_owned(), json!(outcome.label()));
        if let Some(found) = row.sha256 {
            details.insert("found_sha256".to_owned(), json!(Sha256(found).to_string()));
        }
        let text = format!(
            "{outcome}: {}; digest {} names it with SHA-256 {}. {trace}",
            whose(object),
            expected.digest(),
            Sha256(expected.sha256),
        );
        self.accuse(FindingKind::LogMismatch, object, text, &row.etag, details, Some(trace)).await?;
        Ok(older)
    }

    /// A log file that a proven digest names is not there.
    pub(super) async fn accuse_missing(
        self: &Arc<Self>,
        ground: &Ground,
        object: &ObjectRef,
        expected: &Expected,
        older: &[ObjectVersion],
    ) -> Result<(), LedgerError> {
        self.tell_older(object, older).await?;
        let mut details = facts(object);
        digest_facts(&mut details, expected);
        let text = format!(
            "a log file is gone: {}; digest {} names it, and {} does not hold it. Look for its deletion in the \
             events of the bucket's owner{}",
            whose(object),
            expected.digest(),
            ground.url,
            if older.is_empty() { "" } else { "; an older version is there, and is hauled" },
        );
        let evidence = Sha256(expected.sha256).to_string();
        self.accuse(FindingKind::LogMissing, object, text, &evidence, details, None).await
    }

    /// Older versions of a log file are there: CloudTrail writes each once, so somebody overwrote or deleted it.
    async fn tell_older(
        self: &Arc<Self>,
        object: &ObjectRef,
        older: &[ObjectVersion],
    ) -> Result<(), LedgerError> {
        let Some(newest) = older.first() else { return Ok(()) };
        let versions = older.iter().map(|version| {
            json!({"version": version.id(), "etag": version.etag, "size": version.size,
                "written": time(version.modified)})
        });
        let mut details = facts(object);
        details.insert("noncurrent".to_owned(), versions.collect());
        let id = newest.id();
        let text = format!(
            "a log file was overwritten or deleted: {}; {} older versions are there, the newest {id} of {} bytes, \
             written at {}",
            whose(object),
            older.len(),
            newest.size,
            time(newest.modified),
        );
        self.accuse(FindingKind::LogNoncurrent, object, text, id, details, None).await
    }

    /// A log file lies where every trail writes digests, and none names it.
    pub(super) async fn accuse_extra(
        self: &Arc<Self>,
        ground: &Ground,
        object: &ObjectRef,
        row: &InventoryRow,
    ) -> Result<(), LedgerError> {
        let trace = trace(self, object, row).await?;
        let writers: Vec<&str> = ground.writers.iter().flatten().map(String::as_str).collect();
        let text = format!(
            "no digest names this log file: {}; all trails that write here ({}) have digests of that time. Its \
             records were not written by CloudTrail. {trace}",
            whose(object),
            writers.join(", "),
        );
        self.accuse(FindingKind::LogExtra, object, text, &row.etag, facts(object), Some(trace)).await
    }

    async fn accuse(
        self: &Arc<Self>,
        kind: FindingKind,
        object: &ObjectRef,
        text: String,
        evidence: &str,
        mut details: Map<String, Value>,
        trace: Option<Trace>,
    ) -> Result<(), LedgerError> {
        if let Some(trace) = trace {
            trace.details(&mut details);
        }
        let account = LogKey::parse(&object.key).ok().map(|key| key.account);
        let finding = Accusation {
            kind,
            subject: object.to_string(),
            text,
            account,
            evidence: evidence.to_owned(),
            details,
        };
        self.record(finding).await
    }

    /// A problem of a chain. A note that accuses nobody goes to the log alone.
    pub(super) async fn accuse_chain(
        self: &Arc<Self>,
        chain: &ChainId,
        problem: &Problem,
    ) -> Result<(), LedgerError> {
        let Some(kind) = kind_of(problem) else {
            let (digest, text) = (digest_url(chain, &problem.place.key), problem.text.as_str());
            tracing::info!(%chain, digest, text, "a chain of digests began anew");
            return Ok(());
        };
        let hour = format!("{} to {}", time(problem.from), time(problem.to));
        let text = format!(
            "account {} region {} trail {}, {hour}: {}{}",
            chain.account,
            chain.region,
            chain.trail,
            problem.text,
            advice(problem.kind),
        );
        let mut details = Map::new();
        for (name, value) in [
            ("region", json!(chain.region)),
            ("trail", json!(chain.trail)),
            ("from", json!(time(problem.from))),
            ("until", json!(time(problem.to))),
        ] {
            details.insert(name.to_owned(), value);
        }
        self.record(Accusation {
            kind,
            subject: digest_url(chain, &problem.place.key),
            text,
            account: Some(chain.account),
            evidence: String::new(),
            details,
        })
        .await
    }

    async fn record(self: &Arc<Self>, accusation: Accusation) -> Result<(), LedgerError> {
        let shared = Arc::clone(self);
        blocking(move || {
            let Accusation { kind, subject, text, account, evidence, details } = accusation;
            let mut finding =
                NewFinding::new(kind.name(), &subject, &text).evidence(&evidence).details(details);
            if let Some(account) = account {
                finding = finding.account(account);
            }
            shared.means.ledger.find(&finding, shared.means.clock.now()).map(|_| ())
        })
        .await
    }
}

/// A finding to be recorded.
struct Accusation {
    kind: FindingKind,
    subject: String,
    text: String,
    account: Option<trailhaul_core::model::AccountId>,
    evidence: String,
    details: Map<String, Value>,
}

fn kind_of(problem: &Problem) -> Option<FindingKind> {
    let is = |labels: &[&str]| labels.iter().any(|label| problem.text.starts_with(label));
    Some(match problem.kind {
        ProblemKind::Missing => FindingKind::DigestMissing,
        ProblemKind::Unproven if is(&["key-"]) => FindingKind::KeyUnknown,
        ProblemKind::Unproven if is(&["moved"]) => FindingKind::DigestMisplaced,
        ProblemKind::Unproven => FindingKind::DigestInvalid,
        ProblemKind::Duplicate => FindingKind::DigestMisplaced,
        ProblemKind::Replaced | ProblemKind::Unlinked => FindingKind::DigestChainBroken,
        ProblemKind::Stopped | ProblemKind::Restarted => return None,
    })
}

fn advice(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Missing => {
            ". It was deleted, or CloudTrail could not deliver it: ask GetTrailStatus for LatestDigestDeliveryError"
        }
        _ => ". The log files that it names are not vouched for by it",
    }
}

/// Account, region and hour of an object, for people.
fn whose(object: &ObjectRef) -> String {
    let Ok(key) = LogKey::parse(&object.key) else { return object.key.clone() };
    let stamp = time(key.stamp.unix_seconds());
    format!("account {} region {}, published at {stamp}", key.account, key.region)
}

fn facts(object: &ObjectRef) -> Map<String, Value> {
    let mut facts = Map::new();
    if let Ok(key) = LogKey::parse(&object.key) {
        facts.insert("region".to_owned(), json!(key.region));
        facts.insert("published".to_owned(), json!(time(key.stamp.unix_seconds())));
    }
    facts
}

fn digest_facts(details: &mut Map<String, Value>, expected: &Expected) {
    details.insert("digest".to_owned(), json!(digest_url(&expected.chain, &expected.digest())));
    details.insert("hour_until".to_owned(), json!(time(expected.end)));
    details.insert("expected_sha256".to_owned(), json!(Sha256(expected.sha256).to_string()));
}
