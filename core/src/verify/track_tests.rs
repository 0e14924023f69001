//! Following a chain says what walking it says: cases for each kind of problem, and a model with random order.

use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::model::Family;

const HOUR: i64 = CADENCE;

fn rules(now: i64) -> TrackRules {
    TrackRules { from: Some(T0 - HOUR), now, grace: 3 * HOUR, keep: 40 * 24 * HOUR }
}

fn take(track: &mut Track, object: &Object) -> Followed {
    let end = DigestKey::parse(&object.key).unwrap().end;
    track.accept(&object.key, end, &object.examine(&ring()))
}

fn follow(objects: &[Object]) -> Track {
    let mut track = Track::default();
    objects.iter().for_each(|object| drop(take(&mut track, object)));
    track
}

fn kinds(track: &Track, now: i64) -> Vec<(ProblemKind, i64)> {
    let review = track.review(&chain_id(ChainKind::Normal), &rules(now));
    review.problems.iter().map(|p| (p.kind, (p.to - T0) / HOUR)).collect()
}

const LOG: &str = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/05/20/\
                   111122223333_CloudTrail_eu-west-1_20260520T0205Z_Mu0KsOhtH1ar15ZZ.json.gz";

#[test]
fn the_newest_digests_are_pending_then_missing_hour_by_hour() {
    let objects = Signer::new(ChainKind::Normal).hours(4);
    let track = follow(&objects);
    let last = T0 + 3 * HOUR;
    assert_eq!(kinds(&track, last + 4 * HOUR - 1), []);
    let missing = |hours: &[i64]| hours.iter().map(|h| (ProblemKind::Missing, *h)).collect::<Vec<_>>();
    assert_eq!(kinds(&track, last + 4 * HOUR), missing(&[4]));
    assert_eq!(kinds(&track, last + 6 * HOUR), missing(&[4, 5, 6]));
    assert_eq!(kinds(&track, last + 90 * HOUR).len(), 24, "a silence is not named hour by hour for ever");
    assert_eq!(kinds(&track, last + 41 * 24 * HOUR), [], "a trail that ended long ago");
    let id = chain_id(ChainKind::Normal);
    assert_eq!(track.review(&id, &rules(last + 60)).look_at, last + 4 * HOUR);
    let key = id.key_at(last + HOUR);
    assert_eq!(track.review(&id, &rules(last + 4 * HOUR)).problems[0].place.key, key);
}

#[test]
fn a_planted_digest_is_named_and_one_that_cannot_be_read_is_not() {
    let objects = Signer::new(ChainKind::Normal).hours(6);
    let mut bad = objects[2].clone();
    bad.bytes.push(7);
    let mut track = follow(&[&objects[..2], &[bad], &objects[3..]].concat());
    assert_eq!(kinds(&track, T0 + 6 * HOUR), [(ProblemKind::Unproven, 2)]);
    assert_eq!(track.unread().count(), 0);
    track.accept_unread(objects[2].place(), T0 + 2 * HOUR, "access denied");
    assert_eq!((kinds(&track, T0 + 6 * HOUR), track.unread().count()), (vec![], 1));
    take(&mut track, &objects[2]);
    assert_eq!((kinds(&track, T0 + 6 * HOUR), track.unread().count()), (vec![], 0));
}

#[test]
fn no_hour_is_missing_that_may_lie_before_the_chain() {
    let objects = Signer::new(ChainKind::Normal).hours(4);
    let rules = TrackRules { from: Some(T0 - 20 * HOUR), ..rules(T0 + 4 * HOUR) };
    let problems = |track: &Track| track.review(&chain_id(ChainKind::Normal), &rules).problems;
    let told = |track: &Track| -> Vec<_> {
        problems(track).iter().map(|p| (p.kind, (p.to - T0) / HOUR, p.place.key.clone())).collect()
    };
    let key = |hour: usize| objects[hour].key.clone();

    let mut track = follow(&objects[2..]);
    assert_eq!(told(&track), [(ProblemKind::Missing, 1, key(1))], "the one that is named");
    // Nothing of it can be used, so nothing is known of those before it.
    let mut junk = objects[1].clone();
    junk.bytes.push(7);
    take(&mut track, &junk);
    assert_eq!(told(&track), [(ProblemKind::Unproven, 1, key(1))]);
    // Nor of what a stranger plants before it.
    let mut planted = objects[0].clone();
    planted.bytes.push(7);
    take(&mut track, &planted);
    assert_eq!(told(&track), [(ProblemKind::Unproven, 0, key(0)), (ProblemKind::Unproven, 1, key(1))]);
    take(&mut track, &objects[1]);
    take(&mut track, &objects[0]);
    assert_eq!(told(&track), [], "the chain began with it");
}

#[test]
fn hours_that_the_links_leave_out_are_not_missing() {
    let mut signer = Signer::new(ChainKind::Normal);
    let mut objects = signer.hours(3);
    // The trail was stopped for five hours, and its first digest after them names the last one before.
    objects.push(signer.hour(T0 + 8 * HOUR, &[]));
    let hours = |objects: &[Object]| kinds(&follow(objects), T0 + 9 * HOUR);
    assert_eq!(hours(&objects), [(ProblemKind::Stopped, 7)]);
    let without_last = [&objects[..2], &objects[3..]].concat();
    assert_eq!(hours(&without_last), [(ProblemKind::Missing, 2), (ProblemKind::Stopped, 7)]);
    let without_two = [&objects[..1], &objects[3..]].concat();
    let missing = [(ProblemKind::Missing, 1), (ProblemKind::Missing, 2), (ProblemKind::Stopped, 7)];
    assert_eq!(hours(&without_two), missing);
}

