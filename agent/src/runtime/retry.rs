//! The one retry policy.
//!
//! In: a policy that was checked when it was made, and errors that know whether they are worth another try.
//! Out: pauses, or the last error with the reason for giving up. Invariants: only retryable errors are
//! retried; a run is bounded by attempts and by elapsed time, whichever comes first; no pause is longer than
//! the policy's `max`, whatever a server asks for; cancelling ends a pause at once. Pauses grow by `factor`
//! and have full jitter: each is drawn evenly between nothing and the grown interval, so that many callers
//! that failed together do not come back together.
//!
//! Not here: whether a repeated call is harmless (callers know), and time limits on a single attempt.
//!
//! This is the only user of the `backoff` crate, which is no longer maintained; it computes the grown
//! interval and nothing else ([`Intervals`]), so that it can be exchanged without touching the rest.

use std::fmt;
use std::time::Duration;

use backoff::backoff::Backoff;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a policy needs to know of an error.
pub trait Retryable {
    /// Whether the same call may succeed in a moment without anybody's doing.
    fn is_retryable(&self) -> bool;

    /// How long the other side asks us to wait; clamped to the policy's bounds.
    fn server_delay(&self) -> Option<Duration> {
        None
    }
}

/// How often, how long and how patiently to try. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    min: Duration,
    max: Duration,
    factor: f64,
    attempts: u32,
    elapsed: Duration,
    seed: Option<u64>,
}

/// Why numbers make no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The first interval must be above zero and not above the longest.
    #[error("the shortest retry interval must be above zero and not above the longest")]
    Interval,
    /// The factor must be between 1 and 10.
    #[error("the retry factor must be between 1 and 10")]
    Factor,
    /// There must be at least one attempt.
    #[error("there must be at least one attempt")]
    Attempts,
}

impl RetryPolicy {
    /// A policy of at most `attempts` attempts (the first counts) within `elapsed`, with intervals that grow
    /// from `min` by `factor` up to `max`.
    ///
    /// # Errors
    /// When the numbers contradict each other.
    pub fn new(
        min: Duration,
        max: Duration,
        factor: f64,
        attempts: u32,
        elapsed: Duration,
    ) -> Result<Self, PolicyError> {
        if min.is_zero() || min > max {
            return Err(PolicyError::Interval);
        }
        if !(1.0..=10.0).contains(&factor) {
            return Err(PolicyError::Factor);
        }
        if attempts == 0 {
            return Err(PolicyError::Attempts);
        }
        Ok(Self { min, max, factor, attempts, elapsed, seed: None })
    }

    /// For requests to a store or a service: up to 8 attempts, 100 ms growing to 10 s, two minutes in all.
    pub const fn requests() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(10),
            factor: 2.0,
            attempts: 8,
            elapsed: Duration::from_secs(120),
            seed: None,
        }
    }

    /// One attempt only.
    pub const fn never() -> Self {
        Self { attempts: 1, ..Self::requests() }
    }

    /// The same policy with jitter that repeats: for tests and simulations.
    #[must_use]
    pub const fn seeded(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Begins a run: time counts from here.
    pub fn start(&self) -> Attempts {
        let jitter = match self.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        let (policy, intervals) = (*self, Intervals::new(self));
        Attempts { policy, intervals, jitter, made: 0, began: Instant::now() }
    }

    /// Calls `operation` until it succeeds, fails for good, or the policy or `cancel` ends it. Cancelling
    /// ends a pause, not an attempt that is under way. Dropping the future drops the attempt.
    ///
    /// # Errors
    /// The last error of the operation, with the reason for not trying again.
    pub async fn run<T, E, F>(
        &self,
        cancel: &CancellationToken,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, GaveUp<E>>
    where
        E: Retryable,
        F: Future<Output = Result<T, E>>,
    {
        let mut attempts = self.start();
        loop {
            match operation().await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    if let Err(reason) = attempts.pause(&error, cancel).await {
                        return Err(GaveUp { error, reason, attempts: attempts.made() });
                    }
                }
            }
        }
    }
}

/// Why no further attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another try would fail the same way.
    NotRetryable,
    /// The attempts are used up.
    Attempts,
    /// The time is used up, or would be during the pause.
    Elapsed,
    /// The program is stopping.
    Cancelled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetryable => "another try would not help",
            Self::Attempts => "the attempts are used up",
            Self::Elapsed => "the time for retries is used up",
            Self::Cancelled => "stopping",
        })
    }
}

/// The end of a run without success.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {attempts} attempts: {reason}")]
pub struct GaveUp<E> {
    /// The last error.
    #[source]
    pub error: E,
    /// Why it was the last.
    pub reason: Reason,
    /// The attempts that were made, at least one.
    pub attempts: u32,
}

/// A run under way, for callers whose loop is not a plain repetition.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    intervals: Intervals,
    jitter: StdRng,
    made: u32,
    began: Instant,
}

impl Attempts {
    /// The attempts that have failed so far.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Counts a failed attempt and waits until the next one may begin.
    ///
    /// # Errors
    /// When there must be no next one.
    pub async fn pause<E: Retryable>(&mut self, error: &E, cancel: &CancellationToken) -> Result<(), Reason> {
        let delay = self.next_delay(error)?;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Reason::Cancelled),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }

    fn next_delay<E: Retryable>(&mut self, error: &E) -> Result<Duration, Reason> {
        self.made = self.made.saturating_add(1);
        if !error.is_retryable() {
            return Err(Reason::NotRetryable);
        }
        if self.made >= self.policy.attempts {
            return Err(Reason::Attempts);
        }
        let jittered = self.intervals.next().mul_f64(self.jitter.random::<f64>());
        let asked = error.server_delay().map(|delay| delay.clamp(self.policy.min, self.policy.max));
        let delay = asked.map_or(jittered, |asked| asked.max(jittered));
        if self.began.elapsed().saturating_add(delay) > self.policy.elapsed {
            return Err(Reason::Elapsed);
        }
        Ok(delay)
    }
}

