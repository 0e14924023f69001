//! The events that logs are searched for: a closed list, so that a rule written today matches tomorrow.
//!
//! A log line that stands for one of these carries its name in the field `event`:
//! `tracing::warn!(event = %Event::ObjectDeferred, object = %object, "object deferred")`.

use std::fmt;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $value:ident = $name:literal,)+) => {
        /// What happened. The list is closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Event { $($(#[doc = $doc])+ $value,)+ }

        impl Event {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name in the field `event`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }
        }
    };
}

events! {
    /// The agent runs.
    Started = "started",
    /// A signal asked for the end; what is under way is being finished.
    Stopping = "stopping",
    /// The agent has ended.
    Stopped = "stopped",
    /// A new configuration is in force.
    ConfigurationLoaded = "configuration_loaded",
    /// A configuration does not hold, and the one before it stays in force.
    ConfigurationRefused = "configuration_refused",
    /// What the last run left was finished or cleared away.
    Recovered = "recovered",
    /// An epoch of a lane begins.
    LaneTaken = "lane_taken",
    /// Another process owns the lane; this one no longer touches it.
    LaneLost = "lane_lost",
    /// A batch is in the journal.
    BatchCommitted = "batch_committed",
    /// A batch was given up and its sources are planned again.
    BatchVoided = "batch_voided",
    /// The books of a batch do not balance; it was not committed.
    BooksUnbalanced = "books_unbalanced",
    /// An object is put off to a later batch.
    ObjectDeferred = "object_deferred",
    /// An object, or records of it, could not be read.
    ObjectQuarantined = "object_quarantined",
    /// An object changed after it was hauled.
    ObjectRewritten = "object_rewritten",
    /// Something lies in a bucket that may not speak for it.
    ObjectForeign = "object_foreign",
    /// An integrity finding.
    Finding = "finding",
    /// A sink could not take a batch and is owed it.
    SinkOwed = "sink_owed",
    /// A sink got what it was owed.
    SinkSettled = "sink_settled",
    /// A call to a store failed and is made again.
    StoreRetried = "store_retried",
    /// Credentials or policies refuse a store; somebody must mend it.
    StoreDenied = "store_denied",
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
