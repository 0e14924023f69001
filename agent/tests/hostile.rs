//! The real program with input that means ill and a machine that fails: every kind of damage, a full disk, too
//! little memory, a reader that went away; and continuous runs that are told to stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use trailhaul_tests::damage::{Damage, Sizes};
use trailhaul_tests::org::Options;
use tree::{Tree, files, signal, wait};

const LIMIT: Duration = Duration::from_secs(120);

fn small(seed: u64, damages: &[Damage]) -> Tree {
    println!("seed {seed}");
    let options = Options { seed, accounts: 3, regions: 1, hours: 1, rate: 30, ..Options::default() };
    Tree::simulate(&options, damages, Sizes { bomb: 128 << 20, huge: 3 << 20, many: 20_000 })
}

/// The reasons in the quarantine, with how often they occur; every line says what, where and why.
fn quarantine(tree: &Tree) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for path in files(&tree.path("archive/quarantine")) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = line["key"].as_str().unwrap();
            assert!(line["bucket"].as_str().unwrap().starts_with("file://") && key.contains("AWSLogs/"));
            assert!(!line["etag"].as_str().unwrap().is_empty(), "{line}");
            let (from, to) = (line["bytes"][0].as_u64().unwrap(), line["bytes"][1].as_u64().unwrap());
            assert!(from <= to, "{line}");
            let sample = line["sample"].as_str().or(line["sample_base64"].as_str()).unwrap();
            assert!(sample.len() <= 400 << 10, "{key}: {} bytes of sample", sample.len());
            *reasons.entry(line["reason"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    reasons
}

#[test]
fn every_damage_is_quarantined_with_its_reason_and_the_rest_is_delivered() {
    let expected: &[(Damage, &[&str])] = &[
        (Damage::NotGzip, &["not_gzip"]),
        (Damage::PlainJson, &[]),
        (Damage::TruncatedGzip, &["truncated"]),
        (Damage::BadChecksum, &["checksum"]),
        (Damage::TrailingBytes, &["trailing_data"]),
        (Damage::SecondMember, &["trailing_data"]),
        (Damage::EmptyObject, &["empty"]),
        (Damage::NoRecords, &[]),
        (Damage::BadJson, &["bad_record", "truncated"]),
        (Damage::BadRecord, &["bad_record"]),
        (Damage::Spaced, &[]),
        (Damage::ExtraKeys, &["other_member"]),
        (Damage::OddRecords, &[]),
        (Damage::HugeRecord, &["record_too_large"]),
        (Damage::DeepRecord, &["bad_record"]),
        (Damage::EmptyRecords, &[]),
        (Damage::RandomYears, &[]),
        (Damage::Bomb, &["inflated_too_large"]),
        (Damage::UnknownFamily, &[]),
    ];
    // All but the planted ones, which are a finding and have a test of their own.
    assert_eq!(expected.len() + 1, Damage::ALL.len());
    let mut wrong = Vec::new();
    for (damage, reasons) in expected {
        let tree = small(201, &[*damage]);
        tree.write_config(&format!("{}limits: {{inflated_size: 64MiB}}\n", tree.config));
        let ran = tree.once();
        let found = quarantine(&tree);
        println!("{damage}: exit {:?}, {found:?}", ran.code);
        if ran.code != Some(0) || found.keys().ne(reasons.iter()) {
            wrong.push(format!("{damage}: exit {:?}, {found:?} instead of {reasons:?}", ran.code));
        }
        tree.check_truth(damage.name());
        tree.check_nothing_uncommitted(damage.name());
        assert_eq!(
            ran.number("/total/records"),
            ran.number("/total/unique") + ran.number("/total/duplicates") + ran.number("/total/quarantined"),
            "{damage}"
        );
        let again = tree.once();
        assert_eq!((again.code, again.number("/total/objects")), (Some(0), 0), "{damage}: {again:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A small file system of its own, where the machine lets us have one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(place: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(place);
        mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_shows_nothing_half() {
    let tree = small(202, &[]);
    let place = tree.path("disk");
    let Some(_disk) = SmallDisk::mount(&place, "256k") else {
        println!("skipped: this machine lets us mount nothing; the same is tested with a faulty store");
        return;
    };
    fs::create_dir(place.join("archive")).unwrap();
    std::os::unix::fs::symlink(place.join("archive"), tree.path("archive")).unwrap();
    // Something else has filled the disk.
    let filler = place.join("filler");
    let _ = fs::write(&filler, vec![1; 248 << 10]);
    let ran = tree.once();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.stderr.to_lowercase().contains("no space left"), "{}", ran.stderr);
    tree.check_nothing_uncommitted("while it is full");
    // With room for some of it.
    fs::write(&filler, vec![1; 200 << 10]).unwrap();
    let ran = tree.once();
    println!("with some room: exit {:?}", ran.code);
    tree.check_nothing_uncommitted("with some room");
    fs::remove_file(&filler).unwrap();
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    tree.check_nothing_uncommitted("with room");
    tree.check_truth("with room");
}

#[test]
fn too_little_memory_is_refused_with_the_figure() {
    let tree = small(203, &[]);
    tree.write_config(&format!("{}limits: {{memory: 33MiB}}\n", tree.config));
    let ran = tree.run(&["run", "--once"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("limits.memory is 33MiB, this configuration needs "), "{ran:?}");
    assert!(!tree.path("state").exists(), "nothing was begun");
    // The figure is right: with it, it runs.
    let needs = ran.stderr.split("needs ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    println!("needs {needs}");
    tree.write_config(&format!("{}limits: {{memory: {needs}}}\n", tree.config));
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    tree.check_truth("the least memory");
}

#[test]
fn a_console_nobody_reads_loses_nothing() {
    let tree = small(204, &[]);
    let console = tree.config.replace("sinks:\n", "sinks:\n  screen: {type: console}\n");
    tree.write_config(&console);
    let mut command = tree.command(&["run", "--once"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = wait(&mut child, LIMIT).expect("it ends");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(said.contains("sink screen") || said.contains("sink=\"screen\""), "{said}");
    assert!(said.to_lowercase().contains("broken pipe") && !said.contains("panicked"), "{said}");
    tree.check_nothing_uncommitted("nobody reads");
    // Without the console it goes on.
    tree.write_config(&tree.config);
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    tree.check_truth("without the console");
}

const QUICK: &str = "batch: {age: 1s}\ntail: {interval: 1s, max_interval: 1s}\n";

#[test]
fn what_appears_while_it_runs_arrives() {
    let start = now() / 3_600 * 3_600 - 7_200;
    let options =
        Options { seed: 205, accounts: 3, regions: 1, hours: 1, rate: 30, start, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    tree.write_config(&format!("{}{QUICK}", tree.config));
    // Most of the objects are not there yet; each stream has one.
    let mut later = files(&tree.path("buckets"));
    later.sort();
    let mut streams = std::collections::BTreeSet::new();
    later.retain(|path| !streams.insert(path.parent().unwrap().to_owned()));
    assert!(later.len() > 10, "{} objects come later", later.len());
    let aside = |at: usize| tree.path("aside").join(at.to_string());
    fs::create_dir(tree.path("aside")).unwrap();
    later.iter().enumerate().for_each(|(at, path)| fs::rename(path, aside(at)).unwrap());

    let mut command = tree.command(&["--output", "json", "--log-level", "debug", "run"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(fs::File::create(tree.path("log")).unwrap()).spawn().unwrap();
    let commits = || files(&tree.path("archive/data")).len();
    until("the first commit", || commits() > 0);
    later.iter().enumerate().for_each(|(at, path)| fs::rename(aside(at), path).unwrap());
    let began = Instant::now();
    let mut last = String::new();
    let arrived = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        last = differences(&tree);
        last.is_empty()
    });
    if !arrived {
        signal(&child, Signal::TERM);
        wait(&mut child, LIMIT);
        println!("{}", fs::read_to_string(tree.path("log")).unwrap());
    }
    assert!(arrived, "the rest does not arrive: {last}");
    println!("{} objects arrived within {:?}", later.len(), began.elapsed());
    signal(&child, Signal::TERM);
    let status = wait(&mut child, LIMIT).expect("the agent stops");
    assert_eq!(status.code(), Some(0), "a drained stop is a good end");
    tree.check_nothing_uncommitted("after the stop");
    tree.check_truth("after the stop");
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert!(summary.contains("\"ended\": \"well\""), "{summary}");
}

fn differences(tree: &Tree) -> String {
    use trailhaul_tests::{compare, model, truth};
    let truth = truth::read(&tree.path("truth.ndjson")).unwrap();
    let expected = model::expected_at_once(&truth, model::WINDOW);
    match compare::compare(&truth, &expected, &tree.path("archive")) {
        Ok(differences) if differences.is_empty() => String::new(),
        Ok(differences) => format!("{differences:#?}"),
        Err(error) => error.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the real program reads the real clock")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let options = Options { seed: 206, accounts: 3, regions: 1, hours: 1, rate: 600, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    // A console that nobody reads from blocks: the drain would take its grace.
    let console = tree.config.replace("sinks:\n", "sinks:\n  screen: {type: console}\n");
    tree.write_config(&format!("{console}{QUICK}"));
    let mut command = tree.command(&["run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first epoch", || !files(&tree.path("archive/journal")).is_empty());
    std::thread::sleep(Duration::from_millis(2_500));
    signal(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    let ended = child.try_wait().unwrap();
    let mut said = String::new();
    if ended.is_some() {
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    }
    assert_eq!(ended, None, "it drains: {said}");
    let began = Instant::now();
    signal(&child, Signal::TERM);
    let status = wait(&mut child, LIMIT).expect("it ends");
    println!("ended {:?} after the second signal, {status}", began.elapsed());
    // The drain alone would have taken its grace, a minute.
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(status.code(), Some(69));
    tree.check_nothing_uncommitted("after two signals");
    tree.write_config(&tree.config);
    assert_eq!(tree.once().code, Some(0));
    tree.check_truth("after two signals");
}
