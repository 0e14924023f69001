//! Who is told what was posted or found, after it is durable.
//!
//! In: one listener, set by whoever runs the lanes. Out: calls from the thread that wrote. Invariant: a listener is
//! called when the transaction stands. Failure: none; without a listener nobody is told.

use std::sync::{Arc, Mutex, PoisonError};

use trailhaul_core::model::LaneId;

use super::{Finding, Found, Ledger};

/// Is told of notes and findings. Calls must be short: they run on the thread that wrote.
pub trait Listener: Send + Sync {
    /// Notes wait in the outbox of this lane.
    fn posted(&self, lane: LaneId);

    /// A finding was recorded, again or for the first time.
    fn found(&self, finding: &Finding, found: Found);
}

/// Holds the listener.
#[derive(Default)]
pub(super) struct Ears(Mutex<Option<Arc<dyn Listener>>>);

impl Ears {
    pub(super) fn tell(&self, what: impl FnOnce(&dyn Listener)) {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            what(listener.as_ref());
        }
    }
}

impl Ledger {
    /// Tells this listener from now on, and nobody else.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        *self.ears.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }
}
