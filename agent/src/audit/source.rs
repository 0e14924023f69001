//! Where digests and logs are read from.
//!
//! In: stores, each with the name of the bucket that it stands for. Out: small objects whole, logs hashed
//! piece by piece. A live bucket must hold what says that it belongs there; a copy may hold objects of any
//! bucket, under their original keys below a prefix of its own. Failure: a [`ReadFailure`] by what it means
//! for the object. Reads and listings are retried by the one policy.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{AccountId, ObjectRef, OrganizationId};
use trailhaul_core::verify::{LogContent, LogHasher, PairHasher};

use crate::config::Carries;
use crate::runtime::{CpuPool, RetryPolicy};
use crate::store::{
    ListPage, ListRequest, Metadata, ObjectMeta, ObjectReader, ObjectStore, ReadError, StoreError,
    VersionPage, VersionRequest,
};

/// What a store is to the objects in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// CloudTrail's own bucket.
    Live,
    /// A copy: the bucket names in the digests are those of the originals.
    Copy,
}

/// Why an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFailure {
    /// There is no such object.
    Missing,
    /// Not allowed.
    Denied,
    /// In a cold storage class.
    Archived,
    /// Anything else, with the reason.
    Other(String),
}

impl ReadFailure {
    fn of(error: &ReadError) -> Self {
        match error {
            ReadError::Vanished(_) => Self::Missing,
            ReadError::Denied(_) => Self::Denied,
            ReadError::Archived(_) => Self::Archived,
            other => {
                let mut text = other.to_string();
                let mut cause = std::error::Error::source(other);
                while let Some(error) = cause {
                    text = format!("{text}: {error}");
                    cause = error.source();
                }
                Self::Other(text)
            }
        }
    }
}

/// No store is known for a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bucket {0} is not among those to read")]
pub struct OpenError(pub String);

/// One bucket to read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is read.
    pub store: Arc<dyn ObjectStore>,
    /// The bucket's name.
    pub bucket: String,
    /// Live or a copy.
    pub outlook: Outlook,
    /// Look below these prefixes only; an empty one for the whole bucket.
    pub prefixes: Vec<String>,
    /// For whom the bucket may speak; anybody where nothing is given.
    pub carries: Vec<Carries>,
}

impl Source {
    /// A whole bucket that may speak for anybody.
    pub fn whole(store: Arc<dyn ObjectStore>, bucket: &str, outlook: Outlook) -> Self {
        let (bucket, prefixes) = (bucket.to_owned(), vec![String::new()]);
        Self { store, bucket, outlook, prefixes, carries: Vec::new() }
    }

    /// Whether it lies on this machine, so that reading is a matter of system calls.
    pub(super) fn is_local(&self) -> bool {
        self.store.local().is_some()
    }

    /// Whether the bucket may hold logs of this account, below this organization's folder or below none.
    pub fn may_carry(&self, organization: Option<&OrganizationId>, account: AccountId) -> bool {
        self.carries.is_empty() || self.carries.iter().any(|carries| carries.includes(organization, account))
    }
}

/// Stored bytes that are hashed where they arrive: below it, handing them to another thread costs more than the
/// work. They inflate to some hundred kilobytes, which is well under a millisecond.
const INLINE: usize = 16 * 1024;

/// The buckets to read, and how.
#[derive(Debug, Clone)]
pub struct Sources {
    by_bucket: BTreeMap<String, Source>,
    cpu: Arc<CpuPool>,
    retry: RetryPolicy,
    cancel: CancellationToken,
}

impl Sources {
    /// No buckets yet. Hashing happens on `cpu`; reading is retried by `retry` and ended by `cancel`.
    pub fn new(cpu: Arc<CpuPool>, retry: RetryPolicy, cancel: CancellationToken) -> Self {
        Self { by_bucket: BTreeMap::new(), cpu, retry, cancel }
    }

    /// Adds a bucket.
    pub fn add(&mut self, source: Source) {
        self.by_bucket.insert(source.bucket.clone(), source);
    }

