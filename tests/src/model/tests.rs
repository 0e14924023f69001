//! The rules of the model, one by one.

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
