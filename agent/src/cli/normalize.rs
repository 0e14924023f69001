//! `trailhaul normalize`: records to standard output in any format, as a sink would get them.
//!
//! In: files or standard input, each a CloudTrail log file (gzip or plain) or NDJSON, one record a line. Out:
//! one line per record. Nothing else is touched: no journal, no network, and the configuration only where
//! `--sink` names one of its sinks, whose format, filter, redaction and knowledge of accounts then serve. Memory is one chunk
//! and its lines, whatever the input. A record that cannot be read or rendered is named on standard error, and
//! the exit code is 1; a file that cannot be read is 69; the others are rendered all the same.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use trailhaul_core::decode::{Chunk, DecodeLimits, ObjectDecoder, Outcome};
use trailhaul_core::dedup::{IdentityHasher, Occurrence};
use trailhaul_core::model::json::{Parser, Value, unescape_lossy};
use trailhaul_core::model::{AccountId, LogKey};
use trailhaul_core::normalize::{Context, Format, HashKey, OcsfVersion, Redaction, Renderer, RepeatKey};
use trailhaul_core::route::Filter;

use crate::config::Enrichment;
use crate::runtime::{Clock as _, SystemClock};

use super::{ExitCode, Global, Output, load};

/// Bytes read from a file at a time.
const PIECE: usize = 256 * 1024;
/// The longest line of NDJSON; CloudTrail's own bound of a record is 1 MB.
const MAX_LINE: u64 = 4 << 20;
/// Lines are written when this many bytes have gathered.
const FLUSH: usize = 256 * 1024;
/// Records named on standard error; the others are only counted.
const MAX_NAMED: u64 = 20;

/// Render records as a sink would get them: for trials, for pipes, for tests. Exits with 1 when a record could
/// not be read or rendered.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// CloudTrail log files (gzip or plain) or NDJSON, one record a line; standard input without any, or for -.
    files: Vec<PathBuf>,
    /// As this sink of the configuration gets them: its format, filter and redaction, and the configuration's
    /// table of accounts. Options given here are stronger.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// raw, raw+meta, ocsf-1.1, ocsf-1.5, ocsf-1.8 or ecs; ocsf-1.5 without it and without a sink.
    #[arg(long, short)]
    format: Option<Format>,
    /// Only the records for which this holds, such as: eventCategory == "Management" and not readOnly.
    #[arg(long, value_name = "EXPRESSION", value_parser = Filter::compile)]
    filter: Option<Filter>,
    /// Hide a field or a set of them (credentials, identities, addresses): RULE is a path or set, with drop, mask
    /// or hash before it. May be given several times.
    #[arg(long, value_name = "RULE")]
    redact: Vec<String>,
    /// A file of 32 random bytes, the key of hashed fields.
    #[arg(long, value_name = "FILE")]
    redact_key: Option<PathBuf>,
    /// The account whose records these are, where no file name tells.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
}

/// What is done with each record.
struct Settings {
    format: Format,
    filter: Option<Filter>,
    redact: Vec<String>,
    accounts: Enrichment,
}

