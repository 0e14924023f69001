//! The Kinesis sink: every record of a batch is acknowledged before the batch is prepared.
//!
//! At-least-once: a batch that is given up after that, or a crash, sends its records again; each carries a
//! repeat key with which a consumer drops the repeat. What the stream can never take is refused. Bounded by one
//! frame: its records are slices of it.

use async_trait::async_trait;
use bytes::Bytes;
use trailhaul_core::model::{BatchId, Output, Place, Role};

use super::kinesis::{KinesisOptions, KinesisProducer, Record};
use super::{Frame, RefusedRecord, Sink, SinkBatch, SinkError};
use crate::aws::Aws;

/// A stream.
pub struct KinesisSink {
    name: String,
    aws: Aws,
    options: KinesisOptions,
}

impl std::fmt::Debug for KinesisSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KinesisSink").field("name", &self.name).finish_non_exhaustive()
    }
}

impl KinesisSink {
    /// A sink that writes to this stream.
    pub fn new(name: String, aws: Aws, options: KinesisOptions) -> Self {
        Self { name, aws, options }
    }
}

#[async_trait]
impl Sink for KinesisSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants_keys(&self) -> bool {
        true
    }

    async fn open(&self, _batch: BatchId, _partition: &str) -> Result<Box<dyn SinkBatch>, SinkError> {
        Ok(Box::new(KinesisBatch {
            sink: self.name.clone(),
            stream: self.options.stream.clone(),
            producer: KinesisProducer::new(&self.aws, self.options.clone()),
            records: 0,
            size: 0,
        }))
    }
}

struct KinesisBatch {
    sink: String,
    stream: String,
    producer: KinesisProducer,
    records: u64,
    size: u64,
}

#[async_trait]
impl SinkBatch for KinesisBatch {
    async fn write(&mut self, frame: Frame) -> Result<Vec<RefusedRecord>, SinkError> {
        let records = split(&frame.bytes, frame.keys);
        let delivered = self.producer.send(records).await?;
        self.records += delivered.records;
        self.size += delivered.bytes;
        let refused = delivered.refused.into_iter();
        Ok(refused.map(|r| RefusedRecord { place: r.position, reason: r.why.to_string() }).collect())
    }

    async fn prepare(&mut self) -> Result<Vec<Output>, SinkError> {
        if self.records == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![Output {
            role: Role::Sink,
            sink: self.sink.clone(),
            place: Place::Acknowledged { target: self.stream.clone() },
            records: self.records,
            size: self.size,
        }])
    }

    async fn abort(&mut self) {}
}

/// The lines of a frame as records, without their line feeds.
fn split(lines: &Bytes, keys: Vec<String>) -> Vec<Record> {
    let mut records = Vec::with_capacity(keys.len());
    let mut start = 0;
    for key in keys {
        let rest = lines.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        records.push(Record { data: lines.slice(start..end), partition_key: key });
        start = (end + 1).min(lines.len());
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record() {
        let lines = Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n");
        let records = split(&lines, vec!["one".into(), "two".into()]);
        let found: Vec<(&[u8], &str)> =
            records.iter().map(|record| (record.data.as_ref(), record.partition_key.as_str())).collect();
        assert_eq!(found, [(b"{\"a\":1}".as_slice(), "one"), (b"{\"b\":2}".as_slice(), "two")]);
    }
}
