//! Uploads: one file per upload in the store's own area ([`super::pending`]), to which parts are appended.
//!
//! In: parts in order. Out: on completion, the object. Invariants: an upload is never listed as an object;
//! once sealed it survives a crash, and any process completes it from the recorded parts; what is completed
//! has exactly the recorded size. On failure nothing becomes visible, and the upload stays until it is
//! completed or aborted.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, OFlags};
use sha2::{Digest, Sha256};

use super::metadata;
use super::pending::Place;
use super::root::{FILE_MODE, Root, kind_of, open_step, size};
use super::write::{remove_at, show};
use crate::store::keys::{self, MAX_PARTS};
use crate::store::{ErrorKind, Part, PutOptions, StoreError};

const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL);

/// Where the parts of the uploads begun here start. One entry per open upload: it leaves when the upload is
/// sealed, completed or aborted, so the callers' own bound on open uploads bounds it.
#[derive(Debug, Default)]
pub(super) struct Offsets(Mutex<HashMap<String, Vec<u64>>>);

impl Offsets {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Vec<u64>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets an upload: it takes no more parts.
    pub(super) fn forget(&self, upload: &str) {
        self.with(|known| known.remove(upload));
    }

    /// Where part `number` starts; `None` when the upload is not open here or a part before it is missing.
    fn of(&self, upload: &str, number: u32) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.with(|known| known.get(upload)?.get(index).copied())
    }

    /// Notes where the part after `number` starts; parts after it are void.
    fn set_end(&self, upload: &str, number: u32, end: u64) {
        self.with(|known| {
            if let Some(starts) = known.get_mut(upload) {
                starts.truncate(usize::try_from(number).unwrap_or(usize::MAX));
                starts.push(end);
            }
        });
    }
}

/// Starts an upload.
pub(super) fn begin(
    root: &Root,
    offsets: &Offsets,
    key: &str,
    options: &PutOptions,
) -> Result<String, StoreError> {
    const OPERATION: &str = "begin upload";
    let metadata = metadata::bytes(root, key, &options.metadata)?;
    let upload = super::unique_name();
    let place = place(root, key, &upload, OPERATION)?;
    // The upload before its metadata: what a crash cuts short is found, and aborted, by its upload.
    let made = root.make_folder(&place.folder).and_then(|folder| {
        open_step(&folder, &place.file, NEW, FILE_MODE)?;
        if let Some(bytes) = &metadata {
            let file = File::from(open_step(&folder, &place.metadata, NEW, FILE_MODE)?);
            file.write_all_at(bytes, 0)?;
        }
        Ok(())
    });
    if let Err(error) = made {
        // The first error is the one to tell; what cannot be removed is found by a later listing.
        let _ = clean(root, &place);
        return Err(root.fail(OPERATION, key, error));
    }
    offsets.with(|known| known.insert(upload.clone(), vec![0]));
    Ok(upload)
}

/// Adds or replaces a part.
pub(super) fn put_part(
    root: &Root,
    offsets: &Offsets,
    key: &str,
    upload: &str,
    number: u32,
    body: &[u8],
) -> Result<Part, StoreError> {
    const OPERATION: &str = "put part";
    let (place, folder) = find(root, key, upload, OPERATION)?;
    let start = offsets.of(upload, number).filter(|_| number <= MAX_PARTS).ok_or_else(|| {
        let why = format!("part {number} does not follow the parts before it, or the upload is sealed");
        root.error(ErrorKind::Invalid, OPERATION, key, why)
    })?;
    let write = || -> io::Result<()> {
        let file = File::from(open_step(&folder, &place.file, OFlags::WRONLY, FILE_MODE)?);
        file.set_len(start)?;
        file.write_all_at(body, start)
    };
    write().map_err(|error| root.fail(OPERATION, key, error))?;
    let size = body.len() as u64;
    offsets.set_end(upload, number, start + size);
    let sha256 = hex::encode(Sha256::digest(body));
    Ok(Part { number, etag: sha256.clone(), size, sha256 })
}

