//! Verdicts, findings, acknowledgements and keys survive every crash and a lost ledger, and are told once: stores
//! and ledger freeze together at step n, for all n, before and after the step.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod world;

use std::collections::BTreeMap;

use jiff::Timestamp;
use trailhaul::ledger::{Filter, Ledger, LedgerError, NewFinding};
use trailhaul::store::{Steps, When};
use trailhaul_core::model::{
    AccountId, DigestRef, EntryBody, JudgedObject, KeyNote, LogKey, Note, ObjectRef, Verdict, VerdictNote,
    lane_of, notes_of,
};
use world::{Options, RunEnd, World};

const LANES: u16 = 2;
const KIND: &str = "log_mismatch";

fn small() -> World {
    let world = World::new(LANES);
    world.object("one", "111122223333", "2026/11/20", "20261120T1005Z", "a", &["e1", "e2"]);
    world.object("one", "444455556666", "2026/11/20", "20261120T1005Z", "d", &["f1"]);
    world
}

fn now() -> Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

fn account(object: &ObjectRef) -> AccountId {
    LogKey::parse(&object.key).unwrap().account
}

/// What an audit has to say: again and again, until the ledger knows it.
fn say(ledger: &Ledger, objects: &[ObjectRef]) -> Result<(), LedgerError> {
    for object in objects {
        let subject = object.to_string();
        let finding = NewFinding::new(KIND, &subject, "its content is another").account(account(object));
        ledger.find(&finding.evidence("e1"), now())?;
        let row = ledger.finding(KIND, &subject)?;
        if row.is_some_and(|row| row.ack.is_none()) {
            ledger.acknowledge(&[(KIND.to_owned(), subject)], ("a drill", "ana"), now())?;
        }
        if ledger.object(object)?.is_some_and(|row| row.verdict == Verdict::Pending) {
            let verdict = VerdictNote {
                bucket: object.bucket.to_string(),
                verdict: Verdict::Mismatch,
                at: now(),
                digest: Some(DigestRef {
                    bucket: object.bucket.to_string(),
                    key: "digest".into(),
                    sha256: "00".into(),
                }),
                cause: "the digest names another hash".into(),
                objects: vec![JudgedObject {
                    key: object.key.clone(),
                    etag: object.etag.clone(),
                    version: None,
                }],
            };
            ledger.post(lane_of(account(object), LANES), &[Note::Verdict(verdict)])?;
        }
    }
    let key = KeyNote {
        region: "eu-central-1".into(),
        fingerprint: "00ff".into(),
        public_key: "MII=".into(),
        from: now(),
        until: now(),
        at: now(),
    };
    ledger.keep_keys(&[key])?;
    Ok(())
}

async fn hauled() -> (World, Vec<ObjectRef>) {
    let world = small();
    let ran = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    let objects: Vec<ObjectRef> = world.listing().await.into_iter().map(|found| found.object).collect();
    let said = objects.clone();
    // A frozen ledger refuses: the audit says it again another time.
    world.tell(move |ledger| drop(say(ledger, &said)));
    (world, objects)
}

fn check_known(world: &World, objects: &[ObjectRef], context: &str) {
    let ledger = world.ledger();
    for object in objects {
        let row = ledger.object(object).unwrap().unwrap();
        assert_eq!(row.verdict, Verdict::Mismatch, "{context}");
        assert!(row.said > 0, "{context}");
        let said = ledger.verdicts(object).unwrap();
        assert_eq!(said[0].digest.as_ref().unwrap().key, "digest", "{context}");
        let finding = ledger.finding(KIND, &object.to_string()).unwrap().unwrap();
        assert_eq!(finding.ack.unwrap().reason, "a drill", "{context}");
        assert!(ledger.outgoing(lane_of(account(object), LANES)).unwrap().is_none(), "{context}");
    }
    assert_eq!(ledger.public_keys().unwrap().len(), 1, "{context}");
    assert_eq!(ledger.findings(&Filter::default(), 10).unwrap().len(), objects.len(), "{context}");
}

