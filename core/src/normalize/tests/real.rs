//! Real records through every format, judged by the schema's own rules.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::loss::lost;
use super::*;
use crate::normalize::classify;

#[test]
fn every_real_record_renders_and_loses_nothing() {
    let Some(folder) = shared() else { return };
    let records = real_records(&folder);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for raw in &records {
        for (name, format) in Format::ALL {
            let line = render_as(format, raw).unwrap_or_else(|error| panic!("{name}: {error}: {raw}"));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let lost = lost(raw, &line);
            assert!(lost.is_empty(), "{name} lost {lost:?} of {raw}\nin {line}");
            if format == Format::Ocsf(OcsfVersion::V1_5) {
                *kinds.entry(value["class_name"].to_string()).or_default() += 1;
            }
        }
    }
    println!("{} records: {kinds:?}", records.len());
    // One published fixture has been cut down until nobody acts in it.
    assert_eq!(kinds.get("\"Base Event\""), Some(&1), "real records have a class");
}

#[test]
fn every_real_record_is_valid_ocsf() {
    let Some(folder) = shared() else { return };
    if !has_python() {
        return;
    }
    validate(&folder, &real_records(&folder));
}

#[test]
fn every_generated_record_is_valid_ocsf() {
    let Some(folder) = shared() else { return };
    if !has_python() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let records: Vec<String> =
        (0..2_000).map(|_| super::loss::record().new_tree(&mut runner).unwrap().current()).collect();
    // The validator splits lines where Python does, at characters that JSON allows within strings.
    let breaks = ['\u{85}', '\u{2028}', '\u{2029}'];
    let records: Vec<String> = records.into_iter().filter(|raw| !raw.contains(breaks)).collect();
    validate(&folder, &records);
}

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "python3 is needed to validate OCSF");
        eprintln!("skipped: no python3 to validate OCSF with");
    }
    found
}

/// Runs the schema's validator over the records in every version; no error and no warning is allowed.
fn validate(folder: &std::path::Path, records: &[String]) {
    for version in [OcsfVersion::V1_1, OcsfVersion::V1_5, OcsfVersion::V1_8] {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("trailhaul-ocsf-{}-{number}.ndjson", std::process::id()));
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        for raw in records {
            writeln!(file, "{}", render_as(Format::Ocsf(version), raw).unwrap()).unwrap();
        }
        file.flush().unwrap();
        let schema = folder.join(format!("ocsf/ocsf-{}.json", version.as_str()));
        let output = Command::new("python3")
            .arg(folder.join("ocsf/ocsf_validate.py"))
            .arg(schema)
            .arg(&path)
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        println!("{}: {report}", version.as_str());
        assert!(
            output.status.success(),
            "{}: {report}{}",
            version.as_str(),
            String::from_utf8_lossy(&output.stderr)
        );
        let warnings: Vec<_> = report.lines().filter(|line| line.contains(" warn ")).collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}

/// Names in real data that no table knows: both are made up by those who published them.
const UNKNOWN: [&str; 2] = ["NotCreateUser", "UnknownAPI"];

#[test]
fn every_real_name_is_covered() {
    let Some(folder) = shared() else { return };
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for raw in real_records(&folder) {
        let record: serde_json::Value = serde_json::from_str(&raw).unwrap();
        if let Some(name) = record["eventName"].as_str() {
            names.entry(classify::source(name)).or_default().insert(name.to_owned());
        }
    }
    for (source, names) in &names {
        println!("{source}: {} names: {names:?}", names.len());
    }
    let none: Vec<&str> = names.get("none").into_iter().flatten().map(String::as_str).collect();
    assert_eq!(none, UNKNOWN, "a new name needs a row in events.tsv or a verb in verbs.tsv");
}

/// CPU time of this thread so far (Linux), which other work on the machine does not count towards.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Bytes of raw records per CPU second and format, on this machine: `cargo test --release -p trailhaul-core --lib
/// throughput -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn throughput() {
    let Some(folder) = shared() else { return };
    let records = real_records(&folder);
    let bytes: usize = records.iter().map(String::len).sum();
    let context = context(None);
    let only = std::env::var("TRAILHAUL_FORMAT").ok();
    for (name, format) in
        Format::ALL.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let mut renderer = Renderer::new(format, Redaction::default()).unwrap();
        let mut out = Vec::new();
        let (mut written, mut rounds, start) = (0, 0, cpu_seconds());
        while cpu_seconds() - start < 1.0 {
            written = 0;
            rounds += 1;
            for chunk in records.chunks(500) {
                out.clear();
                for raw in chunk {
                    renderer.render(raw.as_bytes(), &context, &mut out).unwrap();
                    out.push(b'\n');
                }
                written += out.len();
            }
        }
        let seconds = (cpu_seconds() - start) / f64::from(rounds);
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let (rate, growth) = (bytes as f64 / seconds / 1e6, written as f64 / bytes as f64);
        println!("{name}: {rate:.0} MB of raw records per CPU second, {growth:.2} out per in");
    }
}
