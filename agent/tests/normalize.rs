//! `trailhaul normalize` as a user runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const RECORDS: [&str; 3] = [
    r#"{"eventVersion":"1.08","eventID":"a","eventTime":"2024-05-06T07:08:09Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","readOnly":true,"sourceIPAddress":"192.0.2.1","userIdentity":{"type":"IAMUser","accountId":"111122223333","userName":"alice"},"recipientAccountId":"111122223333"}"#,
    r#"{"eventVersion":"1.08","eventID":"b","eventTime":"2024-05-06T07:08:10Z","eventName":"CreateUser","eventSource":"iam.amazonaws.com","readOnly":false,"sourceIPAddress":"192.0.2.2","userIdentity":{"type":"IAMUser","accountId":"111122223333","userName":"alice"},"requestParameters":{"userName":"bob"},"recipientAccountId":"111122223333"}"#,
    r#"{"eventVersion":"1.08","eventID":"c","eventTime":"2024-05-06T07:08:11Z","eventName":"\ud800"}"#,
];

fn normalize(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trailhaul"))
        .arg("normalize")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_of_json_become_ocsf() {
    let output = normalize(&[], RECORDS[..2].join("\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines[0]["class_uid"], 6003);
    assert_eq!(lines[1]["class_uid"], 3001);
    assert_eq!(lines[1]["user"]["name"], "bob");
    let key = lines[1]["unmapped"]["trailhaul.repeat_key"].as_str().unwrap();
    assert!(key.starts_with("111122223333/b/"), "{key}");
}

#[test]
fn log_files_are_read_as_they_are_hauled() {
    let folder = tempfile::tempdir().unwrap();
    let name = "999988887777_CloudTrail_us-east-2_20240506T0710Z_Mu0KsOhtH1ar15ZZ.json";
    let path = folder.path().join(name);
    std::fs::write(&path, format!("{{\"Records\":[{}]}}", RECORDS[..2].join(","))).unwrap();
    let output = normalize(&["--format", "raw+meta", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    for (line, record) in text.lines().zip(RECORDS) {
        assert!(line.ends_with(&format!(",\"record\":{record}}}")), "{line}");
    }
    assert_eq!(lines(&output)[1]["trailhaul"]["account"]["id"], "999988887777");
    assert_eq!(lines(&output)[1]["trailhaul"]["record_number"], 1);
    let raw = normalize(&["-f", "raw", path.to_str().unwrap()], b"");
    assert_eq!(raw.stdout, format!("{}\n", RECORDS[..2].join("\n")).as_bytes());
}

#[test]
fn filters_and_redaction_apply() {
    let input = RECORDS[..2].join("\n");
    let filter = r#"eventSource == "iam.amazonaws.com""#;
    let arguments =
        ["-f", "ecs", "--filter", filter, "--redact", "mask sourceIPAddress", "--redact", "identities"];
    let output = normalize(&arguments, input.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(lines(&output).len(), 1);
    assert!(!text.contains("alice") && !text.contains("bob") && !text.contains("192.0.2.2"), "{text}");
    assert_eq!(lines(&output)[0]["source"]["address"], "***");
}

#[test]
fn what_cannot_be_rendered_is_named() {
    let output = normalize(&[], format!("{}\nnot json\n{}\n", RECORDS[2], RECORDS[0]).as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).len(), 1);
    let trouble = String::from_utf8(output.stderr).unwrap();
    assert!(trouble.contains("record 0: a string holds half of a surrogate pair"), "{trouble}");
    assert!(trouble.contains("record 1: not JSON at byte 0"), "{trouble}");
}

#[test]
fn a_wrong_command_line_is_64_and_a_missing_file_69() {
    for arguments in [
        &["-f", "ocsf-1.4"][..],
        &["--filter", "eventName ="],
        &["--redact", "eventID"],
        &["-f", "raw", "--redact", "x"],
        &["--redact", "hash x"],
    ] {
        let output = normalize(arguments, b"");
        assert_eq!(output.status.code(), Some(64), "{arguments:?} {output:?}");
    }
    assert_eq!(normalize(&["/nowhere/at/all.json"], b"").status.code(), Some(69));
}

#[test]
fn a_sink_of_the_configuration_lends_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("trailhaul.yaml");
    let text = r#"
organization: {id: o-a1b2c3d4e5}
trails:
  - {bucket: file://./trail, owner: "111122223333"}
sinks:
  archive: {type: archive, bucket: file://./archive}
  events:
    type: file
    path: out
    format: ocsf-1.5
    filter: not readOnly
    redact: [mask sourceIPAddress]
enrichment:
  accounts:
    - {id: "111122223333", name: payments, organizational_unit: Root/Prod, tags: {team: "a \"b\""}}
"#;
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let input = RECORDS[..2].join("\n");
    let output = normalize(&["--config", config, "--sink", "events"], input.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let made = lines(&output);
    assert_eq!(made.len(), 1, "the filter leaves one");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("192.0.2."), "redacted");
    let cloud = &made[0]["cloud"];
    assert_eq!(cloud["account"]["name"], "payments");
    assert_eq!(cloud["account"]["tags"], serde_json::json!([{"name": "team", "value": "a \"b\""}]));
    assert_eq!(cloud["org"], serde_json::json!({"uid": "o-a1b2c3d4e5", "ou_name": "Root/Prod"}));
    // What the command line says is stronger.
    let arguments = ["--config", config, "--sink", "events", "--format", "ecs", "--filter", "readOnly"];
    let output = normalize(&arguments, input.as_bytes());
    let made = lines(&output);
    assert_eq!(made[0]["event"]["action"], "GetObject");
    assert_eq!(made[0]["labels"]["team"], "a \"b\"");
    assert_eq!(made[0]["organization"]["id"], "o-a1b2c3d4e5");
    let output = normalize(&["--config", config, "--sink", "evens"], b"");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("archive, events"));
}
