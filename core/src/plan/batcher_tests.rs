//! The queue of a lane under random and hostile loads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{AccountId, Family, ObjectRef};

const NOW: i64 = 1_700_000_000;

fn account(n: u64) -> AccountId {
    AccountId::from_u64(n).unwrap()
}

fn found(number: u64, n: u64, day: i64, size: u64) -> FoundObject {
    let object = ObjectRef {
        bucket: "s3://logs".into(),
        key: format!("{number:012}/{day}/{n:09}"),
        etag: String::new(),
        version: None,
        size,
    };
    let stamp = NOW + day * 86_400;
    FoundObject { object, account: account(number), family: Family::CloudTrail, stamp, day: Day::of(stamp) }
}

fn small() -> BatcherConfig {
    BatcherConfig { max_bytes: 1_000, max_objects: 5, queue: 100, ..BatcherConfig::default() }
}

#[test]
fn bytes_count_and_age_close_a_batch() {
    let mut batcher = Batcher::new(small());
    for n in 0..5 {
        assert_eq!(batcher.next_batch(NOW, false), None);
        batcher.push(found(1, n, 0, 1), NOW).unwrap();
    }
    assert_eq!(batcher.next_batch(NOW, false).unwrap().closed, Closed::Count);
    batcher.push(found(1, 5, 0, 999), NOW).unwrap();
    assert_eq!(batcher.next_batch(NOW, false), None);
    batcher.push(found(1, 6, 0, 999), NOW).unwrap();
    let batch = batcher.next_batch(NOW, false).unwrap();
    assert_eq!((batch.closed, batch.objects.len()), (Closed::Bytes, 1), "two of them would be too large");
    assert_eq!(batcher.due(), Some(NOW + 60));
    assert_eq!(batcher.next_batch(NOW + 59, false), None);
    assert_eq!(batcher.next_batch(NOW + 60, false).unwrap().closed, Closed::Age);
    assert!(batcher.is_empty() && batcher.due().is_none());
}

#[test]
fn one_partition_per_batch_and_a_giant_goes_alone() {
    let mut batcher = Batcher::new(small());
    for n in 0..4 {
        batcher.push(found(1, n, n as i64 % 2, 10), NOW).unwrap();
    }
    batcher.push(found(2, 9, 5, 1 << 30), NOW).unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = batcher.next_batch(NOW, true) {
        assert!(batch.objects.iter().all(|o| o.found.partition(PartitionBy::default()) == batch.partition));
        sizes.push(batch.objects.len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2]);
}

#[test]
fn a_flood_over_many_days_does_not_hold_up_a_quiet_account() {
    let mut batcher = Batcher::new(small());
    let mut n = 0;
    while batcher.has_room(account(1)) {
        batcher.push(found(1, n, n as i64 % 10, 400), NOW).unwrap();
        n += 1;
    }
    assert_eq!(n, 50, "half of the queue");
    assert!(batcher.push(found(1, n, 0, 1), NOW).is_err());
    // The flood is being served for a while before the quiet account comes.
    for _ in 0..5 {
        batcher.next_batch(NOW + 60, false).unwrap();
    }
    batcher.push(found(2, 0, 3, 100), NOW + 60).unwrap();
    let place = (0..).find(|_| {
        let batch = batcher.next_batch(NOW + 120, false).unwrap();
        batch.objects.iter().any(|object| object.found.account == account(2))
    });
    assert!(place <= Some(1), "{place:?}");
}

#[test]
fn accounts_share_bytes_not_objects() {
    let config = BatcherConfig { max_bytes: 10 << 20, max_objects: 1_000, queue: 4_000, ..small() };
    let mut batcher = Batcher::new(config);
    for n in 0..1_000 {
        batcher.push(found(1, n, 0, 1 << 20), NOW).unwrap();
        batcher.push(found(2, n, 0, 100 << 10), NOW).unwrap();
    }
    let mut bytes = BTreeMap::new();
    for _ in 0..10 {
        for object in batcher.next_batch(NOW, false).unwrap().objects {
            *bytes.entry(object.found.account).or_insert(0_u64) += object.found.object.size + (16 << 10);
        }
    }
    let (one, two) = (bytes[&account(1)] as f64, bytes[&account(2)] as f64);
    assert!((0.8..1.25).contains(&(one / two)), "{one} {two}");
}

