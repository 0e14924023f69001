//! One chunk for an output that filters its records, or renders them in another format than raw.
//!
//! In: a decoded [`Chunk`], which of its records are kept so far, and the [`Context`] of each. Out: a frame, and
//! what became of the other records: *filtered* (the sink does not want them) or *refused* (they cannot be
//! rendered), each counted, the refused ones by their place in the chunk. Invariant: kept = in the frame +
//! filtered + refused. A record is parsed once, for filter and format together. Failure: an [`EncodeError`].

use crate::decode::{Chunk, RecordSpan};
use crate::encode::parquet::FilePiece;
use crate::encode::{EncodeError, FrameEncoder};
use crate::model::json::Parser;
use crate::normalize::{Context, Refusal, Renderer};
use crate::route::Filter;

use super::{Kept, OutputFrame};

/// What a filter left of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routed {
    /// Records that the filter left out.
    pub filtered: u32,
    /// Records that the filter could not read, by their place in the chunk: nested too deep, or too large.
    pub refused: Vec<(u32, Refusal)>,
}

/// Applies a filter to the kept records of a chunk: for an output in raw, before [`super::RawOutput::frame`].
pub fn route(filter: &Filter, parser: &mut Parser, chunk: &Chunk, kept: &mut Kept) -> Routed {
    let mut routed = Routed::default();
    for (index, span) in chunk.records().iter().enumerate() {
        if !kept.contains(index) {
            continue;
        }
        match parser.parse(chunk.record(span)) {
            Ok(record) if filter.matches(record) => continue,
            Ok(_) => routed.filtered += 1,
            Err(error) => routed.refused.push((place(index), error.into())),
        }
        kept.drop(index);
    }
    routed
}

/// A frame, and what is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The frame; its counts are those of the rendered lines.
    pub frame: OutputFrame,
    /// Records that the filter left out.
    pub filtered: u32,
    /// Records that cannot be rendered, by their place in the chunk.
    pub refused: Vec<(u32, Refusal)>,
    /// Pieces of Parquet files; the frame is empty then.
    pub files: Vec<FilePiece>,
    /// The records of the frame, by their place in the chunk, in order; only where they are asked for.
    pub places: Vec<u32>,
}

/// Makes the frames of one output that filters or renders.
pub struct RenderedOutput {
    encoder: FrameEncoder,
    renderer: Renderer,
    filter: Option<Filter>,
    parser: Parser,
    /// The lines of the chunk at hand: some two times its bytes.
    lines: Vec<u8>,
    /// Whether to tell which records a frame holds.
    pub(super) tells_places: bool,
}

impl RenderedOutput {
    /// An output with this encoder, format and filter.
    pub fn new(encoder: FrameEncoder, renderer: Renderer, filter: Option<Filter>) -> Self {
        Self {
            encoder,
            renderer: renderer.trusting(),
            filter,
            parser: Parser::new(),
            lines: Vec::new(),
            tells_places: false,
        }
    }

    /// The frame of the kept records of a chunk; `context` says what is known of each.
    pub fn frame<'a>(
        &mut self,
        chunk: &'a Chunk,
        kept: &Kept,
        mut context: impl FnMut(&'a RecordSpan) -> Context<'a>,
    ) -> Result<Rendered, EncodeError> {
        let mut rendered = Rendered::default();
        self.lines.clear();
        for (index, span) in chunk.records().iter().enumerate() {
            if !kept.contains(index) {
                continue;
            }
            match self.line(chunk.record(span), &context(span)) {
                Ok(true) => {
                    self.lines.push(b'\n');
                    rendered.frame.records += 1;
                    if self.tells_places {
                        rendered.places.push(place(index));
                    }
                }
                Ok(false) => rendered.filtered += 1,
                Err(refusal) => rendered.refused.push((place(index), refusal)),
            }
        }
        rendered.frame.raw_bytes = self.lines.len() as u64;
        self.encoder.encode(&self.lines, &mut rendered.frame.bytes)?;
        Ok(rendered)
    }

