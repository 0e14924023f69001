//! OCSF events as Apache Parquet, for the archive and for Amazon Security Lake.
//!
//! In: OCSF lines of [`crate::normalize`], of one class per file, as Security Lake asks of its custom sources
//! (User Guide, "Collecting data from custom sources": one event class per object, Parquet, partitioned by
//! source, region, account and day). Out: one Parquet file. Every attribute that the mapping writes has a
//! column of its own; `unmapped` is a map of strings to strings. Lists and maps follow the three-level form of
//! the Parquet format's LogicalTypes, so DuckDB, Athena and pyarrow read them as such.
//!
//! Invariant: a file holds every value of its lines, in their order. Row groups are bounded by
//! [`MAX_ROWS`] and [`MAX_BUFFERED`], whatever the input; a line that does not fit the schema is a
//! [`ParquetError`] and leaves the file as it was.

mod files;
mod schema;
mod shred;

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError as FileError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;

use crate::model::AccountId;
use crate::model::json::{ParseError, Parser, Record};

pub use files::{FileName, FilePiece, OPEN, ParquetFiles, Whereabouts};

use schema::{CLASSES, Field};
use shred::Shredder;

/// Rows of a row group, at most.
pub const MAX_ROWS: usize = 64 * 1024;
/// Bytes of values that wait for their row group to be written, at most, and one line more.
pub const MAX_BUFFERED: usize = 8 << 20;

/// Why a line is not taken, or a file not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetError {
    /// The line is not JSON.
    #[error("line is not an event: {0}")]
    Line(#[from] ParseError),
    /// The line's class is not the file's.
    #[error("event of class {found:?} in a file of class {expected}")]
    Class {
        /// The file's class.
        expected: u32,
        /// The line's, where it has one.
        found: Option<u32>,
    },
    /// The line has an attribute that the file has no column for.
    #[error("no column for {0}")]
    Column(String),
    /// The file could not be written.
    #[error("write parquet: {0}")]
    Write(#[from] FileError),
}

/// The class of an OCSF line; `None` where it has none that [`ParquetFile`] knows.
pub fn class_of(event: Record<'_>) -> Option<u32> {
    let class = event.get("class_uid")?.text().parse().ok()?;
    CLASSES.iter().any(|(uid, _)| *uid == class).then_some(class)
}

/// The folder that Security Lake expects the objects of a custom source in, below the bucket. `day` is
/// YYYYMMDD. Each class is a custom source of its own: `SOURCE-api`, `SOURCE-account`, `SOURCE-auth`,
/// `SOURCE-finding`, `SOURCE-base`.
pub fn security_lake_folder(source: &str, class: u32, region: &str, account: AccountId, day: u32) -> String {
    let kind = match class {
        6003 => "api",
        3001 => "account",
        3002 => "auth",
        2004 => "finding",
        _ => "base",
    };
    format!("ext/{source}-{kind}/region={region}/accountId={account}/eventDay={day:08}/")
}

/// A Parquet file that is being written.
pub struct ParquetFile<W: Write + Send> {
    class: u32,
    fields: &'static [Field],
    writer: SerializedFileWriter<W>,
    shredder: Shredder,
    parser: Parser,
    rows: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    /// A file for the events of one class (see [`class_of`]).
    pub fn new(out: W, class: u32) -> Result<Self, ParquetError> {
        let known = CLASSES.iter().find(|(uid, _)| *uid == class);
        let (_, fields) = known.ok_or(ParquetError::Class { expected: class, found: None })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_dictionary_page_size_limit(256 * 1024)
            .set_created_by("trailhaul".to_owned())
            .build();
        let root = Arc::new(schema::message(fields)?);
        let writer = SerializedFileWriter::new(out, root, Arc::new(properties))?;
        Ok(Self { class, fields, writer, shredder: Shredder::new(fields), parser: Parser::new(), rows: 0 })
    }

    /// Adds one line. Writes a row group when enough has gathered.
    pub fn push(&mut self, line: &[u8]) -> Result<(), ParquetError> {
        let event = self.parser.parse(line)?;
        let found = class_of(event);
        if found != Some(self.class) {
            return Err(ParquetError::Class { expected: self.class, found });
        }
        self.shredder.row(self.fields, event.root())?;
        self.rows += 1;
        self.write_when_full()
    }

    /// Adds one line that was looked at before: of the file's class, with a column for everything.
    fn push_checked(&mut self, line: &[u8]) -> Result<(), ParquetError> {
        let event = self.parser.parse(line)?;
        self.shredder.checked_row(self.fields, event.root());
        self.rows += 1;
        Ok(())
    }

    fn write_when_full(&mut self) -> Result<(), ParquetError> {
        if self.rows >= MAX_ROWS || self.shredder.buffered() >= MAX_BUFFERED {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what has gathered and the file's end; gives back what it was written to.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        Ok(self.writer.into_inner()?)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for column in self.shredder.columns() {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        // Files are many and row groups seldom: nothing is kept for the next.
        self.shredder = Shredder::new(self.fields);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