    /// Every bucket.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.by_bucket.values()
    }

    /// The store for a bucket: its own; else, from within a copy, the copy itself, which may hold the objects
    /// of several buckets.
    pub fn resolve<'a>(&'a self, from: &'a Source, bucket: &str) -> Result<&'a Source, OpenError> {
        match (self.by_bucket.get(bucket), from.outlook) {
            (Some(source), _) => Ok(source),
            (None, Outlook::Copy) => Ok(from),
            (None, Outlook::Live) => Err(OpenError(bucket.to_owned())),
        }
    }

    /// The CPU pool for work beside reading.
    pub fn cpu(&self) -> &CpuPool {
        &self.cpu
    }

    /// One page of a listing.
    pub(super) async fn list(&self, source: &Source, request: &ListRequest) -> Result<ListPage, StoreError> {
        let listed = self.retry.run(&self.cancel, || source.store.list(request)).await;
        listed.map_err(|gave_up| gave_up.error)
    }

    /// One page of a listing of versions.
    pub(super) async fn list_versions(
        &self,
        source: &Source,
        request: &VersionRequest,
    ) -> Result<VersionPage, StoreError> {
        let listed = self.retry.run(&self.cancel, || source.store.list_versions(request)).await;
        listed.map_err(|gave_up| gave_up.error)
    }

    /// Reads an object of at most `cap` stored bytes.
    pub async fn read(
        &self,
        source: &Source,
        key: &str,
        cap: u64,
    ) -> Result<(ObjectMeta, Bytes), ReadFailure> {
        self.reader(source, key).read_to_end(cap).await.map_err(|error| ReadFailure::of(&error))
    }

    /// Hashes a log file of at most `cap` inflated bytes. Also tells its stored size.
    pub async fn hash(&self, source: &Source, key: &str, cap: u64) -> Result<(LogContent, u64), ReadFailure> {
        let mut reader = self.reader(source, key);
        let mut hasher = LogHasher::new(cap);
        let mut stored = 0;
        while let Some(piece) = reader.next().await.map_err(|error| ReadFailure::of(&error))? {
            stored += piece.len() as u64;
            if piece.len() <= INLINE {
                hasher.push(&piece);
                continue;
            }
            let hashed = self.cpu.run(move || {
                hasher.push(&piece);
                hasher
            });
            hasher = hashed.await.map_err(|error| ReadFailure::Other(error.to_string()))?;
            if hasher.is_over() {
                break;
            }
        }
        Ok((hasher.finish(), stored))
    }

    /// Hashes log files of folders on one thread, which costs less than handing each from thread to thread; small
    /// ones two at a time, where the processor can. `None` for each that could not be read at the first try, or lies
    /// in no folder: then [`Sources::hash`] says why, or reads it.
    pub(super) async fn hash_here(files: Vec<LocalFile>, cap: u64) -> Vec<Option<(LogContent, u64)>> {
        let hash = move || {
            let mut here =
                Here { hasher: LogHasher::new(cap), pair: PairHasher::new(cap), buffer: Vec::new() };
            let mut hashed = Vec::with_capacity(files.len());
            for two in files.chunks(2) {
                match (two, here.two(two)) {
                    (_, Some(both)) => hashed.extend(both.map(Some)),
                    (files, None) => hashed.extend(files.iter().map(|file| here.one(file))),
                }
            }
            hashed
        };
        tokio::task::spawn_blocking(hash).await.unwrap_or_default()
    }

    /// Reads an object of a folder whole, at most `cap` stored bytes, and works on it, all on one thread. `None`
    /// where that cannot be done at the first try: then [`Sources::read`] says why, or reads it.
    pub(super) async fn with_object<T: Send + 'static>(
        &self,
        source: &Source,
        key: &str,
        cap: u64,
        work: impl FnOnce(&Metadata, &[u8]) -> T + Send + 'static,
    ) -> Option<T> {
        source.store.local()?;
        let (store, key) = (Arc::clone(&source.store), key.to_owned());
        let read = move || {
            let files = store.local()?;
            let metadata = files.metadata(&key).ok()?;
            let (mut bytes, mut fits) = (Vec::new(), true);
            let read = files.read(&key, &mut Vec::new(), &mut |piece| {
                fits = bytes.len() as u64 + piece.len() as u64 <= cap;
                if !fits {
                    return ControlFlow::Break(());
                }
                bytes.extend_from_slice(piece);
                ControlFlow::Continue(())
            });
            read.ok().filter(|_| fits)?;
            Some(work(&metadata, &bytes))
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    fn reader(&self, source: &Source, key: &str) -> ObjectReader {
        // No ETag and no version: whatever stands under the key now is what is to be judged.
        let object = ObjectRef {
            bucket: source.store.url().into(),
            key: key.to_owned(),
            etag: String::new(),
            version: None,
            size: 0,
        };
        ObjectReader::new(Arc::clone(&source.store), &object, self.retry, self.cancel.clone())
    }
}

/// A file by its folder and key.
pub(super) type LocalFile = (Arc<dyn ObjectStore>, String);

/// The most stored bytes of a file that is hashed with another, because both are in memory for it.
const SMALL: usize = 512 * 1024;

/// Hashes files on this thread.
struct Here {
    hasher: LogHasher,
    pair: Option<PairHasher>,
    buffer: Vec<u8>,
}

impl Here {
    fn one(&mut self, (store, key): &LocalFile) -> Option<(LogContent, u64)> {
        let Self { hasher, buffer, .. } = self;
        let read = store.local()?.read(key, buffer, &mut |piece| {
            hasher.push(piece);
            if hasher.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // Also after a failure, so that the next file is hashed by itself.
        let content = hasher.finish();
        Some((content, read.ok()?))
    }

    /// Two small files as CloudTrail writes them; `None` where they are not.
    fn two(&mut self, files: &[LocalFile]) -> Option<[(LogContent, u64); 2]> {
        let Self { pair, buffer, .. } = self;
        let ([one, two], Some(pair)) = (files, pair) else { return None };
        let one = whole(one, buffer)?;
        let two = whole(two, buffer)?;
        let [first, second] = pair.hash([&one, &two]);
        Some([(first, one.len() as u64), (second, two.len() as u64)])
    }
}

/// The stored bytes of a small file that the pair hasher takes.
fn whole((store, key): &LocalFile, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (mut bytes, mut fits) = (Vec::new(), true);
    let read = store.local()?.read(key, buffer, &mut |piece| {
        fits = bytes.len() + piece.len() <= SMALL && (!bytes.is_empty() || PairHasher::takes(piece));
        if !fits {
            return ControlFlow::Break(());
        }
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    });
    (read.is_ok() && fits && !bytes.is_empty()).then_some(bytes)
}
