use std::collections::BTreeMap;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use proptest::prelude::*;

use super::super::tests::{class, json, lines};
use super::*;
use crate::normalize::{Format, OcsfVersion};

const STAMP: i64 = 1_438_395_000_000;
const DAY: i64 = 86_400_000;

/// The files as a reader finds them: their names, and the bytes of each.
fn files(pieces: Vec<FilePiece>) -> Vec<(FileName, Vec<u8>, u64)> {
    let mut open: BTreeMap<u32, (FileName, Vec<u8>, u64)> = BTreeMap::new();
    let mut done = Vec::new();
    for piece in pieces {
        let number = piece.file.number;
        let file = open.entry(number).or_insert_with(|| (piece.file.clone(), Vec::new(), 0));
        assert_eq!(file.0, piece.file, "one file, one name");
        file.1.extend(piece.bytes);
        file.2 += piece.records;
        if piece.last {
            done.extend(open.remove(&number));
        }
    }
    assert!(open.is_empty(), "every file ends");
    done
}

fn rows(file: &[u8]) -> Vec<serde_json::Value> {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(file)).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| json(&row.unwrap())).collect()
}

/// A line at another time.
fn at(line: &str, time: i64) -> String {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["time"] = time.into();
    value.to_string()
}

fn from(account: u64, region: &str) -> Whereabouts<'_> {
    Whereabouts { account: AccountId::from_u64(account).unwrap(), region, stamp: STAMP }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Every line stands in exactly one file, the one of its class, account, region and day, in order of time.
    #[test]
    fn every_line_is_in_its_file(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u64, 0..4_i64, 0..1_000_i64), 1..200),
    ) {
        let lines = lines(OcsfVersion::V1_5);
        let mut picks = picks;
        picks.sort_by_key(|pick| pick.1);
        let mut made = ParquetFiles::new(1_000);
        let mut expected: BTreeMap<(u32, u64, u32), Vec<String>> = BTreeMap::new();
        let mut pieces = Vec::new();
        for (pick, account, day, offset) in &picks {
            let time = STAMP - day * DAY + offset * 1_000;
            let line: &String = pick.get(&lines);
            let line = at(line, time);
            made.push(line.as_bytes(), from(111_122_223_333 + account, "eu-central-1")).unwrap();
            let key = (class(&line), 111_122_223_333 + account, made.day_of(time));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            expected.entry(key).or_default().push(value.to_string());
            pieces.extend(made.ready());
        }
        made.finish().unwrap();
        pieces.extend(made.ready());
        let files = files(pieces);
        prop_assert_eq!(files.len(), expected.len(), "as few files as there can be");
        for (name, bytes, records) in files {
            let rows = rows(&bytes);
            prop_assert_eq!(rows.len() as u64, records);
            let times: Vec<i64> = rows.iter().map(|row| row["time"].as_i64().unwrap()).collect();
            prop_assert!(times.is_sorted(), "in the order of their time");
            let mut found: Vec<String> = rows.iter().map(ToString::to_string).collect();
            let mut wanted = expected.remove(&(name.class, name.account.as_u64(), name.day)).unwrap();
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted);
        }
    }
}

#[test]
fn every_real_record_reads_back_as_it_was() {
    let Some(folder) = crate::normalize::tests::shared() else { return };
    let records = crate::normalize::tests::real_records(&folder);
    for version in [OcsfVersion::V1_1, OcsfVersion::V1_5, OcsfVersion::V1_8] {
        let mut made = ParquetFiles::new(1_000);
        let mut expected: Vec<String> = Vec::new();
        let mut pieces = Vec::new();
        for raw in &records {
            let line = crate::normalize::tests::render_as(Format::Ocsf(version), raw).unwrap();
            made.push(line.as_bytes(), from(111_122_223_333, "eu-central-1"))
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", version.as_str()));
            expected.push(serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string());
            pieces.extend(made.ready());
        }
        made.finish().unwrap();
        pieces.extend(made.ready());
        let files = files(pieces);
        let mut found: Vec<String> =
            files.iter().flat_map(|file| rows(&file.1)).map(|row| row.to_string()).collect();
        println!("{}: {} records in {} files", version.as_str(), found.len(), files.len());
        found.sort();
        expected.sort();
        assert!(found == expected, "{}: what is read back differs", version.as_str());
    }
}

#[test]
fn what_waits_is_bounded_and_files_grow() {
    let line = lines(OcsfVersion::V1_5).into_iter().find(|line| class(line) == 6003).unwrap();
    let mut made = ParquetFiles::new(1_000);
    let mut pieces = Vec::new();
    for n in 0..12_000 {
        made.push(line.as_bytes(), from(111_122_223_333, "eu-central-1")).unwrap();
        assert!(made.weight <= MAX_BUFFERED, "after {n}");
        pieces.extend(made.ready());
    }
    made.finish().unwrap();
    pieces.extend(made.ready());
    let files = files(pieces);
    assert_eq!(files.len(), 1, "row groups, not files");
    let reader = SerializedFileReader::new(bytes::Bytes::from(files[0].1.clone())).unwrap();
    assert!(reader.metadata().num_row_groups() > 2);
    assert_eq!(reader.metadata().file_metadata().num_rows(), 12_000);
}

#[test]
fn hostile_days_make_no_flood_of_files() {
    let line = lines(OcsfVersion::V1_5).into_iter().find(|line| class(line) == 6003).unwrap();
    let mut made = ParquetFiles::new(20);
    for day in 0..500 {
        made.push(at(&line, STAMP - day * DAY).as_bytes(), from(111_122_223_333, "eu-central-1")).unwrap();
    }
    assert!(made.is_full());
    for time in [i64::MIN, -62_135_596_800_000, i64::MAX] {
        made.push(at(&line, time).as_bytes(), from(111_122_223_333, "eu-central-1")).unwrap();
    }
    made.finish().unwrap();
    let files = files(made.ready());
    assert!(files.len() <= 21, "{} files", files.len());
    assert_eq!(files.iter().map(|file| file.2).sum::<u64>(), 503);
    made.reset();
    assert_eq!(made.count(), 0);
}

#[test]
fn a_line_without_columns_leaves_no_trace() {
    let mut made = ParquetFiles::new(20);
    let place = from(111_122_223_333, "eu-central-1");
    for bad in [r#"{"class_uid":6003,"new":1}"#, r#"{"class_uid":9}"#, "{"] {
        assert!(!matches!(made.push(bad.as_bytes(), place), Ok(()) | Err(ParquetError::Write(_))));
    }
    made.finish().unwrap();
    assert!(made.ready().is_empty());
}

#[test]
fn days_are_those_of_the_calendar() {
    let mut made = ParquetFiles::new(1);
    assert_eq!(made.day_of(0), 19_700_101);
    assert_eq!(made.day_of(-1), 19_691_231);
    assert_eq!(made.day_of(STAMP), 20_150_801);
    assert_eq!(made.day_of(i64::MIN), 10_101);
    assert_eq!(made.day_of(i64::MAX), 99_991_231);
}
