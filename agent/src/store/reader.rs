//! Reading one object whole, whatever the connection does.
//!
//! In: a store and a reference to an object. Out: its bytes, piece by piece, or why not. Invariants: all bytes
//! are of the version that the reference names (`If-Match` on every open); the end comes only after exactly as
//! many bytes as the object has; nothing is handed over twice. A broken or short body is resumed by range from
//! where it stopped, under the retry policy; a reader that makes progress starts counting anew.
//!
//! On failure: a [`ReadError`] by what the caller can do. Damage of the contents is not concluded here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::ObjectRef;

use super::{Body, ErrorKind, GetOptions, MAX_PIECE, ObjectMeta, ObjectStore, StoreError};
use crate::runtime::{Attempts, Reason, RetryPolicy};

/// Why an object could not be read whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not there (any more).
    #[error("the object is gone")]
    Vanished(#[source] StoreError),
    /// Another object stands under its key by now.
    #[error("the object is not the one that was found")]
    Changed(#[source] StoreError),
    /// We may not read it: a policy, a key, an account.
    #[error("reading the object is not allowed")]
    Denied(#[source] StoreError),
    /// It lies in a cold storage class and must be restored first.
    #[error("the object is archived and must be restored first")]
    Archived(#[source] StoreError),
    /// The store did not answer well enough for long enough.
    #[error("the store could not be read from: {reason}")]
    Unreachable {
        /// Why no further attempt was made.
        reason: Reason,
        /// The last error.
        source: StoreError,
    },
    /// The program is stopping.
    #[error("stopping")]
    Cancelled,
    /// It has more bytes than the caller has room for.
    #[error("the object has {size} bytes, and at most {cap} are expected of it")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The caller's cap in bytes.
        cap: u64,
    },
    /// Anything else, with the store's words.
    #[error("reading the object failed")]
    Failed(#[source] StoreError),
}

impl ReadError {
    /// The class of the store's last answer, where the store is what failed.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Vanished(error)
            | Self::Changed(error)
            | Self::Denied(error)
            | Self::Archived(error)
            | Self::Failed(error) => Some(error.kind()),
            Self::Unreachable { source, .. } => Some(source.kind()),
            Self::Cancelled | Self::TooLarge { .. } => None,
        }
    }
}

/// Reads one object from its first byte to its last.
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    key: String,
    version: Option<String>,
    /// What every open must match; learned from the first answer where the reference has none.
    etag: Option<String>,
    policy: RetryPolicy,
    cancel: CancellationToken,
    meta: Option<ObjectMeta>,
    body: Option<Box<dyn Body>>,
    /// Bytes handed over so far.
    at: u64,
    over: bool,
    failing: Option<Failing>,
    gives_way: bool,
}

/// Attempts in the middle of an object, for who gives way. The store's pace is kept elsewhere; more only hold up the caller.
const THROTTLED: u32 = 3;

