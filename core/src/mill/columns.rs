//! One chunk for an output in Parquet: rendered as OCSF, sorted into files.
//!
//! In: a decoded [`Chunk`], which of its records are kept so far, and the [`Context`] of each. Out: pieces of
//! files, and what became of the other records, as in [`super::RenderedOutput`]. Invariant: kept = taken into a
//! file + filtered + refused. What was taken comes out in a later piece, the last of it with
//! [`ParquetOutput::finish`]. Failure: an [`EncodeError`] ends the batch.

use crate::decode::{Chunk, RecordSpan};
use crate::encode::EncodeError;
use crate::encode::parquet::{FilePiece, ParquetError, ParquetFiles, Whereabouts};
use crate::model::json::Parser;
use crate::normalize::{Context, Refusal, Renderer};
use crate::route::Filter;

use super::{Kept, Rendered};

/// Makes the Parquet files of one output.
pub struct ParquetOutput {
    renderer: Renderer,
    filter: Option<Filter>,
    parser: Parser,
    line: Vec<u8>,
    files: ParquetFiles,
}

impl ParquetOutput {
    /// An output that renders so, with about `allowed` files per batch at most.
    pub fn new(renderer: Renderer, filter: Option<Filter>, allowed: u32) -> Self {
        Self {
            renderer: renderer.trusting(),
            filter,
            parser: Parser::new(),
            line: Vec::new(),
            files: ParquetFiles::new(allowed),
        }
    }

    /// Takes the kept records of a chunk; what is ready of the files comes back.
    pub fn frame<'a>(
        &mut self,
        chunk: &'a Chunk,
        kept: &Kept,
        mut context: impl FnMut(&'a RecordSpan) -> Context<'a>,
    ) -> Result<Rendered, EncodeError> {
        let mut rendered = Rendered::default();
        for (index, span) in chunk.records().iter().enumerate() {
            if !kept.contains(index) {
                continue;
            }
            match self.take(chunk.record(span), &context(span)) {
                Ok(true) => {}
                Ok(false) => rendered.filtered += 1,
                Err(Left::Refused(refusal)) => {
                    rendered.refused.push((u32::try_from(index).unwrap_or(u32::MAX), refusal));
                }
                Err(Left::Failed(error)) => return Err(error.into()),
            }
        }
        rendered.files = self.files.ready();
        Ok(rendered)
    }

    /// Ends the batch's files: the rest of them.
    pub fn finish(&mut self) -> Result<Vec<FilePiece>, EncodeError> {
        self.files.finish()?;
        Ok(self.files.ready())
    }

    /// The files of the batch.
    pub fn files(&mut self) -> &mut ParquetFiles {
        &mut self.files
    }

    /// Takes one record; `false` when the filter leaves it out.
    fn take(&mut self, raw: &[u8], context: &Context<'_>) -> Result<bool, Left> {
        self.line.clear();
        match &self.filter {
            None => self.renderer.render(raw, context, &mut self.line)?,
            Some(filter) => {
                let record = self.parser.parse(raw).map_err(Refusal::from)?;
                if !filter.matches(record) {
                    return Ok(false);
                }
                self.renderer.render_parsed(record, context, &mut self.line)?;
            }
        }
        let from =
            Whereabouts { account: context.account, region: context.region, stamp: context.object_time };
        match self.files.push(&self.line, from) {
            Ok(()) => Ok(true),
            Err(error @ ParquetError::Write(_)) => Err(Left::Failed(error)),
            Err(_) => Err(Left::Refused(Refusal::NoColumn)),
        }
    }
}

/// Why a record was not taken.
enum Left {
    Refused(Refusal),
    Failed(ParquetError),
}

impl From<Refusal> for Left {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
