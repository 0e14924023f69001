//! Opening the state folder: the lock, the agent's identity, the database and its schema version.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, WriteTransaction};

use super::LedgerError;
use super::listen::Ears;
use super::tables::{
    ACCOUNTS, AWAITED, BATCHES, CHAIN_NAMES, CHAIN_NUMBERS, CHAINS, EXPECTED, FINDINGS, FOUND, IDS,
    INVENTORY, KEYS, LANES, META, OUTBOX, PLANS, PREPARED, SCHEMA, SEGMENTS, STREAMS, TEXTS, VERDICTS,
};

/// Asked before each durable transaction; `false` freezes the ledger. Production has none; crash tests count
/// the ledger's steps together with the stores'.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// How to open a ledger.
#[derive(Clone)]
pub struct LedgerOptions {
    /// Bytes that the database may cache; part of `limits.memory`.
    pub cache_bytes: usize,
    /// Move a ledger that cannot be read out of the way and start an empty one.
    pub rebuild: bool,
    /// See [`Gate`].
    pub gate: Option<Gate>,
}

/// The open ledger. One process at a time; clones share it.
#[derive(Clone)]
pub struct Ledger {
    pub(super) db: Arc<Database>,
    gate: Option<Gate>,
    identity: Arc<Identity>,
    pub(super) ears: Arc<Ears>,
}

/// What survives a lost ledger file: who we are, and the lock of the folder.
struct Identity {
    agent: String,
    _lock: File,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("agent", &self.identity.agent).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens (or makes) the ledger in this state folder, and locks the folder until the last clone is dropped.
    pub fn open(folder: &Path, options: &LedgerOptions) -> Result<Self, LedgerError> {
        let io = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { operation, path, source }
        };
        fs::create_dir_all(folder).map_err(io("create state folder", folder))?;
        let lock = lock(folder)?;
        let agent = agent_id(folder)?;
        let path = folder.join("ledger.redb");
        if options.rebuild && path.exists() {
            let aside = folder.join("ledger.redb.damaged");
            fs::rename(&path, &aside).map_err(io("move the old ledger aside", &path))?;
        }
        let db = guarded(&path, || {
            let mut db = open_database(&path, folder, options.cache_bytes)?;
            verify(&mut db, &path)?;
            Ok(db)
        })?;
        let ledger = Self {
            db: Arc::new(db),
            gate: options.gate.clone(),
            identity: Arc::new(Identity { agent, _lock: lock }),
            ears: Arc::default(),
        };
        ledger.check_schema()?;
        Ok(ledger)
    }

    /// The id of this agent; it lives beside the ledger, so that a lost ledger does not lose our lanes.
    pub fn agent(&self) -> &str {
        &self.identity.agent
    }

    /// The id of the home archive that this ledger is a cache of; `None` before the first start.
    pub fn archive(&self) -> Result<Option<String>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(TEXTS)?;
        Ok(table.get("archive")?.map(|row| row.value().to_owned()))
    }

    /// Notes the home archive and its number of lanes.
    pub fn set_archive(&self, id: &str, lanes: u16) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.open_table(TEXTS)?.insert("archive", id)?;
            transaction.open_table(META)?.insert("lanes", u64::from(lanes))?;
            Ok(())
        })
    }

    /// Runs a transaction and makes it durable.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.gate.as_ref().is_some_and(|gate| !gate()) {
            return Err(LedgerError::Frozen);
        }
        let mut transaction = self.db.begin_write()?;
        // Reopening after a kill must not depend on the size of the file.
        transaction.set_quick_repair(true);
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    fn check_schema(&self) -> Result<(), LedgerError> {
        let found = {
            let read = self.db.begin_read()?;
            match read.open_table(META) {
                Ok(table) => table.get("schema")?.map(|value| value.value()),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            }
        };
        match found {
            Some(SCHEMA) => Ok(()),
            Some(found) => Err(LedgerError::Schema { found, known: SCHEMA }),
            None => self.write(|transaction| {
                transaction.open_table(META)?.insert("schema", SCHEMA)?;
                transaction.open_table(TEXTS)?;
                transaction.open_table(LANES)?;
                transaction.open_table(PREPARED)?;
                transaction.open_table(STREAMS)?;
                transaction.open_table(INVENTORY)?;
                transaction.open_table(FOUND)?;
                transaction.open_table(PLANS)?;
                transaction.open_table(SEGMENTS)?;
                transaction.open_table(IDS)?;
                transaction.open_table(ACCOUNTS)?;
                transaction.open_table(FINDINGS)?;
                transaction.open_table(OUTBOX)?;
                transaction.open_table(VERDICTS)?;
                transaction.open_table(KEYS)?;
                transaction.open_table(CHAINS)?;
                transaction.open_table(CHAIN_NUMBERS)?;
                transaction.open_table(CHAIN_NAMES)?;
                transaction.open_table(EXPECTED)?;
                transaction.open_table(AWAITED)?;
                transaction.open_table(BATCHES)?;
                Ok(())
            }),
        }
    }
}

