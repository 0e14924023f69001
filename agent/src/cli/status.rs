//! `trailhaul status`: what the state folder of an agent that is not running remembers.
//!
//! In: the configuration (for the state folder). Out: per account what was hauled and until when, lanes,
//! findings; with `--object` what is known of one object. Exit codes: 0; 1 when there are findings; 69 when
//! the state folder cannot be read, or is in use by a running agent.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trailhaul_core::model::{AccountId, LaneId, ObjectRef, Verdict};

use super::load::load;
use super::output::table;
use super::{ExitCode, Global, Output};
use crate::config::Config;
use crate::haul::{RunOptions, engine_plans};
use crate::ledger::{AccountTotals, Filter, Finding, Ledger, LedgerError, LedgerOptions};

/// Show what was hauled, and what stands in the way.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is known of one source object: its key, or its whole URL.
    #[arg(long, value_name = "KEY")]
    object: Option<String>,
}

/// So many findings are shown.
const SHOWN: usize = 100;
/// A look at the ledger needs little cache.
const CACHE: usize = 8 << 20;

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let config = match load(global, output) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if !config.state.path.join("ledger.redb").exists() {
        output.trouble(&format!("{} holds no ledger: nothing was hauled yet", config.state.path.display()));
        return ExitCode::Unreachable;
    }
    let options = LedgerOptions { cache_bytes: CACHE, rebuild: false, gate: None };
    let shown = Ledger::open(&config.state.path, &options).and_then(|ledger| match &args.object {
        Some(key) => object(&config, &ledger, key, output),
        None => overview(&config, &ledger, output),
    });
    match shown {
        Ok(code) => code,
        Err(error) => {
            output.trouble(&format!("cannot show the status: {error}"));
            ExitCode::Unreachable
        }
    }
}

fn overview(config: &Config, ledger: &Ledger, output: &mut Output) -> Result<ExitCode, LedgerError> {
    let accounts = ledger.accounts()?;
    let findings = ledger.findings(&Filter { open: true, ..Filter::default() }, SHOWN)?;
    let count = ledger.finding_counts()?.open;
    let (waiting, more) = ledger.found(None, 10_000)?;
    let lanes = lanes(config, ledger)?;
    let verdicts = verdicts(ledger)?;
    if output.is_json() {
        output.json(&json!({
            "agent": ledger.agent(),
            "archive": ledger.archive()?,
            "accounts": accounts.iter().map(|(id, totals)| (id.to_string(), to_json(totals))).collect::<serde_json::Map<_, _>>(),
            "lanes": lanes.iter().map(|(lane, entries, epoch)| json!({"lane": lane.0, "entries": entries, "epoch": epoch})).collect::<Vec<_>>(),
            "verdicts": verdicts.iter().map(|(id, counts)| (id.to_string(), to_json(counts))).collect::<serde_json::Map<_, _>>(),
            "waiting_objects": waiting.len(),
            "waiting_more": more.is_some(),
            "findings": findings.iter().map(to_json).collect::<Vec<_>>(),
            "finding_count": count,
        }));
    } else {
        let table = verdict_table(&verdicts);
        output.text(&text(&accounts, &lanes, &table, waiting.len(), more.is_some(), &findings, count));
    }
    Ok(if count > 0 { ExitCode::Finding } else { ExitCode::Good })
}

/// How many objects of each account have which verdict.
fn verdicts(ledger: &Ledger) -> Result<BTreeMap<AccountId, BTreeMap<&'static str, u64>>, LedgerError> {
    let mut accounts: BTreeMap<AccountId, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for ((account, verdict), count) in ledger.verdict_counts()? {
        let name = VERDICTS.iter().find(|(known, _)| *known == verdict).map_or("", |(_, name)| *name);
        accounts.entry(account).or_default().insert(name, count);
    }
    Ok(accounts)
}

/// Verdicts as they are shown, from good to bad.
const VERDICTS: [(Verdict, &str); 6] = [
    (Verdict::Verified, "verified"),
    (Verdict::Pending, "pending"),
    (Verdict::Undigested, "undigested"),
    (Verdict::Mismatch, "mismatch"),
    (Verdict::Missing, "missing"),
    (Verdict::Extra, "extra"),
];

