//! One output of a lane's mill: raw or rendered, filtered or not.
//!
//! In: a chunk, the records that are not duplicates, and the context of each. Out: a frame, and what is not in
//! it ([`Rendered`]). Invariant: kept = in the frame + filtered + refused. Raw output without a filter never
//! parses a record.

use crate::decode::{Chunk, RecordSpan};
use crate::encode::parquet::FilePiece;
use crate::encode::{EncodeError, FrameEncoder};
use crate::model::json::Parser;
use crate::normalize::{Context, Format, Redaction, RedactionError, Renderer};
use crate::route::Filter;

use super::{Kept, ParquetOutput, RawOutput, Rendered, RenderedOutput, route};

/// An output's frames, and whether it tells which records they hold.
pub struct MillOutput {
    kind: Kind,
    tells_places: bool,
}

enum Kind {
    /// The records' own bytes.
    Raw(RawOutput),
    /// The same, of the records that a filter wants.
    Filtered(RawOutput, Box<Filter>, Box<Parser>),
    /// Another format.
    Rendered(Box<RenderedOutput>),
    /// OCSF in columns.
    Parquet(Box<ParquetOutput>),
}

impl MillOutput {
    /// An output in this format.
    ///
    /// # Errors
    /// When raw is to be redacted: it is the record's own bytes.
    pub fn new(
        encoder: FrameEncoder,
        format: Format,
        filter: Option<Filter>,
        redaction: Redaction,
    ) -> Result<Self, RedactionError> {
        let renderer = Renderer::new(format, redaction)?;
        let kind = match (format, filter) {
            (Format::Raw, None) => Kind::Raw(RawOutput::new(encoder)),
            (Format::Raw, Some(filter)) => {
                Kind::Filtered(RawOutput::new(encoder), Box::new(filter), Box::new(Parser::new()))
            }
            (_, filter) => Kind::Rendered(Box::new(RenderedOutput::new(encoder, renderer, filter))),
        };
        Ok(Self { kind, tells_places: false })
    }

    /// An output in Parquet, with about `allowed` files per batch at most. The format is one of OCSF; a record in
    /// another is refused.
    ///
    /// # Errors
    /// As for [`MillOutput::new`].
    pub fn parquet(
        format: Format,
        filter: Option<Filter>,
        redaction: Redaction,
        allowed: u32,
    ) -> Result<Self, RedactionError> {
        let renderer = Renderer::new(format, redaction)?;
        let output = ParquetOutput::new(renderer, filter, allowed);
        Ok(Self { kind: Kind::Parquet(Box::new(output)), tells_places: false })
    }

    /// A batch begins: nothing of another is left.
    pub fn begin(&mut self) {
        if let Kind::Parquet(output) = &mut self.kind {
            output.files().reset();
        }
    }

    /// The batch ends: what is left of its files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(&mut self) -> Result<Vec<FilePiece>, EncodeError> {
        match &mut self.kind {
            Kind::Parquet(output) => output.finish(),
            _ => Ok(Vec::new()),
        }
    }

    /// Files of the batch so far, and whether it should take no further object because of them.
    pub fn files(&mut self) -> (u32, bool) {
        match &mut self.kind {
            Kind::Parquet(output) => (output.files().count(), output.files().is_full()),
            _ => (0, false),
        }
    }

    /// The same, telling which records each frame holds ([`Rendered::places`]): for sinks that send records one
    /// by one.
    #[must_use]
    pub fn telling_places(mut self) -> Self {
        self.tells_places = true;
        if let Kind::Rendered(output) = &mut self.kind {
            output.tells_places = true;
        }
        self
    }

    /// The frame of the kept records of a chunk.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn frame<'a>(
        &mut self,
        chunk: &'a Chunk,
        kept: &Kept,
        context: impl FnMut(&'a RecordSpan) -> Context<'a>,
    ) -> Result<Rendered, EncodeError> {
        let tells = self.tells_places;
        let places = |kept: &Kept| -> Vec<u32> {
            let all = 0..u32::try_from(chunk.records().len()).unwrap_or(u32::MAX);
            if tells { all.filter(|place| kept.contains(*place as usize)).collect() } else { Vec::new() }
        };
        match &mut self.kind {
            Kind::Raw(output) => Ok(Rendered {
                frame: output.frame(chunk, kept)?,
                places: places(kept),
                ..Rendered::default()
            }),
            Kind::Filtered(output, filter, parser) => {
                let mut wanted = kept.clone();
                let routed = route(filter, parser, chunk, &mut wanted);
                Ok(Rendered {
                    frame: output.frame(chunk, &wanted)?,
                    filtered: routed.filtered,
                    refused: routed.refused,
                    places: places(&wanted),
                    files: Vec::new(),
                })
            }
            Kind::Rendered(output) => output.frame(chunk, kept, context),
            Kind::Parquet(output) => output.frame(chunk, kept, context),
        }
    }
}