/// The grown intervals, before jitter.
#[derive(Debug)]
struct Intervals {
    backoff: backoff::ExponentialBackoff,
    max: Duration,
}

impl Intervals {
    fn new(policy: &RetryPolicy) -> Self {
        let backoff = backoff::ExponentialBackoffBuilder::new()
            .with_initial_interval(policy.min)
            .with_max_interval(policy.max)
            .with_multiplier(policy.factor)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { backoff, max: policy.max }
    }

    fn next(&mut self) -> Duration {
        self.backoff.next_backoff().unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Failure(bool, Option<Duration>);

    impl Retryable for Failure {
        fn is_retryable(&self) -> bool {
            self.0
        }
        fn server_delay(&self) -> Option<Duration> {
            self.1
        }
    }

    const MS: Duration = Duration::from_millis(1);
    const AGAIN: Failure = Failure(true, None);

    fn policy(attempts: u32, elapsed: Duration) -> RetryPolicy {
        RetryPolicy::new(100 * MS, 1000 * MS, 2.0, attempts, elapsed).unwrap().seeded(7)
    }

    async fn failing(policy: RetryPolicy, failure: Failure, cancel: &CancellationToken) -> (Reason, u32) {
        let mut calls = 0;
        let result: Result<(), _> = policy
            .run(cancel, || {
                calls += 1;
                std::future::ready(Err(failure.clone()))
            })
            .await;
        let gave_up = result.unwrap_err();
        assert_eq!(gave_up.attempts, calls);
        (gave_up.reason, calls)
    }

    #[test]
    fn nonsense_makes_no_policy() {
        let new = RetryPolicy::new;
        assert_eq!(new(Duration::ZERO, MS, 2.0, 1, MS), Err(PolicyError::Interval));
        assert_eq!(new(2 * MS, MS, 2.0, 1, MS), Err(PolicyError::Interval));
        for factor in [0.9, 11.0, f64::NAN, f64::INFINITY] {
            assert_eq!(new(MS, MS, factor, 1, MS), Err(PolicyError::Factor));
        }
        assert_eq!(new(MS, MS, 1.0, 0, MS), Err(PolicyError::Attempts));
        let RetryPolicy { min, max, factor, attempts, elapsed, .. } = RetryPolicy::requests();
        assert_eq!(new(min, max, factor, attempts, elapsed), Ok(RetryPolicy::requests()));
    }

    #[test]
    fn intervals_grow_to_the_longest_and_jitter_stays_below() {
        let policy = policy(100, Duration::MAX);
        let mut intervals = Intervals::new(&policy);
        let grown: Vec<_> = (0..6).map(|_| intervals.next().as_millis()).collect();
        assert_eq!(grown, [100, 200, 400, 800, 1000, 1000]);
        let mut attempts = policy.start();
        let drawn: Vec<_> = (0..50).map(|_| attempts.next_delay(&AGAIN).unwrap()).collect();
        assert!(drawn.iter().all(|delay| *delay <= 1000 * MS));
        assert!(drawn.iter().any(|d| *d < 300 * MS) && drawn.iter().any(|d| *d > 700 * MS), "{drawn:?}");
        let mut again = policy.start();
        assert!(drawn.iter().all(|delay| again.next_delay(&AGAIN) == Ok(*delay)), "a seed repeats");
    }

    #[tokio::test(start_paused = true)]
    async fn every_bound_ends_a_run() {
        let cancel = CancellationToken::new();
        let long = Duration::from_secs(3600);
        assert_eq!(failing(policy(5, long), AGAIN, &cancel).await, (Reason::Attempts, 5));
        assert_eq!(failing(policy(5, long), Failure(false, None), &cancel).await, (Reason::NotRetryable, 1));
        let (reason, calls) = failing(policy(1000, 2000 * MS), AGAIN, &cancel).await;
        assert!(reason == Reason::Elapsed && (3..100).contains(&calls), "{reason:?} {calls}");
        assert_eq!(failing(RetryPolicy::never(), AGAIN, &cancel).await, (Reason::Attempts, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_servers_wish_is_clamped() {
        for (asked, least, most) in [(0, 0, 100), (300, 300, 300), (3_600_000, 1000, 1000)] {
            let error = Failure(true, Some(asked * MS));
            let delay = policy(5, Duration::MAX).start().next_delay(&error).unwrap();
            assert!((least * MS..=most * MS).contains(&delay), "{asked}: {delay:?}");
        }
        // The shortest interval holds for a server that asks for nothing.
        let delay = policy(5, Duration::MAX).start().next_delay(&Failure(true, Some(Duration::ZERO)));
        assert_eq!(delay, Ok(100 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_a_pause() {
        let cancel = CancellationToken::new();
        let hours = RetryPolicy::new(3_600_000 * MS, 3_600_000 * MS, 1.0, 9, Duration::MAX).unwrap();
        let began = Instant::now();
        let stop = async {
            tokio::time::sleep(MS).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(failing(hours, AGAIN, &cancel), stop);
        assert_eq!(outcome, (Reason::Cancelled, 1));
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_a_run() {
        let mut calls = 0;
        let (run, cancel) = (policy(5, Duration::MAX), CancellationToken::new());
        let value = run.run(&cancel, || {
            calls += 1;
            std::future::ready(if calls < 3 { Err(AGAIN) } else { Ok(calls) })
        });
        assert_eq!(value.await.unwrap(), 3);
    }
}
