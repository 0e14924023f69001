//! What the HTTP endpoint shows of the agent: numbers, and whether it is ready.
//!
//! In: a run that begins and ends, several in a process where configurations are loaded anew. Out: the text of the
//! metrics, and what stands in the way of being ready. Invariant: nobody looks at a run that has ended (its ledger is
//! closed by then); whether the agent is ready is known without waiting for a measurement. Failure: none.
//!
//! Bounded: a measurement begins at the earliest [`PAUSE`] after the last one, and takes at most a [`SHARE`]th of a
//! thread's time; between two of them the last one is shown.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::Registry;

/// The least time between two measurements: shorter than anybody scrapes.
const PAUSE: Duration = Duration::from_secs(2);

/// What a measurement has taken is followed by so many times as much rest.
const SHARE: u32 = 20;

/// Measures what is not counted as it happens, and sets gauges. May take a second; runs on a thread of its own.
pub trait Gauges: Send + Sync {
    /// Sets the gauges as of now.
    fn measure(&self);
}

/// Says what stands in the way. Must not wait for anything.
pub trait Readiness: Send + Sync {
    /// Why the agent is not ready; `None` when it is.
    fn in_the_way(&self) -> Option<String>;
}

/// The agent, as it is seen from outside. Shared by the runs of a process.
#[derive(Default)]
pub struct Vitals {
    registry: Arc<Registry>,
    phase: Mutex<Phase>,
    gauges: Mutex<Measured>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Starting,
    Running(Arc<dyn Readiness>),
    Ended,
}

#[derive(Default)]
struct Measured {
    gauges: Option<Box<dyn Gauges>>,
    /// When the next measurement may begin.
    next: Option<Instant>,
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vitals")
    }
}

impl Vitals {
    /// Where the agent counts.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// A run begins: it opens its ledger, and settles what the last one left.
    pub fn starting(&self) {
        *lock(&self.phase) = Phase::Starting;
    }

    /// It hauls.
    pub fn running(&self, readiness: Arc<dyn Readiness>, gauges: Box<dyn Gauges>) {
        *lock(&self.gauges) = Measured { gauges: Some(gauges), next: None };
        *lock(&self.phase) = Phase::Running(readiness);
    }

    /// It has ended. Waits for a measurement that is under way: afterwards nobody holds what the run had.
    pub fn ended(&self) {
        *lock(&self.phase) = Phase::Ended;
        *lock(&self.gauges) = Measured::default();
    }

    /// Why the agent is not ready; `None` when it is.
    pub fn in_the_way(&self) -> Option<String> {
        let readiness = match &*lock(&self.phase) {
            Phase::Starting => {
                return Some("the agent is starting: what the last run left is settled first".to_owned());
            }
            Phase::Ended => return Some("the run has ended".to_owned()),
            Phase::Running(readiness) => Arc::clone(readiness),
        };
        readiness.in_the_way()
    }

    /// The metrics as text, measured anew where that is due. Blocking.
    pub fn metrics(&self) -> String {
        let mut measured = lock(&self.gauges);
        let began = Instant::now();
        if measured.next.is_none_or(|next| began >= next)
            && let Some(gauges) = &measured.gauges
        {
            gauges.measure();
            let ended = Instant::now();
            measured.next = Some(ended + PAUSE.max((ended - began) * SHARE));
        }
        drop(measured);
        self.registry.prometheus()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
