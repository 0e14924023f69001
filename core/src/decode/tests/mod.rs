//! Tests of decoding as a whole: documents, damage, hostile input, real files.

mod damage;
mod documents;
mod hostile;
mod real;

use std::io::Write;

use super::*;

/// Everything that came of one object.
pub(super) struct Decoded {
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) spans: Vec<RecordSpan>,
    /// Of each record: the id and the name, as text.
    pub(super) ids: Vec<Option<String>>,
    pub(super) outcome: Outcome,
    pub(super) peak_memory: usize,
}

impl Decoded {
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        self.outcome.damages.iter().map(|d| d.reason.label()).collect()
    }
}

/// Decodes `stored`, given in pieces whose sizes repeat `pieces`, and checks what always holds.
pub(super) fn decode(stored: &[u8], pieces: &[usize], limits: &DecodeLimits) -> Decoded {
    let mut decoder = ObjectDecoder::new(7, limits);
    let mut chunk = Chunk::new();
    let mut decoded = Decoded {
        lines: vec![],
        spans: vec![],
        ids: vec![],
        outcome: Outcome {
            inflated_sha256: None,
            inflated_size: 0,
            stored_size: 0,
            records: 0,
            damages: vec![],
            reflowed: 0,
        },
        peak_memory: 0,
    };
    let mut rest = stored;
    let mut turn = 0;
    while !rest.is_empty() {
        let size = pieces[turn % pieces.len()].clamp(1, rest.len());
        turn += 1;
        let progress = decoder.push(&rest[..size], &mut chunk);
        assert!(progress.full || progress.consumed == size);
        rest = &rest[progress.consumed..];
        if progress.full {
            take(&mut chunk, &mut decoded);
        }
    }
    decoded.outcome = loop {
        match decoder.finish(&mut chunk) {
            Some(outcome) => break outcome,
            None => take(&mut chunk, &mut decoded),
        }
    };
    take(&mut chunk, &mut decoded);
    let bound = CHUNK_BYTES.max(limits.record_bytes) + limits.record_bytes + 5 * WINDOW;
    let spans = 2 * CHUNK_RECORDS * size_of::<RecordSpan>();
    assert!(decoded.peak_memory <= bound + spans, "{} > {bound}", decoded.peak_memory);
    check(&decoded, stored.len(), limits);
    decoded
}

fn take(chunk: &mut Chunk, decoded: &mut Decoded) {
    let text: Vec<&[u8]> = chunk.ndjson().split_inclusive(|&b| b == b'\n').collect();
    assert_eq!(text.len(), chunk.records().len(), "one record per line");
    for (line, span) in text.iter().zip(chunk.records()) {
        assert_eq!(line.strip_suffix(b"\n").unwrap(), chunk.record(span));
        decoded.lines.push(chunk.record(span).to_vec());
        let id = span.fields.id.map(|id| String::from_utf8(chunk.field(id).to_vec()).unwrap());
        decoded.ids.push(id);
    }
    decoded.spans.extend_from_slice(chunk.records());
    decoded.peak_memory = decoded.peak_memory.max(chunk.memory());
    chunk.clear();
    assert!(chunk.is_empty() && chunk.ndjson().is_empty());
}

fn check(decoded: &Decoded, stored: usize, limits: &DecodeLimits) {
    let outcome = &decoded.outcome;
    assert_eq!(outcome.stored_size, stored as u64);
    assert!(outcome.inflated_size <= limits.inflated_bytes);
    assert_eq!(outcome.records as usize, decoded.lines.len());
    assert!(outcome.records <= limits.records);
    assert!(outcome.damages.len() <= 64 && decoded.outcome.damaged_records() < u32::MAX);
    assert!(outcome.damages.iter().map(|d| d.sample.len()).sum::<usize>() <= 256 * 1024);
    let mut last = None;
    for (line, span) in decoded.lines.iter().zip(&decoded.spans) {
        assert!(line.len() <= limits.record_bytes);
        assert!(line.starts_with(b"{") && is_object(line), "{}", String::from_utf8_lossy(line));
        assert_eq!(span.object, 7);
        assert!(last < Some(span.number), "numbers rise");
        last = Some(span.number);
    }
    let counted = outcome.records + outcome.damaged_records();
    assert!(last.is_none_or(|last| last < counted), "the books hold every number");
    for damage in &outcome.damages {
        assert!(damage.bytes.start <= damage.bytes.end && damage.bytes.end <= outcome.inflated_size);
    }
}

/// Whether `serde_json` takes it for one object.
pub(super) fn is_object(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| {
        let raw: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
        raw.is_ok_and(|raw| raw.get().len() == text.len() && text.starts_with('{'))
    })
}

/// One gzip member.
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn sha256(content: &[u8]) -> Option<[u8; 32]> {
    use sha2::Digest;
    Some(sha2::Sha256::digest(content).into())
}

/// With default limits, in one piece.
pub(super) fn decode_whole(stored: &[u8]) -> Decoded {
    decode(stored, &[usize::MAX], &DecodeLimits::default())
}
