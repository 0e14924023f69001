//! `integrity.max_hold` runs out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trailhaul_core::model::Verdict;

use super::{Case, change_a_digit, small};

const PATIENCE: Duration = Duration::from_secs(240);

/// The wait of the objects that were seen in an earlier pass is over.
fn wait_it_out() {
    std::thread::sleep(Duration::from_millis(1_200));
}

#[test]
fn what_has_waited_in_vain_is_hauled_and_a_later_digest_still_gives_a_verdict() {
    let case = Case::recent(&small(42), "  max_hold: 1s\n  grace: 31d\n", "");
    let changed = &case.named[case.named.len() / 2];
    change_a_digit(changed);
    let digests = case.take_digests();
    let logs = case.logs().count() as u64;
    let (began, mut expired) = (Instant::now(), 0);
    while expired < logs {
        assert!(began.elapsed() < PATIENCE, "{expired} of {logs} objects were hauled");
        let ran = case.tree.once();
        assert_eq!(ran.code, Some(0), "a trail without digests accuses nobody: {ran:?}");
        expired += ran.number("/objects_expired");
        wait_it_out();
    }
    let hauled = case.hauled();
    assert_eq!(hauled.len() as u64, logs);
    assert!(hauled.values().all(|object| object.verdict == Verdict::Pending));
    assert_eq!(expired, logs, "each is counted once");
    let buckets: BTreeSet<String> = case
        .logs()
        .map(|object| format!("file://{}", case.tree.path("buckets").join(&object.bucket).display()))
        .collect();
    assert_eq!(case.findings("hold_expired").into_iter().collect::<BTreeSet<_>>(), buckets);
    assert_eq!(case.verdicts("pending"), logs);

    digests.give_back();
    let ran = case.tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.number("/total/objects"), 0, "nothing is hauled again");
    assert_eq!(case.verdicts("verified"), case.named.len() as u64 - 1);
    assert_eq!(case.verdicts("mismatch"), 1);
    assert_eq!(case.findings("log_mismatch"), std::slice::from_ref(changed));
    case.tree.check_nothing_uncommitted("expired");
}

#[test]
fn digests_that_came_while_no_agent_ran_are_read_before_anything_expires() {
    let case = Case::recent(&small(43), "  max_hold: 7d\n", "");
    let changed = &case.named[0];
    change_a_digit(changed);
    let digests = case.take_digests();
    let ran = case.tree.once();
    assert_eq!((ran.code, ran.number("/objects_held")), (Some(0), case.logs().count() as u64), "{ran:?}");
    digests.give_back();
    wait_it_out();
    case.tree.write_config(&case.tree.config.replace("max_hold: 7d", "max_hold: 1s"));
    let ran = case.tree.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let hauled = case.hauled();
    for url in &case.named {
        let expected = if url == changed { Verdict::Mismatch } else { Verdict::Verified };
        assert_eq!(hauled[url].verdict, expected, "{url}");
    }
    let others = hauled.keys().filter(|url| !case.named.contains(url)).count() as u64;
    assert_eq!(ran.number("/objects_expired"), others, "only what no digest names");
}
