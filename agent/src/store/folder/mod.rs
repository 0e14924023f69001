//! `file:///path`: a local folder as a bucket.
//!
//! In: keys and bytes. Out: files. An object is the file at `ROOT/KEY`, its user metadata
//! `KEY.metadata.json` beside it, its ETag made of modification time, size and inode. The store's own files
//! lie under `ROOT/.trailhaul` (uploads, temporary files, a lock) and are never listed.
//!
//! Invariants: those of the seam. What it asks of the folder: one file system (an object becomes visible by a
//! rename), POSIX renames, names that differ in case being different, and fsync that tells the truth. New files get mode 0666 and folders 0777, less the
//! umask. A folder that is only read is never written to.
//!
//! Failure: an error with its class; nothing is retried here. Every call does its work on tokio's blocking
//! threads; a dropped call may still take effect.

mod body;
mod metadata;
mod pending;
mod root;
mod upload;
mod walk;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use rand::Rng;

use self::root::Root;
use super::keys;
use super::{
    ErrorKind, GetObject, GetOptions, ListPage, ListRequest, LocalFiles, Metadata, ObjectMeta, ObjectStore,
    Part, PutOptions, StoreError, UploadRef,
};

/// The least size of a part that is not the last, in bytes. Larger parts would only wait in memory for longer;
/// smaller ones would fill journal entries, which list them.
pub const PART: usize = 1 << 20;

/// A folder that is used as a bucket.
#[derive(Debug)]
pub struct FolderStore {
    root: Arc<Root>,
    offsets: Arc<upload::Offsets>,
    skipped: AtomicU64,
}

impl FolderStore {
    /// Opens a folder that is there; blocks for a few system calls.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, or `Invalid` when the path is not UTF-8 or is `/`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = Root::open(path.as_ref())?;
        Ok(Self { root: Arc::new(root), offsets: Arc::default(), skipped: AtomicU64::new(0) })
    }

    /// Opens a folder to write to: makes it if it is missing, and removes what a crash left under
    /// `.trailhaul`: temporary files more than a day old and remains of uploads (never an upload itself).
    ///
    /// # Errors
    /// As [`FolderStore::open`]; also `Full`.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        std::fs::create_dir_all(path).map_err(|error| {
            let place = format!("file://{}", path.display());
            StoreError::new(root::kind_of(&error), "make folder", place, error.to_string()).caused_by(error)
        })?;
        let store = Self::open(path)?;
        write::sweep(&store.root).map_err(|error| store.root.fail("sweep", ".trailhaul/tmp", error))?;
        pending::sweep(&store.root).map_err(|error| store.root.fail("sweep", ".trailhaul/uploads", error))?;
        Ok(store)
    }

    /// How many names listings have passed over so far because they cannot be keys: not UTF-8, symbolic
    /// links, sockets, too long. A name counts each time that a listing meets it.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn note_skipped(&self, count: u64) {
        if count > 0 && self.skipped.fetch_add(count, Ordering::Relaxed) == 0 {
            let url = self.root.url();
            tracing::warn!(url, count, "the folder holds names that cannot be keys; they are passed over");
        }
    }

    fn check(&self, operation: &'static str, key: &str) -> Result<(), StoreError> {
        keys::check(key).map_err(|why| self.root.error(ErrorKind::Invalid, operation, key, why))
    }

    /// Runs work on the root on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl FnOnce(&Arc<Root>, &upload::Offsets, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check(operation, key)?;
        let (root, offsets, key_there) = (Arc::clone(&self.root), Arc::clone(&self.offsets), key.to_owned());
        blocking(&self.root, operation, key, move || work(&root, &offsets, &key_there)).await
    }
}

#[async_trait]
impl ObjectStore for FolderStore {
    fn url(&self) -> &str {
        self.root.url()
    }

    fn part_size(&self) -> usize {
        PART
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let (root, request_there) = (Arc::clone(&self.root), request.clone());
        let work = move || walk::list(&root, &request_there);
        let (page, skipped) = blocking(&self.root, "list objects", &request.prefix, work).await?;
        self.note_skipped(skipped);
        Ok(page)
    }

    fn local(&self) -> Option<&dyn LocalFiles> {
        Some(self)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.run("look at object", key, |root, _, key| body::head(root, key)).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        self.run("read object", key, move |root, _, key| body::get(root, key, &options)).await
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        let options = options.clone();
        self.run("write object", key, move |root, _, key| write::put(root, key, &body, &options)).await
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        let options = options.clone();
        self.run("begin upload", key, move |root, offsets, key| upload::begin(root, offsets, key, &options))
            .await
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        let id = upload.to_owned();
        let work = move |root: &Arc<Root>, offsets: &upload::Offsets, key: &str| {
            upload::put_part(root, offsets, key, &id, number, &body)
        };
        self.run("put part", key, work).await
    }

    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        let (id, parts) = (upload.to_owned(), parts.to_vec());
        self.run("seal upload", key, move |root, _, key| upload::seal(root, key, &id, &parts)).await?;
        self.offsets.forget(upload);
        Ok(())
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        let (id, parts) = (upload.to_owned(), parts.to_vec());
        self.run("complete upload", key, move |root, _, key| upload::complete(root, key, &id, &parts))
            .await?;
        self.offsets.forget(upload);
        Ok(())
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        let parts = parts.to_vec();
        self.run("compare object", key, move |root, _, key| upload::holds(root, key, &parts)).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let id = upload.to_owned();
        self.run("abort upload", key, move |root, _, key| upload::abort(root, key, &id)).await?;
        self.offsets.forget(upload);
        Ok(())
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        let (root, prefix_there) = (Arc::clone(&self.root), prefix.to_owned());
        let work = move || pending::list(&root, &prefix_there, limit);
        blocking(&self.root, "list uploads", prefix, work).await
    }
}

impl LocalFiles for FolderStore {
    fn read(
        &self,
        key: &str,
        buffer: &mut Vec<u8>,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64, StoreError> {
        self.check("read object", key)?;
        body::read(&self.root, key, buffer, sink)
    }

    fn metadata(&self, key: &str) -> Result<Metadata, StoreError> {
        self.check("read metadata", key)?;
        metadata::read(&self.root, key)
    }
}

/// Runs blocking work on tokio's threads for that.
async fn blocking<T: Send + 'static>(
    root: &Root,
    operation: &'static str,
    key: &str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(lost) if lost.is_cancelled() => {
            Err(root.error(ErrorKind::Unavailable, operation, key, "the program is stopping"))
        }
        Err(lost) => Err(root.error(ErrorKind::Other, operation, key, "the work panicked").caused_by(lost)),
    }
}

/// A name that no other process picks: 128 random bits, 32 hexadecimal digits.
fn unique_name() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

#[cfg(test)]
mod kill;
#[cfg(test)]
mod tests;
