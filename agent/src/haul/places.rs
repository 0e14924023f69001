//! Stores by URL: each bucket is opened once, whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::queue::Gate;
use crate::store::{Allowance, ObjectStore, StoreError};

/// Opens a store that nobody has asked for yet.
#[async_trait]
pub trait StoreOpener: Send + Sync {
    /// The store behind this URL; [`crate::store::ErrorKind::Invalid`] for a URL of no known kind.
    async fn open(&self, url: &str) -> Result<Arc<dyn ObjectStore>, StoreError>;
}

/// The open stores. Bounded by the buckets of the configuration and of unfinished entries.
pub struct Places {
    opener: Box<dyn StoreOpener>,
    open: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

impl Gate for Places {
    fn allowance(&self, bucket: &str) -> Allowance {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(bucket.trim_end_matches('/')).map(|store| store.allowance()).unwrap_or_default()
    }
}

impl Places {
    /// No store is open yet.
    pub fn new(opener: Box<dyn StoreOpener>) -> Self {
        Self { opener, open: Mutex::new(BTreeMap::new()) }
    }

    /// The store behind a URL.
    pub async fn get(&self, url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let url = url.trim_end_matches('/');
        if let Some(store) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(url) {
            return Ok(Arc::clone(store));
        }
        let store = self.opener.open(url).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(open.entry(url.to_owned()).or_insert(store)))
    }
}
