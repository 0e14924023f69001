//! The object store seam.
//!
//! In: keys and bytes. Out: objects, pages and typed errors. Invariants that every implementation keeps, and
//! that the conformance suite checks:
//!
//! * A key becomes visible whole or not at all, and a `create` never replaces what is there.
//! * An upload is invisible until it is completed, survives a crash once it is sealed, and is completed from
//!   its recorded parts alone, by whichever process comes to it.
//! * A key never leads outside the store.
//! * A failed call says whether its effect is known ([`StoreError::outcome_unknown`]).
//!
//! Not here: retries (callers own them, through `runtime::retry`), and what the bytes mean.

#[doc(hidden)]
pub mod conformance;
mod error;
mod faulty;
mod folder;
mod keys;
mod memory;
mod metered;
#[cfg(test)]
mod model;
mod paced;
mod patience;
mod reader;
mod s3;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};

use async_trait::async_trait;
use bytes::Bytes;

pub use error::{ErrorKind, StoreError};
pub use faulty::{Faults, FaultyStore, Frozen, Step, Steps, When};
pub use folder::{FolderStore, PART as FOLDER_PART};
pub use memory::MemoryStore;
pub use metered::{MeteredStore, StoreMeters};
pub use paced::PacedStore;
pub use patience::Patience;
pub use reader::{ObjectReader, ReadError};
pub use s3::{Encryption, Keep, KeepClass, S3Options, S3Store};

/// User metadata of an object: names without the `x-amz-meta-` prefix, lower case.
pub type Metadata = BTreeMap<String, String>;

/// A bucket, real or not.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// The store's URL: `s3://bucket`, `file:///path`, `memory://name`. Never ends in `/`.
    fn url(&self) -> &str;

    /// What this store takes of reads just now; everything, unless something keeps count.
    fn allowance(&self) -> Allowance {
        Allowance::default()
    }

    /// One page of keys in lexicographic (byte) order.
    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError>;

    /// One page of the versions of objects, present and past, and of delete markers. A store that keeps no
    /// versions answers an empty page; a bucket without versioning answers each object as it is. Version ids
    /// are `None` where S3 says `null`.
    async fn list_versions(&self, request: &VersionRequest) -> Result<VersionPage, StoreError> {
        let VersionRequest { .. } = request;
        Ok(VersionPage::default())
    }

    /// What is known of an object without reading it; `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError>;

    /// The same objects as files, where reading one is a matter of system calls and not a request.
    fn local(&self) -> Option<&dyn LocalFiles> {
        None
    }

    /// Reads an object. `if_match` that no longer holds is [`ErrorKind::Changed`].
    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError>;

    /// Writes a small object durably. With `create`, an object that is already there is
    /// [`ErrorKind::AlreadyExists`] and stays as it was.
    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError>;

    /// How many bytes a writer gathers for a part that is not the last. The least that this store takes.
    fn part_size(&self) -> usize {
        MIN_PART
    }

    /// Starts an upload to `key` and returns its id, which names it across processes.
    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError>;

    /// Adds a part. Parts are numbered from 1 and come in order; every part but the last is at least
    /// [`ObjectStore::part_size`] bytes. A repeated call with the same number replaces that part.
    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError>;

    /// Makes what was uploaded so far durable (S3: already so; a folder: fsync). The upload stays invisible.
    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError>;

    /// Makes the upload visible under its key, if nothing is there (`If-None-Match: *`).
    /// [`ErrorKind::NoSuchUpload`] and [`ErrorKind::AlreadyExists`] may mean that an earlier call of ours
    /// succeeded: ask [`ObjectStore::holds`].
    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError>;

    /// Whether the object under `key` is the one made of these parts: right size and right checksum.
    /// `false` also when there is none.
    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError>;

    /// Drops an upload and its parts; one that is not there any more is fine.
    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError>;

    /// The uploads under a key prefix that are neither completed nor aborted, at most `limit` of them.
    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError>;
}

