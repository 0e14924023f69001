//! `integrity.mode: hold` through the real program: objects wait for their digests across restarts, kills and a lost
//! ledger; what digests vouch for is compared before it is delivered, and nothing else of it ever is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test"
)]

mod expired;
mod held;
mod kills;
mod running;
mod tampered;
#[path = "../tree/mod.rs"]
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use trailhaul_core::model::{Entry, EntryBody, ObjectEntry};
use trailhaul_tests::compare::compare;
use trailhaul_tests::config_yaml::{ConfigOptions, config_yaml};
use trailhaul_tests::digests::{self, Integrity, KEYS};
use trailhaul_tests::org::Options;
use trailhaul_tests::truth::{Object, Truth};
use trailhaul_tests::{delivery, model, truth};

use tree::{Tree, files};

const HOUR: i64 = 3_600;

fn small(seed: u64) -> Options {
    Options { seed, accounts: 4, regions: 2, hours: 3, rate: 30, ..Options::default() }
}

/// A tree whose digests are written and can be taken away.
struct Case {
    tree: Tree,
    truth: Truth,
    /// The URLs of the objects that digests name.
    named: Vec<String>,
}

impl Case {
    /// Of a time that ended so many seconds ago; with these lines below `integrity:`, and these at the end.
    fn new(options: &Options, age: i64, integrity: &str, more: &str) -> Self {
        Self::with(options, age, (integrity, more), |_, _| {})
    }

    /// The same, where something is added to the tree before its digests are written.
    fn with(
        options: &Options,
        age: i64,
        (integrity, more): (&str, &str),
        add: impl FnOnce(&Path, &mut Truth),
    ) -> Self {
        println!("seed {}", options.seed);
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let start = jiff::Timestamp::now().as_second() - i64::from(options.hours) * HOUR - age;
        let options = Options { start, ..options.clone() };
        let (organization, written) = delivery::simulate(folder.path(), &options).unwrap();
        written.finish().unwrap();
        let mut truth = truth::read(&folder.path().join("truth.ndjson")).unwrap();
        add(folder.path(), &mut truth);
        digests::add(folder.path(), &mut truth, &folder.path().join(KEYS)).unwrap();
        let keys = digests::public_key_files(folder.path(), &organization.regions);
        let yaml = ConfigOptions { root: folder.path(), integrity: "hold", memory: None, public_keys: &keys };
        let config = config_yaml(&organization, &yaml);
        let config = config.replace("  mode: hold\n", &format!("  mode: hold\n{integrity}")) + more;
        let tree = Tree { folder, config };
        tree.write_config(&tree.config);
        let mut case = Self { truth, tree, named: Vec::new() };
        let integrity = Integrity::read(case.tree.folder.path()).unwrap();
        let named: BTreeSet<u64> =
            integrity.chains.iter().flat_map(|c| &c.digests).flat_map(|d| d.logs.clone()).collect();
        case.named = named
            .iter()
            .map(|number| case.url(&case.truth.objects[usize::try_from(*number).unwrap()]))
            .collect();
        case
    }

    /// The usual: the newest digests are between three quarters of an hour and an hour and three quarters old.
    fn recent(options: &Options, integrity: &str, more: &str) -> Self {
        Self::new(options, 2 * HOUR + 2_700, integrity, more)
    }

    fn url(&self, object: &Object) -> String {
        format!("file://{}/{}", self.tree.path("buckets").join(&object.bucket).display(), object.key)
    }

    /// The log files of trails, whether a digest names them or not.
    fn logs(&self) -> impl Iterator<Item = &Object> {
        self.truth.objects.iter().filter(|o| o.trail.is_some() && o.family.folder() != "CloudTrail-Digest")
    }

    /// Takes all digests away, with their folders.
    fn take_digests(&self) -> Aside {
        let mut folders = Vec::new();
        digest_folders(&self.tree.path("buckets"), &mut folders);
        Aside::take(&self.tree, folders)
    }