/// How often each thing stands in the journal.
async fn told(world: &World) -> BTreeMap<String, u32> {
    let mut told = BTreeMap::new();
    for entry in world.journal().await {
        for note in notes_of(entry.body) {
            let name = match note {
                Note::Verdict(note) => format!("verdict {}", note.objects[0].key),
                Note::Finding(note) => format!("finding {}", note.subject),
                Note::Ack(note) => format!("ack {}", note.subject),
                Note::Key(note) => format!("key {}", note.fingerprint),
            };
            *told.entry(name).or_default() += 1;
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_survive_every_crash_and_are_told_once() {
    let (world, objects) = hauled().await;
    let counting = Steps::new();
    world.run(&counting, &Options::default()).await;
    let total = counting.taken();
    println!("{total} durable steps");
    assert!(total > 12, "the case is too small: {total} steps");
    check_known(&world, &objects, "without a crash");
    let all = told(&world).await;
    assert_eq!(all.len(), 3 * objects.len() + 1);
    let (mut written, mut noted) = (0, 0);
    for step in 1..=total {
        for when in [When::Before, When::After] {
            let context = format!("step {step} {when:?}");
            let (world, objects) = hauled().await;
            let steps = Steps::new();
            steps.freeze_at(step, when);
            world.run(&steps, &Options::default()).await;
            let lost = step % 3 == 0;
            if lost {
                world.lose_ledger();
            }
            let again = world.run(&Steps::new(), &Options::default()).await;
            assert_eq!(again.end, RunEnd::Well, "{context}: {:?}", again.errors);
            written += again.recovered.written;
            noted += again.recovered.noted;
            check_known(&world, &objects, &context);
            let told = told(&world).await;
            assert_eq!(told.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>(), "{context}");
            // What the audit says again because the ledger does not know it yet may stand there twice; findings,
            // acknowledgements and keys never do.
            let twice: Vec<_> =
                told.iter().filter(|(name, count)| **count > 1 && !name.starts_with("verdict")).collect();
            assert!(twice.is_empty(), "{context}: {twice:?}");
            world.check_journal(&context).await;
            world.check_nothing_uncommitted(&context).await;
            world.check_no_uploads(&context).await;
            let mut subjects: Vec<String> = objects.iter().map(ToString::to_string).collect();
            subjects.sort();
            assert_eq!(world.finding_records().await, subjects, "{context}: each finding is one record");
            world.lose_ledger();
            world.tell(|_| ());
            let rebuilt = world.run(&Steps::new(), &Options::default()).await;
            assert_eq!(rebuilt.end, RunEnd::Well, "{context}: {:?}", rebuilt.errors);
            check_known(&world, &objects, &format!("{context}, rebuilt"));
            world.check_truth().await;
        }
    }
    assert!(written > 0, "prepared, not journalled: written by recovery");
    assert!(noted > 0, "journalled, not in the ledger: noted by recovery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_without_an_epoch_takes_one_for_its_notes() {
    let (world, objects) = hauled().await;
    let before = world.journal().await.len();
    let ran = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    let entries = world.journal().await;
    assert!(entries.len() > before);
    for object in &objects {
        let lane = lane_of(account(object), LANES);
        let kinds: Vec<bool> = entries
            .iter()
            .filter(|entry| entry.lane == lane)
            .map(|entry| matches!(entry.body, EntryBody::Epoch(_)))
            .collect();
        assert_eq!(kinds.iter().filter(|epoch| **epoch).count(), 2, "one epoch per run that writes");
    }
    let quiet = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(quiet.end, RunEnd::Well);
    assert_eq!(world.journal().await.len(), entries.len(), "what is known is not said again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_owner_had_prepared_waits_in_its_outbox() {
    let (world, objects) = hauled().await;
    let counting = Steps::new();
    {
        let (world, _) = hauled().await;
        world.run(&counting, &Options::default()).await;
    }
    let mut waited = 0;
    for step in 1..=counting.taken() {
        let (world, objects) = hauled().await;
        let steps = Steps::new();
        steps.freeze_at(step, When::After);
        world.run(&steps, &Options::default()).await;
        world.tell(|_| ());
        let other = Options { other_state: true, take_lanes: true, ..Options::default() };
        let taken = world.run(&Steps::new(), &other).await;
        assert_eq!(taken.end, RunEnd::Well, "{:?}", taken.errors);
        let back = Options { take_lanes: true, ..Options::default() };
        let ran = world.run(&Steps::new(), &back).await;
        assert_eq!(ran.end, RunEnd::Well, "step {step}: {:?}", ran.errors);
        let told = told(&world).await;
        assert!(told.values().all(|count| *count == 1), "step {step}: {told:?}");
        let ledger = world.ledger();
        for object in &objects {
            let known = ledger.finding(KIND, &object.to_string()).unwrap().is_some();
            assert_eq!(known, told.contains_key(&format!("finding {object}")), "step {step}");
            waited += u32::from(known);
        }
    }
    assert!(waited > 0);
    drop((world, objects));
}
