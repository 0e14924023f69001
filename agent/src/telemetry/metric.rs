//! The metrics: the whole list, with what each counts and by which labels.
//!
//! Names follow `trailhaul_<noun>_<unit>[_total]`; counters end in `_total`. Labels are few and their values
//! come from closed sets or from the configuration (sinks, trails), never from objects or error texts.

/// Whether a metric only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $value:ident = $kind:ident $name:literal [$($label:literal),*],)+) => {
        /// A metric. The list is closed: what is not here cannot be counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Metric { $($(#[doc = $doc])+ $value,)+ }

        impl Metric {
            /// Every metric, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name, as Prometheus sees it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            /// Counter or gauge.
            pub fn kind(self) -> Kind {
                match self { $(Self::$value => Kind::$kind,)+ }
            }

            /// The names of its labels, in the order in which their values are given.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$value => &[$($label),*],)+ }
            }

            /// What it counts, in a sentence.
            pub fn help(self) -> &'static str {
                match self { $(Self::$value => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

metrics! {
    /// Source objects found, by trail.
    ObjectsFound = Counter "trailhaul_found_objects_total" ["trail"],
    /// Source objects whose batch is finished, by trail.
    ObjectsDone = Counter "trailhaul_done_objects_total" ["trail"],
    /// Source objects put off to a later batch, by cause.
    ObjectsDeferred = Counter "trailhaul_deferred_objects_total" ["cause"],
    /// Source objects that are found and not done, by trail.
    ObjectsWaiting = Gauge "trailhaul_waiting_objects" ["trail"],
    /// Age of the oldest source object that is not done, by trail.
    Lag = Gauge "trailhaul_lag_seconds" ["trail"],
    /// Bytes read from sources, compressed as they lie there.
    BytesRead = Counter "trailhaul_read_bytes_total" [],
    /// Bytes read, after gunzip.
    BytesInflated = Counter "trailhaul_inflated_bytes_total" [],
    /// Records read.
    RecordsIn = Counter "trailhaul_in_records_total" [],
    /// Records delivered once and for all, duplicates excluded.
    RecordsUnique = Counter "trailhaul_unique_records_total" [],
    /// Records dropped because their twin is committed.
    RecordsDuplicate = Counter "trailhaul_duplicate_records_total" [],
    /// Records with the id of another and other content; delivered.
    RecordsConflict = Counter "trailhaul_conflict_records_total" [],
    /// Records and objects that could not be read, by reason.
    Quarantined = Counter "trailhaul_quarantined_records_total" ["reason"],
    /// Records delivered, by sink.
    RecordsDelivered = Counter "trailhaul_delivered_records_total" ["sink"],
    /// Records that a sink's filter kept away, by sink.
    RecordsFiltered = Counter "trailhaul_filtered_records_total" ["sink"],
    /// Records that a sink cannot take, by sink.
    RecordsRefused = Counter "trailhaul_refused_records_total" ["sink"],
    /// Records that a sink is still owed, by sink.
    RecordsOwed = Gauge "trailhaul_owed_records" ["sink"],
    /// Bytes written, by sink.
    BytesWritten = Counter "trailhaul_written_bytes_total" ["sink"],
    /// Batches committed.
    BatchesCommitted = Counter "trailhaul_committed_batches_total" [],
    /// Batches given up before their commit.
    BatchesVoided = Counter "trailhaul_voided_batches_total" [],
    /// Lanes that this process owns.
    LanesOwned = Gauge "trailhaul_owned_lanes" [],
    /// Source objects by what their digests say of them.
    Verdicts = Counter "trailhaul_verdict_objects_total" ["verdict"],
    /// Findings, by kind.
    Findings = Counter "trailhaul_findings_total" ["kind"],
    /// Calls to stores, by operation.
    StoreCalls = Counter "trailhaul_store_calls_total" ["operation"],
    /// Failed calls to stores, by operation and class of failure.
    StoreErrors = Counter "trailhaul_store_errors_total" ["operation", "kind"],
    /// Calls made again after a failure, by operation.
    Retries = Counter "trailhaul_retries_total" ["operation"],
    /// Memory granted out of the budget.
    MemoryHeld = Gauge "trailhaul_held_memory_bytes" [],
    /// The whole budget.
    MemoryLimit = Gauge "trailhaul_limit_memory_bytes" [],
    /// Time that a stage waited for the one behind it.
    StageWaited = Counter "trailhaul_stage_waited_milliseconds_total" ["stage"],
}
