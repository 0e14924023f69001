//! What to list next, and how objects become batches.
//!
//! In: the time, what listings showed, what is known already, and objects that wait. Out: the next listing of
//! a stream ([`DayPlan`]), what is new on a page ([`compare`]), and the next batch of a lane ([`Batcher`]).
//!
//! Invariants: a day folder is never left for good before it was listed whole 31 days after it closed; a page
//! out of order is refused, never guessed at; an object leaves the queue once, in one batch; whatever one
//! account queues, the account that was served least goes next.
//!
//! Not here: who lists and reads, and what becomes of a batch. Everything is a state machine that takes `now`
//! (seconds since the Unix epoch, UTC) as an argument. Full queues are said, and nothing is dropped.

mod batcher;
mod day;
mod days;
mod fair;
mod found;
mod listing;

#[cfg(test)]
mod batcher_tests;
#[cfg(test)]
mod days_tests;

pub use batcher::{Batcher, BatcherConfig, Closed, PlannedBatch, QueuedObject};
pub use day::Day;
pub use days::{DayPlan, DayRules, Listing, Start};
pub use found::{FoundObject, Partition, PartitionBy};
pub use listing::{OutOfOrder, Standing, compare};