    /// What the journal says of each object, by URL. None is hauled twice.
    fn hauled(&self) -> BTreeMap<String, ObjectEntry> {
        let mut objects = BTreeMap::new();
        for path in files(&self.tree.path("archive").join("journal")) {
            let Ok(entry) = Entry::from_bytes(&fs::read(&path).unwrap()) else { continue };
            let EntryBody::Batch(batch) = entry.body else { continue };
            batch.check_books().unwrap();
            for object in batch.objects {
                assert!(objects.insert(object.object.to_string(), object).is_none(), "hauled twice");
            }
        }
        objects
    }

    /// The archive has what these objects hold, each record once, and nothing else.
    fn check_delivered(&self, objects: &BTreeSet<String>, context: &str) {
        let reached = |object: &Object| objects.contains(&self.url(object)).then_some(0);
        let expected = model::expected(&self.truth, reached, model::WINDOW);
        let differences = compare(&self.truth, &expected, &self.tree.path("archive")).unwrap();
        assert!(differences.is_empty(), "{context}: {differences:#?}");
    }

    /// The subjects of the findings of a kind.
    fn findings(&self, kind: &str) -> Vec<String> {
        let found = self.tree.run(&["--output", "json", "findings", "list", "--kind", kind]).json();
        let found = found["findings"].as_array().unwrap();
        found.iter().map(|finding| finding["subject"].as_str().unwrap().to_owned()).collect()
    }

    fn status(&self) -> Value {
        status(&self.tree)
    }

    /// How many objects have this verdict, over all accounts.
    fn verdicts(&self, verdict: &str) -> u64 {
        verdicts(&self.status(), verdict)
    }
}

/// What is known as a whole; null while nobody answers yet.
fn status(tree: &Tree) -> Value {
    serde_json::from_str(&tree.run(&["--output", "json", "status"]).stdout).unwrap_or(Value::Null)
}

fn verdicts(status: &Value, verdict: &str) -> u64 {
    let accounts = status["verdicts"].as_object();
    accounts.into_iter().flat_map(|a| a.values()).filter_map(|account| account[verdict].as_u64()).sum()
}

/// Folders that are not in their places.
struct Aside(Vec<(PathBuf, PathBuf)>);

impl Aside {
    fn take(tree: &Tree, folders: Vec<PathBuf>) -> Self {
        assert!(!folders.is_empty());
        let aside = tree.path("aside");
        fs::create_dir(&aside).unwrap();
        let mut moved = Vec::new();
        for (number, folder) in folders.into_iter().enumerate() {
            let there = aside.join(number.to_string());
            fs::rename(&folder, &there).unwrap();
            moved.push((there, folder));
        }
        Self(moved)
    }

    /// They have come.
    fn give_back(self) {
        for (there, folder) in self.0 {
            fs::rename(there, folder).unwrap();
        }
    }
}

/// Every folder of digests below a folder.
fn digest_folders(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.ends_with("CloudTrail-Digest") {
            into.push(path);
        } else if path.is_dir() {
            digest_folders(&path, into);
        }
    }
}

fn path_of(url: &str) -> &Path {
    Path::new(url.strip_prefix("file://").unwrap())
}

/// Another valid log file stands under this URL from now on.
fn overwrite(url: &str) {
    let text = "{\"Records\":[{\"eventID\":\"planted\",\"eventTime\":\"2026-11-20T10:00:00Z\"}]}";
    fs::write(path_of(url), gzip(text.as_bytes())).unwrap();
}

/// Changes one digit of the log file under this URL, and leaves everything else as it is.
fn change_a_digit(url: &str) {
    let stored = fs::read(path_of(url)).unwrap();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(stored.as_slice()).read_to_end(&mut text).unwrap();
    let at = text.len() / 2;
    let digit = at + text[at..].iter().position(u8::is_ascii_digit).unwrap();
    text[digit] = if text[digit] == b'9' { b'8' } else { text[digit] + 1 };
    fs::write(path_of(url), gzip(&text)).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}
