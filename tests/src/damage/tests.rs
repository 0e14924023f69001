//! Each kind of damage is what it says, and its truth holds.

use super::*;
use crate::model;
use crate::reread;
use crate::truth::{self, Object, Sha, Truth};

const SIZES: Sizes = Sizes { bomb: 1 << 20, huge: 1 << 20, many: 2_000 };

fn tree(kinds: &[Damage]) -> (tempfile::TempDir, Truth) {
    let root = tempfile::tempdir().unwrap();
    let options = Options { hours: 1, rate: 5, ..Options::default() };
    let (organization, mut tree) = crate::delivery::simulate(root.path(), &options).unwrap();
    add(&mut tree, &organization, &options, kinds, SIZES).unwrap();
    tree.finish().unwrap();
    let truth = truth::read(&root.path().join("truth.ndjson")).unwrap();
    (root, truth)
}

fn one(kind: Damage) -> (tempfile::TempDir, Truth, Object) {
    let (root, truth) = tree(&[kind]);
    let object = truth.objects.last().unwrap().clone();
    (root, truth, object)
}

#[test]
fn every_kind_has_a_name_and_an_object() {
    let (_root, truth) = tree(Damage::ALL);
    for kind in Damage::ALL {
        assert_eq!(kind.name().parse::<Damage>().unwrap(), *kind);
        let harmless = matches!(kind, Damage::NoRecords | Damage::Spaced);
        let found = truth.objects.iter().any(|object| object.damage.as_deref() == Some(kind.name()));
        assert_eq!(found, !harmless, "{kind}");
    }
    assert!("nothing".parse::<Damage>().unwrap_err().to_string().contains("bomb"));
}

#[test]
fn what_the_truth_calls_recoverable_stands_in_the_object() {
    for kind in
        [Damage::Spaced, Damage::OddRecords, Damage::HugeRecord, Damage::TrailingBytes, Damage::SecondMember]
    {
        let (root, truth, object) = one(kind);
        let bytes = reread::inflated(root.path(), &object).unwrap();
        let found: Vec<Sha> = reread::records(&bytes).unwrap().iter().map(|record| Sha::of(record)).collect();
        let all = object
            .records
            .iter()
            .chain(&object.doubtful)
            .map(|run| truth.contents[run.content() as usize].sha256);
        for sha in all {
            assert!(found.contains(&sha), "{kind}");
        }
        assert_eq!(found.len() as u64, object.count() + object.doubtful.len() as u64, "{kind}");
    }
}

#[test]
fn a_truncated_object_holds_its_whole_records() {
    let (root, truth, object) = one(Damage::TruncatedGzip);
    assert!(reread::inflated(root.path(), &object).is_err());
    assert!((10..39).contains(&object.count()), "{}", object.count());
    assert_eq!(object.doubtful.len(), 1);
    assert!(truth.contents.len() as u64 > object.count());
}

#[test]
fn bad_json_does_not_parse_as_a_whole() {
    for kind in [Damage::BadJson, Damage::NotGzip, Damage::EmptyObject, Damage::BadChecksum] {
        let (root, _, object) = one(kind);
        let read = reread::inflated(root.path(), &object).and_then(|bytes| reread::records(&bytes));
        assert!(read.is_err(), "{kind}");
        assert!(object.doubtful.len() >= 5 || object.records.is_empty(), "{kind}");
    }
}

#[test]
fn many_are_many_and_the_bomb_is_small() {
    let (_root, truth, object) = one(Damage::EmptyRecords);
    assert_eq!(object.count(), SIZES.many);
    let expected = model::expected_at_once(&truth, model::WINDOW);
    let empty = expected.delivered.iter().find(|(key, _)| key.2 == Sha::of(b"{}")).unwrap();
    assert_eq!(*empty.1, SIZES.many, "each occurrence counts");
    let (_root, _, object) = one(Damage::RandomYears);
    assert_eq!(object.count(), SIZES.many);
    let (_root, _, object) = one(Damage::Bomb);
    assert!(object.raw_size >= SIZES.bomb && object.size * 100 < object.raw_size);
}

#[test]
fn what_is_planted_is_not_expected() {
    let (_root, truth) = tree(&[Damage::Planted, Damage::UnknownFamily]);
    let planted: Vec<&Object> = truth.objects.iter().filter(|o| o.damage.is_some()).collect();
    assert_eq!(planted.len(), truth.head.organization.trails.len() + 5);
    assert!(planted.iter().all(|object| object.count() == 0));
    let expected = model::expected_at_once(&truth, model::WINDOW);
    assert!(expected.delivered.keys().all(|key| key.0 != truth.head.organization.stranger()));
}
