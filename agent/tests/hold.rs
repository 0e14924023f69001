//! `integrity.mode: hold` through the real program: objects wait for their digests across restarts, what digests
//! vouch for is compared before it is delivered, and what is another content is not delivered.

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
use std::io::Write;
use std::path::{Path, PathBuf};

use trailhaul_core::model::{Entry, EntryBody, ObjectEntry, Verdict};
use trailhaul_tests::config_yaml::{ConfigOptions, config_yaml};
use trailhaul_tests::digests::{self, Integrity, KEYS};
use trailhaul_tests::org::Options;
use trailhaul_tests::{delivery, truth};

use tree::{Tree, files};

const HOUR: i64 = 3_600;

fn tree(options: Options) -> Tree {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let start = jiff::Timestamp::now().as_second() - (i64::from(options.hours) * HOUR + 2 * HOUR + 2_700);
    let options = Options { start, ..options };
    let (organization, written) = delivery::simulate(folder.path(), &options).unwrap();
    written.finish().unwrap();
    let mut truth = truth::read(&folder.path().join("truth.ndjson")).unwrap();
    digests::add(folder.path(), &mut truth, &folder.path().join(KEYS)).unwrap();
    let keys = digests::public_key_files(folder.path(), &organization.regions);
    let yaml = ConfigOptions { root: folder.path(), integrity: "hold", memory: None, public_keys: &keys };
    let config = config_yaml(&organization, &yaml);
    let tree = Tree { folder, config };
    tree.write_config(&tree.config);
    tree
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

/// The last word of the journal about each object, by URL.
fn hauled(tree: &Tree) -> BTreeMap<String, ObjectEntry> {
    let mut objects = BTreeMap::new();
    for path in files(&tree.path("archive").join("journal")) {
        let Ok(entry) = Entry::from_bytes(&fs::read(&path).unwrap()) else { continue };
        let EntryBody::Batch(batch) = entry.body else { continue };
        batch.check_books().unwrap();
        for object in batch.objects {
            assert!(objects.insert(object.object.to_string(), object).is_none(), "hauled twice");
        }
    }
    objects
}

#[test]
fn objects_wait_for_their_digests_and_are_compared_before_they_are_delivered() {
    let tree = tree(Options { seed: 41, accounts: 4, regions: 2, hours: 4, rate: 30, ..Options::default() });
    let truth = truth::read(&tree.path("truth.ndjson")).unwrap();
    let integrity = Integrity::read(tree.folder.path()).unwrap();
    let named: BTreeSet<u64> =
        integrity.chains.iter().flat_map(|c| &c.digests).flat_map(|d| d.logs.clone()).collect();
    let url = |number: &u64| {
        let object = &truth.objects[usize::try_from(*number).unwrap()];
        format!("file://{}/{}", tree.path("buckets").join(&object.bucket).display(), object.key)
    };
    let named: Vec<String> = named.iter().map(url).collect();
    let changed = &named[named.len() / 2];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"Records\":[{\"eventID\":\"planted\",\"eventTime\":\"2026-11-20T10:00:00Z\"}]}")
        .unwrap();
    fs::write(changed.strip_prefix("file://").unwrap(), gzip.finish().unwrap()).unwrap();

    // No digest is there yet.
    let (mut folders, aside) = (Vec::new(), tree.path("aside"));
    digest_folders(&tree.path("buckets"), &mut folders);
    assert!(!folders.is_empty());
    fs::create_dir(&aside).unwrap();
    for (number, folder) in folders.iter().enumerate() {
        fs::rename(folder, aside.join(number.to_string())).unwrap();
    }
    for pass in 0..2 {
        let ran = tree.once();
        assert_eq!(ran.code, Some(0), "pass {pass}: {ran:?}");
        assert_eq!(ran.number("/total/objects"), 0, "pass {pass}: nothing vouches for them");
        assert!(ran.number("/objects_held") >= named.len() as u64, "pass {pass}: {ran:?}");
    }
    assert_eq!(hauled(&tree), BTreeMap::new());

    // They have come.
    for (number, folder) in folders.iter().enumerate() {
        fs::rename(aside.join(number.to_string()), folder).unwrap();
    }
    let ran = tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let hauled = hauled(&tree);
    assert_eq!(hauled.keys().collect::<BTreeSet<_>>(), named.iter().collect::<BTreeSet<_>>());
    for (url, object) in &hauled {
        let expected = if url == changed { Verdict::Mismatch } else { Verdict::Verified };
        assert_eq!(object.verdict, expected, "{url}");
    }
    let bad = &hauled[changed];
    assert_eq!((bad.records, bad.quarantined, bad.unique), (1, 1, 0));
    let lines: Vec<String> = files(&tree.path("archive").join("quarantine"))
        .iter()
        .map(|p| fs::read_to_string(p).unwrap())
        .collect();
    assert!(lines.iter().any(|lines| lines.contains("digest_mismatch")), "{lines:?}");
    let findings = tree.run(&["--output", "json", "findings", "list", "--kind", "log_mismatch"]).json();
    assert_eq!(findings["findings"].as_array().unwrap().len(), 1, "{findings}");
    assert_eq!(findings["findings"][0]["subject"].as_str().unwrap(), changed);
    assert_eq!(ran.number("/objects_mismatched"), 1);
    tree.check_nothing_uncommitted("hold");

    // What was held and hauled is known after a lost ledger, too.
    fs::remove_file(tree.path("state").join("ledger.redb")).unwrap();
    let again = tree.once();
    assert_eq!(again.number("/total/objects"), 0, "{again:?}");
}