/// The settings of the command line, over those of the sink that it names.
fn settings(args: &Args, global: &Global, output: &mut Output) -> Result<Settings, ExitCode> {
    let mut settings = Settings {
        format: Format::Ocsf(OcsfVersion::V1_5),
        filter: None,
        redact: Vec::new(),
        accounts: Enrichment::default(),
    };
    if let Some(name) = &args.sink {
        let config = load::load(global, output)?;
        let Some(sink) = config.sinks.iter().find(|sink| sink.name.as_str() == name) else {
            let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
            output.trouble(&format!("--sink {name}: the configuration has {}", names.join(", ")));
            return Err(ExitCode::Usage);
        };
        settings.format = sink.format.format();
        // It was compiled when the configuration was read.
        settings.filter = sink.filter.as_deref().and_then(|filter| Filter::compile(filter).ok());
        settings.redact.clone_from(&sink.redact);
        settings.accounts = config.enrichment;
    }
    if let Some(format) = args.format {
        settings.format = format;
    }
    if let Some(filter) = &args.filter {
        settings.filter = Some(filter.clone());
    }
    if !args.redact.is_empty() {
        settings.redact.clone_from(&args.redact);
    }
    Ok(settings)
}

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let settings = match settings(args, global, output) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let renderer = match renderer(args, &settings) {
        Ok(renderer) => renderer,
        Err(message) => {
            output.trouble(&message);
            return ExitCode::Usage;
        }
    };
    let mut job = Job {
        args,
        settings: &settings,
        output,
        renderer,
        parser: Parser::new(),
        // Without an archive there is no secret: these keys are for trials.
        hasher: IdentityHasher::new(&[0; 32]),
        hauled_at: SystemClock.now().as_millisecond(),
        lines: Vec::new(),
        troubles: 0,
        closed: false,
    };
    let mut code = ExitCode::Good;
    let standard = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &standard[..] } else { &args.files };
    for file in files {
        if let Err(error) = job.file(file) {
            job.output.trouble(&format!("{}: {error}", file.display()));
            code = code.max(ExitCode::Unreachable);
        }
    }
    job.flush();
    if job.troubles > MAX_NAMED {
        job.output.trouble(&format!("{} records could not be read or rendered", job.troubles));
    }
    if job.troubles > 0 { code.max(ExitCode::Finding) } else { code }
}

fn renderer(args: &Args, settings: &Settings) -> Result<Renderer, String> {
    let key = match &args.redact_key {
        None => None,
        Some(path) => {
            let read =
                std::fs::read(path).map_err(|error| format!("--redact-key {}: {error}", path.display()))?;
            let bytes = <[u8; 32]>::try_from(read.as_slice())
                .map_err(|_| format!("--redact-key {}: a key is 32 bytes", path.display()))?;
            Some(HashKey::new(bytes))
        }
    };
    let mut redaction = Redaction::new(key);
    for rule in &settings.redact {
        redaction.rule(rule).map_err(|error| format!("--redact: {error}"))?;
    }
    Renderer::new(settings.format, redaction).map_err(|error| format!("--redact: {error}"))
}

/// Where a record comes from.
struct Source<'s> {
    /// The folder's URL.
    bucket: &'s str,
    /// The file's name within it, as messages show it.
    name: &'s str,
    account: Option<AccountId>,
    stamp: i64,
}

struct Job<'j> {
    args: &'j Args,
    settings: &'j Settings,
    output: &'j mut Output,
    renderer: Renderer,
    parser: Parser,
    hasher: IdentityHasher,
    hauled_at: i64,
    lines: Vec<u8>,
    troubles: u64,
    /// Nobody reads what is written any more.
    closed: bool,
}