/// Makes the upload's bytes, its metadata and its name durable.
pub(super) fn seal(root: &Root, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
    const OPERATION: &str = "seal upload";
    let (place, folder) = find(root, key, upload, OPERATION)?;
    check_parts(root, OPERATION, key, parts)?;
    let sync = || -> io::Result<u64> {
        let file = File::from(open_step(&folder, &place.file, OFlags::WRONLY, FILE_MODE)?);
        file.sync_all()?;
        match open_step(&folder, &place.metadata, OFlags::RDONLY, FILE_MODE) {
            Ok(metadata) => File::from(metadata).sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        root.sync_folder(&place.folder)?;
        Ok(size(&rustix::fs::fstat(&file)?))
    };
    let size = sync().map_err(|error| root.fail(OPERATION, key, error))?;
    check_size(root, OPERATION, key, parts, size)
}

/// Makes the upload visible, if the key is free.
pub(super) fn complete(root: &Root, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
    const OPERATION: &str = "complete upload";
    let (place, folder) = find(root, key, upload, OPERATION)?;
    check_parts(root, OPERATION, key, parts)?;
    let stat = rustix::fs::statat(&folder, &place.file, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| root.fail(OPERATION, key, errno.into()))?;
    check_size(root, OPERATION, key, parts, size(&stat))?;
    let metadata_path = format!("{}/{}", place.folder, place.metadata);
    let metadata = metadata::bytes(root, key, &metadata::read_file(root, key, &metadata_path)?)?;
    show(root, key, &folder, &place.file, metadata.as_deref(), true)?;
    clean(root, &place).map_err(|error| root.fail(OPERATION, key, error))
}

/// Whether the object is the one made of these parts.
pub(super) fn holds(root: &Root, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
    const OPERATION: &str = "compare object";
    let Some((file, stat)) = super::body::open(root, key, OPERATION)? else {
        return Ok(false);
    };
    if keys::total(parts) != Some(size(&stat)) {
        return Ok(false);
    }
    let mut buffer = vec![0; crate::store::MAX_PIECE];
    let mut at = 0;
    for part in parts {
        let end = at + part.size;
        let mut hash = Sha256::new();
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let Some(piece) = buffer.get_mut(..length) else { break };
            match file.read_exact_at(piece, at) {
                Ok(()) => hash.update(&*piece),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(root.fail(OPERATION, key, error)),
            }
            at += length as u64;
        }
        if hex::encode(hash.finalize()) != part.sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Drops an upload, and what a completion cut short may have left of it.
pub(super) fn abort(root: &Root, key: &str, upload: &str) -> Result<(), StoreError> {
    match Place::of(key, upload) {
        Some(place) => clean(root, &place).map_err(|error| root.fail("abort upload", key, error)),
        None => Ok(()),
    }
}

/// Where an upload that is there lies, and its folder.
fn find(
    root: &Root,
    key: &str,
    upload: &str,
    operation: &'static str,
) -> Result<(Place, OwnedFd), StoreError> {
    let place = place(root, key, upload, operation)?;
    let folder = root.open_folder(&place.folder).and_then(|folder| {
        rustix::fs::statat(&folder, &place.file, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(folder)
    });
    match folder {
        Ok(folder) => Ok((place, folder)),
        Err(error) if kind_of(&error) == ErrorKind::NotFound => Err(none(root, key, operation)),
        Err(error) => Err(root.fail(operation, key, error)),
    }
}

fn place(root: &Root, key: &str, upload: &str, operation: &'static str) -> Result<Place, StoreError> {
    Place::of(key, upload).ok_or_else(|| none(root, key, operation))
}

fn none(root: &Root, key: &str, operation: &'static str) -> StoreError {
    root.error(ErrorKind::NoSuchUpload, operation, key, "the upload is not there")
}

/// Removes the files of an upload; those that are gone are fine.
fn clean(root: &Root, place: &Place) -> io::Result<()> {
    let folder = match root.open_folder(&place.folder) {
        Err(error) if kind_of(&error) == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    remove_at(&folder, &place.metadata)?;
    remove_at(&folder, &place.file)
}

fn check_parts(root: &Root, operation: &'static str, key: &str, parts: &[Part]) -> Result<(), StoreError> {
    keys::check_parts(parts, super::PART).map_err(|why| root.error(ErrorKind::Invalid, operation, key, why))
}

fn check_size(
    root: &Root,
    operation: &'static str,
    key: &str,
    parts: &[Part],
    size: u64,
) -> Result<(), StoreError> {
    if keys::total(parts) == Some(size) {
        return Ok(());
    }
    let why = format!("the upload has {size} bytes, and its parts do not add up to that");
    Err(root.error(ErrorKind::Invalid, operation, key, why))
}
