//! What can go wrong with the ledger.

use std::path::PathBuf;

/// A failure of the embedded database or of what it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has it open.
    #[error(
        "state folder {} is in use by another agent{holder}: stop that one, or give this one its own state.path",
        path.display()
    )]
    InUse {
        /// The state folder.
        path: PathBuf,
        /// ` (process N)` where known.
        holder: String,
    },
    /// A later version wrote it.
    #[error("ledger has schema version {found}, this version knows {known}: upgrade trailhaul")]
    Schema {
        /// What the file says.
        found: u64,
        /// What this program writes.
        known: u64,
    },
    /// The file cannot be read as a database.
    #[error(
        "ledger {} is damaged ({reason}): start with `run --rebuild-ledger` to rebuild it from the journal",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The database's words.
        reason: String,
    },
    /// What the database reads back is not what was written.
    #[error("ledger is damaged ({reason}): start with `run --rebuild-ledger` to rebuild it from the journal")]
    Damaged {
        /// The database's words.
        reason: String,
    },
    /// A row that does not parse.
    #[error("ledger table {table} holds a damaged row: start with `run --rebuild-ledger`")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// The file system.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The database.
    #[error("ledger: {0}")]
    Database(#[source] Box<redb::Error>),
    /// The ids of a batch could not be read back from the scratch space.
    #[error("read the ids of a batch: {0}")]
    Scratch(String),
    /// A test froze it.
    #[error("ledger is frozen")]
    Frozen,
}

impl<E: Into<redb::Error>> From<E> for LedgerError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(reason) => Self::Damaged { reason },
            // Every table is made with the ledger: one that is not there, or another, was lost.
            error @ (redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }) => Self::Damaged { reason: error.to_string() },
            error => Self::Database(Box::new(error)),
        }
    }
}
