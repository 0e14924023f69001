//! The program killed at random moments, while objects wait and while their digests come.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Case, change_a_digit, overwrite, small};

/// Starts a pass and kills it after a while; whether it was still at work.
fn strike(case: &Case, random: &mut StdRng) -> bool {
    let mut command = case.tree.command(&["--output", "json", "run", "--once"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(random.random_range(5..150)));
    let is_at_work = child.try_wait().unwrap().is_none();
    if is_at_work {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    is_at_work
}

#[test]
fn kills_lose_nothing_that_waits_and_deliver_nothing_that_was_tampered_with() {
    let seed: u64 = 46;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut kills = [0; 2];
    for round in 0..2 {
        let case = Case::recent(&small(seed + round), "", "batch: {objects: 5}\n");
        let bad: BTreeSet<String> =
            [1, 2].map(|n| case.named[n * case.named.len() / 3].clone()).into_iter().collect();
        for (url, tamper) in bad.iter().zip([overwrite, change_a_digit]) {
            tamper(url);
        }
        let digests = case.take_digests();
        for _ in 0..8 {
            kills[0] += u32::from(strike(&case, &mut random));
            assert!(case.hauled().is_empty(), "nothing vouches for them");
        }
        let ran = case.tree.once();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.number("/objects_held"), case.logs().count() as u64, "all wait");

        digests.give_back();
        for strike_number in 0..12 {
            kills[1] += u32::from(strike(&case, &mut random));
            case.tree.check_nothing_uncommitted(&format!("round {round}, strike {strike_number}"));
            let hauled = case.hauled();
            assert!(bad.iter().all(|url| hauled.get(url).is_none_or(|object| object.unique == 0)));
            if strike_number % 5 == 3 {
                fs::remove_file(case.tree.path("state").join("ledger.redb")).unwrap();
            }
        }
        let ran = case.tree.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let hauled = case.hauled();
        assert_eq!(hauled.keys().collect::<BTreeSet<_>>(), case.named.iter().collect::<BTreeSet<_>>());
        assert_eq!(case.findings("log_mismatch").into_iter().collect::<BTreeSet<_>>(), bad);
        assert_eq!(case.findings("log_missing"), Vec::<String>::new());
        let delivered = case.named.iter().filter(|url| !bad.contains(*url)).cloned().collect();
        case.check_delivered(&delivered, &format!("round {round}"));
        case.tree.check_nothing_uncommitted(&format!("round {round}"));
        assert_eq!(case.tree.once().number("/total/objects"), 0);
    }
    println!("{} kills while objects waited, {} while digests came", kills[0], kills[1]);
    assert!(kills[0] > 2 && kills[1] > 2, "the passes are too short to be killed: {kills:?}");
}
