//! Tells of findings, once: a line in the log, the count that decides the exit code; and wakes lanes for notes.
//!
//! In: calls from the ledger, after it has made something durable. Out: log lines, counts, turns in queues.
//! Invariant: a finding that is known is not logged again. Failure: none.

use std::sync::Arc;

use trailhaul_core::model::LaneId;

use super::counters::Counters;
use super::queue::LaneQueue;
use crate::ledger::{Finding, Found, Listener};
use crate::telemetry::{Event, FindingKind, Weight};

/// Listens to the ledger.
#[derive(Debug)]
pub struct Teller {
    queues: Vec<Arc<LaneQueue>>,
    counters: Arc<Counters>,
}

impl Teller {
    /// Wakes these lanes (by number) and counts here.
    pub fn new(queues: Vec<Arc<LaneQueue>>, counters: Arc<Counters>) -> Self {
        Self { queues, counters }
    }
}

impl Listener for Teller {
    fn posted(&self, lane: LaneId) {
        if let Some(queue) = self.queues.get(usize::from(lane.0)) {
            queue.nudge();
        }
    }

    fn found(&self, finding: &Finding, found: Found) {
        let kind = FindingKind::from_name(&finding.kind);
        let weight = kind.map_or(Weight::Integrity, FindingKind::weight);
        let subject = finding.subject.as_str();
        if found.is_news() {
            self.counters.finding(&finding.kind);
            match weight {
                Weight::Integrity => {
                    tracing::error!(event = %Event::Finding, kind = finding.kind, subject, finding.text, "finding");
                }
                Weight::Trouble => {
                    tracing::warn!(event = %Event::Finding, kind = finding.kind, subject, finding.text, "finding");
                }
            }
        }
        if weight == Weight::Integrity && found.is_open() {
            self.counters.new_findings(1);
        }
    }
}
