//! A store in memory, for tests and simulations: same rules as the others, gone with the process.
//!
//! In: keys and bytes. Out: the same bytes. Invariants: those of the seam, and determinism: ETags and upload
//! ids are counted, not drawn. Bounded by nothing but what the test puts in. Clones share their contents, so
//! a clone plays the part of another process, or of this one after a restart.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::keys::{self, After, MAX_PARTS, PageBuilder, Taken};
use super::{
    Body, ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ListedObject, MAX_PIECE, ObjectMeta,
    ObjectStore, Part, PutOptions, StoreError, UploadRef,
};
use crate::runtime::{Clock, SystemClock};

/// A bucket in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    url: Arc<str>,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, (ObjectMeta, Bytes)>,
    /// By key, then by id.
    uploads: BTreeMap<(String, String), Upload>,
    /// What ETags and upload ids are made of.
    counter: u64,
}

#[derive(Debug)]
struct Upload {
    options: PutOptions,
    parts: Vec<Bytes>,
}

impl MemoryStore {
    /// An empty bucket, `memory://NAME`.
    pub fn new(name: &str) -> Self {
        Self::with_clock(name, Arc::new(SystemClock))
    }

    /// An empty bucket whose objects are stamped by this clock.
    pub fn with_clock(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { url: format!("memory://{name}").into(), clock, state: Arc::default() }
    }

    /// Removes an object, as a bucket's owner may at any time; whether it was there.
    pub fn remove(&self, key: &str) -> bool {
        self.state().objects.remove(key).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, operation: &'static str, key: &str, why: &str) -> StoreError {
        StoreError::new(kind, operation, format!("{}/{key}", self.url), why)
    }

    fn check(&self, operation: &'static str, key: &str) -> Result<(), StoreError> {
        keys::check(key).map_err(|why| self.error(ErrorKind::Invalid, operation, key, why))
    }

    fn exists(&self, operation: &'static str, key: &str) -> StoreError {
        let why = "there is an object already; it stays as it is";
        self.error(ErrorKind::AlreadyExists, operation, key, why)
    }

    fn no_upload(&self, operation: &'static str, key: &str) -> StoreError {
        self.error(ErrorKind::NoSuchUpload, operation, key, "the upload is not there")
    }

    fn insert(&self, state: &mut State, key: &str, body: Bytes, options: &PutOptions) -> ObjectMeta {
        state.counter += 1;
        let meta = ObjectMeta {
            etag: format!("{:016x}", state.counter),
            version: None,
            size: body.len() as u64,
            modified: self.clock.now().as_second(),
            metadata: options.metadata.clone(),
        };
        state.objects.insert(key.to_owned(), (meta.clone(), body));
        meta
    }

