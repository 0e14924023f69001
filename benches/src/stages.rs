//! The stages that are measured, each over all the objects.
//!
//! In: stored objects. Out: nothing but the time taken; every stage checks that it did its work (sizes and
//! counts), so that a fast wrong answer is an error.

use std::hint::black_box;

use anyhow::{Context as _, ensure};
use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest, Sha256};
use trailhaul_core::decode::{CHUNK_BYTES, Chunk, DecodeLimits, ObjectDecoder, RecordSpan};
use trailhaul_core::encode::{Compression, FrameEncoder};
use trailhaul_core::mill::{Kept, MillOutput, RawOutput};
use trailhaul_core::model::AccountId;
use trailhaul_core::normalize::{Context, Format, OcsfVersion, Redaction, RepeatKey};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Inflate every object in one go.
    Inflate,
    /// SHA-256 of the raw bytes.
    Hash,
    /// zstd frames of 2 MiB of the raw bytes.
    Compress,
    /// The three above, object by object: the least that the job can cost.
    Bound,
    /// Split, validate and find fields, of bodies that are not compressed; the hash is part of it.
    DecodePlain,
    /// Inflate, hash, split, validate, find fields.
    Decode,
    /// Decode, and compress every record.
    Mill,
    /// The same, with every tenth record dropped as a duplicate.
    MillDropping,
    /// Decode, and render and compress every record in this format.
    Format(Rendering),
}

/// How records are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// Raw with where it comes from.
    RawMeta,
    /// OCSF 1.5 as lines.
    Ocsf,
    /// ECS as lines.
    Ecs,
    /// OCSF 1.5 as Parquet files.
    Parquet,
}

impl Rendering {
    const ALL: [Self; 4] = [Self::RawMeta, Self::Ocsf, Self::Ecs, Self::Parquet];

    fn output(self) -> anyhow::Result<MillOutput> {
        let encoder = FrameEncoder::new(Compression::Zstd)?;
        let ocsf = Format::Ocsf(OcsfVersion::V1_5);
        let lines = |format| MillOutput::new(encoder, format, None, Redaction::default());
        Ok(match self {
            Self::RawMeta => lines(Format::RawMeta)?,
            Self::Ocsf => lines(ocsf)?,
            Self::Ecs => lines(Format::Ecs)?,
            Self::Parquet => MillOutput::parquet(ocsf, None, Redaction::default(), 512)?,
        })
    }
}

impl Stage {
    pub(crate) const ALL: [Stage; 12] = [
        Self::Inflate,
        Self::Hash,
        Self::Compress,
        Self::Bound,
        Self::DecodePlain,
        Self::Decode,
        Self::Mill,
        Self::MillDropping,
        Self::Format(Rendering::RawMeta),
        Self::Format(Rendering::Ocsf),
        Self::Format(Rendering::Ecs),
        Self::Format(Rendering::Parquet),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inflate => "inflate",
            Self::Hash => "sha-256",
            Self::Compress => "zstd, 2 MiB frames",
            Self::Bound => "bound: all three",
            Self::DecodePlain => "hash + split, no gzip",
            Self::Decode => "decode",
            Self::Mill => "mill, all records kept",
            Self::MillDropping => "mill, every tenth dropped",
            Self::Format(Rendering::RawMeta) => "mill, as raw+meta",
            Self::Format(Rendering::Ocsf) => "mill, as ocsf-1.5",
            Self::Format(Rendering::Ecs) => "mill, as ecs",
            Self::Format(Rendering::Parquet) => "mill, as ocsf-1.5 in parquet",
        }
    }
}

/// What the data are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    pub(crate) objects: usize,
    pub(crate) stored: usize,
    pub(crate) raw: usize,
    pub(crate) framed: usize,
    pub(crate) records: u32,
}

