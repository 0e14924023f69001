//! User metadata of an object: a flat JSON object of strings in `KEY.metadata.json`, beside it.
//!
//! In: a map of names and values, or a file that anybody may have written. Out: bytes, or the map. At most
//! [`MAX_METADATA`] bytes are ever read. A file that is not there means no metadata; one that cannot be
//! understood is an error, because digests carry their signature there and must not lose it quietly.

use std::io::Read;

use super::root::{Root, is_file, kind_of};
use crate::store::keys::METADATA_SUFFIX;
use crate::store::{ErrorKind, Metadata, StoreError};

const OPERATION: &str = "read metadata";

/// The most bytes of a metadata file. S3 allows 2 KiB of user metadata; JSON escapes add to that.
const MAX_METADATA: u64 = 64 * 1024;

/// The metadata of an object.
pub(super) fn read(root: &Root, key: &str) -> Result<Metadata, StoreError> {
    read_file(root, key, &format!("{key}{METADATA_SUFFIX}"))
}

/// The metadata in the file at `path`, said of `key` in errors.
pub(super) fn read_file(root: &Root, key: &str, path: &str) -> Result<Metadata, StoreError> {
    let file = match root.open_file(path) {
        Ok(file) => file,
        // A name too long for a file system is a file that cannot be there.
        Err(error) if matches!(kind_of(&error), ErrorKind::NotFound) || is_too_long(&error) => {
            return Ok(Metadata::new());
        }
        Err(error) => return Err(root.fail(OPERATION, key, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| root.fail(OPERATION, key, errno.into()))?;
    if !is_file(&stat) {
        return Ok(Metadata::new());
    }
    let mut bytes = Vec::new();
    file.take(MAX_METADATA + 1).read_to_end(&mut bytes).map_err(|error| root.fail(OPERATION, key, error))?;
    if bytes.len() as u64 > MAX_METADATA {
        return Err(root.error(ErrorKind::Other, OPERATION, key, "its metadata file is over 64 KiB"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let why = "its metadata file is not a flat JSON object of strings";
        root.error(ErrorKind::Other, OPERATION, key, why).caused_by(error)
    })
}

/// The bytes of a metadata file; `None` for no metadata, which is no file.
pub(super) fn bytes(root: &Root, key: &str, metadata: &Metadata) -> Result<Option<Vec<u8>>, StoreError> {
    if metadata.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| root.error(ErrorKind::Invalid, "write metadata", key, why);
    let bytes = serde_json::to_vec(metadata).map_err(|error| wrong("not JSON").caused_by(error))?;
    if bytes.len() as u64 > MAX_METADATA {
        return Err(wrong("the metadata is over 64 KiB"));
    }
    Ok(Some(bytes))
}

fn is_too_long(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NAMETOOLONG)
}
