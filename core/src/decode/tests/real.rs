//! Real CloudTrail files: record for record the bytes that `serde_json`'s raw splitting gives.

use std::path::PathBuf;

use super::documents::reference;
use super::*;

/// The shared folder of real data; absent on most machines, required in CI.
fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("TRAILHAUL_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from)
        .join("data/invictus-ir_aws_dataset/logfiles");
    if folder.is_dir() {
        return Some(folder);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI needs {}", folder.display());
    println!("skipped: {} is not there", folder.display());
    None
}

#[test]
fn real_files_split_as_the_reference_says() {
    let Some(folder) = shared() else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let document = std::fs::read_to_string(&path).unwrap();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let expected = reference(&document);
        for pieces in [&[usize::MAX][..], &[1], &[8192, 100]] {
            let decoded = decode(&gzip(document.as_bytes()), pieces, &DecodeLimits::default());
            assert_eq!(decoded.outcome.damages, [], "{}", path.display());
            assert_eq!(decoded.lines.len(), expected.len(), "{}", path.display());
            assert!(
                decoded.lines.iter().zip(&expected).all(|(a, b)| a == b.as_bytes()),
                "{}",
                path.display()
            );
            assert_eq!(decoded.outcome.inflated_sha256, sha256(document.as_bytes()));
            for (span, id) in decoded.spans.iter().zip(&decoded.ids) {
                assert!(id.as_ref().is_some_and(|id| id.len() == 36), "every real event has an id");
                assert!(span.fields.time.is_some() && !span.fields.irregular);
            }
        }
        files += 1;
    }
    assert!(files >= 50, "{files} files");
}
