//! A store that is asked no faster than it likes, and that knows when it refuses to be read.
//!
//! In: any store. Out: the same, with two things besides. *Pace*: after a [`ErrorKind::Throttled`] answer fewer requests
//! begin per second, of all callers together ([`Pacer`]); a request that would wait too long is itself answered with
//! `Throttled`, unsent. *Refusals*: after [`IN_A_ROW`] reads in a row were denied, [`ObjectStore::allowance`] is 0 and
//! then 1, after a pause that doubles up to [`LONGEST_PAUSE`], until a read gets through: so that a role or policy that
//! was mended is noticed within half a minute, and one that was not costs a request every half a minute. Denied reads
//! among others that succeed are those objects' own affair. Both are told in the log when they begin and when they end.
//!
//! One of these stands in front of each bucket, so whatever happens to one bucket slows that bucket alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Allowance, ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ObjectMeta, ObjectStore, Part,
    PutOptions, StoreError, UploadRef, VersionPage, VersionRequest,
};
use crate::runtime::Pacer;

/// So many denied reads in a row are the bucket's own trouble.
const IN_A_ROW: u32 = 4;

/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two reads of a bucket that refuses them.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// For how long ahead a batch may take objects of a bucket that is paced: so long may the others of the batch wait.
const AHEAD: Duration = Duration::from_secs(2);

/// A paced store.
#[derive(Debug)]
pub struct PacedStore {
    inner: Arc<dyn ObjectStore>,
    pacer: Pacer,
    refusals: Mutex<Refusals>,
}

/// Denied reads since one was answered otherwise.
#[derive(Debug, Default)]
struct Refusals {
    in_a_row: u32,
    /// When the bucket may be tried again, if it refuses.
    until: Option<Instant>,
    pause: Duration,
}

impl PacedStore {
    /// Stands in front of this store.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, pacer: Pacer::default(), refusals: Mutex::default() }
    }

    /// Makes a call when it is its turn, and hears what the answer says of the pace.
    async fn paced<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if let Err(wait) = self.pacer.turn().await {
            let message = format!(
                "not sent: the bucket asks for fewer requests, and this one would have to wait {} s",
                wait.as_secs()
            );
            return Err(StoreError::new(ErrorKind::Throttled, operation, self.inner.url(), message));
        }
        let answer = call.await;
        match &answer {
            Err(error) if error.kind() == ErrorKind::Throttled => {
                if let Some(rate) = self.pacer.throttled() {
                    tracing::info!(
                        bucket = self.inner.url(),
                        per_second = rate,
                        "slow down: the bucket throttles"
                    );
                }
            }
            // Nobody knows what an answer that never came would have said.
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            _ => {
                if self.pacer.answered() {
                    tracing::info!(bucket = self.inner.url(), "ask the bucket at any rate again");
                }
            }
        }
        answer
    }

    /// Notes whether a read was denied.
    fn read<T>(&self, answer: &Result<T, StoreError>) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(error) if error.kind() == ErrorKind::Denied => {
                refusals.in_a_row = refusals.in_a_row.saturating_add(1);
                if refusals.in_a_row < IN_A_ROW || refusals.until.is_some_and(|until| Instant::now() < until)
                {
                    return;
                }
                if refusals.until.is_none() {
                    tracing::warn!(%error, "a bucket refuses to be read; it is tried again within half a minute");
                }
                refusals.pause = (refusals.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
                refusals.until = Some(Instant::now() + refusals.pause);
            }
            // Throttled, broken off: these say nothing about permissions.
            Err(error) if error.is_retryable() => {}
            _ => {
                if refusals.until.is_some() {
                    tracing::info!(bucket = self.inner.url(), "the bucket can be read again");
                }
                *refusals = Refusals::default();
            }
        }
    }
}

