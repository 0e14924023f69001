//! An output that is uploaded in parts and completed later, from the journal.
//!
//! In: bytes. Out: an [`Output`] with the upload's parts. Bounded: one part in memory. The upload begins with
//! the first part, so that a batch without records leaves no trace.

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
        self.buffer.extend_from_slice(bytes);
        let part = self.target.store.part_size();
        while self.buffer.len() >= part {
            // A frame is smaller than a part, so what stays behind after one part is bounded by a frame.
            let body = self.buffer.split().freeze();
            self.put_part(body).await?;
        }
        Ok(())
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
