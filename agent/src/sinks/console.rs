//! Records on standard output, for trials and pipes. At-least-once: what was printed cannot be taken back.

use std::io::Write;

use async_trait::async_trait;
use trailhaul_core::model::{BatchId, Output, Place, Role};

use super::{Frame, RefusedRecord, Sink, SinkBatch, SinkError};
use crate::store::{ErrorKind, StoreError};

/// The console.
#[derive(Debug)]
pub struct ConsoleSink {
    /// The name in the configuration.
    pub name: String,
}

#[async_trait]
impl Sink for ConsoleSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, _batch: BatchId, _partition: &str) -> Result<Box<dyn SinkBatch>, SinkError> {
        Ok(Box::new(ConsoleBatch { sink: self.name.clone(), records: 0, size: 0 }))
    }
}

struct ConsoleBatch {
    sink: String,
    records: u64,
    size: u64,
}

#[async_trait]
impl SinkBatch for ConsoleBatch {
    async fn write(&mut self, frame: Frame) -> Result<Vec<RefusedRecord>, SinkError> {
        self.records += frame.records;
        self.size += frame.bytes.len() as u64;
        let frame = frame.bytes;
        // A pipe may block for as long as its reader likes: not on the runtime's threads.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&frame).and_then(|()| out.flush())
        })
        .await;
        match written {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(error)) => {
                let message = error.to_string();
                Err(StoreError::new(ErrorKind::Other, "print records", "stdout", message).caused_by(error))
            }
            Err(error) => {
                Err(StoreError::new(ErrorKind::Other, "print records", "stdout", error.to_string()))
            }
        }
    }

    async fn prepare(&mut self) -> Result<Vec<Output>, SinkError> {
        if self.records == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![Output {
            role: Role::Sink,
            sink: self.sink.clone(),
            place: Place::Acknowledged { target: "stdout".to_owned() },
            records: self.records,
            size: self.size,
        }])
    }

    async fn abort(&mut self) {}
}
