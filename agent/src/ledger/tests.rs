use jiff::Timestamp;
use proptest::prelude::*;
use trailhaul_core::model::{
    AccountId, AckNote, BatchId, DigestRef, ENTRY_FORMAT, Entry, EntryBody, FindingEntry, JudgedObject,
    KeyNote, LaneId, Note, ObjectRef, Verdict, VerdictEntry, VerdictNote, lane_of, notes_of, sha256_hex,
};

use super::*;

const LANES: u16 = 4;

fn open(folder: &std::path::Path) -> Ledger {
    let ledger =
        Ledger::open(folder, &LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None }).unwrap();
    ledger.set_archive("an archive", LANES).unwrap();
    ledger
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn account() -> AccountId {
    "111122223333".parse().unwrap()
}

fn lane() -> LaneId {
    lane_of(account(), LANES)
}

fn finding<'a>(subject: &'a str, evidence: &'a str) -> NewFinding<'a> {
    NewFinding::new("log_mismatch", subject, "its content is another").account(account()).evidence(evidence)
}

fn acknowledge(ledger: &Ledger, subject: &str, second: i64) -> usize {
    let named = [("log_mismatch".to_owned(), subject.to_owned())];
    ledger.acknowledge(&named, ("a drill", "ana"), at(second)).unwrap().len()
}

fn ack(subject: &str, second: i64) -> Note {
    Note::Ack(AckNote {
        finding: "log_mismatch".into(),
        subject: subject.into(),
        evidence: String::new(),
        reason: "a drill".into(),
        who: "ana".into(),
        at: at(second),
    })
}

fn key(fingerprint: &str) -> KeyNote {
    KeyNote {
        region: "eu-central-1".into(),
        fingerprint: fingerprint.into(),
        public_key: "MII=".into(),
        from: at(0),
        until: at(9),
        at: at(1),
    }
}

fn object() -> ObjectRef {
    ObjectRef {
        bucket: "s3://trail".into(),
        key: "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/22/111122223333_CloudTrail_eu-central-1_20261122T0005Z_0000000000000001.json.gz".into(),
        etag: "e1".into(),
        version: None,
        size: 7,
    }
}

fn verdict(verdict: Verdict, etag: &str) -> Note {
    Note::Verdict(VerdictNote {
        bucket: object().bucket.to_string(),
        verdict,
        at: at(5),
        digest: Some(DigestRef { bucket: "s3://trail".into(), key: "d".into(), sha256: sha256_hex(b"d") }),
        cause: "its digest".into(),
        objects: vec![JudgedObject { key: object().key, etag: etag.into(), version: None }],
    })
}

fn entry(lane: LaneId, number: u64, body: EntryBody) -> Entry {
    Entry { format: ENTRY_FORMAT, lane, number, previous: String::new(), at: at(7), body, signature: None }
}

/// Journals everything that waits in a lane's outbox, as its task does; returns the entries.
fn drain(ledger: &Ledger, lane: LaneId) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut state = ledger.lane(lane).unwrap().unwrap_or_else(|| LaneState::start("genesis"));
    while let Some(outgoing) = ledger.outgoing(lane).unwrap() {
        let entry = entry(lane, state.number + 1, outgoing.body.clone());
        let bytes = entry.to_bytes().unwrap();
        ledger.prepare_notes(lane, &bytes, &outgoing).unwrap();
        state.number += 1;
        ledger.apply_notes(&state, &entry, &bytes).unwrap();
        assert_eq!(ledger.prepared(lane).unwrap(), None);
        entries.push(entry);
    }
    entries
}

fn kinds(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().flat_map(|entry| notes_of(entry.body.clone())).map(|note| note.kind()).collect()
}

#[test]
fn notes_of_one_kind_share_an_entry_and_findings_keep_their_order_with_acknowledgements() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.find(&finding("a", ""), at(1)).unwrap();
    ledger.post(lane(), &[verdict(Verdict::Verified, "e1")]).unwrap();
    ledger.find(&finding("b", ""), at(2)).unwrap();
    acknowledge(&ledger, "a", 3);
    ledger.find(&finding("c", ""), at(4)).unwrap();
    let entries = drain(&ledger, lane());
    let sizes: Vec<usize> = entries.iter().map(|entry| notes_of(entry.body.clone()).len()).collect();
    assert_eq!(kinds(&entries), ["finding", "finding", "verdict", "ack", "finding"]);
    assert_eq!(sizes, [2, 1, 1, 1]);
    assert_eq!(ledger.outgoing(lane()).unwrap(), None);
}

#[test]
fn what_was_prepared_and_not_written_comes_back_in_front() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.find(&finding("a", ""), at(1)).unwrap();
    ledger.find(&finding("b", ""), at(1)).unwrap();
    for _ in 0..3 {
        let outgoing = ledger.outgoing(lane()).unwrap().unwrap();
        let bytes = entry(lane(), 1, outgoing.body.clone()).to_bytes().unwrap();
        ledger.prepare_notes(lane(), &bytes, &outgoing).unwrap();
        assert_eq!(ledger.outgoing(lane()).unwrap(), None, "it is in one place at a time");
        ledger.drop_prepared(lane()).unwrap();
    }
    acknowledge(&ledger, "b", 2);
    assert_eq!(kinds(&drain(&ledger, lane())), ["finding", "finding", "ack"]);
}

