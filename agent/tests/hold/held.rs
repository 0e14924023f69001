//! Objects wait for their digests, pass after pass, and the program says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use trailhaul_core::model::Verdict;
use trailhaul_tests::digests::Integrity;

use super::tree::files;
use super::{Aside, Case, HOUR, overwrite, small};

#[test]
fn objects_wait_for_their_digests_and_are_compared_before_they_are_delivered() {
    let case = Case::recent(&small(41), "", "");
    let changed = &case.named[case.named.len() / 2];
    overwrite(changed);
    let digests = case.take_digests();
    let logs = case.logs().count() as u64;
    let mut since = Value::Null;
    for pass in 0..2 {
        let ran = case.tree.once();
        assert_eq!(ran.code, Some(0), "pass {pass}: {ran:?}");
        assert_eq!(ran.number("/total/objects"), 0, "pass {pass}: nothing vouches for them");
        assert_eq!(ran.number("/objects_held"), logs, "pass {pass}: {ran:?}");
        let held = &ran.json()["held"];
        assert_eq!((&held["objects"], &held["more"]), (&Value::from(logs), &Value::from(false)));
        for time in ["since", "until_first", "until_last"] {
            let _: jiff::Timestamp = held[time].as_str().unwrap().parse().unwrap();
        }
        assert!(pass == 0 || held["since"] == since, "it waits since the first pass");
        since = held["since"].clone();
    }
    let text = case.tree.run(&["run", "--once"]).stdout;
    assert!(text.contains(&format!("{logs} objects wait for their digests")), "{text}");
    assert_eq!(case.hauled(), BTreeMap::new());
    // A lost ledger forgets since when they wait, and nothing else.
    fs::remove_file(case.tree.path("state").join("ledger.redb")).unwrap();
    assert_eq!(case.tree.once().number("/objects_held"), logs);

    digests.give_back();
    let ran = case.tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let hauled = case.hauled();
    assert_eq!(hauled.keys().collect::<BTreeSet<_>>(), case.named.iter().collect::<BTreeSet<_>>());
    for (url, object) in &hauled {
        let expected = if url == changed { Verdict::Mismatch } else { Verdict::Verified };
        assert_eq!(object.verdict, expected, "{url}");
    }
    let bad = &hauled[changed];
    assert_eq!((bad.records, bad.quarantined, bad.unique), (1, 1, 0));
    let lines: Vec<String> = files(&case.tree.path("archive").join("quarantine"))
        .iter()
        .map(|p| fs::read_to_string(p).unwrap())
        .collect();
    assert!(lines.iter().any(|lines| lines.contains("digest_mismatch")), "{lines:?}");
    assert_eq!(case.findings("log_mismatch"), std::slice::from_ref(changed));
    assert_eq!(ran.number("/objects_mismatched"), 1);
    assert_eq!(ran.number("/objects_held"), logs - case.named.len() as u64);
    let delivered = case.named.iter().filter(|url| *url != changed).cloned().collect();
    case.check_delivered(&delivered, "the digests have come");
    case.tree.check_nothing_uncommitted("hold");

    // What was held and hauled is known after a lost ledger, too.
    fs::remove_file(case.tree.path("state").join("ledger.redb")).unwrap();
    let again = case.tree.once();
    assert_eq!(again.number("/total/objects"), 0, "{again:?}");
    assert_eq!(again.number("/objects_held"), logs - case.named.len() as u64);
}

#[test]
fn what_had_waited_for_days_is_found_again_after_a_lost_ledger() {
    let case = Case::new(&small(49), 3 * 24 * HOUR, "  max_hold: 7d\n", "");
    // The last digest of each chain that names something has not come: what it names waits.
    let integrity = Integrity::read(case.tree.folder.path()).unwrap();
    let last = integrity.chains.iter().filter_map(|c| c.digests.iter().rfind(|d| !d.logs.is_empty()));
    let mut paths = Vec::new();
    for digest in last {
        let path = case.tree.path("buckets").join(&digest.bucket).join(&digest.key);
        paths.push(
            path.with_file_name(format!("{}.metadata.json", path.file_name().unwrap().to_str().unwrap())),
        );
        paths.push(path);
    }
    let digests = Aside::take(&case.tree, paths);
    let ran = case.tree.once();
    let hauled = case.hauled().len();
    assert!(hauled > 0 && hauled < case.named.len(), "{hauled} of {}: {ran:?}", case.named.len());

    fs::remove_file(case.tree.path("state").join("ledger.redb")).unwrap();
    case.tree.write_config(&case.tree.config.replace("start: beginning", "start: -1d"));
    digests.give_back();
    case.tree.once();
    let hauled = case.hauled();
    for url in &case.named {
        assert!(hauled.contains_key(url), "{url} was lost");
    }
    case.check_delivered(&case.named.iter().cloned().collect(), "after a lost ledger");
}
