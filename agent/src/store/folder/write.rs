//! Writing objects: first durable under a temporary name, then visible under the key in one step.
//!
//! In: bytes, or a finished temporary file. Out: an object that is durable together with its metadata and the
//! folders above it. Invariants: a key shows a whole object or none; a create never replaces anything; the
//! metadata is there before the object is (so a replacement that a crash cuts short may leave the old object
//! with the new metadata). On failure the temporary file is removed; one that a crash leaves
//! behind lies in `.trailhaul/tmp`, is never listed, and is removed by [`sweep`] a day later.
//!
//! Objects with metadata take turns under a lock file, across processes, so that the loser of a race to create
//! never touches the winner's metadata. Objects without (the archive's, all of them) take no lock: a process that
//! is stopped in the middle of a write must not hold up the one that takes over from it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, OFlags};
use rustix::io::Errno;

use super::body;
use super::metadata;
use super::root::{FILE_MODE, Root, etag, is_file, open_step, size, split};
use crate::store::keys::METADATA_SUFFIX;
use crate::store::{ErrorKind, Metadata, ObjectMeta, PutOptions, StoreError};

const OPERATION: &str = "write object";
const TEMPORARY: &str = ".trailhaul/tmp";
const RESERVED_FOLDER: &str = ".trailhaul";
const LOCK: &str = "lock";

/// Seconds after which a temporary file is nobody's: no single write takes a day.
const STALE_AFTER: i64 = 24 * 3600;

/// Writes a whole object.
pub(super) fn put(
    root: &Root,
    key: &str,
    body: &[u8],
    options: &PutOptions,
) -> Result<ObjectMeta, StoreError> {
    let fail = |error| root.fail(OPERATION, key, error);
    if options.create && body::open(root, key, OPERATION)?.is_some() {
        // Whoever relies on what is there may rely on it for good.
        root.sync_folder(split(key).0).map_err(fail)?;
        return Err(exists(root, key));
    }
    let metadata_bytes = metadata::bytes(root, key, &options.metadata)?;
    let temporary = Temporary::write(root, body).map_err(fail)?;
    let stat = rustix::fs::fstat(&temporary.file).map_err(|errno| fail(errno.into()))?;
    show(root, key, &temporary.folder, &temporary.name, metadata_bytes.as_deref(), options.create)?;
    let metadata: Metadata = options.metadata.clone();
    Ok(ObjectMeta { etag: etag(&stat), version: None, size: size(&stat), modified: stat.st_mtime, metadata })
}

/// Gives the durable file `name` in `folder` its key. With `create`, whatever is at the key stays; that is
/// [`ErrorKind::AlreadyExists`], unless it is this very file (an earlier call was cut short).
pub(super) fn show(
    root: &Root,
    key: &str,
    folder: &OwnedFd,
    name: &str,
    metadata: Option<&[u8]>,
    create: bool,
) -> Result<(), StoreError> {
    let fail = |error| root.fail(OPERATION, key, error);
    let (above, last) = split(key);
    let target = root.make_folder(above).map_err(|error| blocked(root, key, error))?;
    let metadata_name = format!("{last}{METADATA_SUFFIX}");
    let has_metadata = metadata.is_some() || stat_at(&target, &metadata_name).map_err(fail)?.is_some();
    let lock = if has_metadata { Some(lock(root).map_err(fail)?) } else { None };
    if create && let Some(there) = stat_at(&target, last).map_err(fail)? {
        if !is_file(&there) {
            return Err(blocked(root, key, Errno::ISDIR.into()));
        }
        let ours = stat_at(folder, name).map_err(fail)?;
        drop(lock);
        root.sync_folder(above).map_err(fail)?;
        if ours.is_some_and(|ours| (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)) {
            return remove_at(folder, name).map_err(fail);
        }
        return Err(exists(root, key));
    }
    match metadata {
        None if !has_metadata => {}
        Some(bytes) => {
            let mut temporary = Temporary::write(root, bytes).map_err(fail)?;
            rustix::fs::renameat(&temporary.folder, &temporary.name, &target, &metadata_name)
                .map_err(|errno| fail(errno.into()))?;
            temporary.moved = true;
            root.sync_folder(above).map_err(fail)?;
        }
        // Left by a crash, or by the object that is replaced here.
        None => remove_at(&target, &metadata_name).map_err(fail)?,
    }
    let shown = if create {
        move_to_free_name(folder, name, &target, last)
    } else {
        rustix::fs::renameat(folder, name, &target, last)
    };
    shown.map_err(|errno| blocked(root, key, errno.into()))?;
    drop(lock);
    root.sync_folder(above).map_err(fail)
}

/// Moves a file to a name that must be free, as one step.
fn move_to_free_name(from: &OwnedFd, name: &str, to: &OwnedFd, last: &str) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(from, name, to, last, rustix::fs::RenameFlags::NOREPLACE) {
        // Not every file system knows the flag; those know hard links.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        done => return done,
    }
    link_to_free_name(from, name, to, last)
}

