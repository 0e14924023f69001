//! Reading a tree back, by the plainest means: gunzip, a JSON parser, nothing of ours.
//!
//! In: the root of a tree and an object of its truth. Out: the exact bytes of its records. It checks the
//! truth, and tells tests what a right archive holds. An object that does not inflate or parse is an error.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::bufread::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::Expected;
use crate::truth::{Object, Sha, Truth};

/// The inflated bytes of an object: one gzip member; what follows it is not looked at.
pub fn inflated(root: &Path, object: &Object) -> Result<Vec<u8>> {
    let path = root.join("buckets").join(&object.bucket).join(&object.key);
    let stored = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(stored.as_slice()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The records of an object, as they stand in it.
pub fn records(inflated: &[u8]) -> Result<Vec<Vec<u8>>> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<&'a RawValue>,
    }
    let raw: Vec<&RawValue> = if inflated.starts_with(b"[") {
        serde_json::from_slice(inflated)?
    } else {
        serde_json::from_slice::<Wrapped<'_>>(inflated)?.records
    };
    Ok(raw.into_iter().map(|record| record.get().as_bytes().to_vec()).collect())
}

/// The lines of a right archive: each expected content as often as it must be there. What it cannot read of
/// damaged objects, such as the records before a break, it takes from the objects' text. For small trees.
pub fn lines_of(root: &Path, truth: &Truth, expected: &Expected) -> Result<Vec<Vec<u8>>> {
    let mut texts: HashMap<Sha, Vec<u8>> = HashMap::new();
    for object in truth.objects.iter().filter(|object| !object.records.is_empty()) {
        for record in readable(root, object)? {
            texts.insert(Sha::of(&record), record);
        }
    }
    let mut lines = Vec::new();
    for ((_, _, sha), count) in &expected.delivered {
        let text = texts.get(sha).with_context(|| format!("no object holds {sha}"))?;
        lines.extend((0..*count).map(|_| text.clone()));
    }
    Ok(lines)
}

/// The records of an object that may be damaged: as far as it inflates, and of that each top-level element
/// that a JSON parser takes.
fn readable(root: &Path, object: &Object) -> Result<Vec<Vec<u8>>> {
    let path = root.join("buckets").join(&object.bucket).join(&object.key);
    let stored = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut bytes = Vec::new();
    if GzDecoder::new(stored.as_slice()).read_to_end(&mut bytes).is_err() && bytes.is_empty() {
        bytes = stored;
    }
    if let Ok(all) = records(&bytes) {
        return Ok(all);
    }
    // A record starts where an object starts that a parser takes whole; a start within one is passed over.
    let mut found = Vec::new();
    let mut at = bytes.iter().position(|byte| *byte == b'[').unwrap_or(bytes.len());
    while let Some(rest) = bytes.get(at..) {
        let Some(next) = rest.iter().position(|byte| *byte == b'{') else { break };
        let start = rest.get(next..).unwrap_or_default();
        match serde_json::Deserializer::from_slice(start).into_iter::<&RawValue>().next() {
            Some(Ok(record)) => {
                found.push(record.get().as_bytes().to_vec());
                at += next + record.get().len();
            }
            _ => at += next + 1,
        }
    }
    Ok(found)
}
