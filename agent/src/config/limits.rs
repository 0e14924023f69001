//! `limits` and `batch`: how much of the machine, and of an input, at once.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::key::{Form, Key, Kind};
use super::section::{Section, count};
use super::values::{DAY, GIB, HOUR, KIB, MIB};

/// What the process may use, and what it accepts of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for everything that grows with the input.
    pub memory: u64,
    /// Threads for CPU work.
    pub cpus: Cpus,
    /// How long a stop may take before it is cut short.
    pub shutdown_grace: Duration,
    /// The largest record in bytes; a larger one is quarantined.
    pub record_size: u64,
    /// The most records of one object; the object is quarantined beyond.
    pub object_records: u64,
    /// The largest object after gunzip, in bytes; quarantined beyond.
    pub inflated_size: u64,
}

/// Threads for CPU work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpus {
    /// As many as the machine (or the container's quota) has.
    Auto,
    /// This many.
    Count(NonZeroUsize),
}

impl Cpus {
    /// The number meant where `available` are there; at least one.
    pub fn resolve(self, available: usize) -> NonZeroUsize {
        match self {
            Self::Auto => NonZeroUsize::new(available).unwrap_or(NonZeroUsize::MIN),
            Self::Count(count) => count,
        }
    }
}

/// When a batch is closed: at whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Compressed source bytes.
    pub bytes: u64,
    /// Source objects.
    pub objects: u32,
    /// The age of its oldest object in the batch.
    pub age: Duration,
}

pub(super) const LIMITS: &[Key] = &[
    Key::with_default(
        "memory",
        Kind::Size(32 * MIB, 1024 * GIB),
        "256MiB",
        "Memory for everything that grows with the input.",
    ),
    Key::with_default(
        "cpus",
        Kind::Either(&[Kind::Text(Form::Auto), Kind::Count(1, 1024)]),
        "auto",
        "Threads for CPU work.",
    ),
    Key::with_default(
        "shutdown_grace",
        Kind::Duration(Duration::ZERO, Duration::from_secs(HOUR)),
        "60s",
        "How long a stop may take before it is cut short.",
    ),
    // CloudTrail caps an event at 256 KB and knows a 1 MB mode; twice that is room for neither to be the last.
    Key::with_default(
        "record_size",
        Kind::Size(256 * KIB, 16 * MIB),
        "2MiB",
        "The largest record; a larger one is quarantined.",
    ),
    Key::with_default(
        "object_records",
        Kind::Count(1_000, 100_000_000),
        "5000000",
        "The most records of one object; quarantined beyond.",
    ),
    // CloudTrail's quota page says 50 MB before compression, older texts 50 MB after it.
    Key::with_default(
        "inflated_size",
        Kind::Size(64 * MIB, 64 * GIB),
        "2GiB",
        "The largest object after gunzip; quarantined beyond.",
    ),
];

pub(super) const BATCH: &[Key] = &[
    Key::with_default(
        "bytes",
        Kind::Size(MIB, 4 * GIB),
        "64MiB",
        "Compressed source bytes that close a batch.",
    ),
    // An entry of the journal is at most 4 MiB, and an object takes some 400 bytes of it.
    Key::with_default("objects", Kind::Count(1, 8_192), "4096", "Source objects that close a batch."),
    Key::with_default(
        "age",
        Kind::Duration(Duration::from_secs(1), Duration::from_secs(DAY)),
        "60s",
        "The age that closes a batch.",
    ),
];

pub(super) fn build(s: &Section<'_>) -> Option<Limits> {
    let memory = s.size("memory");
    let cpus = s.read("cpus", |text| match text {
        "auto" => Ok(Cpus::Auto),
        text => {
            let number = count(text, 1, 1024).map_err(|_| "expected auto, or a number from 1 to 1024")?;
            let number = usize::try_from(number).ok().and_then(NonZeroUsize::new);
            number.map(Cpus::Count).ok_or_else(|| "expected auto, or a number from 1 to 1024".into())
        }
    });
    let shutdown_grace = s.duration("shutdown_grace");
    let record_size = s.size("record_size");
    let object_records = s.count("object_records");
    let inflated_size = s.size("inflated_size");
    Some(Limits {
        memory: memory?,
        cpus: cpus?,
        shutdown_grace: shutdown_grace?,
        record_size: record_size?,
        object_records: object_records?,
        inflated_size: inflated_size?,
    })
}

pub(super) fn build_batch(s: &Section<'_>) -> Option<Batch> {
    let bytes = s.size("bytes");
    let objects = s.count("objects").and_then(|objects| u32::try_from(objects).ok());
    let age = s.duration("age");
    Some(Batch { bytes: bytes?, objects: objects?, age: age? })
}
