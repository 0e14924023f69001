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

/// As it would be written in the file.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "{time}"),
            Self::Ago(ago) => write!(f, "-{}", show_duration(*ago)),
            Self::Beginning => f.write_str("beginning"),
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
            if prefix.starts_with('/') || prefix.contains("//") {
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
        let folder = folder.to_str().ok_or("the folder's path is not UTF-8")?;
        Ok(Self { bucket: format!("file://{folder}").into(), prefix: String::new() })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text, Path::new("/etc/trailhaul")).unwrap()
    }

    #[test]
    fn durations_have_units() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "30",
            "s",
            "3 h",
            "-1s",
            "1.5h",
            "1h5",
            "99999999999999999999d",
            "18446744073709551615y",
            "1D",
            "١s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0B", 0), ("64MiB", 64 << 20), ("64 MiB", 64 << 20), ("1kB", 1_000), ("2GB", 2_000_000_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "64", "MiB", "64mib", "-1B", "1.5GiB", "18446744073709551615KiB", "1 B B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_is_a_moment_or_a_distance() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, resolved) in [
            ("2026-01-30T00:00:00Z", Some("2026-01-30T00:00:00Z")),
            ("2026-01-30T02:00:00+02:00", Some("2026-01-30T00:00:00Z")),
            ("2026-01-30", Some("2026-01-30T00:00:00Z")),
            ("-1d", Some("2026-01-30T12:00:00Z")),
            ("beginning", None),
        ] {
            let resolved: Option<Timestamp> = resolved.map(|time| time.parse().unwrap());
            let read = start(text).unwrap();
            assert_eq!(read.resolve(now), resolved, "{text}");
            assert_eq!(start(&read.to_string()), Ok(read), "{text}");
        }
        for wrong in
            ["", "1d", "-", "today", "2026-02-30", "20260130", "2026-01-30T00:00:00", "2026-01-30 00:00"]
        {
            assert!(start(wrong).is_err(), "{wrong}");
        }
        assert!(Start::Ago(Duration::MAX).resolve(now) <= Some(Timestamp::MIN));
    }

    #[test]
    fn places_are_buckets_with_prefixes() {
        let s3 = place("s3://example-logs/a/b/");
        assert_eq!(
            (&**s3.bucket(), s3.prefix(), s3.s3_bucket()),
            ("s3://example-logs", "a/b/", Some("example-logs"))
        );
        assert_eq!(s3.below("/c/").to_string(), "s3://example-logs/a/b/c/");
        let folder = place("file://./x/../y/");
        assert_eq!((folder.folder(), folder.prefix()), (Some(Path::new("/etc/trailhaul/y")), ""));
        assert_eq!(folder.below("").to_string(), "file:///etc/trailhaul/y/");
        for wrong in [
            "",
            "s3://",
            "s3://a",
            "s3://Logs",
            "s3://a..b",
            "s3://logs//x",
            "file://x",
            "file:///",
            "file:///a/..",
            "/x",
            "http://x",
        ] {
            assert!(Place::parse(wrong, Path::new("/etc")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn overlap_goes_by_whole_names() {
        for (a, b, overlap) in [
            ("s3://logs", "s3://logs", true),
            ("s3://logs", "s3://logs/a", true),
            ("s3://logs/a", "s3://logs/ab", false),
            ("s3://logs", "s3://logs2", false),
            ("file:///srv/a", "file:///srv/a/b", true),
            ("file:///srv/a", "file:///srv/ab", false),
        ] {
            assert_eq!(place(a).overlaps(&place(b)), overlap, "{a} {b}");
            assert_eq!(place(b).overlaps(&place(a)), overlap, "{b} {a}");
        }
        assert!(place("file:///srv/a").below("b").overlaps(&place("file:///srv/a/b/c")));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0u64..1 << 50, bytes in 0u64..1 << 62) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(time)), Ok(time));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_brings_a_reader_down(text in "\\PC{0,40}") {
            let _ = (duration(&text), size(&text), start(&text), Place::parse(&text, Path::new("/a")));
        }

        #[test]
        fn a_folder_never_leaves_its_root(text in "(/|\\.|\\.\\.|a|b){0,12}") {
            if let Ok(place) = Place::parse(&format!("file://{text}"), Path::new("/base")) {
                let folder = place.folder().unwrap();
                prop_assert!(folder.is_absolute());
                prop_assert!(folder.components().all(|part| !matches!(part, Component::ParentDir | Component::CurDir)));
            }
        }
    }
}