/// The same with a hard link. After a crash in between both names stand, and they are one file.
fn link_to_free_name(from: &OwnedFd, name: &str, to: &OwnedFd, last: &str) -> rustix::io::Result<()> {
    rustix::fs::linkat(from, name, to, last, AtFlags::empty())?;
    rustix::fs::unlinkat(from, name, AtFlags::empty())
}

/// A file in `.trailhaul/tmp`, durable as to its bytes; removed on drop unless it has moved away.
struct Temporary {
    folder: OwnedFd,
    name: String,
    file: File,
    moved: bool,
}

impl Temporary {
    fn write(root: &Root, bytes: &[u8]) -> io::Result<Self> {
        let folder = root.make_folder(TEMPORARY)?;
        let name = super::unique_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = File::from(open_step(&folder, &name, flags, FILE_MODE)?);
        let mut temporary = Self { folder, name, file, moved: false };
        temporary.file.write_all(bytes)?;
        temporary.file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.moved {
            // After a move the name is free, and the error says so; there is nobody to tell otherwise.
            let _ = remove_at(&self.folder, &self.name);
        }
    }
}

/// Removes temporary files that a crash left behind. Age is told by the file system's own clock.
pub(super) fn sweep(root: &Root) -> io::Result<()> {
    let folder = match root.open_folder(TEMPORARY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let probe = Temporary::write(root, b"")?;
    let now = rustix::fs::fstat(&probe.file)?.st_mtime;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let stale = |stat: rustix::fs::Stat| now.saturating_sub(stat.st_mtime) > STALE_AFTER;
        if name != "." && name != ".." && stat_at(&folder, name)?.is_some_and(stale) {
            remove_at(&folder, name)?;
        }
    }
    Ok(())
}

/// Waits for the store's lock; it is released when the file is closed, also by a crash.
fn lock(root: &Root) -> io::Result<File> {
    let folder = root.make_folder(RESERVED_FOLDER)?;
    let file = File::from(open_step(&folder, LOCK, OFlags::RDWR | OFlags::CREATE, FILE_MODE)?);
    file.lock()?;
    Ok(file)
}

pub(super) fn stat_at(folder: &OwnedFd, name: &str) -> io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a file; one that is not there, or whose name cannot be, is fine.
pub(super) fn remove_at(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn exists(root: &Root, key: &str) -> StoreError {
    root.error(ErrorKind::AlreadyExists, OPERATION, key, "there is an object already; it stays as it is")
}

/// A folder stands where the object should be, or the other way round.
fn blocked(root: &Root, key: &str, error: io::Error) -> StoreError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::ISDIR) => {
            let why = "something else than an object stands there: a folder cannot hold a name twice";
            root.error(ErrorKind::Invalid, OPERATION, key, why).caused_by(error)
        }
        _ => root.fail(OPERATION, key, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_cut_short_counts_as_done() {
        let place = crate::store::scratch();
        let root = Root::open(place.path()).unwrap();
        let temporary = Temporary::write(&root, b"bytes").unwrap();
        let target = root.make_folder("a").unwrap();
        // The crash between the two halves of `link_to_free_name`.
        rustix::fs::linkat(&temporary.folder, &temporary.name, &target, "b", AtFlags::empty()).unwrap();
        show(&root, "a/b", &temporary.folder, &temporary.name, None, true).unwrap();
        assert_eq!(std::fs::read(place.path().join("a/b")).unwrap(), b"bytes");
        assert_eq!(std::fs::read_dir(place.path().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[test]
    fn both_ways_of_moving_leave_what_is_there() {
        let place = crate::store::scratch();
        let root = Root::open(place.path()).unwrap();
        let target = root.make_folder("a").unwrap();
        std::fs::write(place.path().join("a/taken"), "old").unwrap();
        type Way = fn(&OwnedFd, &str, &OwnedFd, &str) -> rustix::io::Result<()>;
        for (way, free) in [(move_to_free_name as Way, "x"), (link_to_free_name as Way, "y")] {
            let temporary = Temporary::write(&root, b"new").unwrap();
            let refused = way(&temporary.folder, &temporary.name, &target, "taken");
            assert_eq!(refused, Err(Errno::EXIST));
            assert_eq!(way(&temporary.folder, &temporary.name, &target, free), Ok(()));
            assert_eq!(std::fs::read(place.path().join("a").join(free)).unwrap(), b"new");
        }
        assert_eq!(std::fs::read(place.path().join("a/taken")).unwrap(), b"old");
    }

    #[test]
    fn only_old_leftovers_are_swept() {
        let place = crate::store::scratch();
        let root = Root::open(place.path()).unwrap();
        sweep(&root).unwrap();
        assert!(!place.path().join(RESERVED_FOLDER).exists(), "a sweep makes no folders");
        drop(Temporary::write(&root, b"").unwrap());
        let tmp = place.path().join(TEMPORARY);
        std::fs::write(tmp.join("young"), "").unwrap();
        let old = File::create(tmp.join("old")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        sweep(&root).unwrap();
        let left: Vec<_> = std::fs::read_dir(&tmp).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["young"]);
    }
}
