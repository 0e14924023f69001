//! Answers requests from the ledger.
//!
//! In: a request. Out: an answer. Invariant: reading changes nothing; an acknowledgement is durable, and posted to
//! the journal, before it is answered. Failure: [`Answer::Failed`] with what is wrong. Bounded by the pages of the
//! protocol.

use std::sync::Arc;

use jiff::Timestamp;
use trailhaul_core::model::ObjectRef;

use super::protocol::{
    Answer, FindingsPage, HeldStatus, LaneLine, MAX_IDS, ObjectStatus, PAGE, PAGE_BYTES, Request, Status,
};
use super::waiting;
use crate::ledger::{Filter, Finding, InventoryRow, Ledger, LedgerError};
use crate::runtime::Clock;

/// So many open findings are part of the status.
const SHOWN: usize = 100;

/// So many waiting objects are counted one by one: a second or so.
const COUNTED: usize = 200_000;

/// So many objects are looked at to count verdicts: a second or two.
const JUDGED: u64 = 2_000_000;

/// Who answers.
#[derive(Debug, Clone)]
pub struct Desk {
    ledger: Ledger,
    buckets: Arc<[Arc<str>]>,
    clock: Arc<dyn Clock>,
    running: bool,
    /// `integrity.max_hold` in seconds, where objects wait for their digests.
    hold: Option<i64>,
}

impl Desk {
    /// Answers from this ledger; objects are looked for in these buckets (URLs). `running` is what the status
    /// says of the agent.
    pub fn new(ledger: Ledger, buckets: Vec<Arc<str>>, clock: Arc<dyn Clock>, running: bool) -> Self {
        Self { ledger, buckets: buckets.into(), clock, running, hold: None }
    }

