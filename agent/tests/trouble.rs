//! The real program in trouble: wrong configurations, state folders and ledgers that do not fit, buckets that are
//! missing, objects that are damaged, rewritten or not the bucket's own, a full disk, a reader that went away. Each
//! test checks the exit code, that the message says what to do, and that the archive still is the truth.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod tree;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use trailhaul::ledger::{Ledger, LedgerOptions};
use trailhaul_tests::damage::{Damage, Sizes};
use trailhaul_tests::org::Options;
use tree::{Ran, Tree, files, signal, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// A small organization with an overlap, of this hour: days that are over for long are listed once only.
fn small(seed: u64, damages: &[Damage]) -> Tree {
    println!("seed {seed}");
    let start = now().as_second() / 3_600 * 3_600 - 7_200;
    let options = Options { seed, accounts: 3, regions: 1, hours: 1, rate: 30, start, ..Options::default() };
    Tree::simulate(&options, damages, Sizes { bomb: 32 << 20, huge: 3 << 20, many: 20_000 })
}

/// Exit 78, and a message with all of these words.
fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert_eq!(ran.stdout, "", "results are for what was done");
    for word in words {
        assert!(ran.stderr.contains(word), "{word} is not in\n{}", ran.stderr);
    }
}

#[expect(clippy::disallowed_methods, reason = "the real program reads the real clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn source_buckets(tree: &Tree) -> Vec<PathBuf> {
    fs::read_dir(tree.path("buckets")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A log file of the organization's trail that holds records.
fn some_log(tree: &Tree) -> PathBuf {
    let mut logs = files(&tree.path("buckets"));
    logs.retain(|path| path.to_string_lossy().contains("/CloudTrail/") && path.extension().is_some());
    logs.sort();
    logs.swap_remove(0)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
    let tree = small(101, &[]);
    let line = tree.config.lines().count() + 1;
    tree.write_config(&format!("{}limits: {{memroy: 64MiB}}\n", tree.config));
    let ran = tree.once();
    assert_eq!((ran.code, &ran.json()["problems"][0]["line"]), (Some(78), &line.into()), "{ran:?}");
    let ran = tree.run(&["run", "--once"]);
    refused(
        &ran,
        &[&format!("trailhaul.yaml:{line}:"), "limits.memroy: unknown key; did you mean \"memory\"?"],
    );
    assert!(!tree.path("state").exists(), "nothing was begun");
}

#[test]
fn an_archive_that_would_eat_its_own_tail_is_refused() {
    let tree = small(102, &[]);
    let bucket = source_buckets(&tree).swap_remove(0);
    let archive = format!("file://{}", tree.path("archive").display());
    std::os::unix::fs::symlink(&bucket, tree.path("link")).unwrap();
    for (place, what) in [
        (bucket.clone(), "the bucket itself"),
        (bucket.join("archive"), "inside a bucket"),
        (tree.path("buckets"), "around the buckets"),
        (bucket.join("../").join(bucket.file_name().unwrap()), "the bucket by another spelling"),
        (tree.path("link"), "the bucket behind a link"),
        (tree.path("link/archive"), "inside a bucket, behind a link"),
    ] {
        println!("{what}");
        tree.write_config(&tree.config.replace(&archive, &format!("file://{}", place.display())));
        let before = files(&tree.path("buckets"));
        let ran = tree.run(&["run", "--once"]);
        refused(&ran, &["archive", "eat its own tail; write elsewhere"]);
        assert_eq!(files(&tree.path("buckets")), before, "{what}: nothing was written");
    }
}

#[test]
fn a_look_at_the_state_folder_keeps_no_agent_from_starting() {
    let tree = small(104, &[]);
    assert_eq!(tree.once().code, Some(0));
    // As `status` does where no agent runs.
    let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
    let look = Ledger::open(&tree.path("state"), &options).unwrap();
    let mut command = tree.command(&["--output", "json", "run", "--once"]);
    let mut agent = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(agent.try_wait().unwrap(), None, "it waits");
    drop(look);
    let status = wait(&mut agent, Duration::from_secs(240)).expect("the pass ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_state_folder_has_one_agent() {
    let tree = small(103, &[]);
    let running = Running::start(&tree, "");
    let pid = format!("process {}", running.child.id());
    let ran = tree.run(&["run", "--once"]);
    refused(&ran, &["is in use by another agent", &pid, "state.path"]);
    // Status asks the one that has it, as soon as that one answers.
    wait_until("an answer of the running agent", || {
        let status = tree.run(&["status"]);
        assert!(matches!(status.code, Some(0 | 69)), "{status:?}");
        status.code == Some(0) && status.stdout.contains("the agent runs")
    });
    assert_eq!(running.stop(), Some(0));
    assert_eq!(tree.run(&["status"]).code, Some(0));
    assert_eq!(tree.once().code, Some(0));
    tree.check_truth("after the stop");
}

/// A continuous run.
struct Running {
    child: Child,
}

impl Running {
    /// Starts it and waits until it has its state folder.
    fn start(tree: &Tree, more: &str) -> Self {
        tree.write_config(&format!("{}{more}", tree.config));
        let mut command = tree.command(&["--output", "json", "run"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        let lock = tree.path("state/lock");
        wait_until("the start", || fs::read_to_string(&lock).is_ok_and(|text| text.trim() == pid));
        Self { child }
    }

    /// Tells it to stop and waits for that; the exit code.
    fn stop(mut self) -> Option<i32> {
        signal(&self.child, Signal::TERM);
        wait(&mut self.child, LIMIT).expect("the agent stops").code()
    }
}

#[test]
fn a_damaged_ledger_is_refused_and_rebuilt_on_request() {
    let tree = small(104, &[Damage::BadRecord]);
    assert_eq!(tree.once().code, Some(0));
    let (ledger, before) = (tree.path("state/ledger.redb"), tree.archive_files());
    let good = fs::read(&ledger).unwrap();
    println!("{} bytes", good.len());
    let overwrite = |from: usize, to: usize| {
        let mut bad = good.clone();
        bad[from..to].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(0x5b));
        bad
    };
    let used = 4096 * 3;
    for (what, bad) in [
        ("the header", overwrite(0, 64)),
        ("the first half", overwrite(used, good.len() / 2)),
        ("everything behind the header", overwrite(4096, good.len())),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("cut in the header", good[..100].to_vec()),
        ("another file", b"this is a text, and no database at all\n".repeat(500)),
    ] {
        fs::write(&ledger, &bad).unwrap();
        let ran = tree.run(&["run", "--once"]);
        println!("{what}: {}", ran.stderr.trim());
        refused(&ran, &["--rebuild-ledger", "damaged"]);
        assert_eq!(fs::read(&ledger).unwrap().len(), bad.len(), "{what}: left as it was");
        let status = tree.run(&["status"]);
        assert!(status.code == Some(69) && status.stderr.contains("--rebuild-ledger"), "{what}: {status:?}");
        let ran = tree.run(&["--output", "json", "run", "--once", "--rebuild-ledger"]);
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        assert!(ran.number("/recovered/noted") + ran.number("/recovered/finished") > 0, "{what}: {ran:?}");
        assert_eq!(ran.number("/total/objects"), 0, "{what}: nothing is delivered twice");
        assert_eq!(tree.archive_files(), before, "{what}");
    }
    tree.check_truth("rebuilt");
}

#[test]
fn a_ledger_of_a_later_version_is_left_alone() {
    let tree = small(105, &[]);
    assert_eq!(tree.once().code, Some(0));
    let ledger = tree.path("state/ledger.redb");
    {
        let db = redb::Database::open(&ledger).unwrap();
        let write = db.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        write.open_table(meta).unwrap().insert("schema", 99).unwrap();
        write.commit().unwrap();
    }
    let ran = tree.run(&["run", "--once"]);
    refused(&ran, &["schema version 99", "upgrade trailhaul"]);
    assert!(!ran.stderr.contains("rebuild"), "a newer ledger is not damaged: {}", ran.stderr);
}

#[test]
fn another_archive_is_refused_with_two_ways_out() {
    let tree = small(106, &[]);
    assert_eq!(tree.once().code, Some(0));
    let other = tree.config.replace("/archive\n", "/other-archive\n");
    tree.write_config(&other);
    let ran = tree.run(&["run", "--once"]);
    refused(
        &ran,
        &["no archive yet", "put the home archive back", "a new state folder (state.path) and a `start`"],
    );
    assert!(files(&tree.path("other-archive")).is_empty(), "nothing was written there");
    // The second way out works, and the first.
    tree.write_config(&other.replace("/state\n", "/other-state\n"));
    assert_eq!(tree.once().code, Some(0));
    tree.write_config(&tree.config);
    assert_eq!(tree.once().code, Some(0));
    tree.check_truth("the archive that was put back");
    // An archive that was emptied is another one as well.
    fs::remove_dir_all(tree.path("archive")).unwrap();
    refused(&tree.run(&["run", "--once"]), &["put the home archive back"]);
}

#[test]
fn a_missing_bucket_holds_up_no_other() {
    let tree = small(107, &[]);
    let missing = tree.path("nowhere");
    let more = format!(
        "trails:\n  - name: lost\n    bucket: file://{}\n    carries: [\"999988887777\"]\n",
        missing.display()
    );
    let config = tree.config.replace("trails:\n", &more);
    tree.write_config(&config);
    let ran = tree.once();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    let troubles = ran.json()["troubles"].to_string();
    assert!(troubles.contains("trail lost: ") && troubles.contains("nowhere"), "{troubles}");
    tree.check_truth("the other trails");
    // When it is there, all is well.
    fs::create_dir(&missing).unwrap();
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn an_object_with_other_content_is_a_finding_and_what_is_new_is_delivered() {
    let tree = small(108, &[]);
    assert_eq!(tree.once().code, Some(0));
    let log = some_log(&tree);
    let before = lines(&tree);

    // Touched and compressed anew: the same content.
    let text = gunzip(&fs::read(&log).unwrap());
    fs::write(&log, gzip(&text, 0)).unwrap();
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((ran.number("/objects_rewritten"), ran.number("/total/unique")), (1, 0));
    assert_eq!(lines(&tree), before, "nothing is delivered again");

    // Other content: a record is added, and one is another.
    let extra = "{\"eventVersion\":\"1.08\",\"eventTime\":\"2026-11-20T21:00:00Z\",\"eventName\":\"Added\",\"eventID\":\"8e9c1f6e-0000-4000-8000-000000000001\"}";
    let changed =
        String::from_utf8(text).unwrap().replace("\"Records\":[", &format!("\"Records\":[{extra},"));
    assert!(changed.contains(extra));
    fs::write(&log, gzip(changed.as_bytes(), 6)).unwrap();
    let ran = tree.once();
    assert_eq!(ran.code, Some(1), "a finding: {ran:?}");
    assert_eq!(ran.number("/total/unique"), 1, "{ran:?}");
    let mut after = before;
    after.push(extra.to_owned());
    after.sort();
    assert_eq!(lines(&tree), after);
    let status = tree.run(&["status"]);
    assert_eq!(status.code, Some(1));
    let key = log.file_name().unwrap().to_str().unwrap();
    assert!(status.stdout.contains("object_rewritten") && status.stdout.contains(key), "{}", status.stdout);
    assert_eq!(tree.once().code, Some(1), "it is open until somebody has looked at it");
    let acknowledged =
        tree.run(&["findings", "ack", "--all", "--reason", "restored by hand", "--who", "ana"]);
    assert_eq!(acknowledged.code, Some(0), "{acknowledged:?}");
    assert_eq!(tree.once().code, Some(0), "it is told once");
}

#[test]
fn a_bucket_speaks_only_for_its_own_accounts() {
    let tree = small(109, &[Damage::Planted]);
    let ran = tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    tree.check_truth("nothing planted is hauled");
    let status = tree.run(&["status"]);
    assert_eq!(status.code, Some(1));
    assert!(
        status.stdout.contains("foreign_account") && status.stdout.contains("may not carry"),
        "{}",
        status.stdout
    );
    assert_eq!(tree.once().code, Some(1), "the finding stands as long as the folder does");
}

/// Every record of the archive, sorted.
fn lines(tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for path in files(&tree.path("archive/data")) {
        let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
        lines.extend(String::from_utf8(text).unwrap().lines().map(str::to_owned));
    }
    lines.sort();
    lines
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut text = Vec::new();
    #[allow(clippy::disallowed_types, reason = "a whole member, of our own making")]
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_lost_ledger_knows_again_what_is_older_than_the_retention() {
    // Nine months old: longer than state.retention keeps what it need not know.
    let options = Options { seed: 110, accounts: 3, regions: 1, hours: 1, rate: 30, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    assert_eq!(tree.once().code, Some(0));
    let before = lines(&tree);
    for lost in [false, true] {
        if lost {
            fs::remove_file(tree.path("state/ledger.redb")).unwrap();
        }
        let running = Running::start(&tree, "batch: {age: 1s}\ntail: {interval: 1s}\n");
        std::thread::sleep(Duration::from_millis(2_500));
        assert_eq!(running.stop(), Some(0));
        assert_eq!(lines(&tree), before, "lost: {lost}");
    }
}
