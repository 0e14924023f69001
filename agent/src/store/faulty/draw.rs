//! Which calls fail: a function of the seed and the call, not of the order in which tasks run.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How much trouble. Shares are in thousandths of the calls; the default is none.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// What all draws are made from; print it when a test fails.
    pub seed: u64,
    /// Only keys that start with this have faults; empty is all.
    pub under: String,
    /// Calls that fail with `Unavailable` before they take effect.
    pub unavailable: u16,
    /// Calls that fail with `Unavailable` after they took effect.
    pub lost_answers: u16,
    /// Calls that fail with `Throttled`.
    pub throttled: u16,
    /// Calls that fail with `Conflict`.
    pub conflict: u16,
    /// Bodies that end early: half of them with an error, half as if that were all.
    pub truncated: u16,
    /// Keys that are listed and cannot be read (the same ones each time).
    pub vanished: u16,
    /// How long each call takes longer.
    pub delay: Option<Range<Duration>>,
    /// Every write fails with `Full`.
    pub full: bool,
    /// Every write fails with `Denied`.
    pub denied: bool,
    /// Every read of an object fails with `Denied`.
    pub unreadable: bool,
}

/// Where draws come from. Remembers how often each call was made: one entry per operation and key, which
/// tests keep small.
#[derive(Debug)]
pub(super) struct Draws {
    seed: u64,
    calls: Mutex<HashMap<u64, u64>>,
}

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, calls: Mutex::default() }
    }

    /// The draw of the next call of this operation on this key.
    pub(super) fn next(&self, operation: &'static str, key: &str) -> Draw {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = calls.entry(hash((operation, key))).or_default();
        *call += 1;
        Draw(SmallRng::seed_from_u64(hash((self.seed, operation, key, *call))))
    }

    /// The draw of a key, the same each time.
    pub(super) fn of_key(&self, what: &'static str, key: &str) -> Draw {
        Draw(SmallRng::seed_from_u64(hash((self.seed, what, key))))
    }
}

/// The luck of one call.
pub(super) struct Draw(SmallRng);

impl Draw {
    /// Whether this call is among the share, in thousandths.
    pub(super) fn hits(&mut self, share: u16) -> bool {
        self.0.random_range(0..1000) < share
    }

    pub(super) fn delay(&mut self, range: &Option<Range<Duration>>) -> Option<Duration> {
        let range = range.clone().filter(|range| !range.is_empty())?;
        Some(self.0.random_range(range))
    }

    /// A number below `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end.max(1))
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
