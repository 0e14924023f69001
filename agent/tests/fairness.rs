//! 49 clean accounts beside one that delivers bombs: the time until the 49 are in the archive at most doubles.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod tree;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use trailhaul_core::model::{Entry, EntryBody};
use tree::{Tree, files};

const CLEAN: u64 = 49;
const OBJECTS: u64 = 150;
const RECORDS: u64 = 250;
const BOMBER: &str = "999988887777";
const BOMBS: u64 = 64;
const BOMB_BYTES: usize = 64 << 20;
/// Starting, listing, and a machine that has other things to do.
const SLACK: f64 = 0.5;
const TRIES: u32 = 3;

#[test]
fn one_account_of_bombs_at_most_doubles_the_time_of_the_others() {
    let bomb = bomb();
    for attempt in 1..=TRIES {
        let without = measure(None);
        let with = measure(Some(&bomb));
        println!(
            "attempt {attempt}: {CLEAN} clean accounts ({OBJECTS} objects of {RECORDS} records each) are committed after \
             {without:.2} s alone, after {with:.2} s beside {BOMBS} bombs of {} MiB ({} bytes stored): {:.2} times",
            BOMB_BYTES >> 20,
            bomb.len(),
            with / without
        );
        if with <= 2.0 * without + SLACK {
            return;
        }
    }
    panic!("the bombs held up the others in each of {TRIES} attempts");
}

/// Seconds from the start of the program until the last object of a clean account was committed.
fn measure(bomb: Option<&[u8]>) -> f64 {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut accounts: Vec<String> =
        (0..CLEAN).map(|n| format!("{:012}", 100_000_000_000 + n * 7_919)).collect();
    for (number, account) in accounts.iter().enumerate() {
        for object in 0..OBJECTS {
            write(folder.path(), account, object, &clean(account, number as u64, object));
        }
    }
    accounts.push(BOMBER.to_owned());
    if let Some(bomb) = bomb {
        (0..BOMBS).for_each(|object| write(folder.path(), BOMBER, object, bomb));
    }
    let root = folder.path().display();
    let config = format!(
        "organization: {{id: o-a1b2c3d4e5, accounts: {accounts:?}}}\n\
         trails: [{{name: all, bucket: \"file://{root}/bucket\", carries: {accounts:?}}}]\n\
         start: beginning\nintegrity: {{mode: off}}\n\
         sinks: {{archive: {{type: archive, bucket: \"file://{root}/archive\"}}}}\n\
         state: {{path: {root}/state}}\nadmin: {{listen: off}}\n"
    );
    fs::write(folder.path().join("trailhaul.yaml"), config).unwrap();
    let tree = Tree { folder, config: String::new() };
    let began = now();
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.number("/total/objects"), CLEAN * OBJECTS + if bomb.is_some() { BOMBS } else { 0 });
    last_clean_commit(&tree).duration_since(began).as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "the real program reads the real clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn last_clean_commit(tree: &Tree) -> jiff::Timestamp {
    let mut last = jiff::Timestamp::MIN;
    for path in files(&tree.path("archive/journal")) {
        let Ok(entry) = Entry::from_bytes(&fs::read(path).unwrap()) else { continue };
        let EntryBody::Batch(batch) = &entry.body else { continue };
        if batch.objects.iter().any(|object| !object.object.key.contains(BOMBER)) {
            last = last.max(entry.at);
        }
    }
    last
}

fn write(root: &Path, account: &str, object: u64, bytes: &[u8]) {
    let folder = root.join(format!("bucket/AWSLogs/{account}/CloudTrail/eu-central-1/2026/11/20"));
    fs::create_dir_all(&folder).unwrap();
    let name = format!("{account}_CloudTrail_eu-central-1_20261120T1005Z_{object:0>16}.json.gz");
    fs::write(folder.join(name), bytes).unwrap();
}

fn clean(account: &str, seed: u64, object: u64) -> Vec<u8> {
    let mut text = String::from("{\"Records\":[");
    for record in 0..RECORDS {
        // A little noise, so that it compresses about as logs do.
        let noise = (seed * 1_000_003 + object * 10_007 + record).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let comma = if record > 0 { "," } else { "" };
        write!(
            text,
            "{comma}{{\"eventVersion\":\"1.08\",\"eventTime\":\"2026-11-20T10:0{}:00Z\",\"eventName\":\"GetObject\",\
             \"eventID\":\"{noise:016x}-{record}-{object}\",\"requestParameters\":{{\"key\":\"{}/{noise:x}\"}},\
             \"recipientAccountId\":\"{account}\",\"userAgent\":\"[{}]\"}}",
            record % 10,
            "folder/".repeat(40),
            "agent ".repeat(60),
        )
        .unwrap();
    }
    text.push_str("]}");
    gzip(text.as_bytes())
}

/// A good record, and spaces that compress a thousandfold.
fn bomb() -> Vec<u8> {
    let mut text = b"{\"Records\":[{\"eventTime\":\"2026-11-20T10:00:00Z\",\"eventID\":\"bomb\"}".to_vec();
    text.resize(BOMB_BYTES, b' ');
    text.extend_from_slice(b"]}");
    gzip(&text)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