    /// The same, where objects wait for their digests so many seconds at most.
    #[must_use]
    pub fn holding(self, hold: Option<i64>) -> Self {
        Self { hold, ..self }
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Answer {
        let answer = match request {
            Request::Status {} => self.status(),
            Request::Object { key } => self.object(key),
            Request::Findings { filter, after } => self.page(filter, after.as_ref()).map(Answer::Findings),
            Request::Finding { id } => self
                .named(std::slice::from_ref(id))
                .map(|(findings, unknown)| Answer::Found { findings, unknown, more: false }),
            Request::Ack { ids, all, reason, who } => {
                self.acknowledge(ids, all.as_ref(), (reason, who), self.clock.now())
            }
        };
        answer.unwrap_or_else(|error| Answer::Failed { reason: error.to_string() })
    }

    fn status(&self) -> Result<Answer, LedgerError> {
        let ledger = &self.ledger;
        let waiting = ledger.unhauled_counts(COUNTED)?;
        let (verdicts, verdicts_more) = ledger.verdict_counts(JUDGED)?;
        let lanes = ledger.lanes()?.into_iter();
        let lanes = lanes.map(|(lane, state)| LaneLine { lane, entries: state.number, epoch: state.epoch });
        Ok(Answer::Status(Box::new(Status {
            agent: ledger.agent().to_owned(),
            archive: ledger.archive()?,
            running: self.running,
            accounts: ledger.accounts()?,
            verdicts: verdicts
                .into_iter()
                .map(|((account, verdict), count)| (account, verdict, count))
                .collect(),
            verdicts_more,
            lanes: lanes.collect(),
            waiting: waiting.objects,
            waiting_more: waiting.more,
            held: self.hold.map(|longest| HeldStatus {
                total: waiting.held(),
                accounts: waiting.unvouched.into_iter().collect(),
                longest,
            }),
            findings: ledger.findings(&Filter { open: true, ..Filter::default() }, SHOWN)?,
            counts: ledger.finding_counts()?,
        })))
    }

    fn object(&self, key: &str) -> Result<Answer, LedgerError> {
        for bucket in self.buckets.iter() {
            let key = key.strip_prefix(bucket.as_ref()).map_or(key, |rest| rest.trim_start_matches('/'));
            let object = ObjectRef {
                bucket: Arc::clone(bucket),
                key: key.to_owned(),
                etag: String::new(),
                version: None,
                size: 0,
            };
            let (row, waits) = (self.ledger.object(&object)?, self.ledger.waits(&object)?);
            let hauled = row.map(|row| self.hauled(&object, row)).transpose()?;
            let waiting = waits.map(|waits| waiting::status(&self.ledger, waits, self.hold)).transpose()?;
            if hauled.is_some() || waiting.is_some() {
                return Ok(Answer::Object { object: hauled.map(Box::new), waiting: waiting.map(Box::new) });
            }
        }
        Ok(Answer::Object { object: None, waiting: None })
    }

    fn hauled(&self, object: &ObjectRef, row: InventoryRow) -> Result<ObjectStatus, LedgerError> {
        Ok(ObjectStatus {
            bucket: object.bucket.to_string(),
            key: object.key.clone(),
            etag: row.etag,
            sha256: row.sha256.map(hex::encode),
            verdict: row.verdict,
            verdict_entry: (row.said > 0).then_some(row.said),
            verdicts: self.ledger.verdicts(object)?,
            batch: row.batch,
            object_in_batch: row.object,
        })
    }

    fn page(&self, filter: &Filter, after: Option<&(String, String)>) -> Result<FindingsPage, LedgerError> {
        let counts = self.ledger.finding_counts()?;
        let mut page = FindingsPage { findings: Vec::new(), next: None, counts };
        let mut bytes = 0;
        self.ledger.each_finding(|finding| {
            let passed = after.is_some_and(|(kind, subject)| {
                (finding.kind.as_str(), finding.subject.as_str()) <= (kind.as_str(), subject.as_str())
            });
            if passed || !filter.takes(&finding) {
                return true;
            }
            if page.findings.len() >= PAGE || bytes >= PAGE_BYTES {
                page.next = page.findings.last().map(|last| (last.kind.clone(), last.subject.clone()));
                return false;
            }
            bytes += finding.text.len() + finding.subject.len() + finding.details.len() * 200 + 500;
            page.findings.push(finding);
            true
        })?;
        Ok(page)
    }

    /// The findings with these ids, and the ids that name none, or more than one.
    fn named(&self, ids: &[String]) -> Result<(Vec<Finding>, Vec<String>), LedgerError> {
        /// Fewer digits would name more than one by chance.
        const LEAST: usize = 4;
        let mut matches: Vec<Vec<Finding>> = vec![Vec::new(); ids.len().min(MAX_IDS)];
        self.ledger.each_finding(|finding| {
            let id = finding.id();
            for (wanted, found) in ids.iter().zip(&mut matches) {
                if wanted.len() >= LEAST && id.starts_with(&wanted.to_ascii_lowercase()) && found.len() < 2 {
                    found.push(finding.clone());
                }
            }
            true
        })?;
        let (mut findings, mut unknown) = (Vec::new(), Vec::new());
        for (at, wanted) in ids.iter().enumerate() {
            match matches.get_mut(at).map(std::mem::take) {
                Some(mut found) if found.len() == 1 => findings.append(&mut found),
                _ => unknown.push(wanted.clone()),
            }
        }
        Ok((findings, unknown))
    }

    fn acknowledge(
        &self,
        ids: &[String],
        all: Option<&Filter>,
        (reason, who): (&str, &str),
        now: Timestamp,
    ) -> Result<Answer, LedgerError> {
        if reason.trim().is_empty() || who.trim().is_empty() {
            let reason = "an acknowledgement needs a reason, and who gives it".to_owned();
            return Ok(Answer::Failed { reason });
        }
        let (mut chosen, unknown) = self.named(ids)?;
        let mut more = false;
        if let Some(filter) = all {
            let page = self.page(&Filter { open: true, ..filter.clone() }, None)?;
            more = page.next.is_some();
            chosen.extend(page.findings);
        }
        // All or nothing: who mistyped one of several ids has not acknowledged the others either.
        if !unknown.is_empty() {
            return Ok(Answer::Found { findings: Vec::new(), unknown, more: false });
        }
        let names: Vec<(String, String)> =
            chosen.into_iter().map(|finding| (finding.kind, finding.subject)).collect();
        let findings = self.ledger.acknowledge(&names, (reason, who), now)?;
        Ok(Answer::Found { findings, unknown, more })
    }
}
