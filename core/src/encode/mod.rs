//! From records to the bytes of an output: NDJSON frames and their compression, and Parquet ([`parquet`]).
//!
//! In: lines of NDJSON. Out: one self-contained compressed frame per call: a zstd frame, a gzip member, or the
//! bytes themselves. Invariant: frames concatenate, so that an output is the frames of its chunks one after
//! the other, and any zstd or gzip reader gives back the lines of all of them.
//!
//! Bounded: the working buffer holds the worst case of one frame ([`FrameEncoder::memory`]) and is reused.
//! Failure: an [`EncodeError`], which only a lack of memory or a broken library can cause.

mod gzip;
pub mod parquet;

use gzip::GzipMember;

/// How an output is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// One zstd frame per chunk (RFC 8878), at the default level: on CloudTrail's logs both faster and denser
    /// than the levels above it, as long as a frame holds about 2 MiB.
    #[default]
    Zstd,
    /// The same at a level from 1 to 19; others are clamped.
    ZstdLevel(i32),
    /// One gzip member per chunk (RFC 1952) at a level from 1 to 9; others are clamped. Six times slower.
    Gzip(u32),
    /// As it is.
    None,
}

impl Compression {
    /// What an object's name ends in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zstd | Self::ZstdLevel(_) => ".zst",
            Self::Gzip(_) => ".gz",
            Self::None => "",
        }
    }
}

/// Why a frame could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// zstd refused.
    #[error("zstd could not compress a frame of {bytes} bytes")]
    Zstd {
        /// The size of the frame's content.
        bytes: usize,
        /// What zstd said.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file could not be written.
    #[error(transparent)]
    Parquet(#[from] parquet::ParquetError),
    /// The deflate library refused.
    #[error("gzip could not compress a member of {bytes} bytes")]
    Gzip {
        /// The size of the member's content.
        bytes: usize,
    },
}

/// Compresses frames, one after the other, reusing its working memory.
pub struct FrameEncoder {
    codec: Codec,
    /// The worst case of the frame at hand; what comes of it is copied out at its true size.
    scratch: Vec<u8>,
}

enum Codec {
    Zstd(Box<zstd::bulk::Compressor<'static>>),
    Gzip(GzipMember),
    None,
}

impl FrameEncoder {
    /// An encoder; its working memory is allocated with the first frame.
    pub fn new(compression: Compression) -> Result<Self, EncodeError> {
        let zstd = |level: i32| {
            zstd::bulk::Compressor::new(level.clamp(1, 19))
                .map(|compressor| Codec::Zstd(Box::new(compressor)))
                .map_err(|source| EncodeError::Zstd { bytes: 0, source })
        };
        let codec = match compression {
            Compression::Zstd => zstd(DEFAULT_LEVEL)?,
            Compression::ZstdLevel(level) => zstd(level)?,
            Compression::Gzip(level) => Codec::Gzip(GzipMember::new(level.clamp(1, 9))),
            Compression::None => Codec::None,
        };
        Ok(Self { codec, scratch: Vec::new() })
    }

    /// Appends the frame of `ndjson` to `out`. Nothing is appended for no bytes, and none after an error.
    pub fn encode(&mut self, ndjson: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if ndjson.is_empty() {
            return Ok(());
        }
        match &mut self.codec {
            Codec::None => {
                out.extend_from_slice(ndjson);
                return Ok(());
            }
            Codec::Zstd(compressor) => {
                self.scratch.clear();
                self.scratch.reserve(zstd::zstd_safe::compress_bound(ndjson.len()));
                compressor
                    .compress_to_buffer(ndjson, &mut self.scratch)
                    .map_err(|source| EncodeError::Zstd { bytes: ndjson.len(), source })?;
            }
            Codec::Gzip(member) => {
                member
                    .compress(ndjson, &mut self.scratch)
                    .ok_or(EncodeError::Gzip { bytes: ndjson.len() })?;
            }
        }
        out.extend_from_slice(&self.scratch);
        Ok(())
    }

    /// The bytes of working memory that it holds, for the budget; zstd's own tables (below 1 MiB at the
    /// default level) not counted.
    pub fn memory(&self) -> usize {
        self.scratch.capacity()
    }
}

const DEFAULT_LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn lines(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| format!("{{\"eventID\":\"{i}\",\"x\":\"{}\"}}\n", i * i).into_bytes()).collect()
    }

    fn decompress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::Zstd | Compression::ZstdLevel(_) => {
                zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap();
            }
            Compression::Gzip(_) => {
                #[expect(clippy::disallowed_types, reason = "the test reads concatenated members")]
                flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
            }
            Compression::None => out.extend_from_slice(bytes),
        }
        out
    }

    #[test]
    fn frames_concatenate() {
        for compression in
            [Compression::Zstd, Compression::ZstdLevel(99), Compression::Gzip(6), Compression::None]
        {
            let mut encoder = FrameEncoder::new(compression).unwrap();
            let (mut plain, mut out) = (Vec::new(), Vec::new());
            for n in [1, 5000, 0, 20] {
                let chunk = lines(n);
                encoder.encode(&chunk, &mut out).unwrap();
                plain.extend_from_slice(&chunk);
            }
            assert_eq!(decompress(compression, &out), plain, "{compression:?}");
            assert!(compression == Compression::None || out.len() < plain.len() / 2);
        }
    }

    #[test]
    fn what_does_not_compress_still_fits() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(300_000)
        .collect();
        for compression in [Compression::Zstd, Compression::Gzip(1), Compression::None] {
            let mut out = Vec::new();
            FrameEncoder::new(compression).unwrap().encode(&noise, &mut out).unwrap();
            assert_eq!(decompress(compression, &out), noise, "{compression:?}");
        }
    }
}
