//! Who may know whom: the arrows between folders, read from the code.
//!
//! In: the sources. Out: nothing, or the list of what is in the wrong place. ARCHITECTURE.md draws the same
//! arrows; a new one is added here and there, with its reason.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What every stage may know beside `trailhaul-core`: the seam of stores, what all tasks share, the names.
const STAGE: &[&str] = &["store", "runtime", "telemetry"];

/// For each part of the agent, what it may know beyond itself. `config` is a folder of types that know nobody;
/// a stage that has a config type of its own there may name it.
const AGENT: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("runtime", &["telemetry"]),
    ("store", &["runtime", "telemetry"]),
    // The ledger is local and synchronous: it knows neither stores nor tasks.
    ("ledger", &[]),
    ("config", &[]),
    // An error of AWS becomes an error of the store.
    ("aws", &["store", "runtime", "telemetry", "config"]),
    // The ends that talk to AWS, each beside the seam that it implements.
    ("store/s3", &["store", "runtime", "telemetry", "config", "aws"]),
    ("sinks/kinesis", &["sinks", "store", "runtime", "telemetry", "config", "aws"]),
    ("tail/queue", &["tail", "store", "runtime", "telemetry", "config", "aws"]),
    ("archive/lifecycle", &["archive", "store", "runtime", "telemetry", "config", "aws"]),
    // Stages.
    ("archive", &["store", "runtime", "telemetry", "config"]),
    // The names of an archive's objects are one grammar, and the archive sink writes by it.
    ("sinks", &["store", "runtime", "telemetry", "config", "archive"]),
    ("tail", &["store", "runtime", "telemetry", "config"]),
    ("discover", &["store", "runtime", "telemetry", "config", "aws"]),
    ("admin", &["runtime", "telemetry", "config", "ledger"]),
    // The two that know every stage, and the one that knows them.
    (
        "haul",
        &[
            "admin",
            "archive",
            // The audit runs beside the haul and in its order; it does not know the haul.
            "audit",
            "aws",
            "config",
            "discover",
            "ledger",
            "runtime",
            "sinks",
            "store",
            "tail",
            "telemetry",
        ],
    ),
    ("audit", &["archive", "aws", "config", "discover", "ledger", "runtime", "store", "tail", "telemetry"]),
    (
        "cli",
        &[
            "admin",
            "archive",
            "audit",
            "aws",
            "config",
            "discover",
            "haul",
            "ledger",
            "runtime",
            "store",
            "telemetry",
        ],
    ),
];

/// The same for core: later folders of the flow may know earlier ones' nouns, not their work.
const CORE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("plan", &["model"]),
    ("decode", &["model"]),
    ("dedup", &["model"]),
    ("route", &["model", "decode"]),
    ("normalize", &["model", "decode"]),
    ("encode", &["model"]),
    ("verify", &["model"]),
    ("mill", &["model", "decode", "dedup", "route", "normalize", "encode"]),
];

/// Where types of the AWS SDK may be named.
const AWS_PLACES: &[&str] =
    &["aws/", "discover/", "tail/queue", "store/s3", "sinks/kinesis", "archive/lifecycle"];

/// What core may not depend on: tasks, sockets, AWS, randomness.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "async",
    "futures",
    "aws-sdk",
    "aws-config",
    "aws-smithy",
    "aws-types",
    "hyper",
    "reqwest",
    "rand",
    "trailhaul",
];

/// What production code of core may not touch.
const NOT_CALLED_IN_CORE: &[&str] = &[
    "net::Tcp",
    "net::Udp",
    "ToSocketAddrs",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant",
];

/// More lines than this need a sentence in the file's head.
const MOST_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files below a folder, by path relative to it.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 3, "no sources in {}", folder.display());
    found.sort();
    found
}

/// The part of the table that a file belongs to: its first folder (or the file that stands for one), unless
/// the table has a row of its own for a folder or file within.
fn part<'a>(path: &'a str, table: &[(&str, &[&str])]) -> &'a str {
    let whole = path.trim_end_matches(".rs");
    let own = table.iter().find(|(row, _)| row.contains('/') && whole.starts_with(*row));
    let own = own.and_then(|(row, _)| whole.get(..row.len()));
    own.unwrap_or_else(|| whole.split('/').next().unwrap())
}

fn is_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("tests/")
}

/// The top folders of the crate that the code names as `crate::…`, outside comments.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, start) in line.match_indices("crate::") {
            let rest = &line[at + start.len()..];
            let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap());
            let several = rest.starts_with('{');
            for item in list.split(if several { ',' } else { ';' }) {
                let name: String =
                    item.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                found.insert(name);
            }
        }
    }
    found.remove("");
    found
}

