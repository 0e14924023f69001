//! Findings as records of the sinks that ask for them.
//!
//! In: the findings of one journal entry. Out: prepared outputs, which that entry carries and which are finished
//! when it is in the journal, as those of a batch are. Invariant: uploads become visible once; what is acknowledged
//! before the entry (Kinesis, console) may come again after a crash, with the same repeat key. Failure: nothing is
//! left behind, and the findings wait in the outbox. Bounded by one entry of notes.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use trailhaul_core::encode::{Compression, FrameEncoder};
use trailhaul_core::model::{BatchId, FindingNote, Output, finding_id, sha256_hex};

use crate::sinks::{Frame, Sink, SinkBatch, SinkError};
use crate::store::{ErrorKind, StoreError};
use crate::telemetry::{FindingKind, Weight};

/// A sink that asks for findings.
#[derive(Debug, Clone)]
pub struct FindingSink {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How its frames are compressed.
    pub compression: Compression,
}

/// Prepares the records of these findings at every sink. The error names the sink.
pub(super) async fn prepare(
    sinks: &[FindingSink],
    batch: BatchId,
    at: Timestamp,
    findings: &[FindingNote],
) -> Result<Vec<Output>, (String, SinkError)> {
    let partition = format!("date={}/", at.strftime("%Y-%m-%d"));
    let mut lines = Vec::new();
    for finding in findings {
        lines.extend_from_slice(record(finding).to_string().as_bytes());
        lines.push(b'\n');
    }
    let (mut open, mut outputs) = (Vec::with_capacity(sinks.len()), Vec::new());
    for sink in sinks {
        let name = sink.sink.name().to_owned();
        let prepared = async {
            let mut writing = sink.sink.open(batch, &partition).await?;
            let written = write(sink, writing.as_mut(), &lines, findings).await;
            open.push(writing);
            written
        };
        match prepared.await {
            Ok(output) => outputs.extend(output),
            Err(error) => {
                for mut writing in open {
                    writing.abort().await;
                }
                return Err((name, error));
            }
        }
    }
    Ok(outputs)
}

async fn write(
    sink: &FindingSink,
    writing: &mut dyn SinkBatch,
    lines: &[u8],
    findings: &[FindingNote],
) -> Result<Vec<Output>, SinkError> {
    let mut bytes = Vec::new();
    let encoded =
        FrameEncoder::new(sink.compression).and_then(|mut encoder| encoder.encode(lines, &mut bytes));
    encoded.map_err(|error| {
        StoreError::new(ErrorKind::Other, "compress findings", sink.sink.name(), error.to_string())
    })?;
    let key = |finding: &FindingNote| match finding.account {
        Some(account) => account.to_string(),
        None => finding_id(&finding.kind, &finding.subject),
    };
    let keys = if sink.sink.wants_keys() { findings.iter().map(key).collect() } else { Vec::new() };
    let frame = Frame { bytes: Bytes::from(bytes), records: findings.len() as u64, keys, file: None };
    for refused in writing.write(frame).await? {
        // The finding itself stands in the ledger and the journal.
        tracing::error!(
            sink = sink.sink.name(),
            reason = refused.reason,
            "a sink refuses the record of a finding"
        );
    }
    writing.prepare().await
}

/// A finding as a record; documented in docs/formats.md.
fn record(finding: &FindingNote) -> Value {
    let weight = match FindingKind::from_name(&finding.kind).map(FindingKind::weight) {
        Some(Weight::Trouble) => "trouble",
        Some(Weight::Integrity) | None => "integrity",
    };
    let identity = format!("{}\0{}\0{}\0{}", finding.kind, finding.subject, finding.evidence, finding.at);
    let repeat_key: String = sha256_hex(identity.as_bytes()).chars().take(32).collect();
    json!({
        "type": "trailhaul.finding",
        "version": 1,
        "repeat_key": repeat_key,
        "id": finding_id(&finding.kind, &finding.subject),
        "kind": finding.kind,
        "weight": weight,
        "time": finding.at,
        "account": finding.account,
        "subject": finding.subject,
        "text": finding.text,
        "evidence": finding.evidence,
        "details": finding.details,
    })
}
