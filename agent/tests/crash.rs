//! Crashes at every durable step: stores and ledger freeze together at step n, for all n, before and after the
//! step; what they left is started again, and the archive must equal the truth, with nothing uncommitted ever
//! visible.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

#[path = "hold/crash.rs"]
mod hold;
mod world;

use std::collections::BTreeSet;

use trailhaul::haul::Recovered;
use trailhaul::store::{Steps, When};
use world::{RunEnd, World};

/// A small case: three accounts, overlapping copies, a conflict, a damaged object.
fn small() -> World {
    let world = World::new(2);
    world.object("one", "111122223333", "2026/11/20", "20261120T1005Z", "a", &["e1", "e2", "e3"]);
    world.object("one", "111122223333", "2026/11/20", "20261120T1010Z", "b", &["e3", "e4"]);
    world.object("two", "111122223333", "2026/11/20", "20261120T1010Z", "c", &["e2", "e3", "e4", "e5"]);
    world.object("one", "444455556666", "2026/11/20", "20261120T1005Z", "d", &["f1", "f2"]);
    world.object("one", "444455556666", "2026/11/21", "20261121T0005Z", "e", &["f2", "f3", "f1!other"]);
    world.object("two", "777788889999", "2026/11/21", "20261121T0005Z", "f", &["g1"]);
    world.damaged("one", "444455556666", "2026/11/21", "20261121T0010Z", "g", &["f4", "f5"]);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_run_equals_the_truth_and_a_second_adds_nothing() {
    let world = small();
    let first = world.run(&Steps::new(), &world::Options::default()).await;
    assert_eq!(first.end, RunEnd::Well, "{:?}", first.errors);
    world.check_truth().await;
    let keys = world.archive_keys().await;
    let second = world.run(&Steps::new(), &world::Options::default()).await;
    assert_eq!(second.end, RunEnd::Well);
    world.check_truth().await;
    assert_eq!(world.archive_keys().await, keys, "a second pass writes nothing");
    world.lose_ledger();
    let third = world.run(&Steps::new(), &world::Options::default()).await;
    assert_eq!(third.end, RunEnd::Well, "{:?}", third.errors);
    assert!(third.recovered.noted + third.recovered.finished > 0);
    world.check_truth().await;
    assert_eq!(world.archive_keys().await, keys, "a rebuilt ledger knows everything");
}

/// A sink with several outputs per batch: each file of the lake is an upload of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_ends_in_the_truth_of_a_lake_too() {
    fn case() -> World {
        let world = World::new(1);
        world.object("one", "111122223333", "2026/11/20", "20261120T1005Z", "a", &["e1", "e2"]);
        world.object("one", "444455556666", "2026/11/20", "20261120T1005Z", "b", &["f1", "f1!other"]);
        world.object("two", "111122223333", "2026/11/20", "20261120T1010Z", "c", &["e2", "e3"]);
        world
    }
    let lake = world::Options { lake: true, larger_batches: true, ..world::Options::default() };
    let counting = Steps::new();
    let world = case();
    let clean = world.run(&counting, &lake).await;
    assert_eq!(clean.end, RunEnd::Well, "{:?}", clean.errors);
    world.check_truth().await;
    world.check_lake("clean").await;
    let total = counting.taken();
    println!("{total} durable steps");
    let mut seen = Recovered::default();
    for step in 1..=total {
        for when in [When::Before, When::After] {
            let context = format!("step {step} {when:?}");
            let world = case();
            let steps = Steps::new();
            steps.freeze_at(step, when);
            world.run(&steps, &lake).await;
            world.check_nothing_uncommitted(&context).await;
            world.check_lake_uncommitted(&context).await;
            if step % 3 == 0 {
                world.lose_ledger();
            }
            let again = world.run(&Steps::new(), &lake).await;
            assert_eq!(again.end, RunEnd::Well, "{context}: {:?}", again.errors);
            world.check_truth().await;
            world.check_journal(&context).await;
            world.check_lake(&context).await;
            seen.add(again.recovered);
        }
    }
    assert!(seen.written > 0 && seen.finished > 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_ends_in_the_truth() {
    let counting = Steps::new();
    let world = small();
    world.run(&counting, &world::Options::default()).await;
    let total = counting.taken();
    println!("{total} durable steps");
    assert!(total > 30, "the case is too small: {total} steps");
    let mut seen = Recovered::default();
    for step in 1..=total {
        for when in [When::Before, When::After] {
            let world = small();
            let steps = Steps::new();
            steps.freeze_at(step, when);
            let crashed = world.run(&steps, &world::Options::default()).await;
            assert!(steps.is_frozen() || crashed.end == RunEnd::Well, "step {step} {when:?}");
            world.check_nothing_uncommitted(&format!("step {step} {when:?}")).await;
            // Every third restart has lost its ledger as well, every fifth has another compression.
            if step % 3 == 0 {
                world.lose_ledger();
            }
            let options = world::Options { other_compression: step % 5 == 0, ..world::Options::default() };
            let again = world.run(&Steps::new(), &options).await;
            assert_eq!(again.end, RunEnd::Well, "step {step} {when:?}: {:?}", again.errors);
            world.check_truth().await;
            world.check_no_uploads(&format!("step {step} {when:?}")).await;
            seen.add(again.recovered);
        }
    }
    println!("{seen:?}");
    assert!(seen.written > 0, "prepared, not journalled: written by recovery");
    assert!(seen.finished > 0, "journalled, not finished: finished by recovery");
    assert!(seen.noted > 0, "finished, not in the ledger: noted by recovery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_recovery_is_recovered_from() {
    for step in 4..60 {
        let world = small();
        let steps = Steps::new();
        steps.freeze_at(step, When::After);
        world.run(&steps, &world::Options::default()).await;
        for again in 1..6 {
            let steps = Steps::new();
            steps.freeze_at(again, When::Before);
            world.run(&steps, &world::Options::default()).await;
            world.check_nothing_uncommitted(&format!("step {step}, then {again}")).await;
        }
        let last = world.run(&Steps::new(), &world::Options::default()).await;
        assert_eq!(last.end, RunEnd::Well, "step {step}: {:?}", last.errors);
        world.check_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_gone_makes_the_batch_void() {
    let counting = Steps::new();
    small().run(&counting, &world::Options::default()).await;
    let (mut voided, total) = (0, counting.taken());
    for step in 1..=total {
        let world = small();
        let steps = Steps::new();
        steps.freeze_at(step, When::After);
        world.run(&steps, &world::Options::default()).await;
        // Somebody's lifecycle rule has cleaned up unfinished uploads meanwhile.
        world.drop_uploads().await;
        let again = world.run(&Steps::new(), &world::Options::default()).await;
        assert_eq!(again.end, RunEnd::Well, "step {step}: {:?}", again.errors);
        voided += again.recovered.voided;
        world.check_truth().await;
    }
    assert!(voided > 0, "the void row of the crash table was hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_are_gone_hold_up_nobody() {
    let world = small();
    let steps = Steps::new();
    steps.freeze_at(12, When::After);
    world.run(&steps, &world::Options::default()).await;
    let gone: BTreeSet<String> = world.forget_source("two", "777788889999");
    assert_eq!(gone.len(), 1);
    let again = world.run(&Steps::new(), &world::Options::default()).await;
    assert_eq!(again.end, RunEnd::Well, "{:?}", again.errors);
    world.check_truth_without(&gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_agent_is_refused_unless_it_takes_the_lanes() {
    let world = small();
    assert_eq!(world.run(&Steps::new(), &world::Options::default()).await.end, RunEnd::Well);
    let other = world::Options { other_state: true, ..world::Options::default() };
    let refused = world.run(&Steps::new(), &other).await;
    assert_eq!(refused.end, RunEnd::Refused);
    assert!(refused.errors[0].contains("--take-lanes"), "{:?}", refused.errors);
    let taking = world::Options { other_state: true, take_lanes: true, ..world::Options::default() };
    let taken = world.run(&Steps::new(), &taking).await;
    assert_eq!(taken.end, RunEnd::Well, "{:?}", taken.errors);
    world.check_truth().await;
    let back = world.run(&Steps::new(), &world::Options::default()).await;
    assert_eq!(back.end, RunEnd::Refused, "the old owner is out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_archive_is_refused() {
    let world = small();
    assert_eq!(world.run(&Steps::new(), &world::Options::default()).await.end, RunEnd::Well);
    let other = world::Options { other_archive: true, ..world::Options::default() };
    let refused = world.run(&Steps::new(), &other).await;
    assert_eq!(refused.end, RunEnd::Refused);
    assert!(refused.errors[0].contains("put the home archive back"), "{:?}", refused.errors);
}