fn open_database(path: &Path, folder: &Path, cache_bytes: usize) -> Result<Database, LedgerError> {
    let corrupt = |reason: String| LedgerError::Corrupt { path: path.to_owned(), reason };
    match Database::builder().set_cache_size(cache_bytes).create(path) {
        Ok(db) => Ok(db),
        Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
            Err(LedgerError::InUse { path: folder.to_owned(), holder: String::new() })
        }
        Err(DatabaseError::Storage(redb::StorageError::Io(error))) if !is_damage(&error) => {
            Err(LedgerError::Io { operation: "open ledger", path: path.to_owned(), source: error })
        }
        Err(error) => Err(corrupt(error.to_string())),
    }
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Opens a database; one that panics over bytes that make no sense is damaged. Such a panic is not printed.
fn guarded<T>(path: &Path, open: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
    QUIET.set(false);
    opened.unwrap_or_else(|_| {
        let reason = "its pages make no sense".to_owned();
        Err(LedgerError::Corrupt { path: path.to_owned(), reason })
    })
}

/// Compares the file with its checksums: what was overwritten would otherwise be believed, row by row.
fn verify(db: &mut Database, path: &Path) -> Result<(), LedgerError> {
    /// Larger files are not read whole at every start; damage there shows in rows that make no sense.
    const CHECKED_MOST: u64 = 1 << 30;
    if fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_MOST) {
        return Ok(());
    }
    match db.check_integrity() {
        Ok(_) => Ok(()),
        Err(DatabaseError::Storage(redb::StorageError::Io(error))) if !is_damage(&error) => {
            Err(LedgerError::Io { operation: "read ledger", path: path.to_owned(), source: error })
        }
        Err(error) => Err(LedgerError::Corrupt { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// The database reports bytes that make no sense as I/O errors of these kinds.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// Locks the folder for the life of the file handle; the kernel releases it when the process ends.
fn lock(folder: &Path) -> Result<File, LedgerError> {
    let path = folder.join("lock");
    let io = |source| LedgerError::Io { operation: "lock state folder", path: path.clone(), source };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            writeln!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
            let pid = pid.trim();
            let holder = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
            Err(LedgerError::InUse { path: folder.to_owned(), holder })
        }
        Err(errno) => Err(io(errno.into())),
    }
}

/// Reads the agent's id, or makes one.
fn agent_id(folder: &Path) -> Result<String, LedgerError> {
    let path: PathBuf = folder.join("agent-id");
    let io = |source| LedgerError::Io { operation: "read agent id", path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().chars().take(64).collect()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let id = hex::encode(rand::random::<[u8; 16]>());
    let temporary = folder.join("agent-id.new");
    let mut file = File::create(&temporary).map_err(io)?;
    writeln!(file, "{id}").map_err(io)?;
    file.sync_all().map_err(io)?;
    fs::rename(&temporary, &path).map_err(io)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(id)
}
