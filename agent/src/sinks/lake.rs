//! A data lake of Parquet files: several outputs of one batch, as Amazon Security Lake asks of custom sources.
//!
//! In: pieces of files, each naming its file. Out: one [`Output`] per file, all of them prepared: uploads that are
//! complete and invisible, finished from the journal entry like any other. Invariant: the records of the outputs
//! are the records that were written, each once. Bounded: the files that are not ended (the mill keeps few) hold
//! a part each; files that are ended wait for one another, at most [`TOGETHER`] of them and one part's bytes, so
//! that the requests for small files overlap. Failure: an error ends the attempt, and abort drops every upload.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use trailhaul_core::encode::parquet::{FileName, security_lake_folder};
use trailhaul_core::model::{BatchId, Output, Role};

use super::upload::{UploadTarget, UploadWriter};
use super::{Frame, RefusedRecord, Sink, SinkBatch, SinkError};
use crate::archive::Layout;
use crate::store::{ErrorKind, ObjectStore, Patience, StoreError};

/// Ended files that are uploaded at once.
const TOGETHER: usize = 8;

/// The lake.
#[derive(Debug, Clone)]
pub struct LakeSink {
    /// The name in the configuration.
    pub name: String,
    /// Where the files go.
    pub store: Arc<dyn ObjectStore>,
    /// What they are called.
    pub layout: Layout,
    /// The name that the custom sources of Security Lake begin with.
    pub source: String,
    /// How calls are repeated.
    pub patience: Patience,
}

#[async_trait]
impl Sink for LakeSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, batch: BatchId, _partition: &str) -> Result<Box<dyn SinkBatch>, SinkError> {
        Ok(Box::new(LakeBatch {
            sink: self.clone(),
            batch,
            open: BTreeMap::new(),
            ended: Vec::new(),
            prepared: Vec::new(),
            outputs: BTreeMap::new(),
        }))
    }
}

struct LakeBatch {
    sink: LakeSink,
    batch: BatchId,
    /// By their number in the batch.
    open: BTreeMap<u32, UploadWriter>,
    /// Ended, and not yet prepared.
    ended: Vec<(u32, UploadWriter)>,
    /// Prepared, and kept to be dropped if the batch comes to nothing.
    prepared: Vec<UploadWriter>,
    outputs: BTreeMap<u32, Output>,
}

impl LakeBatch {
    fn writer(&self, file: &FileName) -> UploadWriter {
        let sink = &self.sink;
        let folder = security_lake_folder(&sink.source, file.class, &file.region, file.account, file.day);
        UploadWriter::new(UploadTarget {
            store: Arc::clone(&sink.store),
            key: sink.layout.lake_file(&folder, self.batch, file.number),
            role: Role::Sink,
            sink: sink.name.clone(),
            content_type: "application/vnd.apache.parquet",
            patience: sink.patience.clone(),
        })
    }

    /// Prepares the files that are ended, all at once.
    async fn prepare_ended(&mut self) -> Result<(), SinkError> {
        let prepare = self.ended.iter_mut().map(|(number, writer)| async {
            let output = writer.prepare().await?;
            Ok::<_, SinkError>((*number, output))
        });
        for (number, output) in try_join_all(prepare).await? {
            self.outputs.extend(output.map(|output| (number, output)));
        }
        self.prepared.extend(self.ended.drain(..).map(|(_, writer)| writer));
        Ok(())
    }
}

#[async_trait]
impl SinkBatch for LakeBatch {
    async fn write(&mut self, frame: Frame) -> Result<Vec<RefusedRecord>, SinkError> {
        let Some(file) = frame.file else {
            let text = "a frame that names no file";
            return Err(StoreError::new(ErrorKind::Invalid, "write parquet", &self.sink.name, text));
        };
        let number = file.name.number;
        let mut writer = self.open.remove(&number).unwrap_or_else(|| self.writer(&file.name));
        let written = writer.write(&frame.bytes, frame.records).await;
        if written.is_err() || !file.last {
            self.open.insert(number, writer);
            written?;
            return Ok(Vec::new());
        }
        self.ended.push((number, writer));
        let waiting: usize = self.ended.iter().map(|(_, writer)| writer.waiting()).sum();
        if self.ended.len() >= TOGETHER || waiting >= self.sink.store.part_size() {
            self.prepare_ended().await?;
        }
        Ok(Vec::new())
    }

    async fn prepare(&mut self) -> Result<Vec<Output>, SinkError> {
        // The mill has ended every file; one that it had not would be cut short, so it is not passed on.
        if let Some(number) = self.open.keys().next() {
            let text = format!("file {number} of batch {} has no end", self.batch);
            return Err(StoreError::new(ErrorKind::Invalid, "write parquet", &self.sink.name, text));
        }
        self.prepare_ended().await?;
        Ok(std::mem::take(&mut self.outputs).into_values().collect())
    }

    async fn abort(&mut self) {
        let ended = self.ended.iter_mut().map(|(_, writer)| writer);
        for writer in self.open.values_mut().chain(ended).chain(&mut self.prepared) {
            writer.abort().await;
        }
    }
}
