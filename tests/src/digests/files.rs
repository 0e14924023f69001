//! Objects and their metadata in a tree that is already written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::time;

/// Writes inflated bytes as an object of a tree, compressed; answers the stored size.
pub(crate) fn store(root: &Path, bucket: &str, key: &str, inflated: &[u8]) -> Result<u64> {
    let path = object_path(root, bucket, key);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = GzEncoder::new(Vec::new(), Compression::new(6));
    out.write_all(inflated)?;
    let stored = out.finish()?;
    fs::write(&path, &stored).with_context(|| format!("write {}", path.display()))?;
    Ok(stored.len() as u64)
}

/// Writes the metadata of a digest.
pub(crate) fn put_metadata(
    root: &Path,
    bucket: &str,
    key: &str,
    signature: &str,
    generated: Option<i64>,
) -> Result<()> {
    let mut metadata = BTreeMap::from([("signature", signature), ("signature-algorithm", "SHA256withRSA")]);
    let generated = generated.map(|at| time::iso(at).replace('Z', ".000Z"));
    if let Some(at) = &generated {
        metadata.insert("backfill-generation-timestamp", at);
    }
    Ok(fs::write(metadata_path(root, bucket, key), serde_json::to_vec(&metadata)?)?)
}

/// The file of an object.
pub(crate) fn object_path(root: &Path, bucket: &str, key: &str) -> PathBuf {
    root.join("buckets").join(bucket).join(key)
}

/// The file of an object's metadata.
pub(crate) fn metadata_path(root: &Path, bucket: &str, key: &str) -> PathBuf {
    object_path(root, bucket, &format!("{key}.metadata.json"))
}
