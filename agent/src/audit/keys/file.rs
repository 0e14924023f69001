//! Public keys from files.
//!
//! In: files with answers of `ListPublicKeys`, one per region (`REGION.json`) or one for all. Out: a filled
//! key ring, and warnings. Failure: the file and the reason.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use trailhaul_core::verify::{KeyListError, KeyRing, parse_public_keys};

/// The most bytes of a key file: some ten thousand keys.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("public keys {path}: {reason}")]
pub struct KeyFileError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("more than 16 MiB")]
    TooLarge,
    #[error("{0}")]
    List(#[from] KeyListError),
}

/// Adds the keys of a file to `ring`: for the region that the file is named after, or, named otherwise, for
/// every region. Answers a warning for each key whose fingerprint is not the MD5 of its bytes.
pub fn load_key_file(path: &Path, ring: &mut KeyRing) -> Result<Vec<String>, KeyFileError> {
    let read = || -> Result<_, Reason> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Reason::TooLarge);
        }
        Ok(parse_public_keys(&bytes)?)
    };
    let keys = read().map_err(|reason| KeyFileError { path: path.to_owned(), reason })?;
    let warnings = keys
        .iter()
        .filter(|key| !key.fingerprint_fits())
        .map(|key| {
            let (path, fingerprint) = (path.display(), key.fingerprint());
            format!("public keys {path}: fingerprint {fingerprint} is not the MD5 of its key; is the file CloudTrail's own answer?")
        })
        .collect();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_region(stem));
    ring.add(stem, keys);
    Ok(warnings)
}

/// Words of small letters joined by dashes, then a number: `eu-west-1`, `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    words.split('-').count() >= 2
        && words.split('-').all(is_word)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_told_from_another_name() {
        for region in ["us-east-1", "us-gov-west-1", "ap-southeast-12"] {
            assert!(is_region(region), "{region}");
        }
        for other in ["keys", "public-keys", "list-public-keys", "east-1", "us-east-1a", "US-EAST-1", "us--1"]
        {
            assert!(!is_region(other), "{other}");
        }
    }
}
