//! Unfinished uploads, and what is left of them: finding the ones, clearing away the other.
//!
//! In: the tree under `.trailhaul/uploads`, which other processes may be writing to. Out: the uploads under a
//! prefix of keys; or a tree without leftovers. Invariant: an upload is never removed here.

use std::io;

use rustix::fs::{AtFlags, Dir, FileType};

use super::root::{Root, kind_of};
use super::upload::{UPLOAD_SUFFIX, file_name, folder_of, is_id, metadata_name, remove_empty};
use super::write::{remove_at, stat_at};
use crate::store::keys;
use crate::store::{ErrorKind, StoreError, UploadRef};

/// Finds unfinished uploads whose key starts with `prefix`.
pub(super) fn list(root: &Root, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
    let mut found = Vec::new();
    // Keys still to look at, last first. The tree holds only keys with unfinished uploads, so it is small.
    let mut open = vec![String::new()];
    while let Some(key) = open.pop() {
        if found.len() >= limit {
            break;
        }
        for entry in entries(root, &key).map_err(|error| root.fail("list uploads", &key, error))? {
            match entry {
                Entry::Key(below) if below.starts_with(prefix) || prefix.starts_with(&below) => {
                    open.push(below);
                }
                Entry::Upload(upload) if key.starts_with(prefix) => {
                    found.push(UploadRef { key: key.clone(), upload });
                }
                _ => {}
            }
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Removes what is left of uploads that a crash cut short at their very beginning or end: folders with
/// nothing in them, and metadata without an upload (which is always written before its metadata). What is
/// begun meanwhile by others makes its folders again.
pub(super) fn sweep(root: &Root) -> io::Result<()> {
    let mut keys = vec![String::new()];
    let mut at = 0;
    while let Some(key) = keys.get(at).cloned() {
        for entry in entries(root, &key)? {
            match entry {
                Entry::Key(below) => keys.push(below),
                Entry::Metadata(upload) => {
                    remove_orphan(root, &key, &upload)?;
                }
                Entry::Upload(_) => {}
            }
        }
        at += 1;
    }
    // Those below before those above; what is not empty stays.
    keys.iter().skip(1).rev().for_each(|key| remove_empty(root, folder_of(key)));
    Ok(())
}

/// Removes metadata whose upload is not there.
fn remove_orphan(root: &Root, key: &str, upload: &str) -> io::Result<()> {
    match root.open_folder(&folder_of(key)) {
        Ok(folder) if stat_at(&folder, &file_name(upload))?.is_none() => {
            remove_at(&folder, &metadata_name(upload))
        }
        Err(error) if kind_of(&error) != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What lies in the folder of a key.
enum Entry {
    /// The folder of a key below it.
    Key(String),
    Upload(String),
    Metadata(String),
}

fn entries(root: &Root, key: &str) -> io::Result<Vec<Entry>> {
    let folder = match root.open_folder(folder_of(key).trim_end_matches('/')) {
        Err(error) if kind_of(&error) == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let is_folder = stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let id = |suffix| name.strip_suffix(suffix).filter(|id| is_id(id)).map(str::to_owned);
        if is_folder && name != "." && name != ".." {
            let below = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
            if below.len() <= keys::MAX_KEY {
                entries.push(Entry::Key(below));
            }
        } else if let Some(upload) = id(UPLOAD_SUFFIX) {
            entries.push(Entry::Upload(upload));
        } else if let Some(upload) = id(keys::METADATA_SUFFIX) {
            entries.push(Entry::Metadata(upload));
        }
    }
    Ok(entries)
}
