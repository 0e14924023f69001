//! The real program killed at random moments, stopped while another takes its lanes, and told to stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod tree;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use trailhaul_tests::damage::{Damage, Sizes};
use trailhaul_tests::org::Options;
use tree::{Tree, files, signal, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// The configuration with small batches (so that there are many commits), and what a restart may change.
fn config(tree: &Tree, compression: &str, objects: u32) -> String {
    let config = tree
        .config
        .replace("    format: raw\n", &format!("    format: raw\n    compression: {compression}\n"));
    assert!(config.contains(compression), "{config}");
    format!("{config}batch: {{objects: {objects}}}\n")
}

#[test]
fn fifty_kills_leave_the_truth() {
    let seed: u64 = 50;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut kills, mut round, mut seen) = (0, 0, [0_u64; 4]);
    while kills < 50 {
        round += 1;
        assert!(round <= 60, "the runs are too short to be killed: {kills} kills in {round} rounds");
        let options = Options { seed: seed + round, accounts: 8, regions: 3, hours: 4, ..Options::default() };
        let tree = Tree::simulate(&options, &[Damage::BadRecord, Damage::TruncatedGzip], Sizes::default());
        loop {
            let compression = ["zstd", "gzip", "none"][random.random_range(0..3)];
            tree.write_config(&config(&tree, compression, random.random_range(3..12)));
            let mut command = tree.command(&["--output", "json", "--log-format", "json", "run", "--once"]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random.random_range(10..250)));
            if kills < 50 && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            let output = child.wait_with_output().unwrap();
            tree.check_nothing_uncommitted(&format!("round {round}, {kills} kills"));
            count_recovered(&String::from_utf8_lossy(&output.stderr), &mut seen);
            match output.status.code() {
                Some(0) => break,
                None => {}
                Some(code) => panic!("exit {code}: {}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        tree.check_truth(&format!("round {round}"));
    }
    let [written, dropped, finished, noted] = seen;
    println!(
        "{kills} kills in {round} rounds; recovery: {written} written, {dropped} dropped, {finished} finished, {noted} noted"
    );
    assert!(written + dropped + finished + noted > 0, "no kill left anything to recover");
}

/// Adds up what `recover lane` says it did.
fn count_recovered(log: &str, seen: &mut [u64; 4]) {
    for line in log.lines().filter(|line| line.contains("recover lane")) {
        for (slot, name) in seen.iter_mut().zip(["written", "dropped", "finished", "noted"]) {
            let number = line.split(&format!("{name}: ")).nth(1).unwrap_or("0");
            *slot += number
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse::<u64>()
                .unwrap_or(0);
        }
    }
}

/// Waits until a lane has an owner: the program has its signal handlers in place, and has read whose the lanes
/// are. However slow the machine.
fn at_work(tree: &Tree, child: &mut Child) {
    let journal = tree.path("archive/journal");
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() && files(&journal).len() < 2 {
        assert!(began.elapsed() < LIMIT, "the program does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_stopped_owner_that_wakes_up_stops_for_good() {
    let seed: u64 = 60;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut fenced = 0;
    for round in 0..6 {
        let options = Options { seed: seed + round, accounts: 8, regions: 2, hours: 4, ..Options::default() };
        let tree = Tree::simulate(&options, &[], Sizes::default());
        tree.write_config(&config(&tree, "zstd", 5));
        let other = config(&tree, "zstd", 20).replace("/state\n", "/other-state\n");
        std::fs::write(tree.path("other.yaml"), other).unwrap();

        let mut command = tree.command(&["--output", "json", "run", "--once"]);
        let mut old = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        at_work(&tree, &mut old);
        std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
        signal(&old, Signal::STOP);
        let was_running = old.try_wait().unwrap().is_none();
        let new = tree.run_with("other.yaml", &["--output", "json", "run", "--once", "--take-lanes"]);
        assert_eq!(new.code, Some(0), "{new:?}");
        if was_running {
            signal(&old, Signal::CONT);
        }
        let status = wait(&mut old, LIMIT).expect("the old owner ends");
        // It either had finished, or noticed that its lanes are another's.
        if status.code() != Some(0) {
            assert_eq!(status.code(), Some(69), "{status:?}");
            fenced += 1;
        }
        tree.check_nothing_uncommitted(&format!("round {round}"));
        tree.check_truth(&format!("round {round}"));
        let refused = tree.once();
        assert!(refused.code == Some(78) || status.code() == Some(0), "{refused:?}");
    }
    println!("{fenced} of 6 old owners were fenced off");
    assert!(fenced > 0, "no old owner was caught at work");
}

#[test]
fn a_signal_drains_and_a_restart_goes_on() {
    let options = Options { seed: 70, accounts: 6, regions: 2, hours: 4, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    tree.write_config(&config(&tree, "zstd", 10));
    let mut command = tree.command(&["--output", "json", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    at_work(&tree, &mut child);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, Signal::TERM);
    let status = wait(&mut child, LIMIT).expect("the agent stops");
    assert_eq!(status.code(), Some(0), "a drained stop is a good end");
    tree.check_nothing_uncommitted("after the stop");
    let rest = tree.once();
    assert_eq!(rest.code, Some(0), "{rest:?}");
    tree.check_truth("after the restart");
}

#[test]
fn a_pass_that_a_signal_ends_does_not_call_itself_complete() {
    let options = Options { seed: 80, accounts: 8, regions: 3, hours: 4, ..Options::default() };
    let tree = Tree::simulate(&options, &[], Sizes::default());
    tree.write_config(&config(&tree, "zstd", 3));
    let mut command = tree.command(&["--output", "json", "run", "--once"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    at_work(&tree, &mut child);
    assert!(child.try_wait().unwrap().is_none(), "the pass is too short to be stopped");
    signal(&child, Signal::TERM);
    let status = wait(&mut child, LIMIT).expect("the pass stops");
    assert_eq!(status.code(), Some(69), "not all of it was hauled");
    let rest = tree.once();
    assert_eq!(rest.code, Some(0), "{rest:?}");
    tree.check_truth("after the rest");
}
