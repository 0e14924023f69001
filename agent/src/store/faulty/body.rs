//! A body that ends early.

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::{Body, StoreError};

/// Hands over so many bytes of another body, then an error, or an end as if that were all.
pub(super) struct CutBody {
    inner: Box<dyn Body>,
    left: u64,
    error: Option<StoreError>,
}

impl CutBody {
    pub(super) fn new(inner: Box<dyn Body>, left: u64, error: Option<StoreError>) -> Self {
        Self { inner, left, error }
    }
}

#[async_trait]
impl Body for CutBody {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.left == 0 {
            return self.error.take().map_or(Ok(None), Err);
        }
        let Some(mut piece) = self.inner.next().await? else {
            return Ok(None);
        };
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}
