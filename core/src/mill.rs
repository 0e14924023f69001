//! One chunk through the last steps of the mill: which records go to an output, and the output's frame.
//!
//! In: a decoded [`Chunk`] and, per output, which of its records it gets. Out: an [`OutputFrame`] with its
//! counts. Invariant: the frame holds exactly the kept records, in order, byte for byte, one per line; where
//! all are kept the chunk's bytes are compressed where they stand, without a copy.
//!
//! Who decides what is kept (duplicates, filters) is not known here. Failure: an [`EncodeError`].

mod columns;
mod output;
mod rendered;

use crate::decode::Chunk;
use crate::encode::{EncodeError, FrameEncoder};

pub use columns::ParquetOutput;
pub use output::MillOutput;
pub use rendered::{Rendered, RenderedOutput, Routed, route};

/// One frame of an output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputFrame {
    /// The compressed frame; empty when no record was kept.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub records: u32,
    /// Their size before compression, line feeds included.
    pub raw_bytes: u64,
}

/// Which records of a chunk are kept. Begins with all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    words: Vec<u64>,
    len: usize,
}

impl Kept {
    /// Every one of `len` records.
    pub fn all(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let (Some(last), used @ 1..) = (words.last_mut(), len % 64) {
            *last = (1 << used) - 1;
        }
        Self { words, len }
    }

    /// Drops the record at `index` of the chunk; one that is not there is no matter.
    pub fn drop(&mut self, index: usize) {
        if let Some(word) = self.words.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
    }

    /// Whether the record at `index` is kept.
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none was dropped.
    pub fn is_all(&self) -> bool {
        self.count() == self.len
    }
}

/// Makes the raw frames of one output.
pub struct RawOutput {
    encoder: FrameEncoder,
    /// The kept records, where some were dropped: at most a chunk's bytes.
    gathered: Vec<u8>,
}

impl RawOutput {
    /// An output with this encoder.
    pub fn new(encoder: FrameEncoder) -> Self {
        Self { encoder, gathered: Vec::new() }
    }

    /// The frame of the kept records of a chunk.
    pub fn frame(&mut self, chunk: &Chunk, kept: &Kept) -> Result<OutputFrame, EncodeError> {
        let ndjson = if kept.is_all() && kept.len == chunk.records().len() {
            chunk.ndjson()
        } else {
            gather(chunk, kept, &mut self.gathered);
            &self.gathered
        };
        let records = u32::try_from(kept.count()).unwrap_or(u32::MAX);
        let mut frame = OutputFrame { bytes: Vec::new(), records, raw_bytes: ndjson.len() as u64 };
        self.encoder.encode(ndjson, &mut frame.bytes)?;
        Ok(frame)
    }

    /// The bytes of working memory that it holds, for the budget.
    pub fn memory(&self) -> usize {
        self.encoder.memory() + self.gathered.capacity()
    }
}

/// Puts the kept records' lines into `out`, a run of neighbours at a time.
fn gather(chunk: &Chunk, kept: &Kept, out: &mut Vec<u8>) {
    out.clear();
    let ndjson = chunk.ndjson();
    let mut run = 0..0;
    for (index, record) in chunk.records().iter().enumerate() {
        if !kept.contains(index) {
            continue;
        }
        let (start, end) = (record.start as usize, record.end as usize + 1);
        if run.end != start {
            out.extend_from_slice(ndjson.get(run).unwrap_or_default());
            run = start..start;
        }
        run.end = end;
    }
    out.extend_from_slice(ndjson.get(run).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, ObjectDecoder};
    use crate::encode::Compression;

    fn chunk(n: usize) -> Chunk {
        let records: Vec<String> = (0..n).map(|i| format!("{{\"eventID\":\"id-{i}\"}}")).collect();
        let document = format!("{{\"Records\":[{}]}}", records.join(","));
        let mut chunk = Chunk::new();
        let mut decoder = ObjectDecoder::new(0, &DecodeLimits::default());
        assert!(!decoder.push(document.as_bytes(), &mut chunk).full);
        assert_eq!(decoder.finish(&mut chunk).unwrap().records as usize, n);
        chunk
    }

    #[test]
    fn only_kept_records_come_out_in_order() {
        let chunk = chunk(200);
        let mut output = RawOutput::new(FrameEncoder::new(Compression::None).unwrap());
        assert_eq!(output.frame(&chunk, &Kept::all(200)).unwrap().bytes, chunk.ndjson());
        for keep in [|i: usize| i.is_multiple_of(3), |i| i > 150, |i| i != 64, |_| false] {
            let mut kept = Kept::all(200);
            (0..200).filter(|i| !keep(*i)).for_each(|i| kept.drop(i));
            let frame = output.frame(&chunk, &kept).unwrap();
            let expected: String =
                (0..200).filter(|i| keep(*i)).map(|i| format!("{{\"eventID\":\"id-{i}\"}}\n")).collect();
            assert_eq!(frame.bytes, expected.as_bytes());
            assert_eq!(frame.records as usize, kept.count());
            assert_eq!(frame.raw_bytes as usize, expected.len());
        }
    }

    #[test]
    fn kept_counts() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            let mut kept = Kept::all(len);
            assert!(kept.is_all() && kept.count() == len);
            kept.drop(len);
            assert!(kept.is_all());
            if len > 0 {
                kept.drop(len - 1);
                assert!(!kept.contains(len - 1) && kept.count() == len - 1);
            }
        }
    }
}
