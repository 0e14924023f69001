//! Random scenarios of ledger and lanes: objects with overlapping ids in random order, stores that fail in every
//! way, freezes at random steps, lost ledgers, lanes taken by another state folder, changed configurations. After
//! every run nothing uncommitted is visible and the journal is a chain whose books balance; after a clean last
//! run the archive is the truth.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod world;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use trailhaul::haul::Recovered;
use trailhaul::store::{Faults, Steps, When};
use world::{Options, RunEnd, World};

const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const SCENARIOS: u64 = 400;

/// What all scenarios together came to.
#[derive(Debug, Default)]
struct Seen {
    runs: u64,
    well: u64,
    refused: u64,
    broken: u64,
    frozen: u64,
    taken: u64,
    lost_ledgers: u64,
    recovered: Recovered,
}

#[test]
fn random_trouble_ends_in_the_truth() {
    let began = std::time::Instant::now();
    let first: u64 = std::env::var("TRAILHAUL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_000);
    let mut seen = Seen::default();
    for seed in first..first + SCENARIOS {
        println!("seed {seed}");
        // Time jumps whenever every task waits: pauses between attempts cost nothing.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(scenario(seed, &mut seen));
    }
    println!("{SCENARIOS} scenarios in {:?}: {seen:?}", began.elapsed());
    assert!(seen.well > 0 && seen.broken > 0 && seen.frozen > 0 && seen.refused > 0 && seen.taken > 0);
    let Recovered { written, finished, noted, .. } = seen.recovered;
    assert!(written > 0 && finished > 0 && noted > 0, "rows of the crash table were missed: {seen:?}");
}

async fn scenario(seed: u64, seen: &mut Seen) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new(random.random_range(1..4));
    let (mut owner, mut unique) = (false, 0);
    for run in 0..random.random_range(2..6) {
        add_objects(&world, &mut random, &mut unique);
        let other_state = random.random_range(0..8) == 0;
        let options = Options {
            other_state,
            take_lanes: other_state != owner && random.random_range(0..4) != 0,
            other_compression: random.random_range(0..3) == 0,
            larger_batches: random.random(),
            ..Options::default()
        };
        if !other_state && run > 0 && random.random_range(0..4) == 0 && world.has_ledger() {
            world.lose_ledger();
            seen.lost_ledgers += 1;
        }
        for store in ["one", "two", "archive"] {
            world.set(store, &faults(&mut random));
        }
        let steps = Steps::new();
        if random.random_range(0..2) == 0 {
            let when = if random.random() { When::Before } else { When::After };
            steps.freeze_at(random.random_range(1..60), when);
        }
        let mut found = world.listing().await;
        found.shuffle(&mut random);
        let ran = world.run_over(&steps, &options, found).await;
        let context = format!("seed {seed}, run {run}, {options:?}, {ran:?}");
        seen.runs += 1;
        seen.frozen += u64::from(steps.is_frozen());
        match ran.end {
            RunEnd::Well => seen.well += 1,
            RunEnd::Refused => seen.refused += 1,
            RunEnd::Broken => seen.broken += 1,
        }
        if options.take_lanes && ran.end != RunEnd::Refused {
            owner = other_state;
            seen.taken += 1;
        }
        seen.recovered.add(ran.recovered);
        world.check_nothing_uncommitted(&context).await;
        world.check_journal(&context).await;
    }
    world.heal();
    let options = Options { take_lanes: true, ..Options::default() };
    let last = world.run(&Steps::new(), &options).await;
    assert_eq!(last.end, RunEnd::Well, "seed {seed}: {:?}", last.errors);
    seen.recovered.add(last.recovered);
    world.check_nothing_uncommitted(&format!("seed {seed}, at the end")).await;
    world.check_journal(&format!("seed {seed}, at the end")).await;
    world.check_no_uploads(&format!("seed {seed}")).await;
    world.check_truth().await;
}

/// A few small objects over a small pool of ids, so that copies and conflicts are common.
fn add_objects(world: &World, random: &mut StdRng, unique: &mut u32) {
    for _ in 0..random.random_range(1..7) {
        *unique += 1;
        let account = ACCOUNTS[random.random_range(0..ACCOUNTS.len())];
        let bucket = if random.random() { "one" } else { "two" };
        let (day, stamp) =
            [("2026/11/20", "20261120T1005Z"), ("2026/11/21", "20261121T0010Z")][random.random_range(0..2)];
        let mut events: Vec<String> = (0..random.random_range(1..6))
            .map(|_| match random.random_range(0..12) {
                0 => format!("e{}!other", random.random_range(0..20)),
                _ => format!("e{}", random.random_range(0..20)),
            })
            .collect();
        events.dedup();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let name = format!("x{unique}");
        if random.random_range(0..10) == 0 {
            world.damaged(bucket, account, day, stamp, &name, &events);
        } else {
            world.object(bucket, account, day, stamp, &name, &events);
        }
    }
}

/// Every second store is well; the others fail in some ways, now and then nearly always.
fn faults(random: &mut StdRng) -> Faults {
    if random.random() {
        return Faults::default();
    }
    let mut share = |most: u16| if random.random_range(0..3) == 0 { random.random_range(0..most) } else { 0 };
    Faults {
        unavailable: share(500),
        lost_answers: share(400),
        throttled: share(300),
        conflict: share(300),
        truncated: share(500),
        vanished: share(200),
        full: share(100) > 90,
        denied: share(100) > 90,
        seed: random.random(),
        ..Faults::default()
    }
}