/// The data and the reused working memory of all stages.
pub(crate) struct Stages {
    stored: Vec<Vec<u8>>,
    raw: Vec<Vec<u8>>,
    facts: Facts,
    inflated: Vec<u8>,
    deflate: Decompress,
    encoder: FrameEncoder,
    frame: Vec<u8>,
    chunk: Chunk,
    output: RawOutput,
    formats: Vec<(Rendering, MillOutput)>,
}

/// What one pass of the mill does with a full chunk.
type Sink<'a> = dyn FnMut(&Chunk) -> anyhow::Result<()> + 'a;

impl Stages {
    /// Inflates the objects once, to know what to expect.
    pub(crate) fn new(stored: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        let mut stages = Self {
            raw: Vec::with_capacity(stored.len()),
            facts: Facts { objects: stored.len(), ..Facts::default() },
            stored,
            inflated: Vec::new(),
            deflate: Decompress::new(false),
            encoder: FrameEncoder::new(Compression::Zstd)?,
            frame: Vec::new(),
            chunk: Chunk::new(),
            output: RawOutput::new(FrameEncoder::new(Compression::Zstd)?),
            formats: Vec::new(),
        };
        for rendering in Rendering::ALL {
            stages.formats.push((rendering, rendering.output()?));
        }
        for object in &stages.stored {
            stages.facts.stored += object.len();
            inflate(&mut stages.deflate, object, &mut stages.inflated)?;
            stages.facts.raw += stages.inflated.len();
            stages.raw.push(stages.inflated.clone());
        }
        let (mut framed, mut records) = (0, 0);
        decode_all(&mut stages.chunk, &stages.stored, &mut |chunk| {
            let frame = stages.output.frame(chunk, &Kept::all(chunk.records().len()))?;
            framed += frame.bytes.len();
            records += frame.records;
            Ok(())
        })?;
        stages.facts.framed = framed;
        stages.facts.records = records;
        Ok(stages)
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    /// Runs one stage over all the objects.
    pub(crate) fn run(&mut self, stage: Stage) -> anyhow::Result<()> {
        match stage {
            Stage::Inflate => {
                for object in &self.stored {
                    inflate(&mut self.deflate, object, &mut self.inflated)?;
                    black_box(&self.inflated);
                }
            }
            Stage::Hash => {
                for raw in &self.raw {
                    black_box(Sha256::digest(raw));
                }
            }
            Stage::Compress => {
                for raw in &self.raw {
                    compress(&mut self.encoder, raw, &mut self.frame)?;
                }
            }
            Stage::Bound => {
                for object in &self.stored {
                    inflate(&mut self.deflate, object, &mut self.inflated)?;
                    black_box(Sha256::digest(&self.inflated));
                    compress(&mut self.encoder, &self.inflated, &mut self.frame)?;
                }
            }
            Stage::DecodePlain => self.decode(true)?,
            Stage::Decode => self.decode(false)?,
            Stage::Mill => self.mill(false)?,
            Stage::MillDropping => self.mill(true)?,
            Stage::Format(rendering) => self.render(rendering)?,
        }
        Ok(())
    }

    fn decode(&mut self, plain: bool) -> anyhow::Result<()> {
        let mut records = 0;
        let objects = if plain { &self.raw } else { &self.stored };
        decode_all(&mut self.chunk, objects, &mut |chunk| {
            records += chunk.records().len();
            Ok(())
        })?;
        ensure!(records == self.facts.records as usize, "{records} records came out");
        Ok(())
    }

    /// One batch of all objects in a format.
    fn render(&mut self, rendering: Rendering) -> anyhow::Result<()> {
        let found = self.formats.iter_mut().find(|(other, _)| *other == rendering);
        let (_, output) = found.context("no such output")?;
        output.begin();
        let mut records = 0;
        decode_all(&mut self.chunk, &self.stored, &mut |chunk| {
            let rendered = output.frame(chunk, &Kept::all(chunk.records().len()), context)?;
            ensure!(rendered.refused.is_empty(), "records are refused");
            records += u64::from(rendered.frame.records);
            records += rendered.files.iter().map(|piece| piece.records).sum::<u64>();
            black_box(rendered);
            Ok(())
        })?;
        records += output.finish()?.iter().map(|piece| piece.records).sum::<u64>();
        ensure!(records == u64::from(self.facts.records), "{records} records came out");
        Ok(())
    }

    fn mill(&mut self, dropping: bool) -> anyhow::Result<()> {
        let mut records = 0;
        let output = &mut self.output;
        decode_all(&mut self.chunk, &self.stored, &mut |chunk| {
            let mut kept = Kept::all(chunk.records().len());
            if dropping {
                (0..chunk.records().len()).step_by(10).for_each(|index| kept.drop(index));
            }
            records += chunk.records().len();
            black_box(output.frame(chunk, &kept)?);
            Ok(())
        })?;
        ensure!(records == self.facts.records as usize, "{records} records came out");
        Ok(())
    }
}

/// What is known of a record beside its bytes.
fn context(span: &RecordSpan) -> Context<'_> {
    const ID: &str = "8f3b1c3e-0000-4000-8000-000000000001";
    let account = AccountId::from_u64(111_122_223_333).unwrap_or_default();
    Context {
        account,
        bucket: "s3://example-org-trail",
        key: "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/08/11/111122223333_CloudTrail_eu-central-1_20260811T1145Z_Mu0KsOhtH1ar15ZZ.json.gz",
        region: "eu-central-1",
        record_number: span.number,
        repeat_key: RepeatKey { account, id: ID, id_hash: 1, content: u128::from(span.number) },
        verdict: "pending",
        hauled_at: 1_786_448_700_000,
        object_time: 1_786_448_700_000,
        enrichment: None,
    }
}

