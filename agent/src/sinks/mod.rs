//! Where events go.
//!
//! In: compressed frames of one batch, in order. Out: an [`Output`] for the journal, prepared: complete and
//! durable but invisible, or acknowledged. Invariant: a sink makes nothing visible before the journal says so
//! (acknowledging sinks are at-least-once and say so). Failure: an error ends the attempt; [`SinkBatch::abort`]
//! leaves nothing behind, and the batch is tried again whole.

mod console;
pub mod kinesis;
mod kinesis_sink;
mod lake;
mod place;
mod upload;

use async_trait::async_trait;
use bytes::Bytes;
use trailhaul_core::encode::parquet::FileName;
use trailhaul_core::model::{BatchId, Output};

use crate::store::StoreError;

pub use console::ConsoleSink;
pub use kinesis_sink::KinesisSink;
pub use lake::LakeSink;
pub use place::{Naming, UploadSink};
pub use upload::{UploadTarget, UploadWriter};

/// Sinks fail as stores do: by what the caller can do about it.
pub type SinkError = StoreError;

/// A destination.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Whether its frames carry a partition key for each record.
    fn wants_keys(&self) -> bool {
        false
    }

    /// Starts a batch whose objects render to this archive prefix (`date=YYYY-MM-DD/`).
    async fn open(&self, batch: BatchId, partition: &str) -> Result<Box<dyn SinkBatch>, SinkError>;
}

/// Some records of a batch, rendered for one sink.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Lines, compressed as the sink wants them.
    pub bytes: Bytes,
    /// Records in it.
    pub records: u64,
    /// For sinks that send records one by one ([`Sink::wants_keys`]): the partition key of each, in order.
    pub keys: Vec<String>,
    /// For sinks that write several files of a batch: which one these bytes belong to.
    pub file: Option<FilePart>,
}

/// Which file some bytes belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// The file.
    pub name: FileName,
    /// Whether it ends with these bytes.
    pub last: bool,
}

/// A record that a sink can never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the frame, from 0.
    pub place: usize,
    /// Why.
    pub reason: String,
}

/// One batch at one sink.
#[async_trait]
pub trait SinkBatch: Send {
    /// Takes a frame. Returns when the sink has room for the next, with the records that it can never take.
    async fn write(&mut self, frame: Frame) -> Result<Vec<RefusedRecord>, SinkError>;

    /// Makes everything durable: the outputs for the journal. None when nothing was written.
    async fn prepare(&mut self) -> Result<Vec<Output>, SinkError>;

    /// Gives up the batch; what was uploaded is dropped as far as the store can be reached (recovery drops
    /// the rest).
    async fn abort(&mut self);
}