#[test]
fn an_acknowledged_finding_opens_again_with_other_evidence_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let open_now = |ledger: &Ledger| ledger.finding_counts().unwrap().open;
    assert_eq!(ledger.find(&finding("a", "e1"), at(1)).unwrap(), Found::New);
    assert_eq!(ledger.find(&finding("a", "e1"), at(2)).unwrap(), Found::Open);
    assert_eq!(acknowledge(&ledger, "x", 3), 0);
    assert_eq!(acknowledge(&ledger, "a", 3), 1);
    assert_eq!(open_now(&ledger), 0);
    assert_eq!(ledger.find(&finding("a", "e1"), at(4)).unwrap(), Found::Acknowledged);
    assert_eq!(open_now(&ledger), 0);
    // What is journaled late changes nothing that holds.
    drain(&ledger, lane());
    assert_eq!(open_now(&ledger), 0);
    assert_eq!(ledger.find(&finding("a", "e2"), at(5)).unwrap(), Found::Reopened);
    assert_eq!(open_now(&ledger), 1);
    let entries = drain(&ledger, lane());
    assert_eq!(kinds(&entries), ["finding"]);
    assert_eq!(open_now(&ledger), 1);
    let row = ledger.finding("log_mismatch", "a").unwrap().unwrap();
    assert_eq!((row.count, row.first, row.evidence.as_str()), (4, at(1), "e2"));
    let filter = Filter { account: Some(account()), kind: Some("log_mismatch".into()), open: true };
    assert_eq!(ledger.findings(&filter, 10).unwrap(), [row]);
    assert_eq!(ledger.findings(&Filter { kind: Some("x".into()), ..filter }, 10).unwrap(), []);
}

#[test]
fn an_acknowledgement_that_is_older_than_the_finding_is_not_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.find(&finding("a", "e1"), at(5)).unwrap();
    let Note::Ack(old) = ack("a", 4) else { unreachable!() };
    let body = EntryBody::Ack(trailhaul_core::model::AckEntry { acks: vec![old] });
    ledger.apply_notes(&LaneState::start("g"), &entry(lane(), 1, body), b"").unwrap();
    assert_eq!(ledger.finding_counts().unwrap().open, 1);
}

#[test]
fn a_verdict_holds_for_the_content_that_it_was_given_for() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let books = serde_json::json!({"bucket": object().bucket, "key": object().key, "etag": "e1", "size": 7,
        "sha256": null, "inflated": 9, "verdict": "pending", "records": 0, "unique": 0, "duplicates": 0,
        "quarantined": 0, "first": 0});
    let hauled: trailhaul_core::model::ObjectEntry = serde_json::from_value(books).unwrap();
    let batch = Finished {
        lane: lane(),
        state: LaneState::start("g"),
        batch: BatchId { lane: lane(), epoch: 1, batch: 1 },
        commit: 1,
        objects: std::slice::from_ref(&hauled),
    };
    ledger.finish(&batch, &mut |_| Ok(())).unwrap();
    let seen = |ledger: &Ledger| {
        let row = ledger.object(&object()).unwrap().unwrap();
        (row.verdict, row.said, ledger.verdicts(&object()).unwrap().len())
    };
    assert_eq!(seen(&ledger), (Verdict::Pending, 0, 0));
    ledger.post(lane(), &[verdict(Verdict::Verified, "another")]).unwrap();
    drain(&ledger, lane());
    assert_eq!(seen(&ledger), (Verdict::Pending, 0, 0), "given for another content");
    ledger.post(lane(), &[verdict(Verdict::Undigested, "e1")]).unwrap();
    assert_eq!(seen(&ledger), (Verdict::Pending, 0, 0), "not in the journal yet");
    drain(&ledger, lane());
    assert_eq!(seen(&ledger), (Verdict::Undigested, 2, 0));
    ledger.post(lane(), &[verdict(Verdict::Mismatch, "e1")]).unwrap();
    drain(&ledger, lane());
    ledger.post(lane(), &[verdict(Verdict::Verified, "e1")]).unwrap();
    drain(&ledger, lane());
    assert_eq!(seen(&ledger), (Verdict::Verified, 4, 2), "a bad verdict and what followed are remembered");
}

#[test]
fn keys_are_kept_once_and_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    assert_eq!(ledger.keep_keys(&[key("aa"), key("bb")]).unwrap(), 2);
    assert_eq!(ledger.keep_keys(&[key("bb"), key("cc")]).unwrap(), 1);
    let entries = drain(&ledger, LaneId(0));
    assert_eq!(kinds(&entries), ["key", "key", "key"]);
    let other = tempfile::tempdir().unwrap();
    let rebuilt = open(other.path());
    for entry in &entries {
        rebuilt.apply_notes(&LaneState::start("g"), entry, b"").unwrap();
    }
    assert_eq!(rebuilt.public_keys().unwrap(), ledger.public_keys().unwrap());
    assert_eq!(rebuilt.keep_keys(&[key("aa"), key("bb"), key("cc")]).unwrap(), 0);
}

