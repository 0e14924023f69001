//! The numbers behind the metrics.
//!
//! In: counts from the stages, through handles that cost one atomic addition. Out: samples for the end summary
//! and the Prometheus text format. Invariant: at most 2,000 series per metric; whatever comes later
//! is counted under `other`, so that no input can make the registry grow without end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metric::{Metric, MetricKind};

/// The most series of one metric: room for every trail of a large organization, and 1 MiB at most.
pub(super) const MAX_SERIES: usize = 2_000;

/// Every metric's series.
#[derive(Debug, Default)]
pub struct Registry {
    series: Mutex<BTreeMap<Metric, BTreeMap<Vec<String>, Series>>>,
}

/// One number. Clones count into the same one.
#[derive(Debug, Clone, Default)]
pub struct Series(Arc<AtomicU64>);

/// A number at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What was counted.
    pub metric: Metric,
    /// The values of its labels.
    pub labels: Vec<String>,
    /// The number.
    pub value: u64,
}

impl Series {
    /// Adds to a counter.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The series of a metric with these label values (as many as [`Metric::labels`] has names). Ask once and
    /// keep the handle: this takes a lock, [`Series::add`] does not.
    pub fn series(&self, metric: Metric, labels: &[&str]) -> Series {
        debug_assert_eq!(labels.len(), metric.labels().len(), "labels of {}", metric.name());
        let mut all = self.lock();
        let family = all.entry(metric).or_default();
        let mut key: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        if !family.contains_key(&key) && family.len() >= MAX_SERIES {
            key = labels.iter().map(|_| "other".to_owned()).collect();
        }
        family.entry(key).or_default().clone()
    }

    /// Shows no series of this metric any more until somebody asks for one: what it was labelled by may be gone.
    pub fn forget(&self, metric: Metric) {
        self.lock().remove(&metric);
    }

    /// The sum over all series of a metric.
    pub fn total(&self, metric: Metric) -> u64 {
        self.lock()
            .get(&metric)
            .map_or(0, |family| family.values().map(Series::get).fold(0, u64::saturating_add))
    }

    /// Every number, in the order of [`Metric::ALL`].
    pub fn samples(&self) -> Vec<Sample> {
        let all = self.lock();
        all.iter()
            .flat_map(|(&metric, family)| {
                family.iter().map(move |(labels, series)| Sample {
                    metric,
                    labels: labels.clone(),
                    value: series.get(),
                })
            })
            .collect()
    }

    /// The Prometheus text exposition format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for sample in self.samples() {
            let metric = sample.metric;
            if last != Some(metric) {
                let kind = match metric.kind() {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge => "gauge",
                };
                let (name, help) = (metric.name(), metric.help());
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
                last = Some(metric);
            }
            let _ = writeln!(text, "{}{} {}", metric.name(), labels(&sample), sample.value);
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Metric, BTreeMap<Vec<String>, Series>>> {
        // Counting goes on after a panic elsewhere: the map is whole between any two statements.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels(sample: &Sample) -> String {
    if sample.labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = sample
        .metric
        .labels()
        .iter()
        .zip(&sample.labels)
        .map(|(name, value)| {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}