/// Arrows of a crate that the table does not allow.
fn wrong_arrows(crate_folder: &str, table: &[(&str, &[&str])]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, code) in sources(&root().join(crate_folder)) {
        let from = part(&path, table);
        // Tests look from outside, and may know more.
        if ["lib", "main"].contains(&from) || is_tests(&path) {
            continue;
        }
        let Some((_, allowed)) = table.iter().find(|(folder, _)| *folder == from) else {
            wrong.push(format!("{crate_folder}/{path}: the table does not know {from}"));
            continue;
        };
        let is_folder = |name: &String| table.iter().any(|(folder, _)| folder == name);
        for to in named(&code).into_iter().filter(is_folder) {
            // Below its own seam, a part may name it.
            if from.split('/').next() != Some(to.as_str()) && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{crate_folder}/{path}: {from} may not know {to}"));
            }
        }
    }
    wrong
}

#[test]
fn folders_of_the_agent_know_only_whom_they_may() {
    assert_eq!(wrong_arrows("agent/src", AGENT), Vec::<String>::new());
}

#[test]
fn folders_of_core_know_only_whom_they_may() {
    assert_eq!(wrong_arrows("core/src", CORE), Vec::<String>::new());
}

#[test]
fn no_stage_knows_another() {
    let stages = ["tail", "sinks", "discover", "ledger", "archive"];
    for stage in stages {
        let (_, allowed) = AGENT.iter().find(|(folder, _)| *folder == stage).unwrap();
        for other in stages.iter().filter(|other| **other != stage && allowed.contains(other)) {
            assert_eq!((stage, *other), ("sinks", "archive"), "the one accepted arrow between stages");
        }
        let more =
            allowed.iter().filter(|to| !STAGE.contains(to) && !["config", "aws", "archive"].contains(to));
        assert_eq!(more.count(), 0, "{stage} knows more than a stage may");
    }
}

#[test]
fn sinks_take_only_names_from_the_archive() {
    for (path, code) in sources(&root().join("agent/src/sinks")) {
        for line in code.lines().filter(|line| line.contains("crate::archive")) {
            assert_eq!(line.trim(), "use crate::archive::Layout;", "sinks/{path}");
        }
    }
}

#[test]
fn the_arrows_have_no_circle() {
    for table in [AGENT, CORE] {
        let mut left: Vec<&(&str, &[&str])> = table.iter().collect();
        while !left.is_empty() {
            let names: BTreeSet<&str> = left.iter().map(|(name, _)| *name).collect();
            let before = left.len();
            left.retain(|(_, knows)| knows.iter().any(|to| names.contains(to)));
            assert!(left.len() < before, "these know each other in a circle: {names:?}");
        }
    }
}

#[test]
fn core_is_pure() {
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("[dev-").next().unwrap();
    for line in dependencies.lines() {
        let wrong = NOT_IN_CORE.iter().find(|name| line.starts_with(**name));
        assert_eq!(wrong, None, "core/Cargo.toml: {line}");
    }
    let tests =
        |path: &str| path.ends_with("tests.rs") || path.contains("tests/") || path.ends_with("model.rs");
    for (path, code) in sources(&root().join("core/src")).into_iter().filter(|(path, _)| !tests(path)) {
        let production = code.split("#[cfg(test)]\nmod ").next().unwrap();
        for (number, line) in production.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            let wrong = NOT_CALLED_IN_CORE.iter().find(|name| line.contains(**name));
            assert_eq!(wrong, None, "core/src/{path}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn types_of_the_aws_sdk_stay_in_their_places() {
    for (path, code) in sources(&root().join("agent/src")) {
        if AWS_PLACES.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            let names = ["aws_sdk_", "aws_config", "aws_smithy", "aws_types", "aws_credential"];
            assert!(!names.iter().any(|name| line.contains(name)), "agent/src/{path}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    for folder in ["core/src", "agent/src", "agent/tests", "tests/src", "benches/src"] {
        for (path, code) in sources(&root().join(folder)) {
            let is_tests = path.ends_with("tests.rs");
            assert!(
                is_tests || code.starts_with("//!"),
                "{folder}/{path} does not begin by saying what it is"
            );
            let head = code.lines().take_while(|line| line.starts_with("//!")).collect::<String>();
            let lines = code.lines().count();
            assert!(
                lines <= MOST_LINES || head.contains("600 lines"),
                "{folder}/{path} has {lines} lines: split it, or say in its head why it has more than 600 lines"
            );
        }
    }
}

#[test]
fn names_are_found_in_every_way_of_writing_them() {
    let code = "use crate::store::{A, B};\n// crate::tail::X\npub(crate) fn f() { crate::runtime::g() }\n\
                use crate::{haul::Lane, sinks};\n";
    let found: Vec<String> = named(code).into_iter().collect();
    assert_eq!(found, ["haul", "runtime", "sinks", "store"]);
}
