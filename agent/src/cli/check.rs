//! `trailhaul check --offline`: is the configuration valid, and what does it mean?
//!
//! In: the configuration. Out: every problem (78), or a summary of accounts, trails, sinks and where the
//! journal lives, with warnings about what is allowed and yet worth a second thought. It touches nothing.

use serde_json::{Value, json};

use crate::config::{
    Accounts, Carries, Config, IntegrityMode, Origin, Problems, Role, RoleTarget, Sink, Target, Trail,
    Trails, show_duration, show_size,
};

use super::output::table;
use super::{ExitCode, Global, Output};

/// Validate the configuration and show what it means.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look at the configuration alone and reach for nothing outside.
    #[arg(long, required = true)]
    offline: bool,
}

pub(super) fn run(_args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    match super::load(global) {
        Ok(config) => {
            let warnings = warnings(&config);
            if output.is_json() {
                output.json(&describe(&config, &warnings));
            } else {
                output.text(&summary(&config, &warnings));
            }
            ExitCode::Good
        }
        Err(problems) => {
            report(&problems, output);
            ExitCode::Configuration
        }
    }
}

/// Shows every problem: as JSON among the results, as text with the trouble.
pub(super) fn report(problems: &Problems, output: &mut Output) {
    if !output.is_json() {
        output.trouble(&problems.to_string());
        return;
    }
    let list: Vec<Value> = problems
        .list()
        .iter()
        .map(|problem| {
            let (line, column, variable) = match &problem.origin {
                Origin::File { line, column } => (Some(*line), Some(*column), None),
                Origin::Variable(name) => (None, None, Some(name)),
                Origin::Whole => (None, None, None),
            };
            json!({
                "key": problem.key,
                "line": line,
                "column": column,
                "variable": variable,
                "message": problem.message,
            })
        })
        .collect();
    output.json(&json!({ "valid": false, "problems": list }));
}