#[test]
fn a_full_queue_of_small_groups_still_moves() {
    let mut batcher = Batcher::new(small());
    for number in 0..10 {
        for day in 0..10 {
            let _ = batcher.push(found(number, 0, day * 7 + number as i64, 1), NOW);
        }
    }
    assert!(batcher.len() >= 100);
    assert_eq!(batcher.next_batch(NOW, false).unwrap().closed, Closed::Pressure);
    assert_eq!(batcher.next_batch(NOW, false), None, "there is room again");
}

#[test]
fn a_deferred_object_comes_back_alone_at_growing_intervals() {
    let mut batcher = Batcher::new(small());
    batcher.push(found(1, 0, 0, 1), NOW).unwrap();
    let mut object = batcher.next_batch(NOW + 60, false).unwrap().objects.remove(0);
    let (mut now, mut waits) = (NOW, Vec::new());
    for _ in 0..12 {
        batcher.defer(object, now).unwrap();
        let due = batcher.due().unwrap();
        assert_eq!(batcher.next_batch(due - 1, false), None);
        waits.push(due - now);
        now = due;
        batcher.push(found(1, 1, 0, 1), now - 60).unwrap();
        let batch = batcher.next_batch(now, false).unwrap();
        assert_eq!((batch.closed, batch.objects.len()), (Closed::Retry, 1));
        object = batch.objects.into_iter().next().unwrap();
        assert_eq!(batcher.next_batch(now, false).unwrap().closed, Closed::Age);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600, 21_600, 21_600]);
}

#[test]
fn many_due_retries_leave_every_second_turn_to_the_rest() {
    let mut batcher = Batcher::new(small());
    for n in 0..20 {
        batcher.defer(batcher::QueuedObject { found: found(1, n, 0, 1), attempts: 0 }, NOW - 60).unwrap();
    }
    for n in 20..30 {
        batcher.push(found(1, n, 0, 1), NOW).unwrap();
    }
    let closed: Vec<Closed> = (0..4).map(|_| batcher.next_batch(NOW, false).unwrap().closed).collect();
    assert_eq!(closed, [Closed::Retry, Closed::Count, Closed::Retry, Closed::Count]);
}

fn of(bucket: &str, object: FoundObject) -> FoundObject {
    FoundObject { object: ObjectRef { bucket: bucket.into(), ..object.object }, ..object }
}

#[test]
fn a_bucket_that_must_wait_holds_up_nothing_else() {
    let mut batcher = Batcher::new(small());
    // One account only in the slow bucket and first in line, one in both, one elsewhere; each of them a retry too.
    for n in 0..6 {
        batcher.push(of("slow", found(1, n, 0, 1)), NOW - 60).unwrap();
        batcher.push(of(if n % 2 == 0 { "slow" } else { "quick" }, found(2, n, 0, 1)), NOW - 50).unwrap();
        batcher.push(of("quick", found(3, n, 3, 1)), NOW - 40).unwrap();
    }
    for (n, bucket) in [(90, "slow"), (91, "quick")] {
        let retry = batcher::QueuedObject { found: of(bucket, found(2, n, 0, 1)), attempts: 0 };
        batcher.defer(retry, NOW - 60).unwrap();
    }
    let mut quick = 0;
    let slow = |object: &FoundObject| &*object.object.bucket == "slow";
    while let Some(batch) = batcher.next_admitted(NOW + 60, false, &mut |object| !slow(object)) {
        assert!(batch.objects.iter().all(|object| !slow(&object.found)));
        quick += batch.objects.len();
    }
    assert_eq!((quick, batcher.len()), (3 + 6 + 1, 6 + 3 + 1), "what may go goes");
    assert_eq!(batcher.next_admitted(NOW + 60, true, &mut |object| !slow(object)), None);
    // Two at a time, and everything comes out in the end.
    let mut batches = 0;
    while !batcher.is_empty() {
        let mut left = 2;
        let batch = batcher.next_admitted(NOW + 120, false, &mut |_| {
            left -= 1;
            left >= 0
        });
        assert!((1..=2).contains(&batch.unwrap().objects.len()));
        batches += 1;
    }
    assert!((5..=10).contains(&batches), "{batches}");
}

