//! Comparing objects with the hash that a proven digest expects, before anything of them is delivered.
//!
//! In: the objects of a batch, in `hold`. Out: those to be hauled, each with what is to be compared, and those whose
//! content is another. Invariant: what is compared is what is delivered: both readings are under one ETag. Failure:
//! an object that cannot be read is set aside.
//!
//! Small objects (at most one piece of a fetch, 256 KiB, which is in memory anyway) are compared in the batch; larger
//! ones are read twice, the first time for their hash alone, with constant memory.

use std::collections::HashMap;

use trailhaul_core::model::{ObjectEntry, ObjectRef};
use trailhaul_core::verify::{Class, LogContent, LogHasher, LogOutcome, Sha256};

use super::fetch::Fetcher;
use crate::runtime::{CpuError, CpuPool};
use crate::store::{MAX_PIECE, ReadError};

/// What a digest expects of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This hash: still to be compared.
    Hash(Sha256),
    /// Compared already, by a reading of its own: it is this, as it should be.
    Met(Sha256),
}

/// What digests expect of a batch's objects; bounded by the batch.
pub type Expectations = HashMap<ObjectRef, Expectation>;

/// An object whose content is not what its proven digest says.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// The object.
    pub object: ObjectRef,
    /// What the digest says.
    pub expected: Sha256,
    /// What it is.
    pub content: LogContent,
}

/// Whether an object is small enough to be compared in memory.
pub(super) fn is_small(object: &ObjectRef) -> bool {
    object.size <= MAX_PIECE as u64
}

/// The first object of a batch whose content was another when it was hauled than when it was compared, a moment
/// before and under the same ETag.
pub(super) fn changed<'a>(
    entries: impl IntoIterator<Item = &'a ObjectEntry>,
    expected: &Expectations,
) -> Option<&'a ObjectRef> {
    let is_other = |entry: &&ObjectEntry| match (expected.get(&entry.object), &entry.sha256) {
        (Some(Expectation::Met(hash)), Some(found)) => *found != hash.to_string(),
        // What has no hash was cut short by a limit, or has an odd container, both times.
        _ => false,
    };
    entries.into_iter().find(is_other).map(|entry| &entry.object)
}

/// Whether this content is the expected one. A copy that is stored inflated counts: its bytes are the digested ones.
pub(super) fn matches(content: &LogContent, expected: Sha256) -> bool {
    LogOutcome::of(content, expected).class() == Class::Good
}

/// The content of bytes that are in memory, at most `cap` of it inflated.
pub(super) fn content_of(bytes: &[u8], cap: u64) -> LogContent {
    let mut hasher = LogHasher::new(cap);
    hasher.push(bytes);
    hasher.finish()
}

/// Why an object has no hash.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unhashed {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The CPU pool is gone.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

/// Reads an object for its hash alone, at most `cap` of it inflated. Inflates on the CPU pool, like all that a
/// stranger's bytes can make long.
pub(super) async fn read_content(
    fetcher: &Fetcher,
    cpu: &CpuPool,
    object: &ObjectRef,
    cap: u64,
) -> Result<LogContent, Unhashed> {
    let mut reader = fetcher.open(object).await?;
    let mut hasher = LogHasher::new(cap);
    while !hasher.is_over()
        && let Some(piece) = reader.next().await?
    {
        hasher = cpu
            .run(move || {
                hasher.push(&piece);
                hasher
            })
            .await?;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::haul::{Places, StoreOpener};
    use crate::runtime::RetryPolicy;
    use crate::store::{MemoryStore, ObjectStore, PutOptions, StoreError};

    struct Only(Arc<MemoryStore>);

    #[async_trait::async_trait]
    impl StoreOpener for Only {
        async fn open(&self, _: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
            Ok(Arc::clone(&self.0) as Arc<dyn ObjectStore>)
        }
    }

    #[tokio::test]
    async fn a_large_object_is_compared_by_its_hash_alone() {
        let digests = (0..40_000_u32).map(|n| Sha256::of(&n.to_be_bytes()).0);
        let text: Vec<u8> = digests.flatten().collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let stored = gzip.finish().unwrap();
        let store = Arc::new(MemoryStore::new("bucket"));
        let meta = store.put("key", stored.into(), &PutOptions::default()).await.unwrap();
        let object = ObjectRef {
            bucket: "memory://bucket".into(),
            key: "key".into(),
            etag: meta.etag,
            version: None,
            size: meta.size,
        };
        assert!(!is_small(&object), "{} bytes", object.size);
        let ms = Duration::from_millis;
        let fetcher = Fetcher {
            places: Arc::new(Places::new(Box::new(Only(store)))),
            policy: RetryPolicy::new(ms(1), ms(2), 2.0, 2, Duration::from_secs(60)).unwrap(),
            gives_way: false,
            stop: CancellationToken::new(),
        };
        let cpu = CpuPool::new(1, 2).unwrap();
        let content = read_content(&fetcher, &cpu, &object, u64::MAX).await.unwrap();
        assert_eq!(content.inflated, text.len() as u64);
        assert!(matches(&content, Sha256::of(&text)) && !matches(&content, Sha256::of(b"another")));
        // Beyond the cap nothing is vouched for.
        let capped = read_content(&fetcher, &cpu, &object, 1_000).await.unwrap();
        assert!(!matches(&capped, Sha256::of(&text)));
        let gone = ObjectRef { key: "gone".into(), ..object };
        assert!(matches!(read_content(&fetcher, &cpu, &gone, u64::MAX).await, Err(Unhashed::Read(_))));
        cpu.stop().await;
    }
}
