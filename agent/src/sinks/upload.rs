//! An output that is uploaded in parts and completed later, from the journal.
//!
//! In: bytes. Out: an [`Output`] with the upload's parts. Bounded: one part in memory, and not more than its
//! bytes, however large the pieces are. The upload begins with the first part, so that a batch without records
//! leaves no trace.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use trailhaul_core::model::{Output, PartRecord, Place, Role};

use super::SinkError;
use crate::store::{ObjectStore, Patience, PutOptions};

/// Where an output goes, and how patient its writer is.
#[derive(Debug, Clone)]
pub struct UploadTarget {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The key that the upload becomes.
    pub key: String,
    /// What the output is for.
    pub role: Role,
    /// The sink's name.
    pub sink: String,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// How calls are repeated.
    pub patience: Patience,
}

/// Writes one output.
#[derive(Debug)]
pub struct UploadWriter {
    target: UploadTarget,
    upload: Option<String>,
    parts: Vec<PartRecord>,
    buffer: BytesMut,
    records: u64,
    size: u64,
}

impl UploadWriter {
    /// A writer that has not begun yet.
    pub fn new(target: UploadTarget) -> Self {
        Self { target, upload: None, parts: Vec::new(), buffer: BytesMut::new(), records: 0, size: 0 }
    }

    /// Takes bytes that hold so many records (or none, where records are not counted).
    pub async fn write(&mut self, bytes: &[u8], records: u64) -> Result<(), SinkError> {
        self.records += records;
        self.size += bytes.len() as u64;
        let part = self.target.store.part_size().max(1);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = part.saturating_sub(self.buffer.len());
            let (fits, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.make_room(fits.len(), part);
            self.buffer.extend_from_slice(fits);
            rest = later;
            if self.buffer.len() >= part {
                let body = self.buffer.split().freeze();
                self.put_part(body).await?;
            }
        }
        Ok(())
    }

    /// Room for so many bytes. Small outputs take little; one that will be a part takes a part's room at once,
    /// because a buffer that doubles as it grows would come to nearly two.
    fn make_room(&mut self, more: usize, part: usize) {
        let length = self.buffer.len() + more;
        if length > self.buffer.capacity() && length > part / 4 {
            self.buffer.reserve(part.saturating_sub(self.buffer.len()));
        }
    }

    /// Bytes that wait for their part.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Uploads the rest and seals the upload; `None` when nothing was written.
    pub async fn prepare(&mut self) -> Result<Option<Output>, SinkError> {
        if !self.buffer.is_empty() {
            // Taken, not split: a writer that is kept for its abort keeps no room.
            let body = std::mem::take(&mut self.buffer).freeze();
            self.put_part(body).await?;
        }
        let Some(upload) = self.upload.clone() else { return Ok(None) };
        let target = &self.target;
        target.patience.run(|| target.store.seal_upload(&target.key, &upload, &self.parts)).await?;
        Ok(Some(Output {
            role: target.role,
            sink: target.sink.clone(),
            place: Place::Upload {
                store: target.store.url().to_owned(),
                key: target.key.clone(),
                upload,
                parts: self.parts.clone(),
            },
            records: self.records,
            size: self.size,
        }))
    }

    /// Drops the upload.
    pub async fn abort(&mut self) {
        if let Some(upload) = self.upload.take() {
            let target = &self.target;
            if let Err(error) = target.store.abort_upload(&target.key, &upload).await {
                tracing::debug!(error = %error, "leave an upload for recovery to drop");
            }
        }
    }

    async fn put_part(&mut self, body: Bytes) -> Result<(), SinkError> {
        let target = &self.target;
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let options = PutOptions {
                    create: true,
                    content_type: Some(target.content_type),
                    ..PutOptions::default()
                };
                let begun = target.patience.run(|| target.store.begin_upload(&target.key, &options)).await?;
                self.upload.insert(begun).clone()
            }
        };
        let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
        let part =
            target.patience.run(|| target.store.put_part(&target.key, &upload, number, body.clone())).await?;
        self.parts.push(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::runtime::RetryPolicy;
    use crate::store::{GetOptions, MIN_PART, MemoryStore};

    #[tokio::test]
    async fn pieces_of_any_size_become_parts_of_one_size_in_a_part_s_room() {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("home"));
        let mut writer = UploadWriter::new(UploadTarget {
            store: Arc::clone(&store),
            key: "key".to_owned(),
            role: Role::Sink,
            sink: "lake".to_owned(),
            content_type: "application/octet-stream",
            patience: Patience::brief(RetryPolicy::requests(), CancellationToken::new()),
        });
        let mut whole = Vec::new();
        for (number, size) in [1_000_000, 12_000_000, 1, 3_000_000, 0, 700_000].into_iter().enumerate() {
            let piece = vec![u8::try_from(number).unwrap(); size];
            writer.write(&piece, 1).await.unwrap();
            whole.extend(piece);
            assert!(writer.buffer.capacity() <= MIN_PART, "{} after {size}", writer.buffer.capacity());
        }
        let output = writer.prepare().await.unwrap().unwrap();
        assert_eq!((output.size, output.records), (whole.len() as u64, 6));
        let Place::Upload { key, upload, parts, .. } = output.place else { panic!("an upload") };
        let sizes: Vec<u64> = parts.iter().map(|part| part.size).collect();
        let part = MIN_PART as u64;
        assert_eq!(sizes, [part, part, part, whole.len() as u64 - 3 * part]);
        store.complete_upload(&key, &upload, &parts).await.unwrap();
        let mut object = store.get(&key, GetOptions::default()).await.unwrap();
        let mut read = Vec::new();
        while let Some(piece) = object.body.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == whole, "the parts do not make up the object");
    }
}
