//! Stores that fail for a while: sinks, sources and single objects. In-process, on simulated time where minutes
//! must pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use trailhaul::store::{Faults, Steps};
use world::{Options, RunEnd, World};

const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const DAY: &str = "2026/11/20";

/// Each account has so many objects of two events; every second event lies in the other bucket as well.
fn world(objects: usize) -> World {
    let world = World::new(2);
    for account in ACCOUNTS {
        for at in 0..objects {
            let (a, b) = (format!("e{at}"), format!("f{at}"));
            world.object("one", account, DAY, "20261120T1005Z", &format!("a{at}"), &[&a, &b]);
            if at % 2 == 0 {
                world.object("two", account, DAY, "20261120T1010Z", &format!("b{at}"), &[&b]);
            }
        }
    }
    world
}

async fn check(world: &World, context: &str) {
    world.check_nothing_uncommitted(context).await;
    world.check_journal(context).await;
}

/// Time is simulated: it jumps whenever every task waits.
async fn outage(faults: Faults, minutes: u64) {
    let world = world(120);
    world.set("archive", &faults);
    let options = Options { patient: true, ..Options::default() };
    let steps = Steps::new();
    let heal = async {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        // Threads that compute do not know of simulated time: minutes may have passed before the first batch was made.
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        check(&world, "while the sink fails").await;
        let data = world.archive_keys().await.into_iter().filter(|key| key.contains("/data/")).count();
        assert_eq!(data, 0, "nothing got through");
        world.heal();
    };
    let (ran, ()) = tokio::join!(world.run(&steps, &options), heal);
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    let attempts = world.counts().failed_attempts;
    println!("{attempts} attempts failed; at most {} objects in a queue", world.longest_queue());
    assert!(attempts > 0, "the outage was not noticed");
    assert!(world.longest_queue() <= 64 + 7, "{} objects in a queue", world.longest_queue());
    check(&world, "after the outage").await;
    world.check_no_uploads("after the outage").await;
    world.check_truth().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_minutes_loses_nothing() {
    // Not the listing of uploads at the start, which would wait for the end of the outage.
    let under = "trails/data/date=".to_owned();
    outage(Faults { seed: 1, under, unavailable: 1_000, ..Faults::default() }, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_for_minutes_loses_nothing() {
    // Not the listing of uploads at the start, which would wait for the end of the outage.
    let under = "trails/data/date=".to_owned();
    outage(Faults { seed: 2, under, full: true, ..Faults::default() }, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_in_a_single_pass_leaves_the_rest_behind() {
    let world = world(3);
    for under in ["trails/data/", "trails/index/", "trails/journal/lanes", "trails/"] {
        world.set("archive", &Faults { seed: 3, under: under.to_owned(), full: true, ..Faults::default() });
        let ran = world.run(&Steps::new(), &Options::default()).await;
        println!("{under}: {:?} {:?}", ran.end, ran.errors.first());
        check(&world, under).await;
    }
    world.heal();
    let ran = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    check(&world, "with room").await;
    world.check_no_uploads("with room").await;
    world.check_truth().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_may_not_be_read_holds_up_no_other() {
    let world = world(4);
    let account = ACCOUNTS[1];
    let under = format!("AWSLogs/{account}/");
    world.set("one", &Faults { seed: 4, under, unreadable: true, ..Faults::default() });
    let ran = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(ran.end, RunEnd::Broken);
    assert_eq!(ran.errors.len(), 4, "{:?}", ran.errors);
    for error in &ran.errors {
        assert!(error.contains(account) && error.contains("not allowed"), "{error}");
    }
    let findings = world.findings();
    assert_eq!(findings.iter().filter(|(kind, _)| kind == "object_denied").count(), 4, "{findings:?}");
    // The other accounts are complete, and so is what could be read of this one.
    let only_there: BTreeSet<String> =
        world.truth_of(account).into_iter().filter(|record| !is_in_two(record)).collect();
    world.check_truth_without(&only_there).await;
    world.heal();
    assert_eq!(world.run(&Steps::new(), &Options::default()).await.end, RunEnd::Well);
    world.check_truth().await;
}

/// The records that bucket two has as well: `f0`, `f2`.
fn is_in_two(record: &str) -> bool {
    record.contains("-f0\"") || record.contains("-f2\"")
}

#[tokio::test(start_paused = true)]
async fn an_object_that_vanishes_between_listing_and_reading_is_a_finding() {
    let world = world(2);
    let listed = world.listing().await;
    let account = ACCOUNTS[0];
    world.replace("one", &format!("{account}_CloudTrail_eu-central-1_20261120T1005Z_00000000000000a1"), None);
    let ran = world.run_over(&Steps::new(), &Options::default(), listed).await;
    assert_eq!(ran.end, RunEnd::Broken);
    assert!(ran.errors.len() == 1 && ran.errors[0].contains("the object is gone"), "{:?}", ran.errors);
    assert_eq!(world.findings()[0].0, "object_vanished");
    check(&world, "vanished").await;
    let gone: BTreeSet<String> = world
        .truth_of(account)
        .into_iter()
        .filter(|record| record.contains("-e1\"") || record.contains("-f1\""))
        .collect();
    assert_eq!(gone.len(), 2);
    world.check_truth_without(&gone).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_changes_between_listing_and_reading_is_read_as_it_is_later() {
    let world = world(2);
    let listed = world.listing().await;
    let account = ACCOUNTS[0];
    let part = format!("{account}_CloudTrail_eu-central-1_20261120T1005Z_00000000000000a1");
    world.replace("one", &part, Some((account, &["e1", "f1", "new"])));
    let ran = world.run_over(&Steps::new(), &Options::default(), listed).await;
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    assert_eq!(world.findings()[0].0, "object_changed");
    check(&world, "changed").await;
    // The next listing shows nothing new.
    let ran = world.run(&Steps::new(), &Options::default()).await;
    assert_eq!(ran.end, RunEnd::Well, "{:?}", ran.errors);
    world.also_true(account, "new");
    world.check_truth().await;
}
