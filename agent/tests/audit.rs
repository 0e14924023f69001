//! The audit inside `run`: untouched organizations accuse nobody, every tampering is found, and what a listing
//! does not show is healed by digests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::Value;
use trailhaul_tests::digests::Integrity;
use trailhaul_tests::org::Options;
use trailhaul_tests::tamper::{Act, Tamperer, Verdict};
use trailhaul_tests::truth;

use tree::{Ran, Tree};

/// A tree with digests whose configuration has a grace of an hour, and calls what no digest names extra at once.
fn tree(options: Options) -> Tree {
    let mut tree = Tree::digested(&options);
    tree.config = tree.config.replace("  mode: attest\n", "  mode: attest\n  grace: 1h\n  extra_after: 1s\n");
    tree.write_config(&tree.config);
    tree
}

fn small(seed: u64) -> Options {
    Options { seed, accounts: 5, regions: 2, hours: 4, rate: 30, ..Options::default() }
}

/// Hauls and audits; again after `extra_after`.
fn twice(tree: &Tree) -> Ran {
    tree.once();
    std::thread::sleep(Duration::from_millis(1_500));
    tree.once()
}

/// Kind, subject and text of every finding.
fn findings(tree: &Tree) -> Vec<(String, String, String)> {
    let status = tree.run(&["--output", "json", "status"]).json();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let findings = status["findings"].as_array().unwrap();
    assert_eq!(status["finding_count"], findings.len(), "more findings than are shown");
    findings.iter().map(|f| (text(f, "kind"), text(f, "subject"), text(f, "text"))).collect()
}

/// What the journal says of an object, entry by entry.
fn said(tree: &Tree, key: &str) -> Vec<String> {
    let mut said = Vec::new();
    for path in tree::files(&tree.path("archive/journal")) {
        let Ok(entry) = serde_json::from_slice::<Value>(&fs::read(&path).unwrap()) else { continue };
        for verdict in entry["verdicts"].as_array().into_iter().flatten() {
            if verdict["objects"].as_array().unwrap().iter().any(|object| object["key"] == key) {
                said.push(format!("{}: {}", verdict["verdict"], verdict["cause"]));
            }
        }
    }
    said
}

