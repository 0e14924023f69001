//! The Parquet files of one batch: OCSF lines sorted into a file for each class, account, region and day.
//!
//! In: lines of [`crate::normalize`], those of one account and region together ([`Whereabouts`]), as the batch
//! reads its objects. Out: pieces of files ([`FilePiece`]), each with its [`FileName`]. When the next account or
//! region comes, the files of the one before are finished, so that a batch has as few files as the layout allows.
//!
//! Invariant: every line that was taken stands in exactly one file; within a row group events are in the order
//! of their time. The same lines give the same files. Bounded: [`MAX_BUFFERED`] of lines wait; the largest groups
//! become row groups until half of that is left. [`OPEN`] files may be unfinished. Once a batch has as many files
//! as it was allowed, events no longer part by their own day but by their object's.
//!
//! Failure: [`ParquetError::Line`], [`ParquetError::Class`] and [`ParquetError::Column`] refuse a line and leave
//! no trace of it; [`ParquetError::Write`] ends the batch.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::AccountId;
use crate::model::json::{Parser, Record};

use super::{MAX_BUFFERED, ParquetError, ParquetFile, class_of, schema::CLASSES, shred};

/// Files that have a row group and are not finished, at most: an upload's part waits for each. As many as there
/// are classes.
pub const OPEN: usize = 5;
/// Row groups of a file, at most: some 50 MB of Parquet; their descriptions are kept until the file ends.
const GROUPS: usize = 64;
/// What a line takes beside its text: its place, and in columns the ends and levels of each of its values.
const VALUE: usize = 16;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts<'a> {
    /// The account of the object's key.
    pub account: AccountId,
    /// The region of the object's folder.
    pub region: &'a str,
    /// The object's stamp, in milliseconds since the Unix epoch.
    pub stamp: i64,
}

/// What a file holds, and its number within the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// The class of its events.
    pub class: u32,
    /// Their account.
    pub account: AccountId,
    /// Their region.
    pub region: Arc<str>,
    /// Their day, YYYYMMDD.
    pub day: u32,
    /// Counted from 0 in the batch.
    pub number: u32,
}

/// Some bytes of a file. The pieces of one file come in order; files may take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePiece {
    /// The file.
    pub file: FileName,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Events in them.
    pub records: u64,
    /// Whether the file ends here.
    pub last: bool,
}

/// Lines of one class and day that wait for their row group.
struct Group {
    class: u32,
    day: u32,
    lines: Vec<u8>,
    rows: Vec<Row>,
    weight: usize,
    file: Option<Open>,
}

/// A line: its time, and where it stands in its group.
struct Row {
    time: i64,
    start: usize,
    end: usize,
}

/// A file with at least one row group.
struct Open {
    file: ParquetFile<Shared>,
    out: Shared,
    number: u32,
    groups: usize,
    /// When it last got a row group, counted in row groups.
    used: u64,
}

/// The files of one batch.
pub struct ParquetFiles {
    allowed: u32,
    here: Option<(AccountId, Arc<str>)>,
    groups: Vec<Group>,
    weight: usize,
    /// Files begun in this batch.
    files: u32,
    /// Row groups written in this batch.
    written: u64,
    ready: Vec<FilePiece>,
    parser: Parser,
    day: (i64, u32),
}

impl ParquetFiles {
    /// No files yet; a batch should have about `allowed` of them at most.
    pub fn new(allowed: u32) -> Self {
        Self {
            allowed,
            here: None,
            groups: Vec::new(),
            weight: 0,
            files: 0,
            written: 0,
            ready: Vec::new(),
            parser: Parser::new(),
            day: (i64::MIN, 0),
        }
    }

    /// Forgets everything: a batch begins.
    pub fn reset(&mut self) {
        *self = Self::new(self.allowed);
    }

