//! Renders records for the sinks: raw, raw with metadata, OCSF, ECS.
//!
//! In: the bytes of one record (or the one parse of it that all sinks share) and a [`Context`]. Out: exactly
//! one line of JSON, without its newline, appended to the caller's buffer; or a [`Refusal`], and nothing
//! appended. Buffers live in the [`Renderer`], one per worker and sink: nothing is allocated per record once
//! they have grown, but for a few observables.
//!
//! Invariants: a line is valid JSON in one line. Raw is the record's own bytes. In OCSF and ECS every value of
//! the record that is not `null`, `""`, `{}` or `[]` stands somewhere in the line, numbers and strings with the
//! text that they came with; values that the schema has no place for are under `unmapped`. Nothing is
//! invented: an attribute stands there because the record, or the context, says so.
//!
//! A record that cannot be rendered (not JSON, nested too deep, half a surrogate pair) is refused; the caller
//! counts it in the books. Redaction is part of rendering, and never touches [`Format::Raw`].

mod classify;
mod ecs;
mod envelope;
mod fields;
mod mapper;
mod ocsf;
mod redact;
mod time;
mod unmapped;
mod write;

use std::fmt;
use std::str::FromStr;

use crate::model::AccountId;
use crate::model::json::{ParseError, Parser, Record};

pub use redact::{Action, HashKey, Redaction, RedactionError, Rule, SETS};

use redact::Redacted;

/// The versions of OCSF that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OcsfVersion {
    /// 1.1.0, of Security Lake's custom and native sources today.
    V1_1,
    /// 1.5.0, AWS's newest mapping; the default.
    V1_5,
    /// 1.8.0, the newest release.
    V1_8,
}

impl OcsfVersion {
    /// What stands in `metadata.version`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.0",
            Self::V1_5 => "1.5.0",
            Self::V1_8 => "1.8.0",
        }
    }
}

/// What a sink gets of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The record's own bytes.
    Raw,
    /// An envelope that holds them and says where they come from.
    RawMeta,
    /// Open Cybersecurity Schema Framework.
    Ocsf(OcsfVersion),
    /// Elastic Common Schema 8.11 as Elastic's AWS integration fills it.
    Ecs,
}

impl Format {
    /// Every format, by the name that the configuration uses.
    pub const ALL: [(&'static str, Format); 6] = [
        ("raw", Format::Raw),
        ("raw+meta", Format::RawMeta),
        ("ocsf-1.1", Format::Ocsf(OcsfVersion::V1_1)),
        ("ocsf-1.5", Format::Ocsf(OcsfVersion::V1_5)),
        ("ocsf-1.8", Format::Ocsf(OcsfVersion::V1_8)),
        ("ecs", Format::Ecs),
    ];
}

/// A text that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a format (raw, raw+meta, ocsf, ocsf-1.1, ocsf-1.5, ocsf-1.8, ecs)")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        if text == "ocsf" {
            return Ok(Format::Ocsf(OcsfVersion::V1_5));
        }
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, format)| format).ok_or_else(|| FormatError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.into_iter().find(|(_, format)| format == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// What is known of a record beside its bytes. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The account of the object's key.
    pub account: AccountId,
    /// The source bucket's URL.
    pub bucket: &'a str,
    /// The source object's key.
    pub key: &'a str,
    /// The region of the source object's folder.
    pub region: &'a str,
    /// The record's number within its object, from 0.
    pub record_number: u32,
    /// With which a consumer drops a repeat without dropping a conflict.
    pub repeat_key: RepeatKey<'a>,
    /// The object's verdict as known when the record is shipped.
    pub verdict: &'a str,
    /// When the record was hauled.
    pub hauled_at: i64,
    /// The stamp of the object: stands in for the time of a record that has none.
    pub object_time: i64,
    /// What the configuration or discovery knows of the account.
    pub enrichment: Option<&'a AccountInfo>,
}

/// With which a consumer drops a repeat without dropping a conflict: two deliveries of one event have the same
/// key, two events with one id have not. Its text is `ACCOUNT/ID/CONTENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RepeatKey<'a> {
    /// The account of the object's key.
    pub account: AccountId,
    /// The event's id; empty where it has none.
    pub id: &'a str,
    /// The hash of account and id, or of what stands in for the id: written where there is none.
    pub id_hash: u128,
    /// The keyed hash of the record's bytes.
    pub content: u128,
}