#[derive(Debug, Clone)]
enum Action {
    Push { account: u64, day: i64, size: u64 },
    Next { drain: bool },
    Wait(i64),
    Defer,
    PutBack,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..6_u64, 0..4_i64, prop_oneof![Just(1_u64), 1..600_u64, Just(5_000)])
            .prop_map(|(account, day, size)| Action::Push { account, day, size }),
        4 => prop::bool::weighted(0.1).prop_map(|drain| Action::Next { drain }),
        2 => (0..100_i64).prop_map(Action::Wait),
        1 => Just(Action::Defer),
        1 => Just(Action::PutBack),
    ]
}

proptest! {
    /// Every object that was taken in comes out exactly once, in a batch that keeps the limits.
    #[test]
    fn nothing_is_lost_or_doubled(actions in prop::collection::vec(action(), 1..300)) {
        let config = BatcherConfig { queue: 40, ..small() };
        let mut batcher = Batcher::new(config.clone());
        let mut now = NOW;
        let mut inside = std::collections::BTreeSet::new();
        let mut last: Vec<batcher::QueuedObject> = Vec::new();
        for (n, action) in actions.into_iter().enumerate() {
            match action {
                Action::Push { account: number, day, size } => {
                    let object = found(number, n as u64, day, size);
                    let key = object.object.key.clone();
                    let has_room = batcher.has_room(object.account);
                    let pushed = batcher.push(object, now);
                    prop_assert_eq!(pushed.is_ok(), has_room);
                    if pushed.is_ok() {
                        inside.insert(key);
                    }
                }
                Action::Next { drain } => {
                    let waiting = inside.len();
                    let batch = batcher.next_batch(now, drain);
                    prop_assert!(batch.is_some() || !drain || waiting == 0);
                    let Some(batch) = batch else { continue };
                    let bytes: u64 = batch.objects.iter().map(|o| o.found.object.size).sum();
                    prop_assert!(!batch.objects.is_empty() && batch.objects.len() <= config.max_objects);
                    prop_assert!(bytes <= config.max_bytes || batch.objects.len() == 1);
                    prop_assert!(batch.closed != Closed::Retry || batch.objects.len() == 1);
                    for object in &batch.objects {
                        prop_assert!(inside.remove(&object.found.object.key));
                        prop_assert_eq!(&object.found.partition(config.partition), &batch.partition);
                    }
                    last = batch.objects;
                }
                Action::Wait(seconds) => now += seconds,
                Action::Defer => {
                    for object in last.drain(..) {
                        let key = object.found.object.key.clone();
                        if batcher.defer(object, now).is_ok() {
                            inside.insert(key);
                        }
                    }
                }
                Action::PutBack => {
                    inside.extend(last.iter().map(|object| object.found.object.key.clone()));
                    batcher.put_back(std::mem::take(&mut last), now);
                }
            }
            prop_assert_eq!(batcher.len(), inside.len());
            prop_assert!(batcher.len() <= 2 * config.queue + config.max_objects);
            prop_assert_eq!(batcher.due().is_none(), inside.is_empty());
        }
        while let Some(batch) = batcher.next_batch(now, true) {
            for object in batch.objects {
                prop_assert!(inside.remove(&object.found.object.key));
            }
        }
        prop_assert!(inside.is_empty() && batcher.is_empty());
    }
}
