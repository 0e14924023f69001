//! The report as a text for people: first what is wrong, then what could not be checked, then the rest.

use std::fmt::Write as _;

use super::report::{ChainReport, Counts, Problem, Report, Weight};

/// The report as text. Notes are left out unless `notes`.
pub fn write_text(report: &Report, notes: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let from = report.from.as_deref().unwrap_or("the beginning");
    let _ = writeln!(text, "Digests and log files delivered from {from} to {}", report.until);
    for chain in &report.chains {
        write_chain(&mut text, chain, notes);
    }
    if report.problems.iter().any(|problem| notes || problem.weight > Weight::Note) {
        let _ = writeln!(text, "\nOutside the chains");
        write_problems(&mut text, &report.problems, notes);
    }
    let totals = &report.totals;
    let _ = writeln!(text, "\n{} chains", totals.chains);
    let _ = writeln!(text, "digests: {}", counts(&totals.digests));
    let _ = writeln!(text, "logs:    {}", counts(&totals.logs));
    let _ = writeln!(text, "{}", verdict(report));
    text
}

fn write_chain(text: &mut String, chain: &ChainReport, notes: bool) {
    let until = match &chain.validated_until {
        Some(until) => format!("vouched for until {until}"),
        None => "not vouched for".to_owned(),
    };
    let _ = writeln!(text, "\n{}: {until}", chain.chain);
    let _ = writeln!(text, "  s3://{}, {} h covered", chain.chain.bucket, chain.covered_seconds / 3600);
    let _ = writeln!(text, "  digests: {}; logs: {}", counts(&chain.digests), counts(&chain.logs));
    write_problems(text, &chain.problems, notes);
    if chain.unlisted > 0 {
        let _ = writeln!(text, "  and {} more", chain.unlisted);
    }
}

fn write_problems(text: &mut String, problems: &[Problem], notes: bool) {
    for problem in problems.iter().filter(|problem| notes || problem.weight > Weight::Note) {
        let word = match problem.weight {
            Weight::Finding => "FINDING",
            Weight::Unknown => "UNKNOWN",
            Weight::Note => "note",
        };
        let _ = write!(text, "  {word} {} {}: {}", problem.subject, problem.outcome, problem.message);
        if let (Some(from), Some(to)) = (&problem.from, &problem.to) {
            let _ = write!(text, " ({from} to {to})");
        }
        let _ = writeln!(text);
        if let Some(object) = &problem.object {
            let _ = writeln!(text, "    {object}");
        }
    }
}

fn counts(counts: &Counts) -> String {
    let mut text = format!("{} valid", counts.valid);
    for (count, word) in [
        (counts.vouched, "of them by their successor"),
        (counts.invalid, "INVALID"),
        (counts.unknown, "unknown"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text
}

fn verdict(report: &Report) -> String {
    let totals = &report.totals;
    match report.exit_code() {
        0 => "Everything that could be checked is as CloudTrail wrote it.".to_owned(),
        1 => format!("{} integrity findings, {} things unknown.", totals.findings, totals.unknowns),
        _ if totals.chains == 0 => "No digests found, so nothing could be checked.".to_owned(),
        _ => format!("No integrity finding, but {} things could not be checked.", totals.unknowns),
    }
}
