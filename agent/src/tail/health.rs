//! What stands in a tail's way, for `status`, metrics and exit codes.
//!
//! In: failures and recoveries of streams, and what the last walk has shown. Out: snapshots. Bounded by the
//! number of streams; texts are clipped. Each trouble is logged once when it begins and once when it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trailhaul_core::model::StreamKey;

use super::streams::{FailedPrefix, ForeignFolder, TrailBucket, Walk};
use crate::store::ErrorKind;

/// A prefix that cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The class of the failure; `None` where the store lists what cannot be right.
    pub kind: Option<ErrorKind>,
    /// What was said last.
    pub message: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// How often in a row.
    pub failures: u32,
    /// When it is tried again, in seconds since the Unix epoch.
    pub again: i64,
}

/// The state of a tail; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    troubles: BTreeMap<StreamKey, Trouble>,
    walk: WalkHealth,
}

/// What the last walk has shown besides streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkHealth {
    /// How many streams there are.
    pub streams: usize,
    /// Folders of somebody whose logs do not belong here; at most [`super::MAX_REPORTED`].
    pub foreign: Vec<ForeignFolder>,
    /// All of them, counted.
    pub foreign_total: u64,
    /// Folders that are not CloudTrail's, with how often they were met.
    pub unknown: BTreeMap<String, u64>,
    /// Prefixes that could not be walked, with class and message; at most [`super::MAX_REPORTED`].
    pub failed: Vec<(String, ErrorKind, String)>,
    /// All of them, counted.
    pub failed_total: u64,
    /// Not all streams fit.
    pub is_cut: bool,
}

impl Health {
    /// The streams in trouble.
    pub fn troubles(&self) -> BTreeMap<StreamKey, Trouble> {
        self.state().troubles.clone()
    }

    /// How many streams are in trouble.
    pub fn troubled(&self) -> usize {
        self.state().troubles.len()
    }

    /// What the last walk has shown.
    pub fn walk(&self) -> WalkHealth {
        self.state().walk.clone()
    }

    /// A stream failed; `again` is told how often in a row, and says when it is tried again.
    pub(super) fn failed(
        &self,
        stream: &StreamKey,
        kind: Option<ErrorKind>,
        message: String,
        now: i64,
        again: impl FnOnce(u32) -> i64,
    ) -> i64 {
        let mut state = self.state();
        let before = state.troubles.get(stream);
        let (since, failures) = before.map_or((now, 1), |t| (t.since, t.failures.saturating_add(1)));
        let message: String = message.chars().take(500).collect();
        if failures == 1 {
            tracing::warn!(stream = stream.prefix, bucket = &*stream.bucket, error = message, "cannot list");
        }
        let again = again(failures);
        state.troubles.insert(stream.clone(), Trouble { kind, message, since, failures, again });
        again
    }

    /// A stream was listed.
    pub(super) fn recovered(&self, stream: &StreamKey) {
        if let Some(trouble) = self.state().troubles.remove(stream) {
            let failures = trouble.failures;
            tracing::info!(stream = stream.prefix, bucket = &*stream.bucket, failures, "can be listed again");
        }
    }

    /// A walk came to its end.
    pub(super) fn walked(&self, bucket: &TrailBucket, streams: usize, walk: &Walk) {
        /// Folders whose trouble is logged one by one.
        const TOLD: usize = 20;
        let failed = |f: &FailedPrefix| (f.prefix.clone(), f.error.kind(), f.error.to_string());
        let new = WalkHealth {
            streams,
            foreign: walk.findings.clone(),
            foreign_total: walk.findings_total,
            unknown: walk.unknown.clone(),
            failed: walk.failures.iter().map(failed).collect(),
            failed_total: walk.failures_total,
            is_cut: walk.is_cut,
        };
        let mut state = self.state();
        if state.walk != new {
            let (url, prefix) = (bucket.store.url(), bucket.prefix.as_str());
            let (foreign, failed, unknown) = (new.foreign_total, new.failed_total, new.unknown.len());
            for (prefix, _, error) in new.failed.iter().filter(|f| !state.walk.failed.contains(f)).take(TOLD)
            {
                tracing::warn!(url, prefix, error, "cannot list a folder; it is tried again");
            }
            if foreign + failed > 0 || new.is_cut {
                let cut = new.is_cut;
                tracing::warn!(url, prefix, streams, foreign, failed, unknown, cut, "walked the bucket");
            } else {
                tracing::info!(url, prefix, streams, unknown, "walked the bucket");
            }
            state.walk = new;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