impl fmt::Display for RepeatKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id.is_empty() {
            write!(f, "{}/{:032x}/{:032x}", self.account, self.id_hash, self.content)
        } else {
            write!(f, "{}/{}/{:032x}", self.account, self.id, self.content)
        }
    }
}

/// What is known of an account; values are plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountInfo {
    /// The account's name.
    pub name: Option<String>,
    /// The organization that it belongs to.
    pub organization: Option<String>,
    /// The path of organizational units from the root, such as `Root/Workloads/Prod`.
    pub organizational_unit: Option<String>,
    /// The account's tags, as key and value.
    pub tags: Vec<(String, String)>,
}

impl AccountInfo {
    /// The bytes that it holds, for the budget.
    pub fn memory(&self) -> usize {
        let texts = [&self.name, &self.organization, &self.organizational_unit];
        let tags =
            self.tags.iter().map(|(key, value)| key.len() + value.len() + size_of::<(String, String)>());
        let own: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + own + tags.sum::<usize>()
    }
}

/// Why a record cannot be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record does not parse.
    #[error("{0}")]
    NotARecord(#[from] ParseError),
    /// A string holds half a surrogate pair, which no output in Unicode can hold.
    #[error("a string holds half of a surrogate pair")]
    LoneSurrogate,
    /// The names of its fields, written out as paths, are larger than any real record.
    #[error("the paths of its fields are larger than 1 MiB together")]
    Unwieldy,
    /// Parquet has no column for one of its attributes, or not of that type.
    #[error("parquet has no column for one of its attributes")]
    NoColumn,
}

/// Renders records in one format with one redaction. Holds buffers; not shared between threads.
#[derive(Debug)]
pub struct Renderer {
    format: Format,
    redaction: Redaction,
    parser: Parser,
    scratch: Scratch,
    /// Records are known to be valid JSON.
    trusting: bool,
}

/// Buffers that live from record to record.
#[derive(Debug, Default)]
struct Scratch {
    redacted: Redacted,
    used: Vec<u8>,
    unmapped: unmapped::Buffers,
}

impl Renderer {
    /// A renderer. Redaction of [`Format::Raw`] is refused: raw is the record's own bytes.
    pub fn new(format: Format, redaction: Redaction) -> Result<Self, RedactionError> {
        if format == Format::Raw && !redaction.is_empty() {
            return Err(RedactionError::Verbatim);
        }
        Ok(Self { format, redaction, parser: Parser::new(), scratch: Scratch::default(), trusting: false })
    }

    /// The same for records that are known to be JSON objects, as those of a [`crate::decode::Chunk`] are: an
    /// envelope does not check them again.
    pub fn trusting(self) -> Self {
        Self { trusting: true, ..self }
    }

    /// The format that it renders.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether rendering needs the record parsed; raw does not.
    pub fn needs_parse(&self) -> bool {
        match self.format {
            Format::Raw => false,
            Format::RawMeta => !self.trusting || !self.redaction.is_empty(),
            Format::Ocsf(_) | Format::Ecs => true,
        }
    }

    /// Appends the line of one record, or nothing when it is refused.
    pub fn render(&mut self, raw: &[u8], context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.format {
            Format::Raw => envelope::verbatim(raw, out),
            Format::RawMeta if !self.needs_parse() => envelope::wrap_verbatim(raw, context, out),
            Format::RawMeta | Format::Ocsf(_) | Format::Ecs => {
                let record = self.parser.parse(raw)?;
                render(self.format, &self.redaction, &mut self.scratch, record, context, out)?;
            }
        }
        Ok(())
    }

    /// Like [`Renderer::render`], of a record that is parsed already (for a filter, or for another sink).
    pub fn render_parsed(
        &mut self,
        record: Record<'_>,
        context: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.needs_parse() {
            render(self.format, &self.redaction, &mut self.scratch, record, context, out)
        } else {
            self.render(record.text().as_bytes(), context, out)
        }
    }
}

fn render(
    format: Format,
    redaction: &Redaction,
    scratch: &mut Scratch,
    record: Record<'_>,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    if record.has_lone_surrogate() && matches!(format, Format::Ocsf(_) | Format::Ecs) {
        return Err(Refusal::LoneSurrogate);
    }
    scratch.redacted.apply(redaction, record);
    match format {
        Format::Raw => envelope::verbatim(record.text().as_bytes(), out),
        Format::RawMeta => envelope::wrap(record, &scratch.redacted, context, out),
        Format::Ocsf(version) => return ocsf::render(version, record, context, scratch, out),
        Format::Ecs => return ecs::render(record, context, scratch, out),
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
