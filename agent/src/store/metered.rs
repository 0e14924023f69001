//! A store whose calls are counted: how many, how many failed and why, how many were made again.
//!
//! In: any store. Out: the same, and additions to the metrics. A call *again* is one with the operation and the name of
//! one that failed in a way that may pass. Cost: one atomic addition per call; failures take a lock. Failure: none of
//! its own. Bounded: [`MOST`] failed calls are remembered, then anew.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Allowance, ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ObjectMeta, ObjectStore, Part,
    PutOptions, StoreError, UploadRef, VersionPage, VersionRequest,
};
use crate::telemetry::{Metric, Registry, Series};

/// Failed calls that are remembered until they are made again, 8 bytes each.
const MOST: usize = 4_096;

macro_rules! calls {
    ($($call:ident = $label:literal,)+) => {
        /// The operations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        enum Call { $($call,)+ }

        /// The operations as labels, in the order of [`Call`].
        const LABELS: &[&str] = &[$($label,)+];
    };
}

calls! {
    List = "list",
    ListVersions = "list_versions",
    Head = "head",
    Get = "get",
    Put = "put",
    BeginUpload = "begin_upload",
    PutPart = "put_part",
    SealUpload = "seal_upload",
    CompleteUpload = "complete_upload",
    Compare = "compare",
    AbortUpload = "abort_upload",
    ListUploads = "list_uploads",
}

impl Call {
    fn label(self) -> &'static str {
        LABELS.get(self as usize).copied().unwrap_or("other")
    }
}

/// What somebody waits for in vain, or has to mend: shown with 0 from the beginning, so that the first is an increase.
const WATCHED: [ErrorKind; 3] = [ErrorKind::Denied, ErrorKind::Throttled, ErrorKind::Unavailable];

/// What is counted of all stores of a process.
#[derive(Debug)]
pub struct StoreMeters {
    registry: Arc<Registry>,
    calls: Vec<Series>,
    again: Vec<Series>,
    failed: Mutex<HashSet<u64>>,
    /// How many `failed` has: nothing is looked up while nothing has failed.
    open: AtomicUsize,
    hasher: RandomState,
}

impl StoreMeters {
    /// Counts here.
    pub fn new(registry: Arc<Registry>) -> Arc<Self> {
        for operation in LABELS {
            for kind in WATCHED {
                registry.series(Metric::StoreErrors, &[operation, kind.label()]);
            }
        }
        let all = |metric| LABELS.iter().map(|operation| registry.series(metric, &[operation])).collect();
        let (calls, again) = (all(Metric::StoreCalls), all(Metric::Retries));
        let (failed, open, hasher) = (Mutex::default(), AtomicUsize::new(0), RandomState::new());
        Arc::new(Self { registry, calls, again, failed, open, hasher })
    }

    fn begins(&self, call: Call, name: (&str, &str, &str)) {
        if let Some(calls) = self.calls.get(call as usize) {
            calls.add(1);
        }
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let again = failed.remove(&self.hasher.hash_one((call, name)));
        self.open.store(failed.len(), Ordering::Relaxed);
        if let Some(series) = self.again.get(call as usize).filter(|_| again) {
            series.add(1);
        }
    }

    fn failed(&self, call: Call, name: (&str, &str, &str), error: &StoreError) {
        self.registry.series(Metric::StoreErrors, &[call.label(), error.kind().label()]).add(1);
        if !error.is_retryable() {
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MOST {
            failed.clear();
        }
        failed.insert(self.hasher.hash_one((call, name)));
        self.open.store(failed.len(), Ordering::Relaxed);
    }
}

/// A store whose calls are counted.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meters: Arc<StoreMeters>,
}

impl MeteredStore {
    /// Counts the calls of this store.
    pub fn new(inner: Arc<dyn ObjectStore>, meters: Arc<StoreMeters>) -> Self {
        Self { inner, meters }
    }

