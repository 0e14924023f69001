//! Uploads: one file per upload under `.trailhaul/uploads/KEY/ID.upload`, to which parts are appended.
//!
//! In: parts in order. Out: on completion, the object. Invariants: an upload is never listed as an object;
//! once sealed it survives a crash, and any process completes it from the recorded parts; what is completed
//! has exactly the recorded size. The key is told by the folder, so unfinished uploads are found by key.
//! On failure nothing becomes visible, and the upload stays until it is completed or aborted.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use sha2::{Digest, Sha256};

use super::metadata;
use super::root::{FILE_MODE, Root, kind_of, open_step, size, split};
use super::write::{remove_at, show};
use crate::store::keys::{self, MAX_PARTS};
use crate::store::{ErrorKind, Part, PutOptions, StoreError, UploadRef};

const UPLOADS: &str = ".trailhaul/uploads";
const UPLOAD_SUFFIX: &str = ".upload";
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
    // Another upload of the key may end, and its folder with it, between the two steps: then once more.
    for attempt in 1.. {
        let made = root.make_folder(&folder_of(key)).and_then(|folder| {
            if let Some(bytes) = &metadata {
                let file = File::from(open_step(&folder, &metadata_name(&upload), NEW, FILE_MODE)?);
                file.write_all_at(bytes, 0)?;
            }
            open_step(&folder, &file_name(&upload), NEW, FILE_MODE)
        });
        match made {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 10 => {}
            Err(error) => return Err(root.fail(OPERATION, key, error)),
        }
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
    let folder = find(root, key, upload, OPERATION)?;
    let start = offsets.of(upload, number).filter(|_| number <= MAX_PARTS).ok_or_else(|| {
        let why = format!("part {number} does not follow the parts before it, or the upload is sealed");
        root.error(ErrorKind::Invalid, OPERATION, key, why)
    })?;
    let write = || -> io::Result<()> {
        let file = File::from(open_step(&folder, &file_name(upload), OFlags::WRONLY, FILE_MODE)?);
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
    let folder = find(root, key, upload, OPERATION)?;
    check_parts(root, OPERATION, key, parts)?;
    let sync = || -> io::Result<u64> {
        let file = File::from(open_step(&folder, &file_name(upload), OFlags::WRONLY, FILE_MODE)?);
        file.sync_all()?;
        match open_step(&folder, &metadata_name(upload), OFlags::RDONLY, FILE_MODE) {
            Ok(metadata) => File::from(metadata).sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        root.sync_folder(&folder_of(key))?;
        Ok(size(&rustix::fs::fstat(&file)?))
    };
    let size = sync().map_err(|error| root.fail(OPERATION, key, error))?;
    check_size(root, OPERATION, key, parts, size)
}

/// Makes the upload visible, if the key is free.
pub(super) fn complete(root: &Root, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
    const OPERATION: &str = "complete upload";
    let folder = find(root, key, upload, OPERATION)?;
    check_parts(root, OPERATION, key, parts)?;
    let name = file_name(upload);
    let stat = rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| root.fail(OPERATION, key, errno.into()))?;
    check_size(root, OPERATION, key, parts, size(&stat))?;
    let metadata_path = format!("{}/{}", folder_of(key), metadata_name(upload));
    let metadata = metadata::bytes(root, key, &metadata::read_file(root, key, &metadata_path)?)?;
    show(root, key, &folder, &name, metadata.as_deref(), true)?;
    clean(root, key, upload).map_err(|error| root.fail(OPERATION, key, error))
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

/// Drops an upload.
pub(super) fn abort(root: &Root, key: &str, upload: &str) -> Result<(), StoreError> {
    match find(root, key, upload, "abort upload") {
        Ok(_) => clean(root, key, upload).map_err(|error| root.fail("abort upload", key, error)),
        Err(error) if error.kind() == ErrorKind::NoSuchUpload => Ok(()),
        Err(error) => Err(error),
    }
}

/// Finds unfinished uploads whose key starts with `prefix`.
pub(super) fn list(root: &Arc<Root>, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
    let mut found = Vec::new();
    // Keys still to look at, last first; the depth of a key and the width of the tree bound it, and the tree
    // holds only keys with unfinished uploads.
    let mut open = vec![String::new()];
    while let Some(key) = open.pop() {
        if found.len() >= limit {
            break;
        }
        if let Err(error) = list_key(root, &key, prefix, &mut open, &mut found) {
            return Err(root.fail("list uploads", &key, error));
        }
    }
    found.truncate(limit);
    Ok(found)
}

fn list_key(
    root: &Root,
    key: &str,
    prefix: &str,
    open: &mut Vec<String>,
    found: &mut Vec<UploadRef>,
) -> io::Result<()> {
    let folder = match root.open_folder(folder_of(key).trim_end_matches('/')) {
        Err(error) if kind_of(&error) == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let is_folder = stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        if is_folder && name != "." && name != ".." {
            let below = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
            let on_the_way = below.starts_with(prefix) || prefix.starts_with(&below);
            if on_the_way && below.len() <= keys::MAX_KEY {
                open.push(below);
            }
        } else if let Some(upload) = name.strip_suffix(UPLOAD_SUFFIX)
            && key.starts_with(prefix)
            && is_id(upload)
        {
            found.push(UploadRef { key: key.to_owned(), upload: upload.to_owned() });
        }
    }
    Ok(())
}

/// The folder of an upload that is there.
fn find(root: &Root, key: &str, upload: &str, operation: &'static str) -> Result<OwnedFd, StoreError> {
    let none = || root.error(ErrorKind::NoSuchUpload, operation, key, "the upload is not there");
    if !is_id(upload) {
        return Err(none());
    }
    let folder = root.open_folder(&folder_of(key)).and_then(|folder| {
        rustix::fs::statat(&folder, file_name(upload), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(folder)
    });
    folder.map_err(|error| match kind_of(&error) {
        ErrorKind::NotFound => none(),
        _ => root.fail(operation, key, error),
    })
}

/// Removes the files of an upload, and its folders where nothing else is in them.
fn clean(root: &Root, key: &str, upload: &str) -> io::Result<()> {
    let folder = match root.open_folder(&folder_of(key)) {
        // Another process finished and cleaned up the same upload.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    remove_at(&folder, &file_name(upload))?;
    remove_at(&folder, &metadata_name(upload))?;
    let mut path = folder_of(key);
    while path.len() > UPLOADS.len() {
        let (above, last) = split(&path);
        let gone = root.open_folder(above).map(|above| rustix::fs::unlinkat(above, last, AtFlags::REMOVEDIR));
        if !matches!(gone, Ok(Ok(()))) {
            break; // another upload lives there
        }
        path.truncate(above.len());
    }
    Ok(())
}

fn check_parts(root: &Root, operation: &'static str, key: &str, parts: &[Part]) -> Result<(), StoreError> {
    keys::check_parts(parts).map_err(|why| root.error(ErrorKind::Invalid, operation, key, why))
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

fn folder_of(key: &str) -> String {
    format!("{UPLOADS}/{key}")
}

fn file_name(upload: &str) -> String {
    format!("{upload}{UPLOAD_SUFFIX}")
}

fn metadata_name(upload: &str) -> String {
    format!("{upload}{}", keys::METADATA_SUFFIX)
}

/// Whether a text is an id of ours: anything else must not become part of a path.
fn is_id(upload: &str) -> bool {
    upload.len() == 32 && upload.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
