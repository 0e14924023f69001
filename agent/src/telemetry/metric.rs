//! The metrics: the whole list, with what each counts and by which labels.
//!
//! Names follow `trailhaul_<noun>_<unit>[_total]`; counters end in `_total`. Labels are few and their values
//! come from closed sets or from the configuration (sinks, trails), never from objects or error texts.

/// Whether a metric only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
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
            pub fn kind(self) -> MetricKind {
                match self { $(Self::$value => MetricKind::$kind,)+ }
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
    /// Source objects that are found and not done, by trail; those that wait for their digests are among them.
    ObjectsWaiting = Gauge "trailhaul_waiting_objects" ["trail"],
    /// Age of the oldest source object that is found and not done, by trail; 0 where none waits.
    Lag = Gauge "trailhaul_lag_seconds" ["trail"],
    /// Folders that cannot be listed, or 1 for a bucket that cannot be opened, by trail.
    Unlisted = Gauge "trailhaul_unlisted_folders" ["trail"],
    /// Bytes of hauled source objects, compressed as they lie there.
    BytesRead = Counter "trailhaul_read_bytes_total" [],
    /// Bytes of hauled source objects, after gunzip.
    BytesInflated = Counter "trailhaul_inflated_bytes_total" [],
    /// Records read.
    RecordsIn = Counter "trailhaul_in_records_total" [],
    /// Records delivered once and for all, duplicates excluded.
    RecordsUnique = Counter "trailhaul_unique_records_total" [],
    /// Records dropped because their twin is committed.
    RecordsDuplicate = Counter "trailhaul_duplicate_records_total" [],
    /// Records with the id of another and other content; delivered.
    RecordsConflict = Counter "trailhaul_conflict_records_total" [],
    /// Records that could not be read; the quarantine has them, with the reason.
    RecordsQuarantined = Counter "trailhaul_quarantined_records_total" [],
    /// Records delivered, by sink.
    RecordsDelivered = Counter "trailhaul_delivered_records_total" ["sink"],
    /// Records that a sink's filter kept away, by sink.
    RecordsFiltered = Counter "trailhaul_filtered_records_total" ["sink"],
    /// Records that a sink cannot take, by sink.
    RecordsRefused = Counter "trailhaul_refused_records_total" ["sink"],
    /// Bytes written, by sink; `home` is the index and the quarantine.
    BytesWritten = Counter "trailhaul_written_bytes_total" ["sink"],
    /// Batches committed.
    BatchesCommitted = Counter "trailhaul_committed_batches_total" [],
    /// Attempts at a batch that came to nothing; its objects are planned again.
    BatchesVoided = Counter "trailhaul_voided_batches_total" [],
    /// Lanes that haul in this process.
    LanesOwned = Gauge "trailhaul_owned_lanes" [],
    /// Source objects that got another verdict, by what their digests say of them now.
    Verdicts = Counter "trailhaul_verdict_objects_total" ["verdict"],
    /// Findings when they are recorded first, or open again, by kind.
    Findings = Counter "trailhaul_findings_total" ["kind"],
    /// Findings that nobody has acknowledged, by kind.
    OpenFindings = Gauge "trailhaul_open_findings" ["kind"],
    /// Calls to stores, by operation.
    StoreCalls = Counter "trailhaul_store_calls_total" ["operation"],
    /// Failed calls to stores, by operation and class of failure.
    StoreErrors = Counter "trailhaul_store_errors_total" ["operation", "kind"],
    /// Calls to stores made again after they had failed, by operation.
    Retries = Counter "trailhaul_retries_total" ["operation"],
    /// Memory that lanes at work hold.
    MemoryHeld = Gauge "trailhaul_held_memory_bytes" [],
    /// Memory that lanes can hold: their share of `limits.memory`.
    MemoryLimit = Gauge "trailhaul_limit_memory_bytes" [],
}
