//! What is known at a moment only, for the metrics: what waits, how old it is, which findings are open, who works;
//! and whether the agent is ready.
//!
//! In: the ledger, the lanes' queues, the budget. Out: gauges, and what stands in the way of being ready. Invariant:
//! reading changes nothing; readiness asks nobody who could be slow. Failure: told in the log; the gauges stay as they
//! were. Bounded: [`COUNTED`] objects that wait are counted one by one, and the findings that the ledger keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::{Ends, Engine, Means};
use super::meters::Meters;
use super::queue::LaneQueue;
use crate::admin;
use crate::ledger::{Ledger, LedgerError};
use crate::runtime::{Budget, Clock, Shutdown};
use crate::telemetry::{FindingKind, Metric};

/// Objects that wait are counted one by one up to here, which takes about a second.
const COUNTED: u64 = 1_000_000;

/// Measures a run.
pub(super) struct Gauges {
    ledger: Ledger,
    queues: Vec<Arc<LaneQueue>>,
    budget: Budget,
    clock: Arc<dyn Clock>,
    meters: Arc<Meters>,
}

impl Gauges {
    pub(super) fn new(engine: &Engine, means: &Means) -> Self {
        Self {
            ledger: means.ledger.clone(),
            queues: engine.queues.clone(),
            budget: engine.budget.clone(),
            clock: Arc::clone(&means.clock),
            meters: Arc::clone(&means.meters),
        }
    }

    fn set(&self, metric: Metric, labels: &[&str], value: u64) {
        self.meters.registry().series(metric, labels).set(value);
    }

    /// How many objects of each trail wait, and since when the oldest does.
    fn waiting(&self) -> Result<(), LedgerError> {
        let now = self.clock.now().as_second();
        let mut trails: BTreeMap<&str, (u64, u64)> =
            self.meters.trails().map(|trail| (trail, Default::default())).collect();
        for waiting in self.ledger.waiting(COUNTED)? {
            let trail = self.meters.trail(&waiting.bucket, &waiting.oldest);
            let Some((count, age)) = trail.and_then(|trail| trails.get_mut(trail.name.as_str())) else {
                continue;
            };
            *count += waiting.count;
            *age = (*age).max(u64::try_from(now.saturating_sub(waiting.since)).unwrap_or(0));
        }
        for (trail, (count, age)) in trails {
            self.set(Metric::ObjectsWaiting, &[trail], count);
            self.set(Metric::Lag, &[trail], age);
        }
        Ok(())
    }

    fn findings(&self) -> Result<(), LedgerError> {
        let mut open: BTreeMap<&str, u64> = FindingKind::ALL.iter().map(|kind| (kind.name(), 0)).collect();
        self.ledger.each_finding(|finding| {
            if finding.ack.is_none()
                && let Some(count) = open.get_mut(finding.kind.as_str())
            {
                *count += 1;
            }
            true
        })?;
        open.into_iter().for_each(|(kind, count)| self.set(Metric::OpenFindings, &[kind], count));
        Ok(())
    }
}

impl admin::Gauges for Gauges {
    fn measure(&self) {
        for measured in [self.waiting(), self.findings()] {
            if let Err(error) = measured {
                tracing::warn!(%error, "cannot measure what waits");
            }
        }
        let working = self.queues.iter().filter(|queue| !queue.is_refused()).count();
        self.set(Metric::LanesOwned, &[], working as u64);
        let capacity = self.budget.capacity();
        self.set(Metric::MemoryLimit, &[], capacity);
        self.set(Metric::MemoryHeld, &[], capacity.saturating_sub(self.budget.available()));
    }
}

/// Whether a run is ready: it hauls with all its lanes.
pub(super) struct Readiness {
    shutdown: Shutdown,
    queues: Vec<Arc<LaneQueue>>,
    ends: Arc<Ends>,
    out: Vec<String>,
}

impl Readiness {
    pub(super) fn new(engine: &Engine, means: &Means) -> Self {
        let out =
            engine.out.iter().map(|(lane, reason)| format!("lane {lane} stays out: {reason}")).collect();
        Self {
            shutdown: means.tasks.shutdown().clone(),
            queues: engine.queues.clone(),
            ends: Arc::clone(&engine.ends),
            out,
        }
    }
}

impl admin::Readiness for Readiness {
    fn in_the_way(&self) -> Option<String> {
        if self.shutdown.stopping().is_cancelled() {
            return Some("the agent is stopping".to_owned());
        }
        let idle = self.queues.iter().filter(|queue| queue.is_refused()).count();
        if idle == 0 {
            return None;
        }
        let mut reasons = self.out.clone();
        reasons.extend(self.ends.texts());
        let lanes = self.queues.len();
        Some(format!("{idle} of {lanes} lanes do not haul: {}", reasons.join("; ")))
    }
}
