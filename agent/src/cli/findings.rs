//! `trailhaul findings list | show | ack`: what a person must look at, and that a person has.
//!
//! In: the configuration (for the state folder), ids, filters. Out: findings; an acknowledgement is durable when the
//! command ends, and stands in the journal as soon as an agent runs. Exit codes: 0; 1 while a finding that was
//! listed is open; 64 for an id that names no finding, or several; 69 when nobody can answer.

use serde_json::{Value, json};
use trailhaul_core::model::AccountId;

use super::agent::{answer, odd};
use super::load::load;
use super::output::table;
use super::{ExitCode, Global, Output};
use crate::admin::{Answer, Request};
use crate::config::Config;
use crate::ledger::{Filter, Finding};
use crate::telemetry::FindingKind;

/// List, show and acknowledge findings.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List findings; exits with 1 while one of those listed is open.
    List {
        #[command(flatten)]
        which: Which,
        /// Also those that are acknowledged.
        #[arg(long)]
        all: bool,
    },
    /// Show everything that is known of one finding.
    Show {
        /// Its id as listed, or the beginning of it (four digits at least).
        id: String,
    },
    /// Acknowledge findings: they no longer make exit code 1, until they are seen with new evidence.
    Ack {
        /// Their ids as listed, or beginnings of them.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// Instead of ids: all that are open, of the given kind or account.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        which: Which,
        /// Why it is no trouble, or what was done about it.
        #[arg(long)]
        reason: String,
        /// Who says so.
        #[arg(long, env = "USER", hide_env_values = true)]
        who: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only about this account.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only of this kind.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<FindingKind>,
}

fn kind(text: &str) -> Result<FindingKind, String> {
    FindingKind::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("not a kind of finding; there are {}", names.join(", "))
    })
}

impl Which {
    fn filter(&self, open: bool) -> Filter {
        Filter { account: self.account, kind: self.kind.map(|kind| kind.name().to_owned()), open }
    }
}

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let config = match load(global, output) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let done = match &args.action {
        Action::List { which, all } => list(&config, &which.filter(!all), output),
        Action::Show { id } => show(&config, id, output),
        Action::Ack { ids, all, which, reason, who } => {
            let filter = all.then(|| which.filter(true));
            ack(&config, (ids, filter), (reason, who.as_deref()), output)
        }
    };
    done.unwrap_or_else(|code| code)
}

fn list(config: &Config, filter: &Filter, output: &mut Output) -> Result<ExitCode, ExitCode> {
    let (mut findings, mut after) = (Vec::new(), None);
    let counts = loop {
        let request = Request::Findings { filter: filter.clone(), after };
        let Answer::Findings(page) = answer(config, &request, output)? else { return Err(odd(output)) };
        findings.extend(page.findings);
        match page.next {
            None => break page.counts,
            next => after = next,
        }
    };
    let open = findings.iter().any(|finding| finding.ack.is_none());
    if output.is_json() {
        let findings: Vec<Value> = findings.iter().map(to_json).collect();
        output.json(&json!({
            "findings": findings,
            "open": counts.open,
            "acknowledged": counts.acknowledged,
        }));
    } else {
        output.text(&lines(&findings));
        output.text(&format!("{} open, {} acknowledged in all\n", counts.open, counts.acknowledged));
    }
    Ok(if open { ExitCode::Finding } else { ExitCode::Good })
}

fn show(config: &Config, id: &str, output: &mut Output) -> Result<ExitCode, ExitCode> {
    let request = Request::Finding { id: id.to_owned() };
    let Answer::Found { findings, unknown, .. } = answer(config, &request, output)? else {
        return Err(odd(output));
    };
    let Some(finding) = findings.first() else { return Err(complain(&unknown, output)) };
    if output.is_json() {
        output.json(&to_json(finding));
    } else {
        output.text(&whole(finding));
    }
    Ok(if finding.ack.is_none() { ExitCode::Finding } else { ExitCode::Good })
}

fn ack(
    config: &Config,
    (ids, all): (&[String], Option<Filter>),
    (reason, who): (&str, Option<&str>),
    output: &mut Output,
) -> Result<ExitCode, ExitCode> {
    let Some(who) = who.filter(|who| !who.trim().is_empty()) else {
        output.trouble("say who acknowledges: --who NAME");
        return Err(ExitCode::Usage);
    };
    if reason.trim().is_empty() {
        output.trouble("an acknowledgement needs a reason: --reason TEXT");
        return Err(ExitCode::Usage);
    }
    let mut done = Vec::new();
    loop {
        let request = Request::Ack {
            ids: ids.to_vec(),
            all: all.clone(),
            reason: reason.to_owned(),
            who: who.to_owned(),
        };
        let Answer::Found { findings, unknown, more } = answer(config, &request, output)? else {
            return Err(odd(output));
        };
        if !unknown.is_empty() {
            return Err(complain(&unknown, output));
        }
        done.extend(findings);
        if !more {
            break;
        }
    }
    if output.is_json() {
        output.json(&json!({ "acknowledged": done.iter().map(to_json).collect::<Vec<_>>() }));
    } else {
        output.text(&lines(&done));
        output.text(&format!("{} acknowledged\n", done.len()));
    }
    Ok(ExitCode::Good)
}

fn complain(unknown: &[String], output: &mut Output) -> ExitCode {
    output.trouble(&format!("no finding, or more than one, has the id {}", unknown.join(", ")));
    ExitCode::Usage
}

/// A finding as JSON, with its id.
pub(super) fn to_json(finding: &Finding) -> Value {
    let mut value = serde_json::to_value(finding).unwrap_or(Value::Null);
    if let Some(object) = value.as_object_mut() {
        object.insert("id".to_owned(), finding.id().into());
    }
    value
}

/// Findings in a table, each with its text below it.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let account = finding.account.map_or_else(|| "-".to_owned(), |account| account.to_string());
        let row = vec![finding.id(), finding.kind.clone(), account, seen(finding), finding.subject.clone()];
        text.push_str(&table(&[row]));
        text.push_str(&format!("    {}\n", finding.text));
        if let Some(ack) = &finding.ack {
            text.push_str(&format!("    acknowledged by {} at {}: {}\n", ack.who, ack.at, ack.reason));
        }
    }
    text
}

/// How often, and when last, to the second.
fn seen(finding: &Finding) -> String {
    let times = if finding.count == 1 { "once".to_owned() } else { format!("{} times", finding.count) };
    format!("seen {times}, last {}", finding.last.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

fn whole(finding: &Finding) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("id", finding.id());
    row("kind", finding.kind.clone());
    if let Some(kind) = FindingKind::from_name(&finding.kind) {
        row("", kind.help().to_owned());
    }
    row("subject", finding.subject.clone());
    row("text", finding.text.clone());
    if let Some(account) = finding.account {
        row("account", account.to_string());
    }
    if !finding.evidence.is_empty() {
        row("evidence", finding.evidence.clone());
    }
    for (name, value) in &finding.details {
        row(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    row("first seen", finding.first.to_string());
    row("last seen", format!("{}, {} times in all", finding.last, finding.count));
    match &finding.ack {
        None => row("state", format!("open since {}", finding.opened)),
        Some(ack) => {
            row("state", format!("acknowledged by {} at {}", ack.who, ack.at));
            row("reason", ack.reason.clone());
        }
    }
    table(&rows)
}