    /// Files of the batch so far: begun, and those that must come of what waits.
    pub fn count(&self) -> u32 {
        let waiting = self.groups.iter().filter(|group| group.file.is_none()).count();
        self.files.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// Whether the batch has as many files as it should have.
    pub fn is_full(&self) -> bool {
        self.count() >= self.allowed
    }

    /// Takes a line.
    pub fn push(&mut self, line: &[u8], from: Whereabouts<'_>) -> Result<(), ParquetError> {
        let mut parser = std::mem::take(&mut self.parser);
        let taken = parser.parse(line).map_err(ParquetError::from).and_then(|event| self.take(event, from));
        self.parser = parser;
        taken
    }

    /// What is ready to be written.
    pub fn ready(&mut self) -> Vec<FilePiece> {
        std::mem::take(&mut self.ready)
    }

    /// Ends the batch's files; [`ParquetFiles::ready`] has the rest of them.
    pub fn finish(&mut self) -> Result<(), ParquetError> {
        for mut group in std::mem::take(&mut self.groups) {
            if !group.rows.is_empty() {
                self.write_group(&mut group)?;
            }
            self.close(&mut group)?;
        }
        self.weight = 0;
        Ok(())
    }

    fn take(&mut self, event: Record<'_>, from: Whereabouts<'_>) -> Result<(), ParquetError> {
        let class = class_of(event);
        let known = class.and_then(|class| CLASSES.iter().find(|(uid, _)| *uid == class));
        let (class, fields) = known.ok_or(ParquetError::Class { expected: 6003, found: class })?;
        shred::check(fields, event.root())?;
        let same = self
            .here
            .as_ref()
            .is_some_and(|(account, region)| *account == from.account && region.as_ref() == from.region);
        if !same {
            self.finish()?;
            self.here = Some((from.account, from.region.into()));
        }
        let time = event.get("time").and_then(|time| time.text().parse().ok()).unwrap_or(from.stamp);
        let group = self.group(*class, time, from.stamp);
        let start = group.lines.len();
        group.lines.extend_from_slice(event.text().as_bytes());
        group.rows.push(Row { time, start, end: group.lines.len() });
        let weight = event.text().len() + (event.len() + 1) * VALUE;
        group.weight += weight;
        self.weight += weight;
        if self.weight > MAX_BUFFERED {
            self.write_largest()?;
        }
        Ok(())
    }

    /// The group of this class and day.
    fn group(&mut self, class: u32, time: i64, stamp: i64) -> &mut Group {
        let full = self.is_full();
        let mut day = self.day_of(time);
        let find = |groups: &[Group], day: u32| {
            groups.iter().position(|group| group.class == class && group.day == day)
        };
        let mut at = find(&self.groups, day);
        if at.is_none() && full {
            day = self.day_of(stamp);
            at = find(&self.groups, day);
        }
        let at = at.unwrap_or(self.groups.len());
        if at == self.groups.len() {
            let (lines, rows) = (Vec::new(), Vec::new());
            self.groups.push(Group { class, day, lines, rows, weight: 0, file: None });
        }
        #[expect(clippy::indexing_slicing, reason = "found, or added above")]
        &mut self.groups[at]
    }

    /// YYYYMMDD of a time in UTC; of one outside the years 1 to 9999 the nearest.
    fn day_of(&mut self, millis: i64) -> u32 {
        /// 0001-01-01 and 9999-12-31, in days since 1970-01-01.
        const DAYS: (i64, i64) = (-719_162, 2_932_896);
        let days = millis.div_euclid(86_400_000).clamp(DAYS.0, DAYS.1);
        if self.day.0 != days {
            let span = jiff::Span::new().days(days);
            let date = jiff::civil::date(1970, 1, 1).saturating_add(span);
            let number = |part: i16| u32::try_from(part).unwrap_or(0);
            let (month, day) = (number(date.month().into()), number(date.day().into()));
            self.day = (days, number(date.year()) * 10_000 + month * 100 + day);
        }
        self.day.1
    }

    /// Writes row groups of the largest groups until half of the room is free.
    fn write_largest(&mut self) -> Result<(), ParquetError> {
        while self.weight > MAX_BUFFERED / 2 {
            // The first of several of one size, so that the same lines give the same files.
            let heaviest =
                (0..self.groups.len()).rev().max_by_key(|at| self.groups.get(*at).map(|g| g.weight));
            let Some(at) = heaviest else { return Ok(()) };
            let mut group = self.groups.remove(at);
            let written = self.write_group(&mut group);
            self.groups.insert(at, group);
            written?;
            self.close_beyond_open()?;
        }
        Ok(())
    }

    /// Writes the lines of a group as a row group of its file.
    fn write_group(&mut self, group: &mut Group) -> Result<(), ParquetError> {
        let mut open = match group.file.take() {
            Some(open) => open,
            None => self.open(group.class)?,
        };
        group.rows.sort_by_key(|row| row.time);
        for row in &group.rows {
            open.file.push_checked(group.lines.get(row.start..row.end).unwrap_or_default())?;
        }
        self.weight = self.weight.saturating_sub(group.weight);
        let records = group.rows.len() as u64;
        (group.lines, group.rows, group.weight) = (Vec::new(), Vec::new(), 0);
        open.file.write_group()?;
        self.written += 1;
        open.groups += 1;
        open.used = self.written;
        let piece = self.piece(group.class, group.day, open.number, open.out.take(), records, false);
        self.ready.extend(piece);
        group.file = Some(open);
        if group.file.as_ref().is_some_and(|open| open.groups >= GROUPS) {
            self.close(group)?;
        }
        Ok(())
    }

    fn open(&mut self, class: u32) -> Result<Open, ParquetError> {
        let out = Shared::default();
        let file = ParquetFile::new(out.clone(), class)?;
        let number = self.files;
        self.files += 1;
        Ok(Open { file, out, number, groups: 0, used: 0 })
    }

    /// Ends the file of a group, if it has one.
    fn close(&mut self, group: &mut Group) -> Result<(), ParquetError> {
        let Some(open) = group.file.take() else { return Ok(()) };
        let (number, out) = (open.number, open.out);
        open.file.finish()?;
        let piece = self.piece(group.class, group.day, number, out.take(), 0, true);
        self.ready.extend(piece);
        Ok(())
    }

    /// Ends the files that had no row group for longest, where too many are open.
    fn close_beyond_open(&mut self) -> Result<(), ParquetError> {
        loop {
            let used = |group: &Group| group.file.as_ref().map(|open| open.used);
            let open = self.groups.iter().enumerate().filter_map(|(at, group)| Some((used(group)?, at)));
            let open: Vec<(u64, usize)> = open.collect();
            let oldest = open.iter().min().filter(|_| open.len() > OPEN);
            let Some((_, at)) = oldest else { return Ok(()) };
            let mut group = self.groups.remove(*at);
            let closed = self.close(&mut group);
            self.groups.insert(*at, group);
            closed?;
        }
    }

    fn piece(
        &self,
        class: u32,
        day: u32,
        number: u32,
        bytes: Vec<u8>,
        records: u64,
        last: bool,
    ) -> Option<FilePiece> {
        let (account, region) = self.here.clone()?;
        Some(FilePiece { file: FileName { class, account, region, day, number }, bytes, records, last })
    }
}

/// What a file writer writes to, and we take from.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
