//! Where events go.
//!
//! In: compressed frames of one batch, in order. Out: an [`Output`] for the journal, prepared: complete and
//! durable but invisible, or acknowledged. Invariant: a sink makes nothing visible before the journal says so
//! (acknowledging sinks are at-least-once and say so). Failure: an error ends the attempt; [`SinkBatch::abort`]
//! leaves nothing behind, and the batch is tried again whole.

mod console;
pub mod kinesis;
mod place;
mod upload;

use async_trait::async_trait;
use bytes::Bytes;
use trailhaul_core::model::{BatchId, Output};

use crate::store::StoreError;

pub use console::ConsoleSink;
pub use place::{Naming, UploadSink};
pub use upload::{UploadTarget, UploadWriter};

/// Sinks fail as stores do: by what the caller can do about it.
pub type SinkError = StoreError;

/// A destination.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Starts a batch whose objects render to this archive prefix (`date=YYYY-MM-DD/`).
    async fn open(&self, batch: BatchId, partition: &str) -> Result<Box<dyn SinkBatch>, SinkError>;
}

/// One batch at one sink.
#[async_trait]
pub trait SinkBatch: Send {
    /// Takes a frame of so many records. Returns when the sink has room for the next.
    async fn write(&mut self, frame: Bytes, records: u64) -> Result<(), SinkError>;

    /// Makes everything durable. `None` when nothing was written.
    async fn prepare(&mut self) -> Result<Option<Output>, SinkError>;

    /// Gives up the batch; what was uploaded is dropped as far as the store can be reached (recovery drops
    /// the rest).
    async fn abort(&mut self);
}