/// A run of failures without much progress in between.
struct Failing {
    attempts: Attempts,
    since: u64,
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader")
            .field("store", &self.store.url())
            .field("key", &self.key)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl ObjectReader {
    /// A reader of this object; nothing is opened yet. `cancel` ends it between two requests.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        object: &ObjectRef,
        policy: RetryPolicy,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            store,
            key: object.key.clone(),
            version: object.version.clone(),
            etag: Some(object.etag.clone()).filter(|etag| !etag.is_empty()),
            policy,
            cancel,
            meta: None,
            body: None,
            at: 0,
            over: false,
            failing: None,
            gives_way: false,
        }
    }

    /// The same, for a caller who has other things to do: it gives up when the store throttles, at once before the first
    /// byte, and after [`THROTTLED`] attempts in a row in the middle, where giving up costs more.
    #[must_use]
    pub fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// What the store says of the object; known after [`ObjectReader::open`] or the first piece.
    pub fn meta(&self) -> Option<&ObjectMeta> {
        self.meta.as_ref()
    }

    /// Opens the object, if that has not been done, and tells what it is. Cancel-safe.
    ///
    /// # Errors
    /// As [`ObjectReader::next`].
    pub async fn open(&mut self) -> Result<&ObjectMeta, ReadError> {
        while self.meta.is_none() {
            if let Err(error) = self.reopen().await {
                self.recover(error).await?;
            }
        }
        // Just set; an empty answer cannot come out of the loop.
        self.meta.as_ref().ok_or(ReadError::Cancelled)
    }

    /// The next piece, never empty and at most [`MAX_PIECE`] bytes; `None` after the last byte. Cancel-safe.
    ///
    /// # Errors
    /// When the object cannot be read to its end. The reader is over then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if self.over {
                return Ok(None);
            }
            match self.step().await {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) => self.over = true,
                Err(error) => self.recover(error).await.inspect_err(|_| self.over = true)?,
            }
        }
    }

    /// Reads what is left into one buffer of at most `cap` bytes.
    ///
    /// # Errors
    /// As [`ObjectReader::next`]; [`ReadError::TooLarge`] before anything is read.
    pub async fn read_to_end(mut self, cap: u64) -> Result<(ObjectMeta, Bytes), ReadError> {
        let meta = self.open().await?.clone();
        if meta.size > cap {
            return Err(ReadError::TooLarge { size: meta.size, cap });
        }
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.next().await? {
            // One piece is the whole of a small object: hand it over as it is.
            if bytes.is_empty() && piece.len() as u64 == meta.size {
                self.finish().await?;
                return Ok((meta, piece));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((meta, bytes.freeze()))
    }

    async fn finish(&mut self) -> Result<(), ReadError> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// One piece from the body at hand; opens one where there is none.
    async fn step(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.body.is_none() {
            self.reopen().await?;
        }
        let (Some(body), Some(meta)) = (&mut self.body, &self.meta) else {
            return Ok(None); // nothing is left to open: every byte has been handed over
        };
        let left = meta.size - self.at;
        let piece = body.next().await;
        match piece {
            Ok(Some(piece)) if piece.len() as u64 > left => {
                Err(self.error(ErrorKind::Changed, "the body goes on beyond the object's size"))
            }
            Ok(Some(piece)) => {
                self.at += piece.len() as u64;
                Ok(Some(piece))
            }
            Ok(None) if left == 0 => Ok(None),
            // Every byte has come; how the connection ended does not matter.
            Err(error) if left == 0 && error.is_retryable() => Ok(None),
            Ok(None) => Err(self.error(ErrorKind::Unavailable, "the body ended early")),
            Err(error) => Err(error),
        }
    }

    /// Opens the object at the place where reading goes on.
    async fn reopen(&mut self) -> Result<(), StoreError> {
        let range = match &self.meta {
            Some(meta) if self.at == meta.size => return Ok(()),
            Some(meta) if self.at > 0 => Some(self.at..meta.size),
            _ => None,
        };
        let options = GetOptions { range, if_match: self.etag.clone(), version: self.version.clone() };
        let object = self.store.get(&self.key, options).await?;
        let same = self.etag.as_ref().is_none_or(|etag| *etag == object.meta.etag)
            && self.meta.as_ref().is_none_or(|meta| meta.size == object.meta.size);
        if !same {
            return Err(self.error(ErrorKind::Changed, "the store answers with another object"));
        }
        self.etag = Some(object.meta.etag.clone());
        self.meta.get_or_insert(object.meta);
        self.body = Some(object.body);
        Ok(())
    }

    /// Waits until reading may go on, or says why it does not.
    async fn recover(&mut self, error: StoreError) -> Result<(), ReadError> {
        self.body = None;
        let (at, policy) = (self.at, &self.policy);
        // Some progress earns new attempts; a body that drips a few bytes per connection does not.
        let failing = match self.failing.take() {
            Some(failing) if at - failing.since < MAX_PIECE as u64 => failing,
            _ => Failing { attempts: policy.start(), since: at },
        };
        let failing = self.failing.insert(failing);
        let most = if at == 0 { 1 } else { THROTTLED };
        let throttled = error.kind() == ErrorKind::Throttled && failing.attempts.made() + 1 >= most;
        if self.gives_way && throttled {
            return Err(ReadError::Unreachable { reason: Reason::Attempts, source: error });
        }
        match failing.attempts.pause(&error, &self.cancel).await {
            Ok(()) => Ok(()),
            Err(Reason::Cancelled) => Err(ReadError::Cancelled),
            Err(Reason::NotRetryable) => Err(classify(error)),
            Err(reason) => Err(ReadError::Unreachable { reason, source: error }),
        }
    }

    fn error(&self, kind: ErrorKind, why: &str) -> StoreError {
        StoreError::new(kind, "read object", format!("{}/{}", self.store.url(), self.key), why)
    }
}

fn classify(error: StoreError) -> ReadError {
    match error.kind() {
        ErrorKind::NotFound => ReadError::Vanished(error),
        ErrorKind::Changed => ReadError::Changed(error),
        ErrorKind::Denied => ReadError::Denied(error),
        ErrorKind::Archived => ReadError::Archived(error),
        _ => ReadError::Failed(error),
    }
}

#[cfg(test)]
mod tests;