/// Objects that can be read on the calling thread, which blocks for as long as a disk takes: whoever reads
/// thousands of small ones need not hand each from thread to thread.
pub trait LocalFiles {
    /// Reads an object into `sink`, in pieces of at most [`MAX_PIECE`] bytes that pass through `buffer`, until
    /// `sink` breaks off. All pieces are of one version, or the last one does not come. Out: the object's size
    /// in bytes.
    ///
    /// # Errors
    /// As [`ObjectStore::get`] and [`Body::next`].
    fn read(
        &self,
        key: &str,
        buffer: &mut Vec<u8>,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64, StoreError>;

    /// The user metadata of an object.
    ///
    /// # Errors
    /// As [`ObjectStore::get`].
    fn metadata(&self, key: &str) -> Result<Metadata, StoreError>;
}

/// The least size of a part that is not the last, in bytes (S3's limit).
pub const MIN_PART: usize = 5 * 1024 * 1024;

/// What a store takes of reads just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that may begin within some seconds; `usize::MAX` where nobody asked for fewer.
    pub requests: usize,
    /// Reads that are worth a try: none or one where all were denied lately, else `usize::MAX`.
    pub probes: usize,
    /// Whether all reads were denied lately.
    pub refuses: bool,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { requests: usize::MAX, probes: usize::MAX, refuses: false }
    }
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Only keys that start with this.
    pub prefix: String,
    /// With `/`: keys below the next slash are folded into [`ListPage::prefixes`].
    pub delimiter: bool,
    /// Only keys after this one; for the first page.
    pub start_after: Option<String>,
    /// The token of the page before; for the others.
    pub continuation: Option<String>,
}

/// One page of a listing, at most 1,000 keys and prefixes together.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The objects, in key order.
    pub objects: Vec<ListedObject>,
    /// The folded prefixes, each ending in `/`, in order.
    pub prefixes: Vec<String>,
    /// The token for the next page; `None` at the end.
    pub next: Option<String>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The key below the bucket.
    pub key: String,
    /// The ETag, without quotes.
    pub etag: String,
    /// The stored size in bytes.
    pub size: u64,
    /// When it was written, in seconds since the Unix epoch.
    pub modified: i64,
}

/// Which versions to list.
#[derive(Debug, Clone, Default)]
pub struct VersionRequest {
    /// Only keys that start with this.
    pub prefix: String,
    /// Only what comes after this: a key, or the marker of the page before.
    pub after: Option<VersionMarker>,
}

/// A place in a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionMarker {
    /// After this key.
    pub key: String,
    /// With a version: after that version of the key.
    pub version: Option<String>,
}

/// One page of versions, at most 1,000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// By key, then the newest first.
    pub versions: Vec<ObjectVersion>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<VersionMarker>,
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The key below the bucket.
    pub key: String,
    /// Its id; `None` for what was written before versioning.
    pub version: Option<String>,
    /// The ETag, without quotes; empty for a delete marker.
    pub etag: String,
    /// The stored size in bytes; 0 for a delete marker.
    pub size: u64,
    /// When it was written, in seconds since the Unix epoch.
    pub modified: i64,
    /// Whether it is what stands under the key now.
    pub latest: bool,
    /// Whether it says that the object is deleted.
    pub delete_marker: bool,
}

impl ObjectVersion {
    /// The id by which it is read: S3 calls what was written before versioning `null`.
    pub fn id(&self) -> &str {
        self.version.as_deref().unwrap_or("null")
    }
}

/// What a HEAD or a GET tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The ETag, without quotes.
    pub etag: String,
    /// The version, on versioned buckets.
    pub version: Option<String>,
    /// The stored size in bytes (of the whole object, also on a range read).
    pub size: u64,
    /// When it was written, in seconds since the Unix epoch.
    pub modified: i64,
    /// User metadata.
    pub metadata: Metadata,
}

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// These bytes only.
    pub range: Option<Range<u64>>,
    /// Only while the ETag is this one.
    pub if_match: Option<String>,
    /// This version.
    pub version: Option<String>,
}

/// An object being read.
pub struct GetObject {
    /// What is known of it.
    pub meta: ObjectMeta,
    /// Its bytes, piece by piece.
    pub body: Box<dyn Body>,
}

impl fmt::Debug for GetObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetObject").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// The bytes of an object, pulled by the reader. Dropping it ends the transfer.
#[async_trait]
pub trait Body: Send {
    /// The next piece, never empty and at most [`MAX_PIECE`] bytes; `None` at the end. After an error the
    /// body is over: open the rest by range. Cancel-safe: a dropped call loses no bytes.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError>;
}

/// The most bytes that a [`Body`] hands over at once: what a reader must have room for.
pub const MAX_PIECE: usize = 256 * 1024;

/// How to write.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Only if nothing is there (`If-None-Match: *`). Uploads are always completed this way.
    pub create: bool,
    /// User metadata to keep with the object.
    pub metadata: Metadata,
    /// The `Content-Type`, for people who look at the bucket.
    pub content_type: Option<&'static str>,
}

/// A part of an upload, as recorded in the journal: enough to complete and to recognize it.
pub use trailhaul_core::model::PartRecord as Part;

/// An unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRef {
    /// The key that it would become.
    pub key: String,
    /// Its id.
    pub upload: String,
}

/// A folder for a test, in memory where the system has such: disks that are busy make fsync slow.
#[cfg(test)]
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
