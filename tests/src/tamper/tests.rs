//! Each act leaves a truth that still tells what lies in the tree.

use super::*;
use crate::digests::{self, KEYS, object_path};
use crate::model;
use crate::org::Options;
use crate::reread;
use crate::truth::{self, Sha};

fn tree(root: &Path) {
    let options = Options { accounts: 5, regions: 3, hours: 4, rate: 20, ..Options::default() };
    crate::delivery::simulate(root, &options).unwrap().1.finish().unwrap();
    let mut truth = truth::read(&root.join("truth.ndjson")).unwrap();
    digests::add(root, &mut truth, &root.join(KEYS)).unwrap();
}

#[test]
fn every_act_is_done_noted_and_told_by_the_truth() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    tree(root);
    let before = truth::read(&root.join("truth.ndjson")).unwrap();
    let mut tamperer = Tamperer::open(root).unwrap();
    for act in Act::ALL {
        assert_eq!(act.name().parse::<Act>().unwrap(), *act);
        let tampering = tamperer.act(*act).unwrap();
        assert!(!tampering.effects.is_empty(), "{act}");
        for Effect { bucket, key, verdict } in &tampering.effects {
            let there = object_path(root, bucket, key).exists();
            assert_eq!(there, *verdict != Verdict::Missing, "{act}: {key}");
        }
    }
    let (truth, integrity) = tamperer.finish().unwrap();
    assert_eq!(truth, truth::read(&root.join("truth.ndjson")).unwrap());
    assert_eq!(integrity.tampered.len(), Act::ALL.len());
    assert_ne!(before, truth);

    for object in truth.objects.iter().filter(|object| object.sha256.is_some()) {
        let bytes = reread::inflated(root, object).unwrap();
        assert_eq!(Some(Sha::of(&bytes)), object.sha256, "{}", object.key);
        if object.family == crate::records::Family::Digest || object.records.is_empty() {
            continue;
        }
        let found: Vec<Sha> = reread::records(&bytes).unwrap().iter().map(|record| Sha::of(record)).collect();
        let told: Vec<Sha> =
            object.records.iter().map(|run| truth.contents[run.content() as usize].sha256).collect();
        assert_eq!(found, told, "{}", object.key);
    }
    for object in truth.objects.iter().filter(|object| object.sha256.is_none()) {
        assert!(!object.tampered.is_empty());
    }
}

#[test]
fn a_changed_log_is_a_conflict_and_a_planted_one_more_records() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path());
    let expected = |truth: &Truth| model::expected_at_once(truth, model::WINDOW);
    let mut tamperer = Tamperer::open(root.path()).unwrap();
    let before = expected(&tamperer.truth);
    tamperer.act(Act::PlantLog).unwrap();
    let planted = expected(&tamperer.truth);
    assert_eq!(planted.count(), before.count() + 3);
    tamperer.act(Act::PlantAccount).unwrap();
    assert_eq!(expected(&tamperer.truth).delivered, planted.delivered, "the bucket may not carry it");
    tamperer.act(Act::MoveLog).unwrap();
    assert_eq!(expected(&tamperer.truth).delivered, planted.delivered, "a moved log is still delivered");
}

#[test]
fn a_tree_with_too_few_chains_says_so() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { accounts: 1, regions: 1, hours: 4, ..Options::default() };
    crate::delivery::simulate(root.path(), &options).unwrap().1.finish().unwrap();
    let mut truth = truth::read(&root.path().join("truth.ndjson")).unwrap();
    digests::add(root.path(), &mut truth, &root.path().join(KEYS)).unwrap();
    let mut tamperer = Tamperer::open(root.path()).unwrap();
    let refused = Act::ALL.iter().find_map(|act| tamperer.act(*act).err()).unwrap();
    assert!(format!("{refused:#}").contains("no untouched chain"), "{refused:#}");
}

/// What a member plants is told by the truth too, and is signed by nobody whom anybody trusts.
#[test]
fn what_a_member_plants_is_told_by_the_truth() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    tree(root);
    let mut tamperer = Tamperer::open(root).unwrap();
    let trails = tamperer.truth.head.organization.trails.clone();
    let member = trails.iter().find(|trail| trail.name == "member.trail").unwrap();
    for (bucket, key) in tamperer.forget_backfill().unwrap() {
        assert!(!object_path(root, &bucket, &key).exists(), "{key}");
    }
    let chain = tamperer.integrity.chains.iter().find(|chain| chain.trail == 0 && !chain.digests.is_empty());
    let chain = chain.unwrap().clone();
    let number = *chain.digests.iter().find_map(|digest| digest.logs.first()).unwrap();
    let like = tamperer.log(number).unwrap().clone();
    let other = trails[0].accounts.iter().copied().find(|account| *account != member.owner).unwrap();
    for (unique, account, copied) in [
        ("copied0000000000", member.owner, Copied::Taken),
        ("copied0000000001", member.owner, Copied::Altered),
        ("copied0000000002", other, Copied::Foreign),
    ] {
        let planted = tamperer.copy_log(number, (member, account), unique, copied).unwrap();
        assert!(planted.key.contains(&format!("AWSLogs/{account}/")), "{}", planted.key);
        let object = tamperer.truth.objects.last().unwrap().clone();
        let bytes = reread::inflated(root, &object).unwrap();
        assert_eq!((Some(Sha::of(&bytes)), object.key), (object.sha256, planted.key));
        let taken: u64 = object.records.iter().map(|run| run.count()).sum();
        assert_eq!(taken, if copied == Copied::Foreign { 0 } else { like.count() });
        let same = object.records == like.records;
        assert_eq!(same, copied == Copied::Taken, "the altered one has one other content");
    }
    let own = tamperer.integrity.chains.iter().find(|chain| trails[chain.trail] == *member).unwrap().clone();
    for honest in [true, false] {
        let forged =
            tamperer.forge_digest((member, member.owner), &own.digests[1], &[number], honest).unwrap();
        let object = tamperer.truth.objects.last().unwrap().clone();
        let text = reread::inflated(root, &object).unwrap();
        let document: crate::digests::Document = serde_json::from_slice(&text).unwrap();
        assert_eq!(document.digest_s3_object, forged.key);
        assert_eq!(document.log_files[0].s3_object, like.key);
        assert_eq!(document.log_files.len(), 2);
    }
    let (written, _) = tamperer.finish().unwrap();
    assert_eq!(written.tail.objects, written.objects.len() as u64);
}