    /// Appends the line of one record; `false` when the filter leaves it out.
    fn line(&mut self, raw: &[u8], context: &Context<'_>) -> Result<bool, Refusal> {
        let Some(filter) = &self.filter else {
            self.renderer.render(raw, context, &mut self.lines)?;
            return Ok(true);
        };
        let record = self.parser.parse(raw)?;
        if !filter.matches(record) {
            return Ok(false);
        }
        self.renderer.render_parsed(record, context, &mut self.lines)?;
        Ok(true)
    }

    /// The bytes of working memory that it holds, for the budget.
    pub fn memory(&self) -> usize {
        self.encoder.memory() + self.lines.capacity()
    }
}

/// A chunk has at most `CHUNK_RECORDS` records.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, ObjectDecoder};
    use crate::encode::Compression;
    use crate::model::AccountId;
    use crate::normalize::{Format, Redaction, RepeatKey};

    fn chunk() -> Chunk {
        let records = [
            r#"{"eventID":"a","eventName":"GetObject","readOnly":true}"#,
            r#"{"eventID":"b","eventName":"PutObject","readOnly":false}"#,
            r#"{"eventID":"c","eventName":"\ud800","readOnly":false}"#,
            r#"{"eventID":"d","eventName":"PutObject","readOnly":false}"#,
        ];
        let document = format!("{{\"Records\":[{}]}}", records.join(","));
        let mut chunk = Chunk::new();
        let mut decoder = ObjectDecoder::new(0, &DecodeLimits::default());
        decoder.push(document.as_bytes(), &mut chunk);
        assert_eq!(decoder.finish(&mut chunk).unwrap().records, 4);
        chunk
    }

    fn context(span: &RecordSpan) -> Context<'_> {
        let account = AccountId::from_u64(111_122_223_333).unwrap();
        Context {
            account,
            bucket: "s3://b",
            key: "k",
            region: "us-east-2",
            record_number: span.number,
            repeat_key: RepeatKey { account, id: "x", id_hash: 0, content: 0 },
            verdict: "pending",
            hauled_at: 0,
            object_time: 0,
            enrichment: None,
        }
    }

    #[test]
    fn every_kept_record_is_in_the_frame_filtered_or_refused() {
        let chunk = chunk();
        let mut kept = Kept::all(4);
        kept.drop(3);
        for (name, format) in Format::ALL {
            let renderer = Renderer::new(format, Redaction::default()).unwrap();
            let encoder = FrameEncoder::new(Compression::None).unwrap();
            let filter = Filter::compile("not readOnly").unwrap();
            let mut output = RenderedOutput::new(encoder, renderer, Some(filter));
            let rendered = output.frame(&chunk, &kept, context).unwrap();
            let text = String::from_utf8(rendered.frame.bytes).unwrap();
            let refuses = matches!(format, Format::Ocsf(_) | Format::Ecs);
            assert_eq!(rendered.filtered, 1, "{name}");
            assert_eq!(rendered.refused.len(), usize::from(refuses), "{name}");
            assert_eq!(rendered.frame.records as usize, text.lines().count(), "{name}");
            assert_eq!(rendered.frame.raw_bytes as usize, text.len());
            assert_eq!(rendered.frame.records as usize + rendered.refused.len() + 1, kept.count(), "{name}");
            assert!(text.contains("\"b\"") && !text.contains("\"d\""), "{name}");
        }
    }

    #[test]
    fn a_raw_output_is_routed_by_what_it_keeps() {
        let chunk = chunk();
        let mut kept = Kept::all(4);
        kept.drop(1);
        let filter = Filter::compile(r#"eventName == "PutObject""#).unwrap();
        let routed = route(&filter, &mut Parser::new(), &chunk, &mut kept);
        assert_eq!(routed, Routed { filtered: 2, refused: Vec::new() });
        assert!(kept.contains(3) && kept.count() == 1);
    }
}
