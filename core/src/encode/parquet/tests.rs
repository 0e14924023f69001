use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field as Cell, Row};

use super::*;
use crate::normalize::{Context, Format, OcsfVersion, Redaction, Renderer, RepeatKey};

/// The lines of the golden inputs in one version.
pub(super) fn lines(version: OcsfVersion) -> Vec<String> {
    let account = AccountId::from_u64(111_122_223_333).unwrap();
    let context = Context {
        account,
        bucket: "s3://b",
        key: "k \"quoted\"",
        region: "us-east-2",
        record_number: 0,
        repeat_key: RepeatKey { account, id: "x", id_hash: 0, content: 0 },
        verdict: "pending",
        hauled_at: 1,
        object_time: 2,
        enrichment: None,
    };
    let mut renderer = Renderer::new(Format::Ocsf(version), Redaction::default()).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/normalize");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let inputs = paths.iter().filter(|path| path.to_str().unwrap().ends_with(".input.json"));
    inputs
        .map(|path| {
            let mut out = Vec::new();
            renderer.render(std::fs::read(path).unwrap().trim_ascii(), &context, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
        .collect()
}

pub(super) fn class(line: &str) -> u32 {
    class_of(Parser::new().parse(line.as_bytes()).unwrap()).unwrap()
}

/// A row as JSON, without what is null.
pub(super) fn json(row: &Row) -> serde_json::Value {
    let members = row.get_column_iter().filter(|(_, cell)| !matches!(cell, Cell::Null));
    members.map(|(name, cell)| (name.clone(), cell_json(cell))).collect::<serde_json::Map<_, _>>().into()
}

fn cell_json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Bool(value) => (*value).into(),
        Cell::Int(value) => (*value).into(),
        Cell::Long(value) => (*value).into(),
        Cell::Str(value) => value.as_str().into(),
        Cell::Group(row) => json(row),
        Cell::ListInternal(list) => list.elements().iter().map(cell_json).collect::<Vec<_>>().into(),
        Cell::MapInternal(map) => {
            let entries = map.entries().iter().map(|(key, value)| match key {
                Cell::Str(key) => (key.clone(), cell_json(value)),
                other => panic!("{other:?}"),
            });
            entries.collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_event_reads_back_as_it_was() {
    for version in [OcsfVersion::V1_1, OcsfVersion::V1_5, OcsfVersion::V1_8] {
        let lines = lines(version);
        for (uid, _) in CLASSES {
            let of_class: Vec<&String> = lines.iter().filter(|line| class(line) == uid).collect();
            assert!(!of_class.is_empty(), "no golden input of class {uid}");
            let mut file = ParquetFile::new(Vec::new(), uid).unwrap();
            of_class.iter().for_each(|line| file.push(line.as_bytes()).unwrap());
            let bytes = file.finish().unwrap();
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| json(&row.unwrap())).collect();
            let expected: Vec<serde_json::Value> =
                of_class.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(rows, expected, "class {uid}");
        }
    }
}

#[test]
fn row_groups_are_bounded() {
    let line = &lines(OcsfVersion::V1_5).into_iter().find(|line| class(line) == 6003).unwrap();
    let mut file = ParquetFile::new(Vec::new(), 6003).unwrap();
    let rows = 40_000;
    for _ in 0..rows {
        file.push(line.as_bytes()).unwrap();
        assert!(file.rows <= MAX_ROWS && file.shredder.buffered() <= MAX_BUFFERED + line.len() + 4_096);
    }
    let bytes = file.finish().unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), rows);
    assert!(reader.metadata().num_row_groups() > 1);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_trace() {
    let lines = lines(OcsfVersion::V1_5);
    let line = lines.iter().find(|line| class(line) == 6003).unwrap();
    let mut file = ParquetFile::new(Vec::new(), 6003).unwrap();
    file.push(line.as_bytes()).unwrap();
    assert!(matches!(file.push(b"{"), Err(ParquetError::Line(_))));
    assert!(matches!(file.push(br#"{"class_uid":3001}"#), Err(ParquetError::Class { .. })));
    assert!(matches!(file.push(br#"{"class_uid":6003,"new":1}"#), Err(ParquetError::Column(_))));
    assert!(matches!(file.push(br#"{"class_uid":6003,"time":"x"}"#), Err(ParquetError::Column(_))));
    assert!(ParquetFile::new(Vec::new(), 1).is_err());
    let reader = SerializedFileReader::new(bytes::Bytes::from(file.finish().unwrap())).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 1);
}

#[test]
fn security_lake_has_its_own_folders() {
    let account = AccountId::from_u64(11_122_223_333).unwrap();
    assert_eq!(
        security_lake_folder("trailhaul", 6003, "us-east-2", account, 20_150_801),
        "ext/trailhaul-api/region=us-east-2/accountId=011122223333/eventDay=20150801/"
    );
    let sources: Vec<String> = CLASSES
        .iter()
        .map(|(class, _)| security_lake_folder("t", *class, "r", account, 20_150_801))
        .map(|folder| folder.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(sources, ["t-api", "t-account", "t-auth", "t-finding", "t-base"], "a source for each class");
}

/// Writes what other readers can be tried on: `TRAILHAUL_PARQUET=FOLDER`.
#[test]
fn files_for_other_readers() {
    let Some(folder) = std::env::var_os("TRAILHAUL_PARQUET") else { return };
    let lines = lines(OcsfVersion::V1_5);
    for (uid, _) in CLASSES {
        let mut file = ParquetFile::new(Vec::new(), uid).unwrap();
        let mut ndjson = String::new();
        for line in lines.iter().filter(|line| class(line) == uid) {
            file.push(line.as_bytes()).unwrap();
            ndjson.push_str(line);
            ndjson.push('\n');
        }
        let path = std::path::Path::new(&folder).join(uid.to_string());
        std::fs::write(path.with_extension("parquet"), file.finish().unwrap()).unwrap();
        std::fs::write(path.with_extension("ndjson"), ndjson).unwrap();
    }
}