    /// The upload, if it has these parts.
    fn find<'s>(
        &self,
        state: &'s State,
        operation: &'static str,
        (key, upload): (&str, &str),
        parts: &[Part],
    ) -> Result<&'s Upload, StoreError> {
        let found = state.uploads.get(&(key.to_owned(), upload.to_owned()));
        let found = found.ok_or_else(|| self.no_upload(operation, key))?;
        keys::check_parts(parts, self.part_size())
            .map_err(|why| self.error(ErrorKind::Invalid, operation, key, why))?;
        let same = found.parts.len() == parts.len()
            && found.parts.iter().zip(parts).all(|(bytes, part)| sha256(bytes) == part.sha256);
        if !same {
            let why = "the upload has other parts than these";
            return Err(self.error(ErrorKind::Invalid, operation, key, why));
        }
        Ok(found)
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn url(&self) -> &str {
        &self.url
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let after = After::of(request).ok_or_else(|| {
            let why = "the continuation token is not of this store";
            self.error(ErrorKind::Invalid, "list objects", &request.prefix, why)
        })?;
        let mut page = PageBuilder::default();
        let from = (Bound::Included(request.prefix.as_str()), Bound::Unbounded);
        for (key, (meta, _)) in self.state().objects.range::<str, _>(from) {
            if !key.starts_with(&request.prefix) {
                break;
            }
            if !after.admits(key) {
                continue;
            }
            let taken = match keys::folded(key, request) {
                Some(prefix) => page.prefix(prefix),
                None => page.object(ListedObject {
                    key: key.clone(),
                    etag: meta.etag.clone(),
                    size: meta.size,
                    modified: meta.modified,
                }),
            };
            if taken == Taken::Full {
                break;
            }
        }
        Ok(page.finish())
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.check("look at object", key)?;
        Ok(self.state().objects.get(key).map(|(meta, _)| meta.clone()))
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        const OPERATION: &str = "read object";
        self.check(OPERATION, key)?;
        let found = self.state().objects.get(key).cloned();
        let (meta, bytes) = found
            .ok_or_else(|| self.error(ErrorKind::NotFound, OPERATION, key, "there is no such object"))?;
        if options.if_match.is_some_and(|wanted| wanted != meta.etag) {
            return Err(self.error(ErrorKind::Changed, OPERATION, key, "the object is another one by now"));
        }
        if options.version.is_some() {
            return Err(self.error(ErrorKind::Invalid, OPERATION, key, "no versions are kept"));
        }
        let range = keys::clamp(options.range, meta.size).ok_or_else(|| {
            self.error(ErrorKind::Invalid, OPERATION, key, "the range starts beyond the end")
        })?;
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let rest = bytes.slice(bound(range.start)..bound(range.end));
        Ok(GetObject { meta, body: Box::new(MemoryBody { rest }) })
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        self.check("write object", key)?;
        let mut state = self.state();
        if options.create && state.objects.contains_key(key) {
            return Err(self.exists("write object", key));
        }
        Ok(self.insert(&mut state, key, body, options))
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        self.check("begin upload", key)?;
        let mut state = self.state();
        state.counter += 1;
        let upload = format!("{:032x}", state.counter);
        let fresh = Upload { options: options.clone(), parts: Vec::new() };
        state.uploads.insert((key.to_owned(), upload.clone()), fresh);
        Ok(upload)
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        const OPERATION: &str = "put part";
        let mut state = self.state();
        let found = state.uploads.get_mut(&(key.to_owned(), upload.to_owned()));
        let found = found.ok_or_else(|| self.no_upload(OPERATION, key))?;
        let before = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        if number == 0 || number > MAX_PARTS || before > found.parts.len() {
            let why = "the part does not follow the parts before it";
            return Err(self.error(ErrorKind::Invalid, OPERATION, key, why));
        }
        found.parts.truncate(before);
        let sha256 = sha256(&body);
        let part = Part { number, etag: sha256.clone(), size: body.len() as u64, sha256 };
        found.parts.push(body);
        Ok(part)
    }

    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.find(&self.state(), "seal upload", (key, upload), parts).map(|_| ())
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        const OPERATION: &str = "complete upload";
        let mut state = self.state();
        let found = self.find(&state, OPERATION, (key, upload), parts)?;
        let (whole, options) = (Bytes::from(found.parts.concat()), found.options.clone());
        if state.objects.contains_key(key) {
            return Err(self.exists(OPERATION, key));
        }
        state.uploads.remove(&(key.to_owned(), upload.to_owned()));
        self.insert(&mut state, key, whole, &options);
        Ok(())
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        self.check("compare object", key)?;
        let Some((meta, bytes)) = self.state().objects.get(key).cloned() else {
            return Ok(false);
        };
        if keys::total(parts) != Some(meta.size) {
            return Ok(false);
        }
        let mut rest = bytes;
        Ok(parts.iter().all(|part| {
            let piece = rest.split_to(usize::try_from(part.size).unwrap_or(usize::MAX).min(rest.len()));
            sha256(&piece) == part.sha256
        }))
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.state().uploads.remove(&(key.to_owned(), upload.to_owned()));
        Ok(())
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        let state = self.state();
        let wanted = state.uploads.keys().filter(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(wanted.map(|(key, upload)| UploadRef { key: key.clone(), upload: upload.clone() }).collect())
    }
}

struct MemoryBody {
    rest: Bytes,
}

#[async_trait]
impl Body for MemoryBody {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let piece = self.rest.split_to(self.rest.len().min(MAX_PIECE));
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
