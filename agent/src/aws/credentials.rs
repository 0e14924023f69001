//! Credentials that renew themselves.
//!
//! In: a source that can be asked for credentials. Out: the same credentials to every caller until four
//! fifths of their life are over (a little before or after, so that many roles do not renew at once), then
//! new ones. Invariants: one request at a time per source; nobody waits for a renewal while the present
//! credentials are good; after a failure the source is asked again after a growing pause of at most
//! [`MAX_PAUSE`], and until then every caller gets the failure at once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_smithy_async::time::TimeSource;

use super::error::Failure;
use super::time::AwsTime;

/// Pause after the first failure; it doubles with each.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between attempts. With the pauses of who needs the credentials (a tail: 25 s) less than a minute, so
/// that what has been mended is noticed within one.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// Credentials that end sooner than this are not handed out: a request must arrive before they do.
const MARGIN: Duration = Duration::from_secs(30);

/// Credentials younger than this are not given up when AWS calls them expired: another caller has just
/// renewed them.
const FRESH: Duration = Duration::from_secs(5);

/// Something that hands out credentials.
#[async_trait]
pub(super) trait Source: Send + Sync + fmt::Debug {
    /// Asks for new credentials.
    async fn fetch(&self) -> Result<Credentials, Failure>;
}

/// Credentials from a source, shared and renewed.
pub(super) struct Renewed {
    source: Box<dyn Source>,
    time: AwsTime,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failed>,
}

struct Held {
    credentials: Credentials,
    since: SystemTime,
    renew: Option<SystemTime>,
}

struct Failed {
    failure: Arc<Failure>,
    times: u32,
    again: SystemTime,
}

/// What the present state allows.
enum Answer {
    Use(Credentials),
    UseAndRenew(Credentials),
    Refuse(Arc<Failure>),
    Fetch,
}

impl Renewed {
    pub(super) fn new(source: impl Source + 'static, time: AwsTime) -> Self {
        Self {
            source: Box::new(source),
            time,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        }
    }

    /// Good credentials, or why there are none.
    pub(super) async fn get(&self) -> Result<Credentials, Arc<Failure>> {
        match self.answer() {
            Answer::Use(credentials) => return Ok(credentials),
            Answer::Refuse(failure) => return Err(failure),
            Answer::UseAndRenew(credentials) => {
                let Ok(turn) = self.fetching.try_lock() else { return Ok(credentials) };
                self.fetch().await.ok();
                drop(turn);
            }
            Answer::Fetch => {
                let turn = self.fetching.lock().await;
                // Whoever had the turn before may have done the work.
                if matches!(self.answer(), Answer::Fetch) {
                    self.fetch().await.ok();
                }
                drop(turn);
            }
        }
        match self.answer() {
            Answer::Use(credentials) | Answer::UseAndRenew(credentials) => Ok(credentials),
            Answer::Refuse(failure) => Err(failure),
            Answer::Fetch => {
                Err(Arc::new(Failure::unavailable("the credentials ended while they were fetched")))
            }
        }
    }

    /// Gives up credentials that AWS calls expired, unless they are fresh.
    pub(super) fn expire(&self) -> bool {
        let now = self.time.now();
        let mut state = self.lock();
        match &state.held {
            Some(held) if elapsed(held.since, now) >= FRESH => {
                state.held = None;
                true
            }
            // Another caller was quicker.
            None => true,
            Some(_) => false,
        }
    }

    fn answer(&self) -> Answer {
        let now = self.time.now();
        let state = self.lock();
        let paused = state.failed.as_ref().filter(|failed| now < failed.again);
        match (&state.held, paused) {
            (Some(held), paused) if held.good_at(now) => {
                if paused.is_none() && held.renew.is_some_and(|at| now >= at) {
                    Answer::UseAndRenew(held.credentials.clone())
                } else {
                    Answer::Use(held.credentials.clone())
                }
            }
            (_, Some(failed)) => Answer::Refuse(Arc::clone(&failed.failure)),
            (_, None) => Answer::Fetch,
        }
    }

    async fn fetch(&self) -> Result<(), ()> {
        let fetched = self.source.fetch().await;
        let now = self.time.now();
        let mut state = self.lock();
        match fetched {
            Ok(credentials) => {
                let renew = credentials.expiry().map(|end| renew_at(now, end, rand::random()));
                state.held = Some(Held { credentials, since: now, renew });
                state.failed = None;
                Ok(())
            }
            Err(failure) => {
                let times = state.failed.as_ref().map_or(0, |failed| failed.times);
                let again = now + pause(times, rand::random());
                state.failed =
                    Some(Failed { failure: Arc::new(failure), times: times.saturating_add(1), again });
                Err(())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is replaced as a whole, so a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn good_at(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|end| now + MARGIN < end)
    }
}

/// When to renew: at 75 % to 85 % of the life that is left, by `fraction` (0 to 1).
fn renew_at(now: SystemTime, end: SystemTime, fraction: f64) -> SystemTime {
    let life = elapsed(now, end);
    now + life.mul_f64(0.75 + 0.10 * fraction.clamp(0.0, 1.0))
}

/// The pause after `times` failures before this one: doubling, half of it by chance (`fraction`, 0 to 1).
fn pause(times: u32, fraction: f64) -> Duration {
    let full = MIN_PAUSE.saturating_mul(1_u32.checked_shl(times.min(16)).unwrap_or(u32::MAX)).min(MAX_PAUSE);
    full.mul_f64(0.5 + 0.5 * fraction.clamp(0.0, 1.0))
}

fn elapsed(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

impl fmt::Debug for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
