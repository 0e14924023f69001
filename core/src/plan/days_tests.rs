//! The plan of a stream, driven through simulated weeks.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::day::DAY;
use super::{Day, DayPlan, DayRules, Listing, Start};

const NOW: i64 = 1_700_000_000;
const HOUR: i64 = 3_600;

/// A stream whose objects appear over time, and the agent that lists it.
struct Stream {
    /// (day folder, when the object appears).
    objects: Vec<(Day, i64)>,
    found: BTreeSet<usize>,
    listings: Vec<(i64, Listing)>,
    plan: DayPlan,
    rules: DayRules,
}

impl Stream {
    fn new(start: Start, objects: Vec<(Day, i64)>) -> Self {
        let (plan, rules) = (DayPlan::new(start), DayRules::default());
        Self { objects, found: BTreeSet::new(), listings: Vec::new(), plan, rules }
    }

    /// Lists all that is due; an instant takes no time.
    fn list(&mut self, now: i64) {
        while let Some(listing) = self.plan.next(&self.rules, now) {
            assert!(self.listings.len() < 100_000, "listing never ends");
            let (from, to) = match &listing {
                Listing::Day(day) => (*day, *day),
                Listing::History { from, to, .. } => (*from, *to),
            };
            let there = self
                .objects
                .iter()
                .enumerate()
                .filter(|(_, (day, at))| *at <= now && (from..=to).contains(day));
            let new = there.filter(|(n, _)| self.found.insert(*n)).count() as u64;
            self.plan.done(&self.rules, &listing, now, now, new);
            self.listings.push((now, listing));
        }
        assert!(self.plan.due(&self.rules) > now);
    }

    /// Runs from `from` to `to`, waking whenever something is due.
    fn run(&mut self, from: i64, to: i64) {
        let mut now = from;
        while now <= to {
            self.list(now);
            now = self.plan.due(&self.rules);
        }
    }
}

#[test]
fn what_is_past_is_not_listed_again() {
    let today = Day::of(NOW);
    let mut stream = Stream::new(Start::Beginning, Vec::new());
    assert!(!stream.plan.is_past(today.plus(-400)), "nothing was listed yet");
    let listing = stream.plan.next(&stream.rules, NOW).unwrap();
    stream.plan.done(&stream.rules, &listing, NOW, NOW, 0);
    assert!(!stream.plan.is_past(today.plus(-400)), "its history is still to come");
    stream.run(NOW, NOW + 40 * DAY);
    for back in 0..60 {
        let day = today.plus(40 - back);
        if !stream.plan.is_past(day) {
            continue;
        }
        stream.listings.clear();
        stream.run(NOW + 40 * DAY, NOW + 80 * DAY);
        let earlier = stream.listings.iter().find(|(_, listing)| match listing {
            Listing::Day(listed) => *listed < day,
            Listing::History { from, .. } => *from < day,
        });
        assert!(back > 30 && earlier.is_none(), "{back} days back: {earlier:?}");
        return;
    }
    panic!("no day is past");
}

#[test]
fn a_day_is_listed_again_until_31_days_after_its_close() {
    let mut stream = Stream::new(Start::At(NOW), Vec::new());
    stream.run(NOW, NOW + 40 * DAY);
    let day = Day::of(NOW);
    let closed = day.end() + DAY;
    let again: Vec<i64> = stream
        .listings
        .iter()
        .filter(|(at, listing)| *listing == Listing::Day(day) && *at >= closed)
        .map(|(at, _)| (at - closed) / HOUR)
        .collect();
    assert_eq!(again, [1, 6, 24, 72, 168, 744]);
}

