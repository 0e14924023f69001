//! Findings: what a person must look at. One row per kind and subject, so that a finding that recurs counts up
//! instead of piling up.
//!
//! In: findings and acknowledgements, from the process and (after a loss) from the journal. Out: what is open. A
//! new finding and each acknowledgement are posted to the journal in the same transaction. Invariant: an
//! acknowledged finding stays so until it is seen with other evidence. Bounded by [`MAX_FINDINGS`].

use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trailhaul_core::model::{AccountId, AckNote, FindingNote, LaneId, Note, finding_id, lane_of};

use super::tables::{FINDINGS, META};
use super::{Ledger, LedgerError, outbox};

/// The most findings kept (about 50 MB); the one after them is kept as `overflow`, with a count.
const MAX_FINDINGS: u64 = 100_000;

/// Something that a person must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind, such as `foreign_account`; a closed list in `telemetry`.
    pub kind: String,
    /// What it is about: an object, a prefix, a lane.
    pub subject: String,
    /// What happened and what to do.
    pub text: String,
    /// The account that it is about, where it is about one.
    pub account: Option<AccountId>,
    /// What it rests on, such as an ETag or a hash; empty where nothing of that kind can change.
    pub evidence: String,
    /// More facts, for programs.
    pub details: Map<String, Value>,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often it was seen.
    pub count: u64,
    /// Since when it is, or was before it was acknowledged, open.
    pub opened: Timestamp,
    /// The lane whose journal has it.
    pub lane: LaneId,
    /// Who has looked at it; `None` while it is open.
    pub ack: Option<Ack>,
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Why it is no trouble, or what was done.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// The finding's evidence at that time.
    pub evidence: String,
}

/// A finding to be recorded.
#[derive(Debug, Clone)]
pub struct NewFinding<'a> {
    kind: &'a str,
    subject: &'a str,
    text: &'a str,
    account: Option<AccountId>,
    lane: Option<LaneId>,
    evidence: &'a str,
    details: Map<String, Value>,
}

impl Finding {
    /// A short name for it.
    pub fn id(&self) -> String {
        finding_id(&self.kind, &self.subject)
    }
}

impl<'a> NewFinding<'a> {
    /// A finding of this kind about this subject; kind and subject name it.
    pub fn new(kind: &'a str, subject: &'a str, text: &'a str) -> Self {
        Self { kind, subject, text, account: None, lane: None, evidence: "", details: Map::new() }
    }

    /// About this account, whose lane's journal gets it.
    pub fn account(self, account: AccountId) -> Self {
        Self { account: Some(account), ..self }
    }

    /// About this lane, whose journal gets it. Without account and lane, lane 0 gets it.
    pub fn lane(self, lane: LaneId) -> Self {
        Self { lane: Some(lane), ..self }
    }

    /// What it rests on: once acknowledged, it is open again when it is seen with other evidence.
    pub fn evidence(self, evidence: &'a str) -> Self {
        Self { evidence, ..self }
    }

    /// More facts, for programs.
    pub fn details(self, details: Map<String, Value>) -> Self {
        Self { details, ..self }
    }

    fn note(&self, at: Timestamp) -> FindingNote {
        let note = FindingNote {
            kind: self.kind.to_owned(),
            subject: self.subject.to_owned(),
            text: self.text.to_owned(),
            account: self.account,
            evidence: self.evidence.to_owned(),
            details: self.details.clone(),
            at,
        };
        note.bounded()
    }
}

/// What recording a finding told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is new.
    New,
    /// It is open already.
    Open,
    /// It was acknowledged, and its evidence is another now: it is open again.
    Reopened,
    /// It is acknowledged.
    Acknowledged,
}

impl Found {
    /// Whether it is to be told, to the log, the journal and the sinks.
    pub fn is_news(self) -> bool {
        matches!(self, Self::New | Self::Reopened)
    }

    /// Whether somebody still has to look at it.
    pub fn is_open(self) -> bool {
        self != Self::Acknowledged
    }
}

/// Which findings are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only those about this account.
    pub account: Option<AccountId>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those that are open.
    pub open: bool,
}

