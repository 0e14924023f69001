//! What the program says about itself: logs, metrics, and the closed lists of their names.
//!
//! In: events and numbers from the stages. Out: log lines on standard error, counters for the end summary and
//! the admin endpoint. Invariants: every metric and event name is declared here, labels are from closed sets
//! (never an object's key or an error's text), and messages are lower case without a full stop. Not here: the
//! HTTP endpoint (`admin`), and secrets, which their type keeps out of every message.

mod event;
mod finding;
mod log;
mod metric;
mod registry;

#[cfg(test)]
mod tests;

pub use event::Event;
pub use finding::{FindingKind, Weight};
pub use log::{LogError, LogFormat, install};
pub use metric::{Metric, MetricKind};
pub use registry::{Registry, Sample, Series};
