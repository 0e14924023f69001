//! How fast a bucket is asked: as fast as callers like, until it asks for fewer requests.
//!
//! In: when requests begin, and how they were answered. Out: when the next one may begin. Additive increase,
//! multiplicative decrease, of a rate: S3 counts requests per second, and more in flight only make its answers
//! slower. Invariants: who has not been throttled lately is not held back at all; the rate stays between [`LEAST`]
//! and [`FREE`], above which it is no bound any more; many refusals of one moment count as one; nobody waits longer
//! than [`LONGEST_WAIT`]: who would is told at once, so that a line cannot grow. Nothing else fails.
//!
//! Not here: what is repeated and how often (`retry`). [`Pace`] has no clock; [`Pacer`] is the one that waits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least rate, in requests per second: a bucket that refuses everything is still asked whether it recovered.
const LEAST: f64 = 2.0;

/// A rate that bounds nothing any more: what S3 takes of reads below one prefix, in requests per second (Amazon S3
/// User Guide, "Optimizing Amazon S3 performance": 5,500 reads, 3,500 writes).
const FREE: f64 = 5_500.0;

/// How much the rate grows in a second without a refusal.
const GROWTH: f64 = 10.0;

/// A pause between two answers counts for no more growth than this.
const LONGEST_GROWTH: Duration = Duration::from_secs(5);

/// Refusals within this time have one cause: what was asked before the rate was cut.
const ONE_CAUSE: Duration = Duration::from_secs(1);

/// The longest that a request waits for its turn.
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The rate of one bucket, and whose turn it is. Times are since any common beginning.
#[derive(Debug, Default)]
pub struct Pace {
    /// Requests per second; `None`: as many as come.
    rate: Option<f64>,
    /// When the next request may begin.
    next: Duration,
    /// When the rate was cut, and when it last grew.
    cut: Option<Duration>,
    grown: Duration,
    /// Requests begun in the second under way, and in the one before.
    second: u64,
    begun: (u32, u32),
}

impl Pace {
    /// A request would like to begin at `now`: how long it must wait for that.
    ///
    /// # Errors
    /// How long it would be, where that is too long; it has no turn then.
    pub fn ask(&mut self, now: Duration) -> Result<Duration, Duration> {
        let start = self.next.max(now);
        if let Some(rate) = self.rate {
            let wait = start.saturating_sub(now);
            if wait > LONGEST_WAIT {
                return Err(wait);
            }
            self.next = start + Duration::from_secs_f64(1.0 / rate);
        }
        self.count(start);
        Ok(start.saturating_sub(now))
    }

    /// An answer asked for fewer requests. Whether the rate was cut for that.
    pub fn throttled(&mut self, now: Duration) -> bool {
        if self.cut.is_some_and(|cut| now.saturating_sub(cut) < ONE_CAUSE) {
            return false;
        }
        let (begun, before) = self.begun;
        let seen = f64::from(begun.max(before));
        let rate = self.rate.map_or(seen, |rate| rate.min(seen.max(LEAST)));
        self.rate = Some((rate / 2.0).clamp(LEAST, FREE));
        (self.cut, self.grown) = (Some(now), now);
        true
    }

    /// Any other answer came. Whether the rate stopped being a bound with it.
    pub fn answered(&mut self, now: Duration) -> bool {
        let Some(rate) = self.rate else { return false };
        if self.cut.is_some_and(|cut| now.saturating_sub(cut) < ONE_CAUSE) {
            return false;
        }
        let time = now.saturating_sub(self.grown).min(LONGEST_GROWTH);
        self.grown = now;
        let rate = rate + GROWTH * time.as_secs_f64();
        self.rate = (rate < FREE).then_some(rate);
        self.rate.is_none()
    }

    /// How many requests may begin within `time` from now.
    pub fn allowance(&self, now: Duration, time: Duration) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let left = (now + time).saturating_sub(self.next.max(now));
        // Rates and times are small: at most FREE times some seconds.
        (left.as_secs_f64() * rate) as usize
    }

    /// Requests per second; `None` where they are not bounded.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    fn count(&mut self, at: Duration) {
        let second = at.as_secs();
        if second > self.second {
            let before = if second == self.second + 1 { self.begun.0 } else { 0 };
            (self.second, self.begun) = (second, (0, before));
        }
        self.begun.0 = self.begun.0.saturating_add(1);
    }
}

/// Keeps the pace of one bucket for all who ask it.
#[derive(Debug)]
pub struct Pacer {
    pace: Mutex<Pace>,
    began: Instant,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { pace: Mutex::default(), began: Instant::now() }
    }
}