#[test]
fn findings_without_an_account_go_to_their_lane_and_else_to_lane_0() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.find(&NewFinding::new("void_batch", "one", "t").lane(LaneId(3)), at(1)).unwrap();
    ledger.find(&NewFinding::new("foreign_account", "two", "t"), at(1)).unwrap();
    for lane in [LaneId(3), LaneId(0)] {
        assert!(matches!(
            ledger.outgoing(lane).unwrap().unwrap().body,
            EntryBody::Finding(FindingEntry { findings, .. }) if findings.len() == 1
        ));
    }
}

#[test]
fn a_long_outbox_goes_out_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let notes: Vec<Note> = (0..5_000).map(|_| verdict(Verdict::Verified, "e1")).collect();
    ledger.post(lane(), &notes).unwrap();
    let entries = drain(&ledger, lane());
    assert!(entries.len() >= 3, "{}", entries.len());
    let count = |entry: &Entry| match &entry.body {
        EntryBody::Verdict(VerdictEntry { verdicts }) => verdicts.len(),
        _ => 0,
    };
    assert_eq!(entries.iter().map(count).sum::<usize>(), 5_000);
}

#[derive(Debug, Clone)]
enum Act {
    Find(u8, u8),
    Ack(u8),
    Drain,
    Lose,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3u8, 0..3u8).prop_map(|(subject, evidence)| Act::Find(subject, evidence)),
        2 => (0..3u8).prop_map(Act::Ack),
        3 => Just(Act::Drain),
        1 => Just(Act::Lose),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever was drained before a loss is known after it; whatever holds is what a simple model says.
    #[test]
    fn findings_follow_the_model_through_losses(acts in prop::collection::vec(act(), 1..40)) {
        let first = tempfile::tempdir().unwrap();
        let mut folders = vec![first];
        let mut ledger = open(folders[0].path());
        let mut journal: Vec<Entry> = Vec::new();
        // Subject to what was acknowledged last, if it is.
        let mut model: std::collections::BTreeMap<u8, (u8, Option<u8>)> = Default::default();
        for (second, act) in (0..).zip(acts) {
            match act {
                Act::Find(subject, evidence) => {
                    let found = ledger.find(&finding(&subject.to_string(), &evidence.to_string()), at(second)).unwrap();
                    let expected = match model.get(&subject) {
                        None => Found::New,
                        Some((_, None)) => Found::Open,
                        Some((_, Some(acked))) if *acked == evidence => Found::Acknowledged,
                        Some(_) => Found::Reopened,
                    };
                    prop_assert_eq!(found, expected);
                    let acked = if found == Found::Acknowledged { Some(evidence) } else { None };
                    model.insert(subject, (evidence, acked));
                }
                Act::Ack(subject) => {
                    let known = acknowledge(&ledger, &subject.to_string(), second) == 1;
                    prop_assert_eq!(known, model.contains_key(&subject));
                    if let Some((evidence, acked)) = model.get_mut(&subject) {
                        *acked = Some(*evidence);
                    }
                }
                Act::Drain => journal.extend(drain(&ledger, lane())),
                Act::Crash => {
                    // In the journal, not in the ledger: recovery applies it from there.
                    if let Some(outgoing) = ledger.outgoing(lane()).unwrap() {
                        let entry = entry(lane(), 1, outgoing.body.clone());
                        let bytes = entry.to_bytes().unwrap();
                        ledger.prepare_notes(lane(), &bytes, &outgoing).unwrap();
                        ledger.apply_notes(&LaneState::start("g"), &entry, &bytes).unwrap();
                        journal.push(entry);
                    }
                }
                Act::Lose => {
                    journal.extend(drain(&ledger, lane()));
                    drop(ledger);
                    folders.push(tempfile::tempdir().unwrap());
                    ledger = open(folders.last().unwrap().path());
                    for entry in &journal {
                        ledger.apply_notes(&LaneState::start("g"), entry, b"").unwrap();
                    }
                    // Evidence that was seen while a finding was open is not journaled.
                    for (subject, (evidence, _)) in &mut model {
                        let row = ledger.finding("log_mismatch", &subject.to_string()).unwrap().unwrap();
                        *evidence = row.evidence.parse().unwrap();
                    }
                }
            }
            for (subject, (_, acked)) in &model {
                let row = ledger.finding("log_mismatch", &subject.to_string()).unwrap().unwrap();
                prop_assert_eq!(row.ack.is_some(), acked.is_some());
            }
            prop_assert_eq!(ledger.finding_counts().unwrap().open as usize, model.values().filter(|(_, acked)| acked.is_none()).count());
        }
    }
}
