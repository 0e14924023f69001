//! Values with units and forms: durations, sizes, places, start times, secrets.
//!
//! In: one scalar's text. Out: a value that cannot be wrong, or what was expected, in words that never repeat
//! the text (it may have come from the environment; the caller quotes it where it may).

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

/// A text that is never shown: not by `Debug`, not by `Display`, not in errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Guards this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one call that needs it. Never log or format what this returns.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a new stream begins, by publish day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this moment.
    At(Timestamp),
    /// This long before the stream is first seen.
    Ago(Duration),
    /// With the oldest object there is.
    Beginning,
}

impl Start {
    /// The moment meant at `now`; `None` for the beginning.
    pub fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Ago(ago) => Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN)),
            Self::Beginning => None,
        }
    }
}

impl std::str::FromStr for Start {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        start(text)
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "{time}"),
            Self::Ago(ago) => write!(f, "{} before a stream is first seen", show_duration(*ago)),
            Self::Beginning => f.write_str("the beginning"),
        }
    }
}

/// A bucket (or folder) and the prefix below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    bucket: Arc<str>,
    prefix: String,
}

impl Place {
    /// The store's URL, as `ObjectStore::url` has it: `s3://name` or `file:///path`, no trailing slash.
    pub fn bucket(&self) -> &Arc<str> {
        &self.bucket
    }

    /// The key prefix: empty, or ending in `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The folder behind a `file://` place (without the prefix).
    pub fn folder(&self) -> Option<&Path> {
        self.bucket.strip_prefix("file://").map(Path::new)
    }

    /// The bucket's name behind an `s3://` place.
    pub fn s3_bucket(&self) -> Option<&str> {
        self.bucket.strip_prefix("s3://")
    }

    /// Whether one of the two lies within the other, or both are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.whole(), other.whole());
        a.starts_with(&b) || b.starts_with(&a)
    }

    /// Adds a prefix below the one that is there; slashes at its ends do not count.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() {
            self.prefix.push_str(prefix);
            self.prefix.push('/');
        }
        self
    }

    /// Parses a place; relative folders start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !is_bucket_name(bucket) {
                return Err("not a bucket name (3 to 63 of a-z, 0-9, '.', '-')".into());
            }
            if prefix.contains("//") {
                return Err("empty path segment in the prefix".into());
            }
            return Ok(Self { bucket: format!("s3://{bucket}").into(), prefix: String::new() }.below(prefix));
        }
        let Some(rest) = text.strip_prefix("file://") else {
            return Err("expected s3://bucket/prefix, file:///folder or file://./folder".into());
        };
        if !(rest.starts_with('/') || rest == "." || rest.starts_with("./") || rest.starts_with("../")) {
            return Err("a folder is file:///absolute or file://./relative (to this file's folder)".into());
        }
        let folder = absolute(Path::new(rest), base);
        if folder.parent().is_none() {
            return Err("the root folder cannot serve as a bucket".into());
        }
        Ok(Self { bucket: format!("file://{}", folder.display()).into(), prefix: String::new() })
    }

    fn whole(&self) -> String {
        format!("{}/{}", self.bucket, self.prefix)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.prefix)
    }
}

/// S3 User Guide, "General purpose bucket naming rules": 3 to 63 characters, ends are letters or digits.
fn is_bucket_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| good(b) || b == b'.' || b == b'-')
        && bytes.first().is_some_and(|&b| good(b))
        && bytes.last().is_some_and(|&b| good(b))
        && !name.contains("..")
}

/// Makes a path absolute against `base` and drops `.` and `..` by the letter (links are not followed).
pub(super) fn absolute(path: &Path, base: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Reads a duration as it is written in the file, for command lines.
///
/// # Errors
/// What was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text)
}

/// `30s`, `5m`, `1h`, `7d`, `500ms`, or several in a row (`1h30m`).
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || String::from("expected a duration such as 500ms, 30s, 5m, 1h or 7d");
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(wrong)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end).ok_or_else(wrong)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return Err(wrong()),
        };
        total = number.checked_mul(millis).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(Duration::from_millis(total))
}

/// `64MiB`, `1GiB`, `512KiB`, `4096B` (powers of two); `64MB` and the like are powers of ten.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || String::from("expected a size such as 512KiB, 64MiB or 2GiB");
    let (number, unit) = leading_number(text).ok_or_else(wrong)?;
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// An RFC 3339 time, a date (midnight UTC), `-1d`, or `beginning`.
pub(super) fn start(text: &str) -> Result<Start, String> {
    if text == "beginning" {
        return Ok(Start::Beginning);
    }
    if let Some(ago) = text.strip_prefix('-') {
        return duration(ago).map(Start::Ago);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Start::At(time));
    }
    let midnight = text
        .parse::<Date>()
        .ok()
        .filter(|_| text.len() == 10)
        .and_then(|day| day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok());
    match midnight {
        Some(day) => Ok(Start::At(day.timestamp())),
        None => Err("expected a time (2026-01-31T00:00:00Z), a date (2026-01-31), -1d, or beginning".into()),
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// A duration in the largest unit that divides it, as it would be written in the file.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= length && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    format!("{millis}ms")
}

/// A size in the largest unit that divides it, as it would be written in the file.
pub fn show_size(bytes: u64) -> String {
    for (unit, length) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= length && bytes.is_multiple_of(length) {
            return format!("{}{unit}", bytes / length);
        }
    }
    format!("{bytes}B")
}