impl Filter {
    /// Whether a finding is asked for.
    pub fn takes(&self, finding: &Finding) -> bool {
        self.account.is_none_or(|account| finding.account == Some(account))
            && self.kind.as_ref().is_none_or(|kind| finding.kind == *kind)
            && !(self.open && finding.ack.is_some())
    }
}

/// How many findings there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCounts {
    /// Open ones.
    pub open: u64,
    /// Acknowledged ones.
    pub acknowledged: u64,
}

impl Ledger {
    /// Records a finding; what is new, or open again, is posted to the journal.
    pub fn find(&self, finding: &NewFinding<'_>, now: Timestamp) -> Result<Found, LedgerError> {
        let (row, found) = self.write(|transaction| record(transaction, finding, now))?;
        self.ears.tell(|listener| {
            if found.is_news() {
                listener.posted(row.lane);
            }
            listener.found(&row, found);
        });
        Ok(found)
    }

    /// Acknowledges findings (kind and subject), with a reason and who says so. Returns them as they are now; what
    /// is not there is left out.
    pub fn acknowledge(
        &self,
        findings: &[(String, String)],
        (reason, who): (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<Finding>, LedgerError> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.write(|transaction| {
            let mut rows = Vec::with_capacity(findings.len());
            for (kind, subject) in findings {
                let Some(mut row) = get(transaction, &key_of(kind, subject))? else { continue };
                let note = AckNote {
                    finding: kind.clone(),
                    subject: subject.clone(),
                    evidence: row.evidence.clone(),
                    reason: reason.to_owned(),
                    who: who.to_owned(),
                    at: now,
                };
                let note = note.bounded();
                row.ack = Some(ack_of(&note));
                put(transaction, &row)?;
                outbox::put(transaction, row.lane, [Note::Ack(note)])?;
                rows.push(row);
            }
            Ok(rows)
        })?;
        let lanes: std::collections::BTreeSet<LaneId> = rows.iter().map(|row| row.lane).collect();
        self.ears.tell(|listener| lanes.iter().for_each(|lane| listener.posted(*lane)));
        Ok(rows)
    }

    /// At most `limit` findings that the filter takes, by kind and subject.
    pub fn findings(&self, filter: &Filter, limit: usize) -> Result<Vec<Finding>, LedgerError> {
        let mut findings = Vec::new();
        self.each_finding(|finding| {
            if filter.takes(&finding) && findings.len() < limit {
                findings.push(finding);
            }
            findings.len() < limit
        })?;
        Ok(findings)
    }

    /// Shows every finding, by kind and subject, until `visit` says `false`.
    pub fn each_finding(&self, mut visit: impl FnMut(Finding) -> bool) -> Result<(), LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(FINDINGS)?;
        for row in table.iter()? {
            let (_, value) = row?;
            if !visit(decode(value.value())?) {
                break;
            }
        }
        Ok(())
    }

    /// One finding.
    pub fn finding(&self, kind: &str, subject: &str) -> Result<Option<Finding>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(FINDINGS)?;
        table.get(key_of(kind, subject).as_str())?.map(|row| decode(row.value())).transpose()
    }

    /// How many findings there are.
    pub fn finding_counts(&self) -> Result<FindingCounts, LedgerError> {
        let mut counts = FindingCounts::default();
        self.each_finding(|finding| {
            match finding.ack {
                None => counts.open += 1,
                Some(_) => counts.acknowledged += 1,
            }
            true
        })?;
        Ok(counts)
    }
}

/// Records a finding within a transaction.
fn record(
    transaction: &WriteTransaction,
    finding: &NewFinding<'_>,
    now: Timestamp,
) -> Result<(Finding, Found), LedgerError> {
    let mut note = finding.note(now);
    let mut old = get(transaction, &key_of(&note.kind, &note.subject))?;
    if old.is_none() && transaction.open_table(FINDINGS)?.len()? >= MAX_FINDINGS {
        overflow(&mut note);
        old = get(transaction, &key_of(&note.kind, &note.subject))?;
    }
    let lane = match &old {
        Some(old) => old.lane,
        None => lane_for(transaction, finding)?,
    };
    let mut row = row_of(&note, lane);
    let mut found = Found::New;
    if let Some(old) = old {
        found = match &old.ack {
            None => Found::Open,
            Some(ack) if ack.evidence == note.evidence => Found::Acknowledged,
            Some(_) => Found::Reopened,
        };
        row.first = old.first;
        row.count = old.count.saturating_add(1);
        if found != Found::Reopened {
            row.opened = old.opened;
            row.ack = old.ack;
        }
    }
    put(transaction, &row)?;
    if found.is_news() {
        outbox::put(transaction, lane, [Note::Finding(note)])?;
    }
    Ok((row, found))
}

