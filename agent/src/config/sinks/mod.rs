//! `sinks`: where events go. Each sink has a name of the user's choice and a type; the types have a file each.

mod archive;
mod console;
mod file;
mod kinesis;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use archive::{Archive, LifecycleAction, LifecycleRule, PartitionBy, StorageClass};
pub use console::Console;
pub use file::File;
pub use kinesis::{Kinesis, PartitionKey};

use super::choice::choices;
use super::key::{Form, Key, Tagged};
use super::organization::Role;
use super::problem::nearest;
use trailhaul_core::normalize::{self, HashKey, Redaction};
use trailhaul_core::route::Filter;

use super::section::{Item, Section, scalar};
use super::support;

/// A sink's name: 1 to 40 of `[a-z0-9-]`, unique in the configuration.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkName(Arc<str>);

impl SinkName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SinkName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        name(text).map(|name| Self(name.into()))
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place that events go to, and what it wants of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its name.
    pub name: SinkName,
    /// Whether a batch waits for it; a sink that is not required is owed what it misses.
    pub required: bool,
    /// How a record is written.
    pub format: Format,
    /// Which events it gets, as an expression; all without one.
    pub filter: Option<String>,
    /// The fields whose values it must not see, as paths (`requestParameters.password`).
    pub redact: Vec<String>,
    /// Whether it gets findings too.
    pub findings: bool,
    /// What it is.
    pub target: Target,
}

/// What a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A bucket or folder of compressed objects, with a journal.
    Archive(Archive),
    /// A folder of files for other programs to read.
    File(File),
    /// Standard output.
    Console(Console),
    /// A Kinesis data stream.
    Kinesis(Kinesis),
}

impl Sink {
    /// Whether it writes Parquet files.
    pub fn is_parquet(&self) -> bool {
        matches!(&self.target, Target::Archive(archive) if archive.encoding == Encoding::Parquet)
    }
}

impl Format {
    /// The format as the mill knows it.
    pub fn format(self) -> normalize::Format {
        use normalize::OcsfVersion;
        match self {
            Self::Raw => normalize::Format::Raw,
            Self::RawMeta => normalize::Format::RawMeta,
            Self::Ocsf11 => normalize::Format::Ocsf(OcsfVersion::V1_1),
            Self::Ocsf15 => normalize::Format::Ocsf(OcsfVersion::V1_5),
            Self::Ocsf18 => normalize::Format::Ocsf(OcsfVersion::V1_8),
            Self::Ecs => normalize::Format::Ecs,
        }
    }
}

impl Target {
    /// The word under `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Archive(_) => "archive",
            Self::File(_) => "file",
            Self::Console(_) => "console",
            Self::Kinesis(_) => "kinesis",
        }
    }
}

choices! {
    /// How a record is written.
    Format {
        /// The bytes that CloudTrail wrote.
        Raw = "raw",
        /// The bytes that CloudTrail wrote, with where they came from beside them.
        RawMeta = "raw+meta",
        /// OCSF 1.1.
        Ocsf11 = "ocsf-1.1",
        /// OCSF 1.5.
        Ocsf15 = "ocsf-1.5",
        /// OCSF 1.8.
        Ocsf18 = "ocsf-1.8",
        /// Elastic Common Schema.
        Ecs = "ecs",
    }
}

choices! {
    /// How a file or object is compressed.
    Compression {
        /// Zstandard, in frames of some MiB.
        Zstd = "zstd",
        /// Gzip, in members of some MiB.
        Gzip = "gzip",
        /// Not at all.
        None = "none",
    }
}

choices! {
    /// How records are packed into a file or object.
    Encoding {
        /// A JSON text per line.
        Ndjson = "ndjson",
        /// Apache Parquet.
        Parquet = "parquet",
    }
}

/// The keys that every sink has, before its own.
macro_rules! sink_keys {
    ($($own:expr),* $(,)?) => {
        &[
            Key::required("type", Kind::Choice(&["archive", "file", "console", "kinesis"]), "What the sink is."),
            Key::with_default(
                "required",
                Kind::Flag,
                "true",
                "Whether batches wait for this sink; one that is not required is owed what it misses.",
            ),
            Key::with_default("format", Kind::Choice(Format::NAMES), "raw", "How a record is written."),
            Key::optional("filter", Kind::Text(Form::Any), "Which events the sink gets; all without it."),
            Key::optional(
                "redact",
                Kind::List(&Kind::Text(Form::Any)),
                "Paths of fields whose values the sink must not see.",
            ),
            Key::with_default("findings", Kind::Flag, "false", "Whether the sink gets findings too."),
            $($own,)*
        ]
    };
}
use sink_keys;

pub(super) const SINKS: Tagged = Tagged {
    tag: "type",
    variants: &[
        ("archive", archive::KEYS),
        ("file", file::KEYS),
        ("console", console::KEYS),
        ("kinesis", kinesis::KEYS),
    ],
};

/// The most sinks: every batch is rendered and delivered for each of them.
const MOST_SINKS: usize = 32;

