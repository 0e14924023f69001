//! The rules of the model, one by one.

use proptest::prelude::*;

use super::*;
use crate::org::{Options, Organization};
use crate::records::Family;
use crate::truth::{Content, Head, Tail};

const A: Account = Account(111_122_223_333);
const B: Account = Account(222_233_334_444);

/// Contents are (account, id, text); objects are (account, commit time, numbers of contents).
fn truth(contents: &[(Account, Option<&str>, &str)], objects: &[(Account, i64, &[u64])]) -> Truth {
    let options = Options::default();
    let organization = Organization::new(&options).unwrap();
    let contents = contents.iter().enumerate().map(|(number, (account, id, text))| Content {
        number: number as u64,
        account: *account,
        id: id.map(str::to_owned),
        sha256: Sha::of(text.as_bytes()),
        time: 0,
    });
    let objects = objects.iter().enumerate().map(|(number, (account, delivered, numbers))| Object {
        number: number as u64,
        trail: None,
        bucket: "b".into(),
        key: number.to_string(),
        account: *account,
        family: Family::CloudTrail,
        region: "us-east-1".into(),
        delivered: *delivered,
        size: 0,
        raw_size: 0,
        sha256: None,
        records: numbers.iter().map(|n| Run::One(*n)).collect(),
        doubtful: Vec::new(),
        damage: None,
        tampered: Vec::new(),
    });
    Truth {
        head: Head { options, organization },
        contents: contents.collect(),
        objects: objects.collect(),
        tail: Tail::default(),
    }
}

/// (delivered, duplicates, conflicts) when objects are committed as they were delivered.
fn outcome(truth: &Truth, window: i64) -> (u64, u64, u64) {
    let outcome = expected(truth, |object| Some(object.delivered), window);
    (outcome.count(), outcome.duplicates, outcome.conflicts)
}

#[test]
fn a_copy_within_the_window_is_dropped_and_one_beyond_is_not() {
    let contents = [(A, Some("1"), "x")];
    for (gap, delivered) in [(0, 1), (100, 1), (101, 2)] {
        let truth = truth(&contents, &[(A, 0, &[0]), (A, gap, &[0])]);
        assert_eq!(outcome(&truth, 100), (delivered, 2 - delivered, 0), "{gap}");
    }
}

#[test]
fn a_dropped_copy_does_not_prolong_the_window() {
    let truth = truth(&[(A, Some("1"), "x")], &[(A, 0, &[0]), (A, 80, &[0]), (A, 160, &[0]), (A, 240, &[0])]);
    assert_eq!(outcome(&truth, 100), (2, 2, 0));
}

#[test]
fn other_content_under_the_same_id_is_delivered_and_a_conflict() {
    let truth =
        truth(&[(A, Some("1"), "x"), (A, Some("1"), "y")], &[(A, 0, &[0]), (A, 1, &[1, 0]), (A, 2, &[1])]);
    assert_eq!(outcome(&truth, 100), (2, 2, 1));
}

#[test]
fn accounts_do_not_touch_each_other() {
    let truth = truth(&[(A, Some("1"), "x"), (B, Some("1"), "x")], &[(A, 0, &[0]), (B, 0, &[1])]);
    assert_eq!(outcome(&truth, 100), (2, 0, 0));
}

#[test]
fn without_an_id_the_occurrence_in_the_object_counts() {
    let truth = truth(&[(A, None, "x")], &[(A, 0, &[0, 0]), (A, 1, &[0]), (A, 2, &[0, 0, 0])]);
    assert_eq!(outcome(&truth, 100), (3, 3, 0));
}

#[test]
fn what_is_never_committed_is_not_expected() {
    let truth = truth(&[(A, Some("1"), "x")], &[(A, 0, &[0]), (A, 5, &[0])]);
    let outcome = expected(&truth, |object| (object.number == 1).then_some(0), 100);
    assert_eq!((outcome.count(), outcome.duplicates), (1, 0));
}

#[test]
fn order_of_commit_decides_not_order_of_writing() {
    let truth = truth(&[(A, Some("1"), "x")], &[(A, 300, &[0]), (A, 0, &[0]), (A, 90, &[0])]);
    assert_eq!(outcome(&truth, 100), (2, 1, 0));
}

/// The rule once more, by looking at every earlier delivery: (account, content, commit, occurrence).
fn by_search(truth: &Truth, window: i64) -> (u64, u64, u64) {
    let mut objects: Vec<&Object> = truth.objects.iter().collect();
    objects.sort_by_key(|object| (object.delivered, object.number));
    let mut deliveries: Vec<(&Content, i64, usize)> = Vec::new();
    let (mut duplicates, mut conflicts) = (0, 0);
    for object in objects {
        let numbers: Vec<u64> = object.records.iter().map(|run| run.content()).collect();
        for (at, number) in numbers.iter().enumerate() {
            let content = &truth.contents[*number as usize];
            let same = |other: &Content| (content.account, &content.id) == (other.account, &other.id);
            let equal = |n: &&u64| {
                let other = &truth.contents[**n as usize];
                other.id.is_none() && other.sha256 == content.sha256
            };
            let occurrence =
                if content.id.is_some() { 0 } else { numbers[..at].iter().filter(equal).count() };
            let twin = deliveries.iter().any(|(other, then, nth)| {
                let identical = same(other) && other.sha256 == content.sha256 && *nth == occurrence;
                identical && object.delivered - then <= window
            });
            if twin {
                duplicates += 1;
                continue;
            }
            let first = deliveries.iter().find(|(other, ..)| same(other));
            if content.id.is_some() && first.is_some_and(|(other, ..)| other.sha256 != content.sha256) {
                conflicts += 1;
            }
            deliveries.push((content, object.delivered, occurrence));
        }
    }
    (deliveries.len() as u64, duplicates, conflicts)
}

const POOL: [(Account, Option<&str>, &str); 8] = [
    (A, Some("1"), "x"),
    (A, Some("1"), "y"),
    (A, Some("2"), "x"),
    (A, None, "x"),
    (A, None, "z"),
    (B, Some("3"), "x"),
    (B, Some("3"), "y"),
    (B, None, "x"),
];

proptest! {
    #[test]
    fn the_model_agrees_with_a_search(
        drawn in prop::collection::vec((any::<bool>(), 0_i64..30, prop::collection::vec(0_u64..8, 0..6)), 0..12),
        window in 0_i64..20,
    ) {
        let objects: Vec<(Account, i64, Vec<u64>)> = drawn.into_iter().map(|(first, at, numbers)| {
            let account = if first { A } else { B };
            (account, at, numbers.into_iter().filter(|n| POOL[*n as usize].0 == account).collect())
        }).collect();
        let borrowed: Vec<(Account, i64, &[u64])> =
            objects.iter().map(|(account, at, numbers)| (*account, *at, numbers.as_slice())).collect();
        let truth = truth(&POOL, &borrowed);
        prop_assert_eq!(outcome(&truth, window), by_search(&truth, window));
    }
}