#[test]
fn families_and_coverage_decide_for_what_a_chain_speaks() {
    let mut signer = Signer::new(ChainKind::Normal);
    let mut objects = vec![signer.hour(T0, &[(LOG, b"x")]), signer.hour(T0 + HOUR, &[])];
    signer.restart();
    objects.push(signer.hour(T0 + 4 * HOUR, &[]));
    let track = follow(&objects);
    let id = chain_id(ChainKind::Normal);
    assert!(track.speaks_for(&id, Family::CloudTrail, T0 - HOUR, T0 + HOUR));
    assert!(!track.speaks_for(&id, Family::Insight, T0 - HOUR, T0 + HOUR), "never listed");
    assert!(!track.speaks_for(&id, Family::CloudTrail, T0, T0 + 2 * HOUR), "validation was off");
    assert!(!track.speaks_for(&id, Family::CloudTrail, T0 + 4 * HOUR, T0 + 5 * HOUR), "not yet");
    assert_eq!(kinds(&track, T0 + 5 * HOUR), [(ProblemKind::Stopped, 3)]);
}

#[test]
fn a_vouched_digest_is_told_so_that_its_logs_are_read() {
    let mut objects = Signer::new(ChainKind::Normal).hours(3);
    objects[1].signature = None;
    let mut track = follow(&objects[..2]);
    let followed = take(&mut track, &objects[2]);
    assert_eq!((followed.trusted, followed.vouched), (true, vec![objects[1].place()]));
    assert_eq!(kinds(&track, T0 + 3 * HOUR), []);
}

#[test]
fn a_moved_trail_is_not_silent() {
    let objects = Signer::new(ChainKind::Normal).hours(3);
    let mut track = follow(&objects);
    let Seen::Signed(last) = objects[2].examine(&ring()).seen else { panic!("proven") };
    let mut stated = Previous { place: last.place, sha256: Some(last.sha256), signature: last.signature };
    track.moved_on(T0 + 2 * HOUR, &stated);
    let again = Track::from_bytes(&track.to_bytes()).unwrap();
    assert_eq!(kinds(&again, T0 + 30 * HOUR), []);
    stated.sha256 = Some(Sha256([7; 32]));
    track.moved_on(T0 + 2 * HOUR, &stated);
    assert_eq!(kinds(&track, T0 + 4 * HOUR)[0].0, ProblemKind::Replaced);
}

#[test]
fn a_long_healthy_chain_stays_small() {
    let objects = Signer::new(ChainKind::Normal).hours(200);
    let mut track = Track::default();
    for (hour, object) in objects.iter().enumerate() {
        take(&mut track, object);
        track.settle(T0 + (hour as i64 - 3) * HOUR, 40 * 24 * HOUR);
        assert!(track.to_bytes().len() < 8_000);
    }
    assert_eq!(kinds(&track, T0 + 200 * HOUR), []);
}

/// What is done to an hour.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Nothing,
    Delete,
    Damage,
    Replace,
    Strip,
    Restart,
    Off,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Nothing),
        2 => Just(Deed::Delete),
        1 => Just(Deed::Damage),
        1 => Just(Deed::Replace),
        1 => Just(Deed::Strip),
        1 => Just(Deed::Restart),
        1 => Just(Deed::Off),
    ]
}

fn bucket_after(deeds: &[Deed]) -> Vec<Object> {
    let mut signer = Signer::new(ChainKind::Normal);
    let mut objects = Vec::new();
    for (hour, deed) in deeds.iter().enumerate() {
        let end = T0 + hour as i64 * HOUR;
        match deed {
            Deed::Restart => signer.restart(),
            Deed::Off => {
                signer.restart();
                continue;
            }
            _ => {}
        }
        let mut object = signer.hour(end, &[]);
        match deed {
            Deed::Delete => continue,
            Deed::Damage => object.bytes.push(0),
            Deed::Strip => object.signature = None,
            Deed::Replace => {
                let mut other = Signer::new(ChainKind::Normal);
                other.hour(end - HOUR, &[]);
                object = other.hour(end, &[("log", b"other")]);
            }
            _ => {}
        }
        objects.push(object);
    }
    objects
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// In whatever order digests come, and however often the state is settled and written down on the way, the
    /// last review is that of one walk over everything.
    #[test]
    fn following_says_what_a_walk_says(
        deeds in prop::collection::vec(deed(), 1..24),
        order in any::<u64>(),
        near in any::<bool>(),
        settled in prop::collection::vec(0_i64..30, 30),
    ) {
        let objects = bucket_after(&deeds);
        let walked = follow(&objects);
        let mut shuffled: Vec<(i64, &Object)> = objects.iter().enumerate().map(|(at, object)| {
            let random = Sha256::of(format!("{order}{}", object.key).as_bytes()).0;
            let jitter = i64::from(random[0]) % if near { 4 } else { 256 };
            (at as i64 + jitter, object)
        }).collect();
        shuffled.sort_by_key(|(at, _)| *at);
        let mut track = Track::default();
        for (step, (_, object)) in shuffled.iter().enumerate() {
            take(&mut track, object);
            track.settle(T0 + settled[step] * HOUR, 40 * 24 * HOUR);
            track = Track::from_bytes(&track.to_bytes()).unwrap();
        }
        let id = chain_id(ChainKind::Normal);
        for now in [T0 + 24 * HOUR, T0 + 30 * HOUR, T0 + 80 * HOUR] {
            prop_assert_eq!(track.review(&id, &rules(now)), walked.review(&id, &rules(now)));
        }
        for hour in 0..24 {
            let (from, until) = (T0 + hour * HOUR, T0 + (hour + 3) * HOUR);
            prop_assert_eq!(
                track.speaks_for(&id, Family::CloudTrail, from, until),
                walked.speaks_for(&id, Family::CloudTrail, from, until)
            );
        }
    }
}
