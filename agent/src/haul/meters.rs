//! The numbers of the haul, as the admin endpoint shows them.
//!
//! In: what was found, committed, put off, judged. Out: additions to the [`Registry`], through handles that are taken
//! once. Invariant: counted where the summary counts, so that both say the same of one run; labels come from the
//! configuration and from closed lists. Failure: none.
//!
//! Bounded: one row per trail and sink of the configuration, and per value of a closed list.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use trailhaul_core::model::{BatchEntry, Verdict};

use crate::config::Config;
use crate::store::ReadError;
use crate::telemetry::{FindingKind, Metric, Registry, Series};

/// Everything that is counted; handles that are taken once.
#[derive(Debug)]
pub struct Meters {
    registry: Arc<Registry>,
    /// By bucket: prefixes and trails.
    trails: HashMap<String, Vec<(String, TrailMeters)>>,
    sinks: BTreeMap<String, SinkMeters>,
    deferred: BTreeMap<&'static str, Series>,
    findings: BTreeMap<&'static str, Series>,
    verdicts: BTreeMap<&'static str, Series>,
    totals: Totals,
}

/// The numbers of a trail.
#[derive(Debug, Clone)]
pub struct TrailMeters {
    /// Its name.
    pub name: String,
    /// Objects found.
    pub found: Series,
    /// Objects done.
    pub done: Series,
}

#[derive(Debug)]
struct SinkMeters {
    delivered: Series,
    filtered: Series,
    refused: Series,
}

#[derive(Debug)]
struct Totals {
    read: Series,
    inflated: Series,
    records: Series,
    unique: Series,
    duplicates: Series,
    conflicts: Series,
    quarantined: Series,
    committed: Series,
    voided: Series,
}

/// A trail and where its objects lie.
#[derive(Debug, Clone)]
pub struct TrailPlace {
    /// Its name.
    pub name: String,
    /// The bucket's URL.
    pub bucket: String,
    /// What stands before `AWSLogs`, without slashes at its ends.
    pub prefix: String,
}

/// Why objects are put off: the values of the label.
const CAUSES: [&str; 5] = ["vanished", "changed", "denied", "archived", "unreadable"];

/// The verdicts that are given; `pending` is what an object has before.
const GIVEN: [Verdict; 5] =
    [Verdict::Verified, Verdict::Undigested, Verdict::Mismatch, Verdict::Missing, Verdict::Extra];

/// What is known at a moment only: shown anew by each process, for the trails and lanes that it has.
const GAUGES: [Metric; 7] = [
    Metric::ObjectsWaiting,
    Metric::Lag,
    Metric::Unlisted,
    Metric::LanesOwned,
    Metric::OpenFindings,
    Metric::MemoryHeld,
    Metric::MemoryLimit,
];