impl Pacer {
    /// Waits for a turn. Dropping the future gives the turn up; its time passes unused.
    ///
    /// # Errors
    /// As [`Pace::ask`].
    pub async fn turn(&self) -> Result<(), Duration> {
        let wait = self.pace().ask(self.now())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// An answer asked for fewer requests; the new rate, if that changed it.
    pub fn throttled(&self) -> Option<f64> {
        let mut pace = self.pace();
        if pace.throttled(self.now()) { pace.rate() } else { None }
    }

    /// Any other answer came. Whether the bucket may be asked at any rate again.
    pub fn answered(&self) -> bool {
        self.pace().answered(self.now())
    }

    /// How many requests may begin within `time`.
    pub fn allowance(&self, time: Duration) -> usize {
        self.pace().allowance(self.now(), time)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Numbers only: a panic elsewhere leaves them sound.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A bucket that takes `capacity` requests in any second and refuses the others, asked by `callers` at once for
    /// so many seconds: accepted and refused requests in the last half.
    fn simulate(capacity: usize, callers: usize, seconds: u64) -> (usize, usize) {
        let (mut pace, mut taken): (Pace, VecDeque<Duration>) = Default::default();
        let (mut accepted, mut refused) = (0, 0);
        // When each caller begins its next request.
        let mut begins: Vec<Duration> = vec![Duration::ZERO; callers];
        let end = Duration::from_secs(seconds);
        loop {
            let (caller, now) = begins.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
            if now >= end {
                return (accepted, refused);
            }
            let Ok(wait) = pace.ask(now) else {
                begins[caller] = now + 500 * MS;
                continue;
            };
            let at = now + wait;
            while taken.front().is_some_and(|first| *first + 1_000 * MS <= at) {
                taken.pop_front();
            }
            let is_counted = at >= end / 2;
            if taken.len() < capacity {
                taken.push_back(at);
                pace.answered(at);
                accepted += usize::from(is_counted);
            } else {
                pace.throttled(at);
                refused += usize::from(is_counted);
            }
            begins[caller] = at + 20 * MS;
        }
    }

    #[test]
    fn the_rate_settles_near_what_the_bucket_takes() {
        for (capacity, callers) in [(20, 64), (100, 64), (400, 64), (1_000, 64)] {
            let (accepted, refused) = simulate(capacity, callers, 120);
            let share = accepted as f64 / (capacity * 60) as f64;
            let bad = refused as f64 / (accepted + refused) as f64;
            println!("{capacity}/s: {:.0} % of it used, {:.1} % refused", 100.0 * share, 100.0 * bad);
            assert!(share > 0.6 && bad < 0.25, "{capacity}: {share} {bad}");
        }
        let (accepted, refused) = simulate(0, 64, 120);
        assert!(
            accepted == 0 && refused < 150,
            "a bucket that refuses everything is asked {refused} times a minute"
        );
        let (accepted, refused) = simulate(10_000, 8, 60);
        assert!(accepted > 10_000 && refused == 0, "nobody is held back without need");
    }

    #[test]
    fn refusals_of_one_moment_count_once_and_the_rate_comes_back() {
        let mut pace = Pace::default();
        for n in 0..400 {
            assert_eq!(pace.ask(n * MS), Ok(Duration::ZERO));
        }
        assert!(pace.throttled(500 * MS));
        assert_eq!(pace.rate(), Some(200.0));
        for n in 501..1_000 {
            assert!(!pace.throttled(n * MS), "one cause");
        }
        assert_eq!(pace.rate(), Some(200.0));
        let mut now = 1_600 * MS;
        while !pace.answered(now) {
            now += 1_000 * MS;
            assert!(now < Duration::from_secs(700), "{:?}", pace.rate());
        }
        assert_eq!((pace.rate(), pace.allowance(now, 1_000 * MS)), (None, usize::MAX));
        assert_eq!(pace.ask(now), Ok(Duration::ZERO));
    }

    proptest! {
        /// Whatever comes: the rate stays in its bounds, nobody waits too long, and turns keep their distance.
        #[test]
        fn the_bounds_hold(steps in prop::collection::vec((0..3_u8, 0..2_000_u32), 1..400)) {
            let mut pace = Pace::default();
            let (mut now, mut last): (Duration, Option<Duration>) = (Duration::ZERO, None);
            for (what, millis) in steps {
                now += millis * MS;
                match what {
                    0 => {
                        let rate = pace.rate();
                        match pace.ask(now) {
                            Ok(wait) => {
                                prop_assert!(wait <= LONGEST_WAIT);
                                if let (Some(last), Some(_)) = (last, rate) {
                                    prop_assert!(now + wait >= last);
                                }
                                last = Some(now + wait);
                            }
                            Err(wait) => prop_assert!(wait > LONGEST_WAIT),
                        }
                    }
                    1 => { pace.throttled(now); }
                    _ => { pace.answered(now); }
                }
                prop_assert!(pace.rate().is_none_or(|rate| (LEAST..=FREE).contains(&rate)));
                prop_assert!(pace.rate().is_none() || pace.allowance(now, LONGEST_WAIT) <= 5 * 5_500);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_moves_at_the_rate_and_does_not_grow() {
        let pacer = Pacer::default();
        pacer.turn().await.unwrap();
        assert_eq!(pacer.throttled(), Some(LEAST));
        let turns = futures::future::join_all((0..100).map(|_| pacer.turn())).await;
        let served = turns.iter().filter(|turn| turn.is_ok()).count();
        assert_eq!(served, (LONGEST_WAIT.as_secs_f64() * LEAST) as usize + 1, "the others are told at once");
        assert_eq!(pacer.now(), LONGEST_WAIT);
    }
}
