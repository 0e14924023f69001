//! The working memory of a mill, lent to one lane after the other.
//!
//! In: the outputs of each set, made at start. Out: a [`Tools`] for whoever holds a permit for a working set.
//! Invariant: there are as many sets as permits fit the budget, so a permit always finds one, and a lane that
//! waits holds none: memory follows the budget, not the number of lanes. Failure: a set that a panic took with
//! it is gone; the lane that finds none is in doubt.

use std::sync::{Mutex, PoisonError};

use trailhaul_core::decode::Chunk;
use trailhaul_core::dedup::{Candidate, Decision};
use trailhaul_core::mill::MillOutput;

use super::mill::KeyBy;

/// What a mill works with: a chunk, what is decided about its records, and the encoders of the sinks.
pub struct Tools {
    /// One for each sink, in their order; where a sink keys its records, by what.
    pub sinks: Vec<(MillOutput, Option<KeyBy>)>,
    /// The chunk at hand.
    pub chunk: Chunk,
    /// Its records, as the window sees them.
    pub candidates: Vec<Candidate>,
    /// What it decided.
    pub decisions: Vec<Decision>,
}

impl Tools {
    /// Tools with these outputs. Their buffers grow with their first use.
    pub fn new(sinks: Vec<(MillOutput, Option<KeyBy>)>) -> Self {
        Self { sinks, chunk: Chunk::empty(), candidates: Vec::new(), decisions: Vec::new() }
    }
}

/// The sets that nobody uses. Bounded by what it was made with.
pub struct Toolbox(Mutex<Vec<Tools>>);

impl Toolbox {
    /// A box with these sets.
    pub fn new(sets: Vec<Tools>) -> Self {
        Self(Mutex::new(sets))
    }

    /// The set that was used last.
    pub fn take(&self) -> Option<Tools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Puts a set back.
    pub fn put(&self, tools: Tools) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
    }
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Toolbox")
    }
}
