//! `trailhaul status`: what an agent has done, from the running agent or from its state folder where none runs.
//!
//! In: the configuration (for the state folder). Out: per account what was hauled and until when, lanes, open
//! findings; with `--object` what is known of one object. Exit codes: 0; 1 while a finding is open; 69 when
//! nobody can answer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use trailhaul_core::model::{AccountId, Verdict};

use super::agent::{answer, odd};
use super::findings::{lines, to_json};
use super::load::load;
use super::output::table;
use super::{ExitCode, Global, Output, object_status};
use crate::admin::{Answer, HeldStatus, Request, Status};
use crate::ledger::Held;

/// Show what was hauled, and what stands in the way.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is known of one source object: its key, or its whole URL.
    #[arg(long, value_name = "KEY")]
    object: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let config = match load(global, output) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let request = match &args.object {
        Some(key) => Request::Object { key: key.clone() },
        None => Request::Status {},
    };
    match (answer(&config, &request, output), &args.object) {
        (Err(code), _) => code,
        (Ok(Answer::Status(status)), None) => overview(&status, output),
        (Ok(Answer::Object { object: None, waiting: None }), Some(key)) => {
            output.trouble(&format!(
                "{key} is not in the inventory: it was not found, or hauled longer ago than state.retention"
            ));
            ExitCode::Unreachable
        }
        (Ok(Answer::Object { object, waiting }), Some(_)) => {
            object_status::show(object.as_deref(), waiting.as_deref(), output)
        }
        (Ok(_), _) => odd(output),
    }
}

fn overview(status: &Status, output: &mut Output) -> ExitCode {
    if output.is_json() {
        let accounts = status.accounts.iter().map(|(id, totals)| (id.to_string(), json!(totals)));
        output.json(&json!({
            "agent": status.agent,
            "archive": status.archive,
            "running": status.running,
            "accounts": accounts.collect::<serde_json::Map<_, _>>(),
            "lanes": status.lanes,
            "verdicts": verdicts(status).iter().map(|(id, counts)| (id.to_string(), json!(counts))).collect::<serde_json::Map<_, _>>(),
            "verdicts_more": status.verdicts_more,
            "waiting_objects": status.waiting,
            "waiting_more": status.waiting_more,
            "held": status.held.as_ref().map(|held| held_json(held, status.waiting_more)),
            "findings": status.findings.iter().map(to_json).collect::<Vec<_>>(),
            "finding_count": status.counts.open,
            "acknowledged_count": status.counts.acknowledged,
        }));
    } else {
        output.text(&text(status));
    }
    if status.counts.open > 0 { ExitCode::Finding } else { ExitCode::Good }
}

/// How many objects of each account have which verdict.
fn verdicts(status: &Status) -> BTreeMap<AccountId, BTreeMap<&'static str, u64>> {
    let mut accounts: BTreeMap<AccountId, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for (account, verdict, count) in &status.verdicts {
        accounts.entry(*account).or_default().insert(verdict.as_str(), *count);
    }
    accounts
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

fn text(status: &Status) -> String {
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
    for (account, totals) in &status.accounts {
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
    let entries: u64 = status.lanes.iter().map(|lane| lane.entries).sum();
    let mut text = table(&rows);
    text.push_str(&verdict_table(&verdicts(status)));
    if status.verdicts_more {
        text.push_str("there are more objects than were counted\n");
    }
    text.push_str(&format!("\n{} lanes in use, {entries} journal entries\n", status.lanes.len()));
    text.push_str(if status.running { "the agent runs\n" } else { "no agent runs\n" });
    if status.waiting > 0 {
        let more = if status.waiting_more { "at least " } else { "" };
        text.push_str(&format!("{more}{} objects found and not hauled yet\n", status.waiting));
    }
    if let Some(held) = status.held.as_ref().filter(|held| held.total.objects > 0) {
        text.push_str(&held_text(held, status.waiting_more));
    }
    let counts = status.counts;
    let acknowledged = match counts.acknowledged {
        0 => String::new(),
        count => format!(", {count} acknowledged"),
    };
    if counts.open == 0 {
        text.push_str(&format!("no open findings{acknowledged}\n"));
        return text;
    }
    text.push_str(&format!("\n{} open findings{acknowledged}\n{}", counts.open, lines(&status.findings)));
    text
}

fn time(seconds: Option<i64>) -> Option<Timestamp> {
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok())
}

/// When the oldest and the newest of these objects are hauled without a digest.
fn until(held: &Held, longest: i64) -> [Option<Timestamp>; 2] {
    let until = |since: Option<i64>| time(since.map(|since| since.saturating_add(longest)));
    [until(held.oldest), until(held.newest)]
}

fn held_json(held: &HeldStatus, more: bool) -> serde_json::Value {
    let facts = |sum: &Held| {
        let [first, last] = until(sum, held.longest);
        json!({"objects": sum.objects, "since": time(sum.oldest), "until_first": first, "until_last": last})
    };
    let accounts = held.accounts.iter().map(|(account, sum)| (account.to_string(), facts(sum)));
    let accounts: serde_json::Map<_, _> = accounts.collect();
    let [first, last] = until(&held.total, held.longest);
    json!({
        "objects": held.total.objects,
        "more": more,
        "since": time(held.total.oldest),
        "until_first": first,
        "until_last": last,
        "accounts": accounts,
    })
}

fn held_text(held: &HeldStatus, more: bool) -> String {
    let shown = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let [_, last] = until(&held.total, held.longest);
    let least = if more { "at least " } else { "" };
    let mut text = format!(
        "\n{least}{} of them wait for their digests, the oldest since {}; without one all are hauled by {}\n",
        held.total.objects,
        shown(time(held.total.oldest)),
        shown(last),
    );
    let heads = ["ACCOUNT", "WAITING", "OLDEST SINCE", "HAULED BY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (account, sum) in &held.accounts {
        let [_, last] = until(sum, held.longest);
        let cells = [account.to_string(), sum.objects.to_string(), shown(time(sum.oldest)), shown(last)];
        rows.push(cells.to_vec());
    }
    text.push_str(&table(&rows));
    text
}
