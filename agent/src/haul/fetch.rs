//! Fetching the objects of a batch: several at once, handed over in list order.
//!
//! In: object references. Out: small objects whole, large ones as their first piece and the rest to come.
//! Invariant: what is handed over was read under the ETag of the reference. Failure: an object that cannot be
//! opened is handed over as failed; one that breaks off for good in the middle says so when its rest is read.
//!
//! Bounded: [`AHEAD`] objects of at most one piece ([`MAX_PIECE`]) each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::ObjectRef;

use super::Places;
use crate::runtime::RetryPolicy;
use crate::store::{ErrorKind, MAX_PIECE, ObjectReader, ReadError, StoreError};

/// Objects being fetched at once by one lane: enough to hide the latency of a GET behind the others.
const AHEAD: usize = 8;

/// Memory that a lane's fetches may hold, in bytes.
pub const FETCH_MEMORY: usize = AHEAD * MAX_PIECE;

/// The objects of a batch that nobody has begun to fetch.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Mutex<VecDeque<ObjectRef>>>);

impl Waiting {
    /// These objects, in order.
    pub fn new(objects: Vec<ObjectRef>) -> Self {
        Self(Arc::new(Mutex::new(objects.into())))
    }

    /// Takes all of them away: none is begun any more.
    pub fn take(&self) -> Vec<ObjectRef> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn next(&self) -> Option<ObjectRef> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A fetched object.
#[derive(Debug)]
pub enum Fetched {
    /// It could not be read; nothing of it was handed over.
    Failed(ObjectRef, ReadError),
    /// All of it.
    Whole(ObjectRef, Bytes),
    /// Its first piece, and the reader of the rest.
    Large(ObjectRef, Bytes, Box<ObjectReader>),
}

impl Fetched {
    /// The object.
    pub fn object(&self) -> &ObjectRef {
        match self {
            Self::Failed(object, _) | Self::Whole(object, _) | Self::Large(object, _, _) => object,
        }
    }
}

/// Reads source objects.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// The source buckets.
    pub places: Arc<Places>,
    /// How a broken read is resumed.
    pub policy: RetryPolicy,
    /// Whether an object of a bucket that throttles is soon given up, to be planned again when it is its turn.
    pub gives_way: bool,
    /// Ends the resuming.
    pub stop: CancellationToken,
}

impl Fetcher {
    /// Fetches the waiting objects, in order.
    pub fn objects(&self, waiting: &Waiting) -> impl Stream<Item = Fetched> + use<> {
        let fetcher = self.clone();
        let waiting = waiting.clone();
        futures::stream::iter(std::iter::from_fn(move || waiting.next()))
            .map(move |object| {
                let fetcher = fetcher.clone();
                async move { fetcher.fetch(object).await }
            })
            .buffered(AHEAD)
    }

    /// Opens an object for reading piece by piece.
    pub async fn open(&self, object: &ObjectRef) -> Result<ObjectReader, ReadError> {
        let store = self.places.get(&object.bucket).await.map_err(ReadError::Failed)?;
        let reader = ObjectReader::new(store, object, self.policy, self.stop.clone());
        Ok(if self.gives_way { reader.giving_way() } else { reader })
    }

    async fn fetch(&self, object: ObjectRef) -> Fetched {
        match self.start(&object).await {
            Ok((first, None)) => Fetched::Whole(object, first),
            Ok((first, Some(rest))) => Fetched::Large(object, first, Box::new(rest)),
            Err(error) => Fetched::Failed(object, error),
        }
    }

    /// The first piece, and the reader unless that was all.
    async fn start(&self, object: &ObjectRef) -> Result<(Bytes, Option<ObjectReader>), ReadError> {
        let mut reader = self.open(object).await?;
        let Some(first) = reader.next().await? else { return Ok((Bytes::new(), None)) };
        if (first.len() as u64) < object.size {
            return Ok((first, Some(reader)));
        }
        // All bytes are here: the reader still checks that the object did not change meanwhile.
        match reader.next().await? {
            None => Ok((first, None)),
            Some(_) => Err(longer(object)),
        }
    }
}

/// An object has more bytes than its size says: it is not the one that was listed.
pub(super) fn longer(object: &ObjectRef) -> ReadError {
    let message = format!("more bytes than its size of {}", object.size);
    ReadError::Changed(StoreError::new(ErrorKind::Changed, "read object", object.to_string(), message))
}