fn summary(config: &Config, warnings: &[String]) -> String {
    let mut facts = vec![
        vec!["organization".into(), organization(config)],
        vec!["accounts".into(), accounts(&config.organization.accounts)],
        vec!["start".into(), config.start.to_string()],
        vec!["integrity".into(), integrity(config)],
        vec!["dedup window".into(), show_duration(config.dedup.window)],
        vec!["journal".into(), journal(config)],
        vec!["state".into(), config.state.path.display().to_string()],
        vec!["memory".into(), show_size(config.limits.memory)],
    ];
    let listen = config.admin.listen.map_or_else(|| "off".to_owned(), |address| address.to_string());
    facts.push(vec!["admin".into(), listen]);

    let mut trails = vec![heads(&["TRAIL", "PLACE", "OWNER", "CARRIES", "ROLE"])];
    trails.extend(config.trails.listed().iter().map(trail_row));
    if config.trails == Trails::Discovered {
        trails.push(vec!["(discovered)".into()]);
    }
    let mut sinks = vec![heads(&["SINK", "TYPE", "PLACE", "FORMAT", "GETS"])];
    sinks.extend(config.sinks.iter().map(sink_row));

    let mut text = format!("{}\n{}\n{}", table(&facts), table(&trails), table(&sinks));
    if !warnings.is_empty() {
        text.push('\n');
    }
    for warning in warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str("\nthe configuration is valid; nothing outside was asked\n");
    text
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn organization(config: &Config) -> String {
    let id = config.organization.id.as_ref().map(ToString::to_string);
    match (&id, &config.organization.name) {
        (Some(id), Some(name)) => format!("{id} ({name})"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => "none".into(),
    }
}

fn accounts(accounts: &Accounts) -> String {
    match accounts {
        Accounts::Carried => "all that the trails carry".into(),
        Accounts::Listed(ids) => {
            let shown: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
            let more = ids.len().saturating_sub(shown.len());
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{rest}", shown.join(", "))
        }
        Accounts::Discovered { .. } => "as AWS Organizations lists them".into(),
    }
}

fn integrity(config: &Config) -> String {
    match config.integrity.mode {
        IntegrityMode::Off => "off".into(),
        mode => format!("{mode}, digests up to {} late", show_duration(config.integrity.grace)),
    }
}

fn journal(config: &Config) -> String {
    match config.home() {
        Some((name, archive)) => format!("{}journal/ (sink {name}, {} lanes)", archive.place, archive.lanes),
        None => format!("{} (no archive)", config.state.path.display()),
    }
}

fn trail_row(trail: &Trail) -> Vec<String> {
    vec![
        trail.name.clone(),
        trail.place.to_string(),
        trail.owner.map_or_else(|| "-".into(), |owner| owner.to_string()),
        match &trail.carries {
            Carries::Organization(id) => id.to_string(),
            Carries::Accounts(ids) if ids.len() > 3 => format!("{} accounts", ids.len()),
            Carries::Accounts(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        },
        role(trail.role.as_ref()),
    ]
}

fn role(role: Option<&Role>) -> String {
    match role.map(|role| &role.target) {
        None => "-".into(),
        Some(RoleTarget::Name(name) | RoleTarget::Arn(name)) => name.clone(),
    }
}

fn sink_row(sink: &Sink) -> Vec<String> {
    let mut gets = vec![if sink.filter.is_some() { "filtered events" } else { "all events" }.to_owned()];
    if !sink.redact.is_empty() {
        gets.push(format!("{} fields redacted", sink.redact.len()));
    }
    if sink.findings {
        gets.push("findings".into());
    }
    if !sink.required {
        gets.push("not required".into());
    }
    let kind = match &sink.target {
        Target::Archive(archive) if archive.home => "archive (home)",
        target => target.kind(),
    };
    vec![sink.name.to_string(), kind.into(), place(sink), sink.format.to_string(), gets.join(", ")]
}

fn place(sink: &Sink) -> String {
    match &sink.target {
        Target::Archive(archive) => archive.place.to_string(),
        Target::File(file) => file.path.display().to_string(),
        Target::Console(_) => "standard output".into(),
        Target::Kinesis(kinesis) => kinesis.stream.clone(),
    }
}

/// What is allowed, and yet worth a second thought.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.home().is_none() {
        warnings.push(format!(
            "no archive: the journal lives in {}, and losing that folder loses the memory of what was hauled",
            config.state.path.display()
        ));
    }
    if config.integrity.mode == IntegrityMode::Off {
        warnings.push("integrity is off: digests are not read, and no object will be called verified".into());
    } else if config.integrity.public_keys.is_empty()
        && config.trails.listed().iter().all(|trail| trail.place.folder().is_some())
        && !config.trails.listed().is_empty()
    {
        warnings.push(
            "all trails are folders and integrity.public_keys names no saved keys: digests cannot be \
             verified without AWS"
                .into(),
        );
    }
    for trail in config.trails.listed() {
        if let (Accounts::Listed(ids), Carries::Accounts(carried)) =
            (&config.organization.accounts, &trail.carries)
            && ids.is_disjoint(carried)
        {
            warnings.push(format!(
                "trail {} carries none of organization.accounts: nothing of it will be hauled",
                trail.name
            ));
        }
    }
    if let Some(address) = config.admin.listen
        && !address.ip().is_loopback()
    {
        warnings.push(format!("admin.listen: {address} can be reached from outside, without a password"));
    }
    if let Some(url) = &config.aws.endpoint_url
        && url.starts_with("http://")
    {
        warnings.push("aws.endpoint_url: http:// sends logs and credentials in the clear".into());
    }
    warnings
}

/// The same for programs.
fn describe(config: &Config, warnings: &[String]) -> Value {
    let trails: Vec<Value> = config
        .trails
        .listed()
        .iter()
        .map(|trail| {
            let carries = match &trail.carries {
                Carries::Organization(id) => json!({ "organization": id.to_string() }),
                Carries::Accounts(ids) => json!({ "accounts": ids }),
            };
            json!({
                "name": trail.name,
                "place": trail.place.to_string(),
                "owner": trail.owner,
                "carries": carries,
                "role": trail.role.as_ref().map(|found| role(Some(found))),
            })
        })
        .collect();
    let sinks: Vec<Value> = config
        .sinks
        .iter()
        .map(|sink| {
            json!({
                "name": sink.name.as_str(),
                "type": sink.target.kind(),
                "place": place(sink),
                "format": sink.format.to_string(),
                "required": sink.required,
                "filter": sink.filter,
                "home": matches!(&sink.target, Target::Archive(archive) if archive.home),
            })
        })
        .collect();
    json!({
        "valid": true,
        "organization": config.organization.id,
        "accounts": match &config.organization.accounts {
            Accounts::Carried => json!("carried"),
            Accounts::Listed(ids) => json!(ids),
            Accounts::Discovered { .. } => json!("discovered"),
        },
        "start": config.start.to_string(),
        "integrity": config.integrity.mode.to_string(),
        "trails": trails,
        "trails_discovered": config.trails == Trails::Discovered,
        "sinks": sinks,
        "journal": config.home().map_or_else(
            || config.state.path.display().to_string(),
            |(_, archive)| format!("{}journal/", archive.place),
        ),
        "state": config.state.path.display().to_string(),
        "memory_bytes": config.limits.memory,
        "admin": config.admin.listen.map(|address| address.to_string()),
        "warnings": warnings,
    })
}
