//! The program `simorg`, as people and scripts use it: what it writes, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test program: what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use trailhaul_tests::{model, reread, truth};

fn simorg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simorg")).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes lines as an archive would hold them.
fn archive(folder: &Path, lines: &[Vec<u8>]) {
    let data = folder.join("data").join("date=2026-03-01");
    fs::create_dir_all(&data).unwrap();
    let ndjson = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect::<Vec<u8>>();
    fs::write(data.join("1.ndjson.zst"), zstd::encode_all(ndjson.as_slice(), 1).unwrap()).unwrap();
}

#[test]
fn a_tree_is_written_and_an_archive_judged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    let write = ["write", "--out", text(&root), "--hours", "1", "--rate", "10", "--regions", "1"];
    let small = ["--damage", "all", "--many", "50", "--bomb-bytes", "100000", "--huge-bytes", "100000"];
    let done = simorg(&[&write[..], &small[..]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for file in ["truth.ndjson", "trailhaul.yaml", "buckets"] {
        assert!(root.join(file).exists(), "{file}");
    }
    assert_eq!(simorg(&write).status.code(), Some(70), "a tree is never written over another");

    let truth = truth::read(&root.join("truth.ndjson")).unwrap();
    let expected = model::expected_at_once(&truth, model::WINDOW);
    let lines = reread::lines_of(&root, &truth, &expected).unwrap();
    let place = folder.path().join("archive");
    let judge = |lines: &[Vec<u8>]| {
        archive(&place, lines);
        let truth = root.join("truth.ndjson");
        let done = simorg(&["compare", "--truth", text(&truth), "--archive", text(&place)]);
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = judge(&lines);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = judge(&lines[1..]);
    assert_eq!(code, Some(1));
    assert!(said.contains("1 missing, 0 extra, 0 repeated"), "{said}");
    let (code, said) = judge(&[&lines[..], &[b"{\"forged\":true}".to_vec()]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains("which no object held"), "{said}");
}

#[test]
fn what_cannot_be_read_is_not_a_difference() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let done = simorg(&["compare", "--truth", text(&nowhere), "--archive", text(&nowhere)]);
    assert_eq!(done.status.code(), Some(70));
    assert!(String::from_utf8(done.stderr).unwrap().contains("nowhere"));
}

#[test]
fn unknown_kinds_are_refused_with_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let done = simorg(&["write", "--out", text(&folder.path().join("t")), "--damage", "rust"]);
    assert_eq!(done.status.code(), Some(70));
    assert!(String::from_utf8(done.stderr).unwrap().contains("truncated-gzip"));
    assert!(!folder.path().join("t").exists(), "nothing is written before the arguments are understood");
}

#[test]
fn bulk_trees_have_their_shape() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    let done = simorg(&["bulk", "small-objects", "--objects", "20", "--records", "2", "--out", text(&root)]);
    assert!(done.status.success());
    let truth = truth::read(&root.join("truth.ndjson")).unwrap();
    assert_eq!((truth.tail.objects, truth.tail.records), (20, 40));
}
