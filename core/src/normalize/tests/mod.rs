//! Tests of rendering as a whole; what only one file does is tested in that file.

mod golden;
mod hostile;
mod loss;
mod pairs;
mod real;

use std::path::PathBuf;

use super::*;

/// An account of an example organization.
pub(super) fn info() -> AccountInfo {
    AccountInfo {
        name: Some("payments \"prod\"".to_owned()),
        organization: Some("o-a1b2c3d4e5".to_owned()),
        organizational_unit: Some("Root/Workloads/Prod".to_owned()),
        tags: vec![("team".to_owned(), "payments".to_owned()), ("tier".to_owned(), "1".to_owned())],
    }
}

pub(super) fn context(enrichment: Option<&AccountInfo>) -> Context<'_> {
    Context {
        account: AccountId::from_u64(111_122_223_333).unwrap(),
        bucket: "s3://org-trail",
        key: "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
        region: "us-east-2",
        record_number: 7,
        repeat_key: RepeatKey {
            account: AccountId::from_u64(111_122_223_333).unwrap(),
            id: "6f2b1c3e-0000-4000-8000-000000000001",
            id_hash: 1,
            content: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        },
        verdict: "pending",
        hauled_at: 1_438_395_123_456,
        object_time: 1_438_395_000_000,
        enrichment,
    }
}

/// Renders one record without redaction.
pub(crate) fn render_as(format: Format, raw: &str) -> Result<String, Refusal> {
    let info = info();
    let mut renderer = Renderer::new(format, Redaction::default()).unwrap();
    let mut out = Vec::new();
    renderer.render(raw.as_bytes(), &context(Some(&info)), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The folder of real data, which is not part of the project. Absent, a test says so and passes; under CI it
/// fails.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("TRAILHAUL_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    if folder.join("data").is_dir() {
        return Some(folder);
    }
    let reason = format!("skipped: no real data under {}", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("{reason}");
    None
}

/// Every record under the shared data, each as the text of one JSON object.
pub(crate) fn real_records(folder: &std::path::Path) -> Vec<String> {
    let mut records = Vec::new();
    let mut folders = vec![folder.join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|end| end.to_str()) {
                None if path.is_dir() => folders.push(path),
                Some("ndjson" | "json") => read_records(&path, &mut records),
                _ => {}
            }
        }
    }
    assert!(records.len() > 3_000, "only {} records", records.len());
    records
}

fn read_records(path: &std::path::Path, records: &mut Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut parser = Parser::new();
        let record = parser.parse(line.as_bytes()).unwrap();
        if let Some(list) = record.get("Records") {
            records.extend(list.children().map(|value| value.text().to_owned()));
        } else if let Some(raw) = record.get("raw") {
            records.push(raw.text().to_owned());
        } else {
            records.push(line.to_owned());
        }
    }
}

#[test]
fn formats_have_names() {
    for (name, format) in Format::ALL {
        assert_eq!(name.parse::<Format>().unwrap(), format);
        assert_eq!(format.to_string(), name);
    }
    assert_eq!("ocsf".parse::<Format>().unwrap(), Format::Ocsf(OcsfVersion::V1_5));
    assert!("ocsf-1.4".parse::<Format>().is_err());
}

#[test]
fn raw_is_verbatim_and_one_line() {
    let raw = r#"{ "a" : 1.50 , "b":"\u00e9" }"#;
    assert_eq!(render_as(Format::Raw, raw).unwrap(), raw);
    assert_eq!(render_as(Format::Raw, "{\n\"a\":\r\n1}").unwrap(), "{ \"a\":  1}");
    let line = render_as(Format::RawMeta, raw).unwrap();
    assert!(line.ends_with(&format!(",\"record\":{raw}}}")), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["trailhaul"]["record_number"], 7);
    assert_eq!(value["trailhaul"]["hauled_at"], "2015-08-01T02:12:03.456Z");
    assert_eq!(value["trailhaul"]["account"]["name"], "payments \"prod\"");
    assert_eq!(value["trailhaul"]["account"]["tags"]["tier"], "1");
}

#[test]
fn redaction_reaches_every_normalized_format_and_never_raw() {
    let raw = r#"{"eventName":"CreateUser","eventTime":"2024-01-02T03:04:05Z","sourceIPAddress":"192.0.2.7","requestID":"r",
        "userIdentity":{"arn":"arn:aws:iam::111122223333:user/alice"},"requestParameters":{"userName":"alice","x":{"password":"hunter2"}}}"#;
    let mut redaction = Redaction::new(Some(HashKey::new([1; 32])));
    redaction.set("credentials", Action::Drop).unwrap();
    redaction.path("sourceIPAddress", Action::Hash).unwrap();
    redaction.path("requestParameters.userName", Action::Mask).unwrap();
    redaction.path("userIdentity", Action::Mask).unwrap();
    assert_eq!(Renderer::new(Format::Raw, redaction.clone()).unwrap_err(), RedactionError::Verbatim);
    for (name, format) in Format::ALL.into_iter().skip(1) {
        let mut out = Vec::new();
        let mut renderer = Renderer::new(format, redaction.clone()).unwrap();
        renderer.render(raw.as_bytes(), &context(None), &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        let _: serde_json::Value = serde_json::from_str(&line).unwrap();
        for secret in ["hunter2", "alice", "192.0.2.7"] {
            assert!(!line.contains(secret), "{name}: {line}");
        }
        assert!(line.contains("hmac:") && line.contains("***"), "{name}: {line}");
    }
}

#[test]
fn a_refused_record_leaves_no_trace() {
    for format in [Format::Ocsf(OcsfVersion::V1_5), Format::Ecs] {
        let mut renderer = Renderer::new(format, Redaction::default()).unwrap();
        let mut out = b"before".to_vec();
        for wrong in [&b"{"[..], b"[]", br#"{"a":"\ud800"}"#, b"\xff"] {
            assert!(renderer.render(wrong, &context(None), &mut out).is_err());
            assert_eq!(out, b"before");
        }
    }
}