#[test]
fn an_idle_stream_costs_little_and_a_busy_one_is_quick() {
    let mut idle = Stream::new(Start::At(NOW), Vec::new());
    idle.run(NOW, NOW + 10 * DAY);
    assert!(idle.listings.len() < 10 * (96 + 24 + 6) + 20, "{} listings in ten days", idle.listings.len());

    let objects: Vec<(Day, i64)> = (0..288).map(|n| NOW + n * 300).map(|at| (Day::of(at), at)).collect();
    let mut busy = Stream::new(Start::At(NOW), objects);
    busy.run(NOW, NOW + DAY);
    assert_eq!(busy.found.len(), 288);
    let rounds = busy.listings.iter().filter(|(_, l)| matches!(l, Listing::Day(_))).count();
    assert!((288..2_000).contains(&rounds), "{rounds}");
}

#[test]
fn history_is_listed_once_and_goes_on_where_it_was() {
    let rules = DayRules::default();
    let mut plan = DayPlan::new(Start::Beginning);
    plan.next(&rules, NOW).unwrap();
    plan.reached("some/key");
    let mut plan: DayPlan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    for _ in 0..2 {
        let Some(Listing::Day(day)) = plan.next(&rules, NOW) else { panic!("open days come first") };
        plan.done(&rules, &Listing::Day(day), NOW, NOW, 0);
    }
    let to = Day::of(NOW).plus(-2);
    let history = Listing::History { from: Day::BEGINNING, to, after: Some("some/key".into()) };
    assert_eq!(plan.next(&rules, NOW), Some(history.clone()));
    plan.done(&rules, &history, NOW, NOW, 10);
    assert_eq!(plan.next(&rules, NOW), None);
    let state = serde_json::to_string(&plan).unwrap();
    assert!(state.len() < 4_000, "{}", state.len());
}

#[test]
fn a_start_in_the_future_waits() {
    let rules = DayRules::default();
    let mut plan = DayPlan::new(Start::At(NOW + 3 * DAY));
    assert_eq!(plan.next(&rules, NOW), None);
    assert_eq!(plan.due(&rules), Day::of(NOW + 3 * DAY).begin());
    assert_eq!(plan.next(&rules, NOW + 3 * DAY), Some(Listing::Day(Day::of(NOW + 3 * DAY))));
}

#[test]
fn a_clock_that_jumps_back_changes_nothing() {
    let rules = DayRules::default();
    let mut plan = DayPlan::new(Start::At(NOW - DAY));
    while let Some(listing) = plan.next(&rules, NOW) {
        plan.done(&rules, &listing, NOW, NOW, 0);
    }
    let before = plan.clone();
    assert_eq!(plan.next(&rules, NOW - 10 * DAY), None);
    assert_eq!(plan, before);
    plan.expedite(NOW - 10 * DAY);
    assert_eq!(plan.next(&rules, NOW - 10 * DAY), Some(Listing::Day(Day::of(NOW))));
}

proptest! {
    /// Objects that appear up to 30 days late, an agent that is down for days and weeks: all are found.
    #[test]
    fn nothing_is_missed(
        objects in prop::collection::vec((-20..60_i64, 0..30 * DAY), 1..20),
        back in 0..20_i64,
        up in prop::collection::vec((1..6 * DAY, 0..40 * DAY), 1..6),
    ) {
        let first = Day::of(NOW - back * DAY);
        let objects: Vec<(Day, i64)> = objects
            .into_iter()
            .map(|(day, late)| (Day::of(NOW).plus(day), Day::of(NOW).plus(day).begin() + late))
            .collect();
        let mut stream = Stream::new(Start::At(NOW - back * DAY), objects);
        let mut now = NOW;
        for (for_seconds, pause) in up {
            stream.run(now, now + for_seconds);
            now += for_seconds + pause;
            prop_assert!(serde_json::to_string(&stream.plan).unwrap().len() < 6_000);
            stream.plan = serde_json::from_str(&serde_json::to_string(&stream.plan).unwrap()).unwrap();
        }
        stream.run(now, now + 120 * DAY);
        for (n, (day, at)) in stream.objects.iter().enumerate() {
            prop_assert_eq!(stream.found.contains(&n), *day >= first, "day {} at {}", day, at);
        }
    }
}