fn verdict_table(accounts: &BTreeMap<AccountId, BTreeMap<&'static str, u64>>) -> String {
    let shown: Vec<&str> = VERDICTS
        .iter()
        .map(|(_, name)| *name)
        .filter(|name| accounts.values().any(|counts| counts.contains_key(name)))
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    let heads = std::iter::once("OBJECTS OF".to_owned()).chain(shown.iter().map(|name| name.to_uppercase()));
    let mut rows: Vec<Vec<String>> = vec![heads.collect()];
    for (account, counts) in accounts {
        let counts = shown.iter().map(|name| counts.get(name).copied().unwrap_or(0).to_string());
        rows.push(std::iter::once(account.to_string()).chain(counts).collect());
    }
    format!("\n{}", table(&rows))
}

fn lanes(config: &Config, ledger: &Ledger) -> Result<Vec<(LaneId, u64, u32)>, LedgerError> {
    let count = engine_plans(config, RunOptions::default()).map_or(0, |(plans, _)| plans.home.lanes);
    let mut lanes = Vec::new();
    for number in 0..count {
        if let Some(state) = ledger.lane(LaneId(number))? {
            lanes.push((LaneId(number), state.number, state.epoch));
        }
    }
    Ok(lanes)
}

fn text(
    accounts: &[(AccountId, AccountTotals)],
    lanes: &[(LaneId, u64, u32)],
    verdicts: &str,
    waiting: usize,
    more: bool,
    findings: &[Finding],
    count: u64,
) -> String {
    let heads = [
        "ACCOUNT",
        "OBJECTS",
        "RECORDS",
        "UNIQUE",
        "DUPLICATES",
        "CONFLICTS",
        "QUARANTINED",
        "NEWEST",
        "LAST COMMIT",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "-".to_owned(), |t| t.to_string())
    };
    for (account, totals) in accounts {
        rows.push(vec![
            account.to_string(),
            totals.objects.to_string(),
            totals.records.to_string(),
            totals.unique.to_string(),
            totals.duplicates.to_string(),
            totals.conflicts.to_string(),
            totals.quarantined.to_string(),
            time(totals.newest_stamp),
            time(totals.last_commit),
        ]);
    }
    let entries: u64 = lanes.iter().map(|(_, entries, _)| entries).sum();
    let mut text = table(&rows);
    text.push_str(verdicts);
    text.push_str(&format!("\n{} lanes in use, {entries} journal entries\n", lanes.len()));
    if waiting > 0 {
        let more = if more { "at least " } else { "" };
        text.push_str(&format!("{more}{waiting} objects found and not hauled yet\n"));
    }
    if count == 0 {
        text.push_str("no findings\n");
        return text;
    }
    text.push_str(&format!("\n{count} findings\n"));
    for finding in findings {
        text.push_str(&format!(
            "{}  {}  seen {} times, last {}\n    {}\n",
            finding.kind, finding.subject, finding.count, finding.last, finding.text
        ));
    }
    text
}

fn object(config: &Config, ledger: &Ledger, key: &str, output: &mut Output) -> Result<ExitCode, LedgerError> {
    for trail in config.trails.listed() {
        let bucket = trail.place.bucket();
        let key = key.strip_prefix(bucket.as_ref()).map_or(key, |rest| rest.trim_start_matches('/'));
        let object = ObjectRef {
            bucket: bucket.clone(),
            key: key.to_owned(),
            etag: String::new(),
            version: None,
            size: 0,
        };
        let Some(row) = ledger.object(&object)? else { continue };
        let facts = json!({
            "bucket": bucket,
            "key": key,
            "etag": row.etag,
            "sha256": row.sha256.map(hex::encode),
            "verdict": row.verdict,
            "batch": row.batch,
            "object_in_batch": row.object,
        });
        if output.is_json() {
            output.json(&facts);
        } else {
            let facts: Vec<Vec<String>> = facts
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| {
                    vec![name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]
                })
                .collect();
            output.text(&table(&facts));
        }
        return Ok(ExitCode::Good);
    }
    output.trouble(&format!(
        "{key} is not in the inventory: it was not hauled, or longer ago than state.retention"
    ));
    Ok(ExitCode::Unreachable)
}

fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
