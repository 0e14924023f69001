//! Sinks that write one object per batch: the archive's `data/`, and local files.

use std::sync::Arc;

use async_trait::async_trait;
use trailhaul_core::model::{BatchId, Output, Role};

use super::upload::{UploadTarget, UploadWriter};
use super::{Frame, RefusedRecord, Sink, SinkBatch, SinkError};
use crate::archive::Layout;
use crate::store::{ObjectStore, Patience};

/// How the objects of a sink are named.
#[derive(Debug, Clone)]
pub enum Naming {
    /// An archive: below its `data/`.
    Archive(Layout),
    /// A folder of files: `date=YYYY-MM-DD/LANE-EPOCH-BATCH.EXTENSION`.
    Folder,
    /// Findings of an archive: below its `findings/`.
    ArchiveFindings(Layout),
    /// Findings in a folder of files: `findings/date=…`.
    FolderFindings,
}

/// A sink with one object per batch.
#[derive(Debug)]
pub struct UploadSink {
    /// The name in the configuration.
    pub name: String,
    /// Where the objects go.
    pub store: Arc<dyn ObjectStore>,
    /// What they are called.
    pub naming: Naming,
    /// The file name's extension, such as `ndjson.zst`.
    pub extension: String,
    /// The home archive's own data, or another sink's.
    pub role: Role,
    /// How calls are repeated.
    pub patience: Patience,
}

#[async_trait]
impl Sink for UploadSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, batch: BatchId, partition: &str) -> Result<Box<dyn SinkBatch>, SinkError> {
        let key = match &self.naming {
            Naming::Archive(layout) => layout.data(partition, batch, &self.extension),
            Naming::Folder => format!("{partition}{batch}.{}", self.extension),
            Naming::ArchiveFindings(layout) => layout.findings(partition, batch, &self.extension),
            Naming::FolderFindings => format!("findings/{partition}{batch}.{}", self.extension),
        };
        Ok(Box::new(UploadWriter::new(UploadTarget {
            store: Arc::clone(&self.store),
            key,
            role: self.role,
            sink: self.name.clone(),
            content_type: "application/x-ndjson",
            patience: self.patience.clone(),
        })))
    }
}

#[async_trait]
impl SinkBatch for UploadWriter {
    async fn write(&mut self, frame: Frame) -> Result<Vec<RefusedRecord>, SinkError> {
        Self::write(self, &frame.bytes, frame.records).await?;
        Ok(Vec::new())
    }

    async fn prepare(&mut self) -> Result<Vec<Output>, SinkError> {
        Ok(Self::prepare(self).await?.into_iter().collect())
    }

    async fn abort(&mut self) {
        Self::abort(self).await;
    }
}