/// Objects by verdict, over all accounts.
fn verdicts(tree: &Tree) -> BTreeMap<String, u64> {
    let status = tree.run(&["--output", "json", "status"]).json();
    let mut sums = BTreeMap::new();
    for account in status["verdicts"].as_object().unwrap().values() {
        for (verdict, count) in account.as_object().unwrap() {
            *sums.entry(verdict.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    sums
}

#[test]
fn untouched_organizations_accuse_nobody() {
    for seed in [31, 32, 33] {
        let tree = tree(small(seed));
        let ran = twice(&tree);
        assert_eq!(findings(&tree), [], "seed {seed}");
        assert_eq!(ran.code, Some(0), "seed {seed}: {}{}", ran.stdout, ran.stderr);
        tree.check_truth("untouched");
        let truth = truth::read(&tree.path("truth.ndjson")).unwrap();
        let integrity = Integrity::read(tree.folder.path()).unwrap();
        let named: BTreeSet<u64> =
            integrity.chains.iter().flat_map(|c| &c.digests).flat_map(|d| d.logs.clone()).collect();
        let all = truth.objects.iter().filter(|object| object.family.folder() != "CloudTrail-Digest").count();
        let verdicts = verdicts(&tree);
        assert_eq!(verdicts.get("verified"), Some(&(named.len() as u64)), "seed {seed}: {verdicts:?}");
        assert_eq!(
            verdicts.get("undigested").copied().unwrap_or(0),
            (all - named.len()) as u64,
            "seed {seed}"
        );
        assert_eq!(verdicts.len(), 2, "nothing is pending: {verdicts:?}");
    }
}

/// The kinds of finding that may name a place of which the simulation says this.
fn allowed(verdict: Verdict) -> &'static [&'static str] {
    match verdict {
        Verdict::Mismatch => &["log_mismatch"],
        Verdict::Missing => &["log_missing", "digest_missing"],
        Verdict::Extra => &["log_extra"],
        Verdict::Foreign => &["foreign_account"],
        Verdict::BadSignature => &["digest_invalid"],
        Verdict::UnknownKey => &["key_unknown"],
        Verdict::Moved => &["digest_misplaced"],
    }
}

#[test]
fn every_tampering_is_found_and_nothing_else_is_accused() {
    let tree = tree(Options { accounts: 7, ..small(34) });
    let mut tamperer = Tamperer::open(tree.folder.path()).unwrap();
    for act in Act::ALL {
        tamperer.act(*act).unwrap();
    }
    let (_, integrity) = tamperer.finish().unwrap();
    let ran = twice(&tree);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let findings = findings(&tree);
    let mut touched = BTreeSet::new();
    let mut newest = 0;
    for tampering in &integrity.tampered {
        for effect in &tampering.effects {
            let url =
                format!("file://{}/{}", tree.path("buckets").join(&effect.bucket).display(), effect.key);
            let said: Vec<_> = findings.iter().filter(|(_, subject, _)| *subject == url).collect();
            let mut fits = said.iter().any(|(kind, ..)| allowed(effect.verdict).contains(&kind.as_str()));
            if effect.verdict == Verdict::Foreign {
                // Told of the account's folder.
                fits = findings.iter().any(|(kind, subject, _)| {
                    kind == "foreign_account" && effect.key.contains(subject.split_once("AWSLogs").unwrap().1)
                });
            }
            if tampering.act == "delete-newest-digests" {
                newest += usize::from(fits);
                fits = true;
            }
            // Its successor vouches for its content.
            fits |= tampering.act == "strip-metadata";
            let journal = self::said(&tree, &effect.key);
            assert!(fits, "{}: {url} is said to be {said:?}, {journal:?}; {findings:#?}", tampering.act);
            touched.insert(url);
        }
    }
    assert!(newest > 0, "the newest digests were deleted and nobody noticed");
    let innocent: Vec<_> = findings
        .iter()
        .filter(|(kind, subject, _)| kind != "foreign_account" && !touched.contains(subject))
        .collect();
    assert!(innocent.is_empty(), "{innocent:#?}");
    for (kind, subject, text) in &findings {
        assert!(kind == "foreign_account" || text.contains("account "), "{kind} {subject}: {text}");
        if kind == "log_mismatch" || kind == "log_extra" {
            let traced =
                text.contains("/archive/data/date=") || text.contains("holds some of the same events");
            assert!(traced, "{text}");
        }
    }
    tree.check_truth("tampered with");
    tree.check_nothing_uncommitted("tampered with");
}

#[test]
fn the_audit_survives_a_lost_ledger() {
    let tree = tree(Options { accounts: 2, regions: 1, ..small(35) });
    let mut tamperer = Tamperer::open(tree.folder.path()).unwrap();
    tamperer.act(Act::ChangeLog).unwrap();
    tamperer.finish().unwrap();
    assert_eq!(twice(&tree).code, Some(1));
    let (before, judged) = (findings(&tree), verdicts(&tree));
    assert_eq!(before.len(), 1, "{before:#?}");
    fs::remove_file(tree.path("state/ledger.redb")).unwrap();
    let archive = tree.archive_files().len();
    assert_eq!(twice(&tree).code, Some(1), "what is found stays found");
    let kinds =
        |all: &[(String, String, String)]| all.iter().map(|f| (f.0.clone(), f.1.clone())).collect::<Vec<_>>();
    assert_eq!((kinds(&findings(&tree)), verdicts(&tree)), (kinds(&before), judged));
    assert_eq!(tree.archive_files().len(), archive, "no verdict is given twice");
}