/// Reads every sink of the root section, in the order of the file. Sinks that cannot be read are left out;
/// their problems are noted.
pub(super) fn build(root: &Section<'_>) -> Vec<Sink> {
    let Some(named) = root.named("sinks") else { return Vec::new() };
    if named.is_empty() && root.item("sinks").is_some() {
        root.problem("sinks", "is empty; name at least one sink");
    }
    if named.len() > MOST_SINKS {
        root.problem("sinks", format!("more than {MOST_SINKS}; every one takes its share of memory"));
    }
    let mut read = Vec::new();
    for (entry, item) in named.into_iter().take(MOST_SINKS) {
        let name = match entry.key.parse::<SinkName>() {
            Ok(name) => Some(name),
            Err(message) => {
                root.cx.problem(&entry.origin, &item.path, message);
                None
            }
        };
        read.push(sink(name, &item, root));
    }
    let all = read.len();
    let mut sinks: Vec<Sink> = read.into_iter().flatten().collect();
    if sinks.len() == all {
        settle_home(&mut sinks, root);
    }
    sinks
}

/// The only archive is home without saying so.
fn settle_home(sinks: &mut [Sink], root: &Section<'_>) {
    let mut archives = sinks.iter_mut().filter_map(|sink| match &mut sink.target {
        Target::Archive(archive) if archive.encoding != Encoding::Parquet => Some((&sink.name, archive)),
        _ => None,
    });
    let (Some((name, only)), None) = (archives.next(), archives.next()) else { return };
    let entry = root.named("sinks").into_iter().flatten().find(|(entry, _)| entry.key == name.as_str());
    if let Some(home) = entry.and_then(|(entry, _)| entry.node.get("home"))
        && !only.home
    {
        let key = format!("sinks.{name}.home");
        root.cx.problem(&home.origin, &key, "the only archive is home; remove the key or say true");
    }
    only.home = true;
}

fn sink(name: Option<SinkName>, item: &Item<'_>, root: &Section<'_>) -> Option<Sink> {
    let keys = variant(item, root)?;
    let s = Section::open(item, keys, root.cx)?;
    let required = s.flag("required");
    if required == Some(false) {
        s.needs("required", support::optional_sinks());
    }
    let format = s.choice::<Format>("format");
    let filter = s.text("filter");
    if let Some(Some(text)) = &filter
        && let Err(error) = Filter::compile(text)
    {
        s.problem("filter", format!("column {}: {}", error.column, error.message));
    }
    let redact = s.scalars("redact", |text| Ok(text.to_owned()));
    // The key only matters for what comes out; here the rules are held against their grammar.
    let mut redaction = Redaction::new(Some(HashKey::new([0; 32])));
    for rule in redact.iter().flatten() {
        if let Err(error) = redaction.rule(rule) {
            s.problem("redact", error.to_string());
        }
    }
    let findings = s.flag("findings");
    if findings == Some(true) {
        s.needs("findings", support::findings_in_sinks());
    }
    let target = target(&s);
    if let (Some(Format::Raw | Format::RawMeta | Format::Ecs), Some(Target::Archive(archive))) =
        (format, &target)
        && archive.encoding == Encoding::Parquet
    {
        s.problem("encoding", "parquet has columns for OCSF; choose ocsf-1.5, ocsf-1.1 or ocsf-1.8");
    }
    if let (Some(Format::Raw), Some(true)) = (format, redact.as_ref().map(|r| !r.is_empty())) {
        s.problem("redact", "raw keeps the very bytes; choose another format to redact fields");
    }
    Some(Sink {
        name: name?,
        required: required?,
        format: format?,
        filter: filter?,
        redact: redact?,
        findings: findings?,
        target: target?,
    })
}

fn target(s: &Section<'_>) -> Option<Target> {
    let kind = s.read("type", |text| Ok(text.to_owned()))?;
    match kind.as_str() {
        "archive" => archive::build(s).map(Target::Archive),
        "file" => file::build(s).map(Target::File),
        "console" => Some(Target::Console(Console {})),
        "kinesis" => kinesis::build(s).map(Target::Kinesis),
        _ => None,
    }
}

/// The key table that a sink's type names.
fn variant(item: &Item<'_>, root: &Section<'_>) -> Option<&'static [Key]> {
    let words: Vec<&str> = SINKS.variants.iter().map(|(word, _)| *word).collect();
    let expected = format!("expected one of {}", words.join(", "));
    let Some(node) = item.node.get(SINKS.tag) else {
        let message = format!("type is missing; {expected}");
        root.cx.problem(&item.node.origin, &item.path, message);
        return None;
    };
    let tag = Item { node, path: format!("{}.{}", item.path, SINKS.tag) };
    scalar(&tag, root.cx, |text| {
        SINKS.variants.iter().find(|(word, _)| *word == text).map(|(_, keys)| *keys).ok_or_else(|| {
            match nearest(text, words.iter().copied()) {
                Some(word) => format!("did you mean \"{word}\"? {expected}"),
                None => expected.clone(),
            }
        })
    })
}

/// A name of the user's choice.
pub(super) fn name(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=40).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(format!("expected {}", Form::Name.describe()))
}

/// A key prefix: no empty segments, nothing that climbs out.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let inner = text.trim_matches('/');
    let bad = inner.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if text.len() > 512 || (bad && !inner.is_empty()) {
        return Err("expected a prefix such as logs/cloudtrail (no empty segments, '.' or '..')".into());
    }
    Ok(inner.to_owned())
}