impl Job<'_> {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        if path == Path::new("-") {
            let source =
                Source { bucket: "stdin:", name: "-", account: self.args.account, stamp: self.hauled_at };
            return self.stream(io::stdin().lock(), &source);
        }
        let file = File::open(path)?;
        let name = path.to_string_lossy().replace('\\', "/");
        let key = LogKey::parse(&name).ok();
        let account = key.as_ref().map(|key| key.account).or_else(|| account_of(path)).or(self.args.account);
        let stamp = key.map_or(self.hauled_at, |key| key.stamp.unix_seconds().saturating_mul(1_000));
        self.stream(
            BufReader::with_capacity(PIECE, file),
            &Source { bucket: "file:", name: &name, account, stamp },
        )
    }

    fn stream(&mut self, mut input: impl BufRead, source: &Source<'_>) -> io::Result<()> {
        let start = input.fill_buf()?;
        if is_log_file(start) { self.log_file(input, source) } else { self.ndjson(input, source) }
    }

    /// A log file: decoded as a hauled one is.
    fn log_file(&mut self, mut input: impl Read, source: &Source<'_>) -> io::Result<()> {
        let mut decoder = ObjectDecoder::new(0, &DecodeLimits::default());
        let mut chunk = Chunk::new();
        let mut piece = vec![0; PIECE];
        loop {
            let read = input.read(&mut piece)?;
            let mut rest = piece.get(..read).unwrap_or_default();
            while !rest.is_empty() && !self.closed {
                let progress = decoder.push(rest, &mut chunk);
                rest = rest.get(progress.consumed..).unwrap_or_default();
                if progress.full {
                    self.chunk(&mut chunk, source);
                }
            }
            if read == 0 || self.closed {
                break;
            }
        }
        let outcome = loop {
            let outcome = decoder.finish(&mut chunk);
            self.chunk(&mut chunk, source);
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        if !self.closed {
            self.damages(&outcome, source);
        }
        Ok(())
    }

    fn damages(&mut self, outcome: &Outcome, source: &Source<'_>) {
        for damage in &outcome.damages {
            self.troubles = self.troubles.saturating_add(u64::from(damage.records.max(1)));
            let (records, reason) = (damage.records, damage.reason.label());
            self.output.trouble(&format!("{}: {records} records not read: {reason}", source.name));
        }
    }

    fn chunk(&mut self, chunk: &mut Chunk, source: &Source<'_>) {
        for record in chunk.records() {
            self.record(chunk.record(record), record.number, source);
        }
        chunk.clear();
    }

    fn ndjson(&mut self, mut input: impl BufRead, source: &Source<'_>) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 || self.closed {
                return Ok(());
            }
            if read as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                return Err(io::Error::other(format!("line {} is longer than 4 MiB", number + 1)));
            }
            let record = line.trim_ascii();
            if !record.is_empty() {
                self.record(record, number, source);
            }
        }
        Ok(())
    }

    fn record(&mut self, raw: &[u8], number: u32, source: &Source<'_>) {
        let before = self.lines.len();
        match self.render(raw, number, source) {
            Ok(true) => self.lines.push(b'\n'),
            Ok(false) => {}
            Err(message) => {
                self.lines.truncate(before);
                self.troubles += 1;
                if self.troubles <= MAX_NAMED {
                    self.output.trouble(&format!("{}: record {number}: {message}", source.name));
                }
            }
        }
        if self.lines.len() >= FLUSH {
            self.flush();
        }
    }

    /// Appends the line of a record; `false` when the filter leaves it out.
    fn render(&mut self, raw: &[u8], number: u32, source: &Source<'_>) -> Result<bool, String> {
        let record = self.parser.parse(raw).map_err(|error| error.to_string())?;
        if self.settings.filter.as_ref().is_some_and(|filter| !filter.matches(record)) {
            return Ok(false);
        }
        let text = |key: &str| record.get(key).and_then(Value::string).map(unescape_lossy);
        let own = text("recipientAccountId").or_else(|| text("accountId")).and_then(|id| id.parse().ok());
        let nobody = || AccountId::from_u64(0).map_err(|error| error.to_string());
        let account = source.account.or(own).map_or_else(nobody, Ok)?;
        let id = text("eventID").or_else(|| text("eventId")).unwrap_or_default();
        let identity = self.hasher.identity(account, Some(id.as_bytes()), raw, Occurrence::AtRecord(number));
        let context = Context {
            account,
            bucket: source.bucket,
            key: source.name,
            region: "",
            record_number: number,
            repeat_key: RepeatKey { account, id: &id, id_hash: identity.id, content: identity.content },
            verdict: "pending",
            hauled_at: self.hauled_at,
            object_time: source.stamp,
            enrichment: self.settings.accounts.accounts.get(&account).map(AsRef::as_ref),
        };
        let rendered = self.renderer.render_parsed(record, &context, &mut self.lines);
        rendered.map(|()| true).map_err(|error| error.to_string())
    }

    fn flush(&mut self) {
        self.closed |= !self.output.bytes(&self.lines);
        self.lines.clear();
    }
}

/// The account at the start of a log file's name.
fn account_of(path: &Path) -> Option<AccountId> {
    path.file_name()?.to_str()?.split_once('_')?.0.parse().ok()
}

/// Whether a file that starts so is a log file: gzip, an array, or an object whose first key is `Records`.
fn is_log_file(start: &[u8]) -> bool {
    let text = start.trim_ascii_start();
    let records =
        || text.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"Records\""));
    start.starts_with(&[0x1f, 0x8b]) || text.starts_with(b"[") || records()
}
