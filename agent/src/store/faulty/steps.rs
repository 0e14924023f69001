//! Counting durable steps, and freezing at one of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// On which side of the chosen step everything freezes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The step does not take effect.
    Before,
    /// It does, but nobody hears of it.
    After,
}

/// The program is dead, as far as the test is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frozen by the test")]
pub struct Frozen;

/// The durable steps of everything that shares this counter.
#[derive(Debug, Default)]
pub struct Steps {
    taken: AtomicU64,
    frozen: AtomicBool,
    freeze: Mutex<Option<(u64, When)>>,
}

/// A step that may take effect now.
#[derive(Debug)]
#[must_use = "a step must be ended when it has taken effect"]
pub struct Step<'s> {
    steps: &'s Steps,
    last: bool,
}

impl Steps {
    /// A counter at zero that never freezes.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Freezes at step number `step`, counted from 1.
    pub fn freeze_at(&self, step: u64, when: When) {
        *self.freeze.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, when));
    }

    /// Freezes now.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Whether everything is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// The steps begun so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Counts a step that is about to take effect.
    ///
    /// # Errors
    /// When everything is frozen, or freezes before this step.
    pub fn begin(&self) -> Result<Step<'_>, Frozen> {
        // One lock around both, so that no step slips in between the chosen one and the freeze.
        let freeze = self.freeze.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_frozen() {
            return Err(Frozen);
        }
        let number = self.taken.fetch_add(1, Ordering::SeqCst) + 1;
        match *freeze {
            Some((step, When::Before)) if number >= step => {
                self.freeze();
                Err(Frozen)
            }
            Some((step, When::After)) if number >= step => {
                self.freeze();
                Ok(Step { steps: self, last: true })
            }
            _ => Ok(Step { steps: self, last: false }),
        }
    }

    /// A whole step of something synchronous, such as a transaction.
    ///
    /// # Errors
    /// When everything is frozen, or freezes at this step.
    pub fn around<T>(&self, act: impl FnOnce() -> T) -> Result<T, Frozen> {
        let step = self.begin()?;
        let value = act();
        step.end()?;
        Ok(value)
    }
}

impl Step<'_> {
    /// The step has taken effect; whether anybody hears of it.
    ///
    /// # Errors
    /// When everything has frozen meanwhile.
    pub fn end(self) -> Result<(), Frozen> {
        if self.last || self.steps.is_frozen() { Err(Frozen) } else { Ok(()) }
    }
}
