//! Crashes at every durable step while held objects are compared and hauled: stores and ledger freeze together, and
//! what they left is started again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use trailhaul::haul::Recovered;
use trailhaul::ledger::Ledger;
use trailhaul::store::{Steps, When};
use trailhaul_core::model::{EntryBody, LogKey, ObjectRef, Verdict};
use trailhaul_core::plan::FoundObject;
use trailhaul_core::verify::{ChainId, ChainKind};

use super::world::{self, RunEnd, World};

const HOLD: world::Options = world::Options {
    take_lanes: false,
    other_state: false,
    other_archive: false,
    other_compression: false,
    larger_batches: false,
    lake: false,
    patient: false,
    hold: true,
};

/// What a digest says of each object: its hash.
type Said = Vec<(ObjectRef, [u8; 32])>;

/// An event that makes an object larger than what is compared in memory.
fn large(id: &str) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = format!("{id}!");
    while text.len() < 640 * 1024 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

/// Two accounts with small and large objects. A digest names all; a small and a large one hold something else than it
/// says.
async fn case() -> (World, Said) {
    let world = World::new(1);
    let (big, other) = (large("b1"), large("b2"));
    world.object("one", "111122223333", "2026/11/20", "20261120T1005Z", "a", &["e1", "e2"]);
    world.object("one", "111122223333", "2026/11/20", "20261120T1010Z", "b", &["e2", "e3", &big]);
    world.object("one", "444455556666", "2026/11/20", "20261120T1005Z", "bad", &["f1"]);
    world.object("two", "444455556666", "2026/11/21", "20261121T0005Z", "huge-bad", &["f2", &other]);
    world.object("one", "444455556666", "2026/11/21", "20261121T0010Z", "d", &["f3"]);
    let mut said = Vec::new();
    for found in world.listing().await {
        let object = found.object;
        let mut sha256 = world.sha256_of(&object).await;
        if object.key.contains("bad") {
            sha256[0] ^= 1;
        }
        assert_eq!(object.size > 256 * 1024, object.key.contains("000b.") || object.key.contains("huge-bad"));
        said.push((object, sha256));
    }
    (world, said)
}

fn expect(ledger: &Ledger, said: &Said) {
    for (object, sha256) in said {
        let key = LogKey::parse(&object.key).unwrap();
        let chain = ChainId {
            bucket: object.bucket.to_string(),
            prefix: String::new(),
            organization: None,
            account: key.account,
            region: key.region.to_owned(),
            trail: "trail".into(),
            home_region: key.region.to_owned(),
            kind: ChainKind::Normal,
        };
        // Frozen, it fails like everything else.
        let _ = ledger.write_digests(|writer| writer.expect(&chain, 0, &[(object.clone(), *sha256)]));
    }
}

/// Runs it; digests are proven once the lanes work, as they are by the audit.
async fn run(world: &World, steps: &Arc<Steps>, said: &Said) -> world::Ran {
    let told = Mutex::new(said.clone());
    world.tell(move |ledger| expect(ledger, &told.lock().unwrap()));
    let found: Vec<FoundObject> = world.listing().await;
    world.run_over(steps, &HOLD, found).await
}

/// With a lost ledger, what was found out just before may be untold: the audit says it again.
async fn check(world: &World, context: &str, lost: bool) {
    let gone: BTreeSet<String> =
        ["f1", "f2", &large("b2")].iter().map(|e| world::record("444455556666", e)).collect();
    world.check_truth_without(&gone).await;
    world.check_journal(context).await;
    world.check_nothing_uncommitted(context).await;
    world.check_no_uploads(context).await;
    let mut objects = BTreeSet::new();
    for entry in world.journal().await {
        let EntryBody::Batch(batch) = entry.body else { continue };
        for object in batch.objects {
            let is_bad = object.object.key.contains("bad");
            assert_eq!(object.verdict == Verdict::Mismatch, is_bad, "{context}: {}", object.object);
            assert_eq!(object.verdict == Verdict::Verified, !is_bad, "{context}: {}", object.object);
            assert!(objects.insert(object.object.to_string()), "{context}: {} twice", object.object);
        }
    }
    assert_eq!(objects.len(), 5, "{context}");
    let accused: BTreeSet<String> =
        world.findings().into_iter().map(|(kind, subject)| format!("{kind} {subject}")).collect();
    let bad: BTreeSet<String> = objects
        .into_iter()
        .filter(|url| url.contains("bad"))
        .map(|url| format!("log_mismatch {url}"))
        .collect();
    assert!(accused == bad || (lost && accused.is_subset(&bad)), "{context}: {accused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_of_a_hold_ends_in_the_truth() {
    let counting = Steps::new();
    let (world, said) = case().await;
    let clean = run(&world, &counting, &said).await;
    assert_eq!(clean.end, RunEnd::Well, "{:?}", clean.errors);
    check(&world, "clean", false).await;
    let total = counting.taken();
    println!("{total} durable steps");
    assert!(total > 20, "the case is too small: {total} steps");
    // They mostly wait: several at a time.
    let cases = (1..=total).flat_map(|step| [(step, When::Before), (step, When::After)]);
    let recovered: Vec<Recovered> =
        stream::iter(cases).map(|(step, when)| crash_at(step, when)).buffer_unordered(6).collect().await;
    let mut seen = Recovered::default();
    recovered.into_iter().for_each(|recovered| seen.add(recovered));
    assert!(seen.written > 0 && seen.finished > 0 && seen.noted > 0, "{seen:?}");
}

/// Everything freezes before or after this step and is started again; what recovery then did.
async fn crash_at(step: u64, when: When) -> Recovered {
    let context = format!("step {step} {when:?}");
    let (world, said) = case().await;
    let steps = Steps::new();
    steps.freeze_at(step, when);
    run(&world, &steps, &said).await;
    world.check_nothing_uncommitted(&context).await;
    // Every third restart has lost its ledger, and with it what digests said.
    let lost = step.is_multiple_of(3) && world.has_ledger();
    if lost {
        world.lose_ledger();
    }
    let again = run(&world, &Steps::new(), &said).await;
    assert_eq!(again.end, RunEnd::Well, "{context}: {:?}", again.errors);
    check(&world, &context, lost).await;
    again.recovered
}
