//! The journal in the home archive: one folder per lane, entries numbered without gaps.
//!
//! In: the exact bytes of the next entry. Out: committed, or lost to another owner. Invariant: an entry is
//! created by a conditional write and never changed. Failure: an unknown outcome is tried again with the same
//! bytes until it is known; the caller bounds how long.

use bytes::Bytes;
use trailhaul_core::model::{Entry, EntryError, LaneId, MAX_ENTRY_BYTES};

use super::Layout;
use crate::store::{ErrorKind, GetOptions, ObjectStore, PutOptions, StoreError};
use std::sync::Arc;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is there is not what should be there.
    #[error("{place}: {source}")]
    Entry {
        /// The object.
        place: String,
        /// What is wrong.
        source: EntryError,
    },
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// The entry is in the journal, with exactly these bytes.
    Committed,
    /// Another entry has that number: the lane has another owner.
    Lost,
}

/// The journal of an archive.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Arc<dyn ObjectStore>,
    layout: Layout,
}

impl Journal {
    /// The journal below this layout's prefix.
    pub fn new(store: Arc<dyn ObjectStore>, layout: Layout) -> Self {
        Self { store, layout }
    }

    /// The store that holds it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The keys of its archive.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// An entry and its bytes; `None` when the lane's journal ends before it.
    pub async fn read(&self, lane: LaneId, number: u64) -> Result<Option<(Entry, Vec<u8>)>, JournalError> {
        let key = self.layout.entry(lane, number);
        let Some(bytes) = read_small(self.store.as_ref(), &key, MAX_ENTRY_BYTES).await? else {
            return Ok(None);
        };
        let entry = Entry::from_bytes(&bytes)
            .map_err(|source| JournalError::Entry { place: format!("{}/{key}", self.store.url()), source })?;
        Ok(Some((entry, bytes)))
    }

    /// Creates an entry once: an error with [`StoreError::outcome_unknown`] or
    /// [`StoreError::is_retryable`] asks for the same call again.
    pub async fn append(&self, lane: LaneId, number: u64, bytes: &Bytes) -> Result<Appended, StoreError> {
        let key = self.layout.entry(lane, number);
        let options =
            PutOptions { create: true, content_type: Some("application/json"), ..PutOptions::default() };
        match self.store.put(&key, bytes.clone(), &options).await {
            Ok(_) => Ok(Appended::Committed),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match read_small(self.store.as_ref(), &key, MAX_ENTRY_BYTES).await? {
                    Some(found) if found == bytes.as_ref() => Ok(Appended::Committed),
                    _ => Ok(Appended::Lost),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads an object of at most `limit` bytes whole; `None` when there is none.
pub(super) async fn read_small(
    store: &dyn ObjectStore,
    key: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut object = match store.get(key, GetOptions::default()).await {
        Ok(object) => object,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = object.body.next().await? {
        if bytes.len() + piece.len() > limit {
            let place = format!("{}/{key}", store.url());
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "read object",
                place,
                format!("larger than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() as u64 != object.meta.size {
        let place = format!("{}/{key}", store.url());
        return Err(StoreError::new(ErrorKind::Unavailable, "read object", place, "the body ended early"));
    }
    Ok(Some(bytes))
}