/// Decodes all objects into chunks that they share, giving each full one (and the last) to `sink`.
fn decode_all(chunk: &mut Chunk, objects: &[Vec<u8>], sink: &mut Sink<'_>) -> anyhow::Result<()> {
    let limits = DecodeLimits::default();
    for (object, number) in objects.iter().zip(0..) {
        let mut decoder = ObjectDecoder::new(number, &limits);
        let mut rest = object.as_slice();
        while !rest.is_empty() {
            let progress = decoder.push(rest, chunk);
            rest = rest.get(progress.consumed..).unwrap_or_default();
            if progress.full {
                sink(chunk)?;
                chunk.clear();
            }
        }
        let outcome = loop {
            match decoder.finish(chunk) {
                Some(outcome) => break outcome,
                None => {
                    sink(chunk)?;
                    chunk.clear();
                }
            }
        };
        ensure!(outcome.damages.is_empty(), "object {number} is damaged: {:?}", outcome.damages);
    }
    sink(chunk)?;
    chunk.clear();
    Ok(())
}

fn compress(encoder: &mut FrameEncoder, raw: &[u8], frame: &mut Vec<u8>) -> anyhow::Result<()> {
    for piece in raw.chunks(CHUNK_BYTES) {
        frame.clear();
        encoder.encode(piece, frame)?;
        black_box(&frame);
    }
    Ok(())
}

/// The size of a gzip header without a name, as all objects here have it.
const HEADER: usize = 10;

/// Inflates one member into `out` in a single call, or a few where `out` is still too small.
fn inflate(state: &mut Decompress, object: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
    state.reset(false);
    out.clear();
    let deflated = object.get(HEADER..).context("no gzip header")?;
    loop {
        if out.capacity() - out.len() < 64 * 1024 {
            out.reserve(out.capacity().max(1 << 20));
        }
        let taken = usize::try_from(state.total_in())?;
        let rest = deflated.get(taken..).unwrap_or_default();
        match state.decompress_vec(rest, out, FlushDecompress::Finish)? {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => ensure!(out.capacity() - out.len() == 0, "cut deflate data"),
        }
    }
    // gzip's checksum is part of inflating.
    let mut crc = flate2::Crc::new();
    crc.update(out);
    black_box(crc.sum());
    Ok(())
}
