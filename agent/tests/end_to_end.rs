//! The real program over a simulated organization: the truth, a second pass, a lost ledger, real log files.

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
use std::io::{Read, Write};
use std::path::PathBuf;

use trailhaul_tests::damage::{Damage, Sizes};
use trailhaul_tests::org::Options;
use tree::{Tree, files};

#[test]
fn the_archive_is_the_truth_and_stays_it() {
    let options = Options { seed: 11, accounts: 20, regions: 4, hours: 6, ..Options::default() };
    println!("seed {}", options.seed);
    let sizes = Sizes { bomb: 64 << 20, huge: 8 << 20, many: 50_000 };
    let tree = Tree::simulate(&options, Damage::ALL, sizes);

    let first = tree.once();
    // Planted folders of strangers are findings; everything else is well.
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    assert_eq!(first.json()["troubles"].as_array().map(Vec::len), Some(0), "{first:?}");
    assert!(first.number("/total/conflicts") > 0 && first.number("/total/duplicates") > 1_000);
    assert_eq!(
        first.number("/total/records"),
        first.number("/total/unique")
            + first.number("/total/duplicates")
            + first.number("/total/quarantined")
    );
    tree.check_truth("first pass");
    tree.check_nothing_uncommitted("first pass");

    let before = tree.archive_files();
    let second = tree.once();
    assert_eq!(second.number("/total/objects"), 0, "a second pass hauls nothing");
    assert_eq!(tree.archive_files(), before, "a second pass adds nothing");

    fs::remove_file(tree.path("state/ledger.redb")).unwrap();
    let third = tree.once();
    assert!(third.number("/recovered/noted") > 0, "{third:?}");
    assert_eq!(third.number("/total/objects"), 0, "a rebuilt ledger knows every object");
    assert_eq!(tree.archive_files(), before, "a pass with a rebuilt ledger adds nothing");
    tree.check_truth("third pass");
}

#[test]
fn real_log_files_come_out_byte_for_byte() {
    let shared = std::env::var_os("TRAILHAUL_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let logs = shared.join("data/invictus-ir_aws_dataset/logfiles");
    if !logs.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the real log files must be there in CI");
        println!("skipped: no real log files at {}", logs.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut account = String::new();
    for path in files(&logs) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        // 218007301253_CloudTrail_us-east-1_20230710T1220Z_…: account, region and day come from the name.
        let parts: Vec<&str> = name.split('_').collect();
        account = parts[0].to_owned();
        let day = &parts[3][..8];
        let key = format!(
            "bucket/AWSLogs/{}/CloudTrail/{}/{}/{}/{}/{name}.gz",
            parts[0],
            parts[2],
            &day[..4],
            &day[4..6],
            &day[6..]
        );
        let target = folder.path().join(key);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        fs::write(target, encoder.finish().unwrap()).unwrap();
        #[derive(serde::Deserialize)]
        struct Log<'a> {
            #[serde(borrow, rename = "Records")]
            records: Vec<&'a serde_json::value::RawValue>,
        }
        for record in serde_json::from_str::<Log<'_>>(&text).unwrap().records {
            *expected.entry(record.get().to_owned()).or_default() = 1;
        }
    }
    let root = folder.path().display();
    fs::write(
        folder.path().join("trailhaul.yaml"),
        format!(
            "organization: {{accounts: [\"{account}\"]}}\n\
             trails: [{{name: real, bucket: \"file://{root}/bucket\", owner: \"{account}\", carries: owner}}]\n\
             start: beginning\nintegrity: {{mode: off}}\n\
             sinks: {{archive: {{type: archive, bucket: \"file://{root}/archive\"}}, local: {{type: file, path: {root}/local, compression: none}}}}\n\
             state: {{path: {root}/state}}\nadmin: {{listen: off}}\n"
        ),
    )
    .unwrap();
    let tree = Tree { folder, config: String::new() };
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.number("/total/objects"), 55);

    let mut archived: BTreeMap<String, u64> = BTreeMap::new();
    for path in files(&tree.path("archive/data")) {
        let mut text = String::new();
        zstd::Decoder::new(fs::File::open(path).unwrap()).unwrap().read_to_string(&mut text).unwrap();
        text.lines().for_each(|line| *archived.entry(line.to_owned()).or_default() += 1);
    }
    assert!(archived == expected, "{} records archived, {} expected", archived.len(), expected.len());
    let mut local: BTreeMap<String, u64> = BTreeMap::new();
    for path in files(&tree.path("local")) {
        let text = fs::read_to_string(path).unwrap();
        text.lines().for_each(|line| *local.entry(line.to_owned()).or_default() += 1);
    }
    assert!(local == expected, "the file sink has the same records");
}

#[test]
fn far_copies_of_a_small_organization_arrive_once_within_the_window() {
    let options = Options { seed: 12, accounts: 3, regions: 1, hours: 2, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    let ran = tree.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    tree.check_truth("small organization");
    let status = tree.run(&["--output", "json", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert_eq!(status.json()["accounts"].as_object().unwrap().len(), 3);
}