impl Meters {
    /// The meters of these trails and sinks. Every series is there from the beginning with 0, so that the first
    /// count is an increase for whoever watches.
    pub fn new(registry: Arc<Registry>, trails: &[TrailPlace], sinks: &[&str]) -> Self {
        GAUGES.iter().for_each(|gauge| registry.forget(*gauge));
        let of = |metric, label: &str| registry.series(metric, &[label]);
        let mut places: HashMap<String, Vec<(String, TrailMeters)>> = HashMap::new();
        for TrailPlace { name, bucket, prefix } in trails {
            let meters = TrailMeters {
                name: name.clone(),
                found: of(Metric::ObjectsFound, name),
                done: of(Metric::ObjectsDone, name),
            };
            places.entry(bucket.clone()).or_default().push((prefix.clone(), meters));
        }
        let sink_meters = |&sink: &&str| {
            let meters = SinkMeters {
                delivered: of(Metric::RecordsDelivered, sink),
                filtered: of(Metric::RecordsFiltered, sink),
                refused: of(Metric::RecordsRefused, sink),
            };
            of(Metric::BytesWritten, sink);
            (sink.to_owned(), meters)
        };
        of(Metric::BytesWritten, "home");
        let by = |metric, labels: &[&'static str]| -> BTreeMap<&'static str, Series> {
            labels.iter().map(|&label| (label, of(metric, label))).collect()
        };
        let kinds: Vec<&'static str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
        let one = |metric| registry.series(metric, &[]);
        Self {
            trails: places,
            sinks: sinks.iter().map(sink_meters).collect(),
            deferred: by(Metric::ObjectsDeferred, &CAUSES),
            findings: by(Metric::Findings, &kinds),
            verdicts: by(Metric::Verdicts, &GIVEN.map(Verdict::as_str)),
            totals: Totals {
                read: one(Metric::BytesRead),
                inflated: one(Metric::BytesInflated),
                records: one(Metric::RecordsIn),
                unique: one(Metric::RecordsUnique),
                duplicates: one(Metric::RecordsDuplicate),
                conflicts: one(Metric::RecordsConflict),
                quarantined: one(Metric::RecordsQuarantined),
                committed: one(Metric::BatchesCommitted),
                voided: one(Metric::BatchesVoided),
            },
            registry,
        }
    }

    /// The meters of a configuration.
    pub fn of_config(registry: Arc<Registry>, config: &Config) -> Self {
        let place = |trail: &crate::config::Trail| TrailPlace {
            name: trail.name.clone(),
            bucket: trail.place.bucket().to_string(),
            prefix: trail.place.prefix().trim_matches('/').to_owned(),
        };
        let trails: Vec<TrailPlace> = config.trails.listed().iter().map(place).collect();
        let sinks: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        Self::new(registry, &trails, &sinks)
    }

    /// Where all of it is counted.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The names of the trails.
    pub fn trails(&self) -> impl Iterator<Item = &str> {
        self.trails.values().flatten().map(|(_, trail)| trail.name.as_str())
    }

    /// The trail below whose prefix a key of this bucket lies; the longest prefix counts.
    pub fn trail(&self, bucket: &str, key: &str) -> Option<&TrailMeters> {
        let below = |prefix: &str| {
            prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        };
        let trails = self.trails.get(bucket)?.iter().filter(|(prefix, _)| below(prefix));
        trails.max_by_key(|(prefix, _)| prefix.len()).map(|(_, trail)| trail)
    }

    /// A batch was committed.
    pub(super) fn committed(&self, batch: &BatchEntry) {
        let (totals, books) = (&self.totals, &batch.books);
        totals.committed.add(1);
        totals.records.add(books.records);
        totals.unique.add(books.unique);
        totals.duplicates.add(books.duplicates);
        totals.conflicts.add(books.conflicts);
        totals.quarantined.add(books.quarantined);
        for (sink, books) in &books.sinks {
            if let Some(meters) = self.sinks.get(sink) {
                meters.delivered.add(books.delivered);
                meters.filtered.add(books.filtered);
                meters.refused.add(books.refused);
            }
        }
        for output in &batch.outputs {
            self.registry.series(Metric::BytesWritten, &[&output.sink]).add(output.size);
        }
        for object in &batch.objects {
            totals.read.add(object.object.size);
            totals.inflated.add(object.inflated);
            self.judged(object.verdict, 1);
            if let Some(trail) = self.trail(&object.object.bucket, &object.object.key) {
                trail.done.add(1);
            }
        }
    }

    /// A verdict was given to so many objects that did not have it.
    pub(super) fn judged(&self, verdict: Verdict, count: u64) {
        if let Some(series) = self.verdicts.get(verdict.as_str()) {
            series.add(count);
        }
    }

    /// An attempt at a batch came to nothing.
    pub(super) fn voided(&self) {
        self.totals.voided.add(1);
    }

    /// An object was put off.
    pub(super) fn deferred(&self, error: &ReadError) {
        let cause = match error {
            ReadError::Vanished(_) => "vanished",
            ReadError::Changed(_) => "changed",
            ReadError::Denied(_) => "denied",
            ReadError::Archived(_) => "archived",
            _ => "unreadable",
        };
        if let Some(series) = self.deferred.get(cause) {
            series.add(1);
        }
    }

    /// A finding was recorded for the first time, or is open again.
    pub(super) fn finding(&self, kind: &str) {
        if let Some(series) = self.findings.get(kind) {
            series.add(1);
        }
    }
}

impl Default for Meters {
    /// Meters that nobody reads.
    fn default() -> Self {
        Self::new(Arc::default(), &[], &[])
    }
}