/// There are too many: what comes now is only counted.
fn overflow(note: &mut FindingNote) {
    "overflow".clone_into(&mut note.kind);
    note.subject.clear();
    note.evidence.clear();
    note.account = None;
    note.details = Map::new();
    note.text = format!(
        "there are {MAX_FINDINGS} findings; later ones are only counted, this is the last of them: {}",
        note.text
    );
}

/// The lane whose journal gets a finding.
fn lane_for(transaction: &WriteTransaction, finding: &NewFinding<'_>) -> Result<LaneId, LedgerError> {
    if let Some(account) = finding.account
        && let Some(lanes) = transaction.open_table(META)?.get("lanes")?
    {
        return Ok(lane_of(account, u16::try_from(lanes.value()).unwrap_or(u16::MAX)));
    }
    Ok(finding.lane.unwrap_or(LaneId(0)))
}

/// Brings back a finding of the journal, within a transaction.
pub(super) fn restore(
    transaction: &WriteTransaction,
    note: &FindingNote,
    lane: LaneId,
) -> Result<(), LedgerError> {
    match get(transaction, &key_of(&note.kind, &note.subject))? {
        None => put(transaction, &row_of(note, lane)),
        // What holds already stays, unless it was acknowledged before this was seen, with other evidence.
        Some(old) => match &old.ack {
            Some(ack) if ack.evidence != note.evidence && ack.at < note.at => {
                let row = Finding { first: old.first, count: old.count + 1, ..row_of(note, lane) };
                put(transaction, &row)
            }
            _ => Ok(()),
        },
    }
}

/// Brings back an acknowledgement of the journal, within a transaction, unless the finding is open again since.
pub(super) fn restore_ack(transaction: &WriteTransaction, note: &AckNote) -> Result<(), LedgerError> {
    let Some(mut row) = get(transaction, &key_of(&note.finding, &note.subject))? else { return Ok(()) };
    if row.opened > note.at || row.ack.as_ref().is_some_and(|ack| ack.at > note.at) {
        return Ok(());
    }
    row.ack = Some(ack_of(note));
    put(transaction, &row)
}

fn row_of(note: &FindingNote, lane: LaneId) -> Finding {
    Finding {
        kind: note.kind.clone(),
        subject: note.subject.clone(),
        text: note.text.clone(),
        account: note.account,
        evidence: note.evidence.clone(),
        details: note.details.clone(),
        first: note.at,
        last: note.at,
        count: 1,
        opened: note.at,
        lane,
        ack: None,
    }
}

fn ack_of(note: &AckNote) -> Ack {
    Ack { reason: note.reason.clone(), who: note.who.clone(), at: note.at, evidence: note.evidence.clone() }
}

fn key_of(kind: &str, subject: &str) -> String {
    format!("{kind}\0{subject}")
}

fn get(transaction: &WriteTransaction, key: &str) -> Result<Option<Finding>, LedgerError> {
    let table = transaction.open_table(FINDINGS)?;
    table.get(key)?.map(|row| decode(row.value())).transpose()
}

fn put(transaction: &WriteTransaction, finding: &Finding) -> Result<(), LedgerError> {
    let bytes = serde_json::to_vec(finding).map_err(|_| DAMAGED)?;
    let key = key_of(&finding.kind, &finding.subject);
    transaction.open_table(FINDINGS)?.insert(key.as_str(), bytes.as_slice())?;
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Finding, LedgerError> {
    serde_json::from_slice(bytes).map_err(|_| DAMAGED)
}

const DAMAGED: LedgerError = LedgerError::Row { table: "findings" };
