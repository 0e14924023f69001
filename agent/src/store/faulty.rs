//! A store that fails on purpose, for crash and fault tests. Wraps any other.
//!
//! In: a store, [`Steps`] and [`Faults`]. Out: the same store, with trouble. Two kinds of trouble:
//!
//! * *Crashes*: durable steps (put, begin, part, seal, complete, abort; a ledger counts its transactions with
//!   the same [`Steps`]) are counted, and at a chosen one everything freezes for ever, before or after that
//!   step took effect. What a real crash leaves behind is then in the wrapped store.
//! * *Faults*: a share of calls fails. Whether a call does is a function of the seed, the operation, the key
//!   and how often that was called before: independent of the order in which tasks run, so a seed repeats.
//!
//! With no faults and no freeze it behaves exactly like what it wraps.

mod body;
mod draw;
mod steps;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;

use self::body::CutBody;
use self::draw::Draws;
pub use self::draw::Faults;
pub use self::steps::{Frozen, Step, Steps, When};
use super::keys;
use super::{
    Allowance, ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ObjectMeta, ObjectStore, Part,
    PutOptions, StoreError, UploadRef, VersionPage, VersionRequest,
};

/// A store with trouble.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    steps: Arc<Steps>,
    faults: RwLock<Faults>,
    draws: Draws,
}

impl FaultyStore {
    /// Wraps a store. Give the same `steps` to everything that shall freeze together.
    pub fn new(inner: Arc<dyn ObjectStore>, steps: Arc<Steps>, faults: Faults) -> Self {
        let draws = Draws::new(faults.seed);
        Self { inner, steps, faults: RwLock::new(faults), draws }
    }

    /// Changes the faults from now on; the seed stays the first one.
    pub fn set(&self, faults: Faults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// The faults of a key.
    fn faults(&self, key: &str) -> Faults {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        if key.starts_with(&faults.under) { faults.clone() } else { Faults::default() }
    }

    fn error(&self, kind: ErrorKind, operation: &'static str, key: &str, why: &str) -> StoreError {
        StoreError::new(kind, operation, format!("{}/{key}", self.inner.url()), why)
    }

    fn frozen(&self, operation: &'static str, key: &str) -> StoreError {
        self.error(ErrorKind::Other, operation, key, "frozen by the test").caused_by(Frozen)
    }

    /// A call that changes nothing.
    async fn read<T>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fault = self.before(operation, key).await?;
        let value = call.await?;
        if self.steps.is_frozen() {
            return Err(self.frozen(operation, key));
        }
        if fault { Err(self.lost(operation, key)) } else { Ok(value) }
    }

    /// A durable step.
    async fn write<T>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fault = self.before(operation, key).await?;
        let faults = self.faults(key);
        if faults.full {
            return Err(self.error(ErrorKind::Full, operation, key, "no room, says the test"));
        }
        if faults.denied {
            return Err(self.error(ErrorKind::Denied, operation, key, "not allowed, says the test"));
        }
        let step = self.steps.begin().map_err(|Frozen| self.frozen(operation, key))?;
        let value = call.await;
        step.end().map_err(|Frozen| self.frozen(operation, key))?;
        if fault { value.and(Err(self.lost(operation, key))) } else { value }
    }

    /// What happens before a call: freeze, delay, and errors without effect. Whether the answer to come
    /// shall be lost.
    async fn before(&self, operation: &'static str, key: &str) -> Result<bool, StoreError> {
        if self.steps.is_frozen() {
            return Err(self.frozen(operation, key));
        }
        let faults = self.faults(key);
        let mut draw = self.draws.next(operation, key);
        if let Some(delay) = draw.delay(&faults.delay) {
            tokio::time::sleep(delay).await;
        }
        if draw.hits(faults.throttled) {
            return Err(self.error(ErrorKind::Throttled, operation, key, "slow down, says the test"));
        }
        if draw.hits(faults.conflict) {
            return Err(self.error(ErrorKind::Conflict, operation, key, "a conflict, says the test"));
        }
        if draw.hits(faults.unavailable) {
            return Err(self.error(ErrorKind::Unavailable, operation, key, "no connection, says the test"));
        }
        Ok(draw.hits(faults.lost_answers))
    }

    fn lost(&self, operation: &'static str, key: &str) -> StoreError {
        self.error(ErrorKind::Unavailable, operation, key, "the answer was lost, says the test")
    }

    fn vanished(&self, key: &str) -> bool {
        self.draws.of_key("vanish", key).hits(self.faults(key).vanished)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn allowance(&self) -> Allowance {
        self.inner.allowance()
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.read("list objects", &request.prefix, self.inner.list(request)).await
    }

    async fn list_versions(&self, request: &VersionRequest) -> Result<VersionPage, StoreError> {
        self.read("list versions", &request.prefix, self.inner.list_versions(request)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let meta = self.read("look at object", key, self.inner.head(key)).await?;
        Ok(meta.filter(|_| !self.vanished(key)))
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        const OPERATION: &str = "read object";
        let range = options.range.clone();
        let GetObject { meta, body } = self.read(OPERATION, key, self.inner.get(key, options)).await?;
        if self.faults(key).unreadable {
            return Err(self.error(ErrorKind::Denied, OPERATION, key, "not allowed, says the test"));
        }
        if self.vanished(key) {
            return Err(self.error(ErrorKind::NotFound, OPERATION, key, "gone, says the test"));
        }
        let mut draw = self.draws.next("cut body", key);
        if !draw.hits(self.faults(key).truncated) {
            return Ok(GetObject { meta, body });
        }
        let range = keys::clamp(range, meta.size).unwrap_or_default();
        let left = draw.below(range.end - range.start);
        let error =
            draw.hits(500).then(|| self.error(ErrorKind::Unavailable, OPERATION, key, "cut, says the test"));
        Ok(GetObject { meta, body: Box::new(CutBody::new(body, left, error)) })
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        self.write("write object", key, self.inner.put(key, body, options)).await
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        self.write("begin upload", key, self.inner.begin_upload(key, options)).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        self.write("put part", key, self.inner.put_part(key, upload, number, body)).await
    }

    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.write("seal upload", key, self.inner.seal_upload(key, upload, parts)).await
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.write("complete upload", key, self.inner.complete_upload(key, upload, parts)).await
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        self.read("compare object", key, self.inner.holds(key, parts)).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.write("abort upload", key, self.inner.abort_upload(key, upload)).await
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        self.read("list uploads", prefix, self.inner.list_uploads(prefix, limit)).await
    }
}

#[cfg(test)]
mod tests;