    /// Makes a call and counts it. `key` and `part` name what it is about.
    async fn counted<T>(
        &self,
        call: Call,
        (key, part): (&str, &str),
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let name = (self.inner.url(), key, part);
        self.meters.begins(call, name);
        let answer = answer.await;
        if let Err(error) = &answer {
            self.meters.failed(call, name, error);
        }
        answer
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn allowance(&self) -> Allowance {
        self.inner.allowance()
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let after = request.continuation.as_deref().or(request.start_after.as_deref()).unwrap_or_default();
        self.counted(Call::List, (&request.prefix, after), self.inner.list(request)).await
    }

    async fn list_versions(&self, request: &VersionRequest) -> Result<VersionPage, StoreError> {
        let after = request.after.as_ref().map_or("", |after| after.key.as_str());
        self.counted(Call::ListVersions, (&request.prefix, after), self.inner.list_versions(request)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.counted(Call::Head, (key, ""), self.inner.head(key)).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        self.counted(Call::Get, (key, ""), self.inner.get(key, options)).await
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        self.counted(Call::Put, (key, ""), self.inner.put(key, body, options)).await
    }

    fn part_size(&self) -> usize {
        self.inner.part_size()
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        self.counted(Call::BeginUpload, (key, ""), self.inner.begin_upload(key, options)).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        self.counted(Call::PutPart, (key, upload), self.inner.put_part(key, upload, number, body)).await
    }

    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.counted(Call::SealUpload, (key, upload), self.inner.seal_upload(key, upload, parts)).await
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.counted(Call::CompleteUpload, (key, upload), self.inner.complete_upload(key, upload, parts))
            .await
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        self.counted(Call::Compare, (key, ""), self.inner.holds(key, parts)).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.counted(Call::AbortUpload, (key, upload), self.inner.abort_upload(key, upload)).await
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        self.counted(Call::ListUploads, (prefix, ""), self.inner.list_uploads(prefix, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Faults, FaultyStore, MemoryStore, Steps, conformance};

    fn count(registry: &Registry, metric: Metric, labels: &[&str]) -> u64 {
        registry.series(metric, labels).get()
    }

    #[tokio::test]
    async fn it_is_the_store_that_it_counts() {
        let registry = Arc::new(Registry::new());
        let memory = Arc::new(MemoryStore::new("metered"));
        let meters = StoreMeters::new(Arc::clone(&registry));
        conformance::check(&MeteredStore::new(memory, meters), "").await.unwrap();
        for operation in LABELS {
            assert!(count(&registry, Metric::StoreCalls, &[operation]) > 0, "{operation}");
        }
        assert_eq!(registry.total(Metric::Retries), 0, "what fails for good is not made again");
    }

    #[tokio::test]
    async fn failures_and_what_is_made_again_are_counted() {
        let registry = Arc::new(Registry::new());
        let memory = MemoryStore::new("metered");
        memory.put("one", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
        memory.put("two", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
        let faulty = Arc::new(FaultyStore::new(Arc::new(memory), Steps::new(), Faults::default()));
        let store = MeteredStore::new(faulty.clone(), StoreMeters::new(Arc::clone(&registry)));
        let get = |key: &'static str| store.get(key, GetOptions::default());
        faulty.set(Faults { throttled: 1_000, ..Faults::default() });
        for key in ["one", "one", "two"] {
            assert!(get(key).await.is_err());
        }
        assert_eq!(count(&registry, Metric::StoreErrors, &["get", "throttled"]), 3);
        assert_eq!(count(&registry, Metric::Retries, &["get"]), 1);
        faulty.set(Faults::default());
        for key in ["one", "two", "two"] {
            get(key).await.unwrap();
        }
        assert_eq!(count(&registry, Metric::Retries, &["get"]), 3);
        assert_eq!(count(&registry, Metric::StoreCalls, &["get"]), 6);
        assert_eq!(count(&registry, Metric::StoreErrors, &["get", "denied"]), 0);
        let shown = registry.samples().into_iter().any(|sample| sample.labels == ["head", "denied"]);
        assert!(shown, "what did not happen yet is shown as 0");
    }

    #[tokio::test]
    async fn what_failed_is_not_remembered_without_end() {
        let meters = StoreMeters::new(Arc::default());
        let error = || StoreError::new(ErrorKind::Throttled, "read object", "s3://x", "slow down");
        for number in 0..3 * MOST {
            meters.failed(Call::Get, ("s3://x", &number.to_string(), ""), &error());
            assert!(meters.failed.lock().unwrap().len() <= MOST);
        }
    }
}
