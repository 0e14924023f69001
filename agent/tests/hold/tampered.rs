//! What becomes of objects that somebody lays hands on while they wait.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trailhaul_core::model::Verdict;
use trailhaul_tests::truth::{Content, Object, Run, Sha, Truth};

use super::{Case, HOUR, change_a_digit, gzip, overwrite, path_of, small};

/// Larger than what is compared in memory.
const LARGE: u64 = 256 * 1024;

/// Copies some objects under other names, with large records in the place of theirs.
fn add_large(root: &Path, truth: &mut Truth) {
    let mut random = StdRng::seed_from_u64(44);
    let validated =
        |o: &&Object| o.trail.is_some_and(|trail| truth.head.organization.trails[trail].validation);
    let logs = truth.objects.iter().filter(|o| o.family.folder() == "CloudTrail" && o.sha256.is_some());
    let some: Vec<Object> = logs.filter(validated).step_by(5).take(8).cloned().collect();
    for object in some {
        let key = object.key.replace(".json.gz", "Large.json.gz");
        let (mut records, mut texts) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let number = truth.contents.len() as u64;
            let filler: String = (0..30_000).map(|_| format!("{:016x}", random.random::<u64>())).collect();
            let (account, id) = (object.account, format!("large-{number}"));
            let time = jiff::Timestamp::from_second(object.delivered).unwrap();
            let text = format!("{{\"eventID\":\"{id}\",\"eventTime\":\"{time}\",\"filler\":\"{filler}\"}}");
            let sha256 = Sha::of(text.as_bytes());
            truth.contents.push(Content { number, account, id: Some(id), sha256, time: object.delivered });
            records.push(Run::One(number));
            texts.push(text);
        }
        let text = format!("{{\"Records\":[{}]}}", texts.join(","));
        let stored = gzip(text.as_bytes());
        fs::write(root.join("buckets").join(&object.bucket).join(&key), &stored).unwrap();
        truth.objects.push(Object {
            number: truth.objects.len() as u64,
            key,
            size: stored.len() as u64,
            raw_size: text.len() as u64,
            sha256: Some(Sha::of(text.as_bytes())),
            records,
            ..object
        });
    }
}

#[test]
fn large_objects_are_compared_by_a_first_reading() {
    let case = Case::with(&small(44), 2 * HOUR + 2_700, ("", ""), add_large);
    let size = |url: &&String| fs::metadata(path_of(url)).unwrap().len();
    let large: Vec<&String> = case.named.iter().filter(|url| size(url) > LARGE).collect();
    assert!(large.len() >= 4, "{} of {} are large", large.len(), case.named.len());
    let changed = large[1];
    change_a_digit(changed);
    assert!(size(&changed) > LARGE);
    let ran = case.tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let hauled = case.hauled();
    for url in &case.named {
        let expected = if url == changed { Verdict::Mismatch } else { Verdict::Verified };
        assert_eq!(hauled[url].verdict, expected, "{url}");
    }
    let bad = &hauled[changed];
    assert_eq!((bad.records, bad.quarantined, bad.unique), (1, 1, 0));
    assert_eq!(case.findings("log_mismatch"), std::slice::from_ref(changed));
    let delivered: BTreeSet<String> = case.named.iter().filter(|url| *url != changed).cloned().collect();
    case.check_delivered(&delivered, "large");
    case.tree.check_nothing_uncommitted("large");
}

#[test]
fn objects_that_are_deleted_or_overwritten_while_they_wait_are_found_and_never_delivered() {
    // Of last week: no listing shows again what was listed through, so what waits is what was found at first.
    let case = Case::new(&small(45), 5 * 24 * HOUR, "", "");
    let digests = case.take_digests();
    let ran = case.tree.once();
    assert_eq!(ran.number("/objects_held"), case.logs().count() as u64, "{ran:?}");
    let [deleted, overwritten, changed, touched] =
        [1, 2, 3, 4].map(|n| &case.named[n * case.named.len() / 5]);
    fs::remove_file(path_of(deleted)).unwrap();
    overwrite(overwritten);
    change_a_digit(changed);
    // The same bytes in another file: nothing is wrong with it.
    let bytes = fs::read(path_of(touched)).unwrap();
    fs::remove_file(path_of(touched)).unwrap();
    fs::write(path_of(touched), bytes).unwrap();
    digests.give_back();

    let ran = case.tree.once();
    assert_eq!(ran.code, Some(1), "nothing is left to be known: {ran:?}");
    assert_eq!(ran.json()["troubles"], serde_json::json!([]));
    let bad = [overwritten.clone(), changed.clone()];
    let hauled = case.hauled();
    for url in case.named.iter().filter(|url| *url != deleted) {
        let expected = if bad.contains(url) { Verdict::Mismatch } else { Verdict::Verified };
        assert_eq!(hauled[url].verdict, expected, "{url}");
    }
    assert!(!hauled.contains_key(deleted));
    assert_eq!(case.findings("log_missing"), std::slice::from_ref(deleted));
    assert_eq!(case.findings("object_vanished"), std::slice::from_ref(deleted));
    let mismatches: BTreeSet<String> = case.findings("log_mismatch").into_iter().collect();
    assert_eq!(mismatches, BTreeSet::from(bad.clone()));
    let anew: BTreeSet<String> = case.findings("object_changed").into_iter().collect();
    assert_eq!(anew, BTreeSet::from([overwritten.clone(), changed.clone(), touched.clone()]));
    let delivered: BTreeSet<String> =
        case.named.iter().filter(|url| *url != deleted && !bad.contains(url)).cloned().collect();
    case.check_delivered(&delivered, "tampered with while it waited");
    case.tree.check_nothing_uncommitted("tampered with while it waited");

    // Nobody asks for it again.
    let again = case.tree.once();
    assert_eq!(again.json()["troubles"], serde_json::json!([]), "{again:?}");
    assert_eq!((again.number("/total/objects"), again.number("/objects_deferred")), (0, 0), "{again:?}");
}
