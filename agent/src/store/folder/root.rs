//! The root folder: opening below it, making folders in it, and making both durable.
//!
//! In: paths that [`crate::store::keys::check`] has passed, or the store's own. Out: descriptors of files and
//! folders below the root. Invariant: no symbolic link is followed, so no path leads out. On failure: the
//! system's error, turned into a class by [`kind_of`].

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::store::{ErrorKind, StoreError};

/// A folder that stands for a bucket.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    url: String,
    /// Folders whose own entry is known to be durable, so that a write syncs the folders above it only once.
    /// The store never removes a folder.
    durable: Mutex<HashSet<String>>,
}

/// Entries kept in [`Root::durable`]; beyond it the set starts anew, which costs some fsync calls again.
/// A day has one folder per archive prefix, so this is years of days, in well under 1 MiB.
const MAX_DURABLE: usize = 4096;

/// New files; the umask takes away from it.
pub(super) const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);
/// New folders; the umask takes away from it.
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o777);

impl Root {
    /// Opens the folder at `path`, which must be there. The root itself may be reached by symbolic links.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |error: io::Error| {
            let place = format!("file://{}", path.display());
            let kind = kind_of(&error);
            StoreError::new(kind, "open folder", place, error.to_string()).caused_by(error)
        };
        let path = path.canonicalize().map_err(fail)?;
        let fd = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| fail(errno.into()))?;
        let text = path.to_str().ok_or_else(|| {
            let place = format!("file://{}", path.display());
            StoreError::new(ErrorKind::Invalid, "open folder", place, "the path is not UTF-8")
        })?;
        if text == "/" {
            let why = "the root of the file system cannot be a bucket; name a folder in it";
            return Err(StoreError::new(ErrorKind::Invalid, "open folder", "file:///", why));
        }
        let url = format!("file://{text}");
        Ok(Self { fd, url, durable: Mutex::default() })
    }

    /// The store's URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// An error of `operation` on `key`.
    pub(super) fn error(
        &self,
        kind: ErrorKind,
        operation: &'static str,
        key: &str,
        why: impl Into<String>,
    ) -> StoreError {
        StoreError::new(kind, operation, format!("{}/{key}", self.url), why)
    }

    /// The system's error as ours.
    pub(super) fn fail(&self, operation: &'static str, key: &str, error: io::Error) -> StoreError {
        self.error(kind_of(&error), operation, key, error.to_string()).caused_by(error)
    }

    /// Opens a file for reading. Pipes and sockets do not block; the caller looks at the type.
    pub(super) fn open_file(&self, path: &str) -> io::Result<File> {
        open_beneath(&self.fd, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map(File::from)
    }

    /// Opens a folder; an empty path is the root.
    pub(super) fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        open_beneath(&self.fd, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Opens a folder, making it and those above it where they are missing. Not durable before
    /// [`Root::sync_folder`].
    pub(super) fn make_folder(&self, path: &str) -> io::Result<OwnedFd> {
        match self.open_folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let mut folder = self.open_folder("")?;
        for component in path.split('/') {
            match rustix::fs::mkdirat(&folder, component, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            folder = open_step(&folder, component, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Makes the entries of a folder durable, and its own entry in the folders above it.
    pub(super) fn sync_folder(&self, path: &str) -> io::Result<()> {
        rustix::fs::fsync(self.open_folder(path)?)?;
        let mut below = path;
        while !below.is_empty() {
            if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(below) {
                return Ok(());
            }
            let (above, _) = split(below);
            rustix::fs::fsync(self.open_folder(above)?)?;
            let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            if durable.len() >= MAX_DURABLE {
                durable.clear();
            }
            durable.insert(below.to_owned());
            drop(durable);
            below = above;
        }
        Ok(())
    }
}

/// Splits a path into its folder (empty for the root) and its last component.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Opens a path below `folder` without following any symbolic link.
fn open_beneath(folder: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(folder, path, flags | OFlags::CLOEXEC, mode, how) {
            // Kernels before 5.6 do not know the call, and some sandboxes refuse it: go step by step.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
            Ok(opened) => return Ok(opened),
        }
    }
    open_by_steps(folder, path, flags, mode)
}

/// The same without `openat2`: one component at a time.
fn open_by_steps(folder: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let mut at = folder.as_fd().try_clone_to_owned()?;
    let (folders, last) = split(path);
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        at = open_step(&at, component, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    }
    open_step(&at, last, flags, mode)
}

/// Opens one component in a folder; a symbolic link there is an error.
pub(super) fn open_step(folder: &OwnedFd, name: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    debug_assert!(!name.contains('/') && name != "..");
    Ok(rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)?)
}

/// The ETag of a file: what changes when somebody writes another one. Copies and restores give another ETag
/// for the same bytes, which costs a second look and nothing else.
pub(super) fn etag(stat: &Stat) -> String {
    format!("{:x}.{:x}-{:x}-{:x}", stat.st_mtime, stat.st_mtime_nsec, stat.st_size, stat.st_ino)
}

/// Whether a file is still the same version: it would have the same [`etag`].
pub(super) fn is_same(before: &Stat, now: &Stat) -> bool {
    let version = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_size, stat.st_ino);
    version(before) == version(now)
}

/// The size of a file in bytes.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Whether it is a regular file.
pub(super) fn is_file(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
}

/// The class of a system error.
pub(super) fn kind_of(error: &io::Error) -> ErrorKind {
    let Some(errno) = Errno::from_io_error(error) else {
        return ErrorKind::Other;
    };
    match errno {
        // ENXIO: a socket, which cannot be opened and is no object.
        Errno::NOENT | Errno::NOTDIR | Errno::NXIO => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorKind::Full,
        // A symbolic link on the way, a way out, a name too long, a folder where a file should be, a rename
        // across file systems.
        Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::ISDIR | Errno::NOTEMPTY => ErrorKind::Invalid,
        // Nothing that lasts: descriptors or memory are used up, or a network file system hiccups.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TIMEDOUT | Errno::STALE | Errno::INTR => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_opening_refuse_symbolic_links() {
        let folder = crate::store::scratch();
        let outside = crate::store::scratch();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/file"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink("in", folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("in/link")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        for open in [open_beneath, open_by_steps] {
            assert!(open(&root.fd, "in/file", OFlags::RDONLY, Mode::empty()).is_ok());
            for path in ["out/secret", "loop/file", "in/link"] {
                let error = open(&root.fd, path, OFlags::RDONLY, Mode::empty()).unwrap_err();
                assert_ne!(kind_of(&error), ErrorKind::Other, "{path}: {error}");
            }
        }
    }

    #[test]
    fn the_systems_errors_have_classes() {
        for (errno, kind) in [
            (Errno::NOENT, ErrorKind::NotFound),
            (Errno::ACCESS, ErrorKind::Denied),
            (Errno::ROFS, ErrorKind::Denied),
            (Errno::NOSPC, ErrorKind::Full),
            (Errno::DQUOT, ErrorKind::Full),
            (Errno::NAMETOOLONG, ErrorKind::Invalid),
            (Errno::MFILE, ErrorKind::Unavailable),
            (Errno::IO, ErrorKind::Other),
        ] {
            assert_eq!(kind_of(&errno.into()), kind, "{errno}");
        }
        assert_eq!(Root::open(Path::new("/")).unwrap_err().kind(), ErrorKind::Invalid);
        let missing = Root::open(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn folders_are_made_and_synced_with_those_above() {
        let folder = crate::store::scratch();
        let root = Root::open(folder.path()).unwrap();
        root.make_folder("a/b/c").unwrap();
        root.sync_folder("a/b/c").unwrap();
        assert!(folder.path().join("a/b/c").is_dir());
        assert_eq!(root.durable.lock().unwrap().len(), 3);
        assert_eq!(kind_of(&root.open_folder("a/x").unwrap_err()), ErrorKind::NotFound);
    }
}
