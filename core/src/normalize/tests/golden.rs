//! Golden files: for each kind of event what each format makes of it.
//!
//! `core/tests/golden/normalize/v1.KIND.input.json` is a record, `v1.KIND.expected.json` its lines by format.
//! Once released, the files of a version are never edited: a new meaning is a new version. `UPDATE_GOLDEN=1` writes files that
//! are not there yet, and changes none.

use std::path::PathBuf;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/normalize"))
}

#[test]
fn every_kind_renders_as_agreed() {
    let mut kinds = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let input = entry.unwrap().path();
        let name = input.file_name().unwrap().to_str().unwrap();
        let Some(kind) = name.strip_suffix(".input.json") else { continue };
        kinds += 1;
        let raw = std::fs::read_to_string(&input).unwrap();
        let mut lines = serde_json::Map::new();
        for (name, format) in Format::ALL.into_iter().skip(1) {
            let line = render_as(format, raw.trim_end()).unwrap();
            lines.insert(name.to_owned(), serde_json::from_str(&line).unwrap());
        }
        let actual = serde_json::Value::Object(lines);
        let expected = folder().join(format!("{kind}.expected.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !expected.exists() {
            std::fs::write(&expected, serde_json::to_string_pretty(&actual).unwrap() + "\n").unwrap();
        }
        let text = std::fs::read_to_string(&expected)
            .unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (format, line) in actual.as_object().unwrap() {
            assert_eq!(*line, expected[format], "{kind} as {format}");
        }
    }
    assert!(kinds >= 16, "only {kinds} kinds");
}
