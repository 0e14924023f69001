//! `integrity.mode: hold`: found objects wait outside batches until a proven digest vouches for them.
//!
//! In: found objects, the hashes that proven digests expect, the time. Out: whether an object may be hauled.
//! Invariant: what waits stays among the found objects, so that a restart loses nothing; nothing waits longer than
//! `integrity.max_hold` from when it was first looked at. Failure: the ledger's. No memory of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use trailhaul_core::model::ObjectRef;

use super::counters::Counters;
use crate::ledger::{Ledger, LedgerError, NewFinding};
use crate::runtime::Clock;
use crate::telemetry::FindingKind;

/// Whether a found object may be hauled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// A proven digest names it: its content is compared before anything is delivered.
    Vouched,
    /// It has waited for as long as objects may: it is hauled with what is known.
    Expired,
    /// It waits.
    Wait {
        /// Whether the ledger knows since when.
        noted: bool,
    },
}

/// Decides about found objects.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Found objects, and what digests expect.
    pub ledger: Ledger,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// `integrity.max_hold`, in seconds.
    pub longest: i64,
    /// What the process counts.
    pub counters: Arc<Counters>,
}

impl Hold {
    /// Whether this object may be hauled now.
    pub fn gate(&self, object: &ObjectRef) -> Result<Gate, LedgerError> {
        if self.ledger.expected(object)?.is_some() {
            return Ok(Gate::Vouched);
        }
        Ok(match self.ledger.held_since(object)? {
            Some(since) if since.saturating_add(self.longest) <= self.now() => Gate::Expired,
            since => Gate::Wait { noted: since.is_some() },
        })
    }

    /// These objects wait from now on.
    pub fn hold(&self, objects: &[ObjectRef]) -> Result<(), LedgerError> {
        self.ledger.hold(objects, self.now())
    }

    /// So many objects of each bucket are hauled because their longest wait is over. One finding per bucket: a trail
    /// without log file validation has no digests, and is nobody's fault; where there should be one, the audit says
    /// so about the digest.
    pub fn expired(&self, buckets: &BTreeMap<String, u64>) -> Result<(), LedgerError> {
        for (bucket, objects) in buckets {
            self.counters.expired_objects(*objects);
            tracing::warn!(
                bucket,
                objects,
                "haul objects without a digest: they have waited for integrity.max_hold"
            );
            let text = "objects were hauled without a digest that vouches for them, because they had waited for \
                        integrity.max_hold: is log file validation switched on for every trail that writes here?";
            let finding = NewFinding::new(FindingKind::HoldExpired.name(), bucket, text);
            self.ledger.find(&finding, self.clock.now())?;
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}