#[async_trait]
impl ObjectStore for PacedStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn allowance(&self) -> Allowance {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let refuses = refusals.until.is_some();
        let probes = match refusals.until {
            None => usize::MAX,
            Some(until) => usize::from(Instant::now() >= until),
        };
        Allowance { requests: self.pacer.allowance(AHEAD), probes, refuses }
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.paced("list objects", self.inner.list(request)).await
    }

    async fn list_versions(&self, request: &VersionRequest) -> Result<VersionPage, StoreError> {
        self.paced("list versions", self.inner.list_versions(request)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.paced("look at object", self.inner.head(key)).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        let answer = self.paced("read object", self.inner.get(key, options)).await;
        self.read(&answer);
        answer
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        self.paced("write object", self.inner.put(key, body, options)).await
    }

    fn part_size(&self) -> usize {
        self.inner.part_size()
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        self.paced("begin upload", self.inner.begin_upload(key, options)).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        self.paced("upload part", self.inner.put_part(key, upload, number, body)).await
    }

    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.inner.seal_upload(key, upload, parts).await
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.paced("complete upload", self.inner.complete_upload(key, upload, parts)).await
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        self.paced("compare object", self.inner.holds(key, parts)).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.paced("abort upload", self.inner.abort_upload(key, upload)).await
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        self.paced("list uploads", self.inner.list_uploads(prefix, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Faults, FaultyStore, MemoryStore, Steps, conformance};

    struct Bench {
        faulty: Arc<FaultyStore>,
        paced: PacedStore,
    }

    async fn bench() -> Bench {
        let memory = MemoryStore::new("paced");
        memory.put("object", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
        let faulty = Arc::new(FaultyStore::new(Arc::new(memory), Steps::new(), Faults::default()));
        Bench { paced: PacedStore::new(faulty.clone()), faulty }
    }

    impl Bench {
        async fn get(&self) -> Option<ErrorKind> {
            self.paced.get("object", GetOptions::default()).await.err().map(|error| error.kind())
        }
    }

    #[tokio::test]
    async fn it_is_the_store_that_it_stands_in_front_of() {
        let memory = Arc::new(MemoryStore::new("paced"));
        conformance::check(&PacedStore::new(memory), "").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_throttles_is_asked_rarely_and_comes_back() {
        let bench = bench().await;
        assert_eq!(bench.paced.allowance(), Allowance::default());
        bench.faulty.set(Faults { throttled: 1_000, ..Faults::default() });
        assert_eq!(bench.get().await, Some(ErrorKind::Throttled));
        let allowed = bench.paced.allowance();
        assert!((1..=4).contains(&allowed.requests) && !allowed.refuses, "{allowed:?}");
        let began = Instant::now();
        let many = futures::future::join_all((0..200).map(|_| bench.get())).await;
        assert!(many.iter().all(|kind| *kind == Some(ErrorKind::Throttled)));
        assert!(began.elapsed() <= 2 * crate::runtime::LONGEST_WAIT, "nobody waits for long");
        bench.faulty.set(Faults::default());
        tokio::time::sleep(Duration::from_secs(5)).await;
        for _ in 0..2_000 {
            assert_eq!(bench.get().await, None);
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_refuses_is_tried_again_within_half_a_minute() {
        let bench = bench().await;
        bench.faulty.set(Faults { unreadable: true, ..Faults::default() });
        for _ in 0..IN_A_ROW {
            assert!(!bench.paced.allowance().refuses);
            assert_eq!(bench.get().await, Some(ErrorKind::Denied));
        }
        let mut tries = 0;
        for _ in 0..3_600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let allowed = bench.paced.allowance();
            assert!(allowed.refuses && allowed.probes <= 1);
            if allowed.probes == 1 {
                tries += 1;
                assert_eq!(bench.get().await, Some(ErrorKind::Denied));
            }
        }
        assert!((115..130).contains(&tries), "{tries} tries in an hour");
        bench.faulty.set(Faults::default());
        tokio::time::sleep(LONGEST_PAUSE).await;
        assert_eq!(bench.paced.allowance().probes, 1);
        assert_eq!(bench.get().await, None);
        assert_eq!(bench.paced.allowance(), Allowance::default());
    }

    #[tokio::test(start_paused = true)]
    async fn denied_objects_among_others_are_their_own_affair() {
        let bench = bench().await;
        for round in 0..50 {
            bench.faulty.set(Faults { unreadable: round % 3 > 0, ..Faults::default() });
            bench.get().await;
            assert!(!bench.paced.allowance().refuses);
        }
    }
}
