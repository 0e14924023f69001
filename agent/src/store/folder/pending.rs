//! Unfinished uploads: their names, finding them, and clearing what is left of them.
//!
//! An upload to KEY is the file `CODE~ID.upload` in `.trailhaul/uploads`, where CODE is the key with `%` and
//! `/` written as `%25` and `%2F`; its metadata is `CODE~ID.metadata.json`. So one flat folder tells which
//! keys have uploads, and a seal syncs one folder. A CODE too long for a file name is cut into pieces, all but
//! the last of which are folders; those stay.
//!
//! In: that folder, which other processes may be writing to. Out: the uploads under a prefix of keys; or a
//! folder without leftovers. Invariant: an upload is never removed here.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};

use super::root::{Root, kind_of};
use super::write::{remove_at, stat_at};
use crate::store::keys::{self, METADATA_SUFFIX};
use crate::store::{ErrorKind, StoreError, UploadRef};

const UPLOADS: &str = ".trailhaul/uploads";
const UPLOAD_SUFFIX: &str = ".upload";

/// The most bytes of a CODE in one file name: 255 less the id, the longer suffix and some air.
const PIECE: usize = 200;

/// Where an upload lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder below the root.
    pub(super) folder: String,
    /// The file with the bytes.
    pub(super) file: String,
    /// The file with the metadata; not there when there is none.
    pub(super) metadata: String,
}

impl Place {
    /// The place of an upload; `None` where `upload` is not an id of ours, which must not get into a path.
    pub(super) fn of(key: &str, upload: &str) -> Option<Self> {
        let code = key.replace('%', "%25").replace('/', "%2F");
        let (mut folder, mut rest) = (UPLOADS.to_owned(), code.as_str());
        while rest.len() > PIECE {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
            folder = format!("{folder}/{piece}");
            rest = after;
        }
        is_id(upload).then(|| Self {
            folder,
            file: format!("{rest}~{upload}{UPLOAD_SUFFIX}"),
            metadata: format!("{rest}~{upload}{METADATA_SUFFIX}"),
        })
    }
}

/// The key and the id in a CODE followed by `~ID`.
fn parse(text: &str) -> Option<(String, String)> {
    let (code, upload) = text.rsplit_once('~').filter(|(_, upload)| is_id(upload))?;
    let key = code.replace("%2F", "/").replace("%25", "%");
    keys::check(&key).is_ok().then(|| (key, upload.to_owned()))
}

fn is_id(upload: &str) -> bool {
    upload.len() == 32 && upload.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Finds unfinished uploads whose key starts with `prefix`.
pub(super) fn list(root: &Root, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
    let mut found = Vec::new();
    let walked = walk(root, &mut |_, code, name| {
        if let Some((key, upload)) =
            name.strip_suffix(UPLOAD_SUFFIX).and_then(|n| parse(&format!("{code}{n}")))
            && found.len() < limit
            && key.starts_with(prefix)
        {
            found.push(UploadRef { key, upload });
        }
        Ok(())
    });
    walked.map_err(|error| root.fail("list uploads", prefix, error))?;
    Ok(found)
}

/// Removes metadata whose upload is gone, which is what a process leaves that is killed at the very end of a
/// completion. Metadata is written after its upload has been begun, so it is never somebody's first step.
pub(super) fn sweep(root: &Root) -> io::Result<()> {
    walk(root, &mut |folder, code, name| {
        let Some(stem) =
            name.strip_suffix(METADATA_SUFFIX).filter(|n| parse(&format!("{code}{n}")).is_some())
        else {
            return Ok(());
        };
        match stat_at(folder, &format!("{stem}{UPLOAD_SUFFIX}"))? {
            None => remove_at(folder, name),
            Some(_) => Ok(()),
        }
    })
}

/// Shows every file: its folder, the pieces of the CODE that the folders above it make up, and its name.
fn walk(root: &Root, see: &mut dyn FnMut(&OwnedFd, &str, &str) -> io::Result<()>) -> io::Result<()> {
    // Codes of folders still to look at. Only uploads to very long keys have any.
    let mut open = vec![Vec::<String>::new()];
    while let Some(pieces) = open.pop() {
        let path = pieces.iter().fold(UPLOADS.to_owned(), |path, piece| format!("{path}/{piece}"));
        let folder = match root.open_folder(&path) {
            Err(error) if kind_of(&error) == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let code = pieces.concat();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
            match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile) => see(&folder, &code, name)?,
                // Three bytes of CODE per byte of a key at most: deeper folders are not ours.
                Ok(FileType::Directory) if !matches!(name, "." | "..") && code.len() < 3 * keys::MAX_KEY => {
                    open.push([pieces.as_slice(), &[name.to_owned()]].concat());
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_place_tells_the_key() {
        let long = &("é/".repeat(300) + "x");
        for key in ["a", "a/b", "a%2Fb", "100%", "a~b/c~d", "%25", long] {
            let place = Place::of(key, ID).unwrap();
            assert!(place.metadata.len() <= 255, "{place:?}");
            let pieces = place.folder.strip_prefix(UPLOADS).unwrap().replace('/', "");
            let stem = place.file.strip_suffix(UPLOAD_SUFFIX).unwrap();
            assert_eq!(parse(&format!("{pieces}{stem}")), Some((key.to_owned(), ID.to_owned())));
        }
        assert_eq!(Place::of("a", "../../x"), None);
        for strange in ["a", "a~b", &format!("..~{ID}"), &format!("%2Fetc~{ID}"), &format!("~{ID}")] {
            assert_eq!(parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn only_metadata_without_an_upload_is_swept() {
        let scratch = crate::store::scratch();
        let root = Root::open(scratch.path()).unwrap();
        sweep(&root).unwrap();
        let long = "x".repeat(190) + "/" + &"y".repeat(190);
        for key in ["a/b", &long] {
            let place = Place::of(key, ID).unwrap();
            root.make_folder(&place.folder).unwrap();
            let folder = scratch.path().join(&place.folder);
            std::fs::write(folder.join(&place.file), "").unwrap();
            std::fs::write(folder.join(&place.metadata), "{}").unwrap();
            sweep(&root).unwrap();
            assert!(folder.join(&place.metadata).exists());
            assert_eq!(
                list(&root, &key[..1], 9).unwrap(),
                [UploadRef { key: key.into(), upload: ID.into() }]
            );
            std::fs::remove_file(folder.join(&place.file)).unwrap();
            sweep(&root).unwrap();
            assert!(!folder.join(&place.metadata).exists());
        }
        assert!(list(&root, "", 9).unwrap().is_empty());
    }
}
