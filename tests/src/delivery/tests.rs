//! The tree is what the truth says, and the same each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use super::*;
use crate::model;
use crate::org::Carries;
use crate::records::Family;
use crate::reread;
use crate::time;
use crate::truth::{self, Sha, Truth};

fn small() -> Options {
    Options { accounts: 7, regions: 2, hours: 4, rate: 20, ..Options::default() }
}

fn write(root: &Path, options: &Options) -> Truth {
    simulate(root, options).unwrap().1.finish().unwrap();
    truth::read(&root.join("truth.ndjson")).unwrap()
}

/// The truth of a small tree that is no longer there, for tests that look at nothing else.
fn truth_alone() -> &'static Truth {
    static TRUTH: LazyLock<Truth> = LazyLock::new(|| write(tempfile::tempdir().unwrap().path(), &small()));
    &TRUTH
}

/// Every file below a folder, with its bytes' hash.
fn files(root: &Path) -> BTreeMap<String, Sha> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, Sha::of(&std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn a_seed_always_gives_the_same_bytes_and_another_seed_others() {
    let (a, b, c) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { hours: 1, ..small() };
    assert_eq!(write(a.path(), &options), write(b.path(), &options));
    assert_eq!(files(a.path()), files(b.path()));
    write(c.path(), &Options { seed: 2, ..options });
    assert!(files(a.path()).keys().all(|name| name == "truth.ndjson" || !c.path().join(name).exists()));
}

#[test]
fn reading_the_tree_again_gives_the_truth() {
    let root = tempfile::tempdir().unwrap();
    let truth = write(root.path(), &small());
    let mut on_disk = files(&root.path().join("buckets"));
    for object in &truth.objects {
        let bytes = reread::inflated(root.path(), object).unwrap();
        assert_eq!((Some(Sha::of(&bytes)), bytes.len() as u64), (object.sha256, object.raw_size));
        let records = reread::records(&bytes).unwrap();
        assert_eq!(records.len() as u64, object.count(), "{}", object.key);
        for (record, run) in records.iter().zip(&object.records) {
            let content = &truth.contents[run.content() as usize];
            assert_eq!(Sha::of(record), content.sha256);
            assert_eq!(content.account, object.account);
            assert!(object.delivered >= content.time, "{} was delivered too early", object.key);
            let value: serde_json::Value = serde_json::from_slice(record).unwrap();
            let id = value.get("eventID").or_else(|| value.get("eventId"));
            assert_eq!(id.and_then(|id| id.as_str()), content.id.as_deref());
        }
        assert!(on_disk.remove(&format!("{}/{}", object.bucket, object.key)).is_some());
    }
    assert_eq!(on_disk, BTreeMap::new(), "files that the truth does not know");
    assert_eq!(truth.tail.objects, truth.objects.len() as u64);
    assert_eq!(truth.tail.records, truth.objects.iter().map(truth::Object::count).sum::<u64>());
    assert_eq!(truth.tail.contents, truth.contents.len() as u64);
}

#[test]
fn events_are_delivered_once_twice_and_three_times_in_differing_company() {
    let truth = truth_alone();
    let mut holders: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (position, object) in truth.objects.iter().enumerate() {
        for run in &object.records {
            holders.entry(run.content()).or_default().push(position);
        }
    }
    let with_copies = |n: usize| holders.values().filter(|h| h.len() == n).count();
    assert!(with_copies(1) > 100 && with_copies(2) > 100 && with_copies(3) > 50);
    let neighbours =
        |at: usize| -> BTreeSet<u64> { truth.objects[at].records.iter().map(|r| r.content()).collect() };
    let partly = holders.values().filter(|h| h.len() == 2 && neighbours(h[0]) != neighbours(h[1])).count();
    assert!(partly * 2 > with_copies(2), "{partly} of {}", with_copies(2));

    let expected = model::expected_at_once(truth, model::WINDOW);
    assert_eq!(expected.conflicts, truth.tail.conflicts);
    assert!(truth.tail.conflicts > 0 && truth.tail.overtaken > 0, "{:?}", truth.tail);
    assert_eq!(expected.count() + expected.duplicates, truth.tail.records);
    // Contents are distinct but for records without an id, which may count twice in one object.
    let repeated = expected.delivered.iter().filter(|(key, count)| key.1.is_some() && **count != 1).count();
    assert_eq!((repeated, expected.delivered.len()), (0, truth.contents.len()));
}

#[test]
fn event_ids_never_repeat_across_accounts() {
    let truth = truth_alone();
    let mut owners = BTreeMap::new();
    for content in truth.contents.iter().filter(|content| content.id.is_some()) {
        assert_eq!(*owners.entry(&content.id).or_insert(content.account), content.account);
    }
}

#[test]
fn keys_follow_the_grammar_and_stamps_the_window() {
    let truth = truth_alone();
    let mut families = BTreeSet::new();
    for object in &truth.objects {
        let name = object.key.rsplit('/').next().unwrap();
        let stamp = name.rsplit('_').nth(1).unwrap();
        let day = format!("{}/{}/{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
        let (account, folder, region) = (object.account, object.family.folder(), &object.region);
        assert!(
            object
                .key
                .contains(&format!("AWSLogs/o-a1b2c3d4e5/{account}/{folder}/{region}/{day}/{account}_"))
                || object.key.contains(&format!("AWSLogs/{account}/{folder}/{region}/{day}/{account}_"))
        );
        assert!(stamp.ends_with("0Z") || stamp.ends_with("5Z"), "{name}");
        let trail = truth.head.organization.trails.iter().find(|t| object.bucket == t.bucket).unwrap();
        assert!(trail.carries == Carries::Organization || trail.owner == account);
        families.insert(object.family);
    }
    assert_eq!(
        families.into_iter().collect::<Vec<_>>(),
        [Family::CloudTrail, Family::Insight, Family::NetworkActivity, Family::Aggregated]
    );
    let days: BTreeSet<_> = truth.objects.iter().map(|o| time::day_path(o.delivered)).collect();
    assert!(days.len() > 1, "the run crosses midnight");
}

#[test]
fn small_objects_are_the_rule() {
    let root = tempfile::tempdir().unwrap();
    let truth = write(root.path(), &Options { rate: 1_500, hours: 1, accounts: 3, regions: 1, ..small() });
    let mut sizes: Vec<u64> = truth.objects.iter().map(truth::Object::count).collect();
    sizes.sort_unstable();
    let (median, largest) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    assert!((2..=8).contains(&median) && largest > 200, "median {median}, largest {largest}");
}

#[test]
fn far_copies_come_only_on_request() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { far_copies: true, ..small() };
    let truth = write(root.path(), &options);
    let end = options.start + 4 * time::HOUR;
    let days: BTreeSet<i64> =
        truth.objects.iter().map(|o| (o.delivered - end).div_euclid(time::DAY)).filter(|d| *d > 1).collect();
    assert!(days.into_iter().filter(|d| [5, 6, 7, 8, 24, 25].contains(d)).count() > 2);
    let as_delivered = model::expected(&truth, |object| Some(object.delivered), model::WINDOW);
    let at_once = model::expected_at_once(&truth, model::WINDOW);
    assert!(as_delivered.count() > at_once.count(), "copies beyond the window are delivered again");
}
