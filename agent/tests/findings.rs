//! Findings through the real program: listed, shown, acknowledged; from the state folder and from a running agent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const OURS: &str = "111122223333";
const KEY: &str = "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T1005Z_000000000000000a.json.gz";

/// A bucket with a log of ours and the folder of a stranger, and a configuration.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for account in [OURS, "999988887777"] {
        let path = folder.path().join("bucket").join(KEY.replace(OURS, account));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let record = format!(
            "{{\"eventVersion\":\"1.08\",\"eventTime\":\"2026-11-20T10:00:00Z\",\"eventID\":\"{account}\"}}"
        );
        gzip.write_all(format!("{{\"Records\":[{record}]}}").as_bytes()).unwrap();
        std::fs::write(path, gzip.finish().unwrap()).unwrap();
    }
    let config = format!(
        "trails:\n  - name: copied\n    bucket: file://./bucket\n    carries: [\"{OURS}\"]\nstart: beginning\n\
         integrity: {{mode: off}}\nbatch: {{age: 1s}}\nsinks:\n  archive:\n    type: archive\n    bucket: file://./archive\n\
         state:\n  path: ./state\nadmin:\n  listen: off\n"
    );
    std::fs::write(folder.path().join("trailhaul.yaml"), config).unwrap();
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailhaul"));
    command.arg("--config").arg(folder.join("trailhaul.yaml")).args(arguments);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("USER", "ana").stdin(Stdio::null());
    command
}

/// The exit code, and standard output as JSON where it is some.
fn said(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let mut all = vec!["--output", "json"];
    all.extend(arguments);
    let output = command(folder, &all).output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

fn acks_in_journal(folder: &Path) -> usize {
    let mut found = 0;
    for lane in std::fs::read_dir(folder.join("archive/journal")).unwrap() {
        let lane = lane.unwrap().path();
        if !lane.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(lane).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                found += std::fs::read_to_string(path).unwrap().matches("\"kind\":\"ack\"").count();
            }
        }
    }
    found
}

#[test]
fn an_acknowledged_finding_ends_exit_code_1_and_survives_a_lost_ledger() {
    let site = site();
    let folder = site.path();
    let (code, run) = said(folder, &["run", "--once"]);
    assert_eq!((code, run["findings"].as_u64()), (1, Some(1)), "{run}");
    assert_eq!(said(folder, &["run", "--once"]).0, 1, "it is still there");
    let (code, list) = said(folder, &["findings", "list"]);
    assert_eq!((code, list["open"].as_u64()), (1, Some(1)), "{list}");
    let finding = &list["findings"][0];
    assert_eq!(finding["kind"], "foreign_account");
    let id = finding["id"].as_str().unwrap();
    assert_eq!(said(folder, &["findings", "show", id]).1["subject"], finding["subject"]);
    assert_eq!(said(folder, &["findings", "ack", "ffffffff", "--reason", "x"]).0, 64);
    assert_eq!(said(folder, &["findings", "ack", id, "--reason", " "]).0, 64);
    assert_eq!(said(folder, &["status"]).0, 1);
    let (code, acked) = said(folder, &["findings", "ack", &id[..8], "--reason", "a partner's folder"]);
    assert_eq!((code, acked["acknowledged"][0]["ack"]["who"].as_str()), (0, Some("ana")), "{acked}");
    assert_eq!(said(folder, &["findings", "list"]).0, 0);
    assert_eq!(said(folder, &["status"]).0, 0);
    assert_eq!(acks_in_journal(folder), 0, "no agent has run since");
    assert_eq!(said(folder, &["run", "--once"]).0, 0, "it was looked at");
    assert_eq!(acks_in_journal(folder), 1);
    std::fs::remove_file(folder.join("state/ledger.redb")).unwrap();
    assert_eq!(said(folder, &["run", "--once"]).0, 0, "the journal remembers who looked at it");
    let (code, list) = said(folder, &["findings", "list", "--all", "--kind", "foreign_account"]);
    assert_eq!((code, list["findings"][0]["ack"]["reason"].as_str()), (0, Some("a partner's folder")));
    assert_eq!(said(folder, &["findings", "list", "--kind", "nonsense"]).0, 64);
}

/// A running agent, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again until it holds, for at most three minutes.
fn until(folder: &Path, arguments: &[&str], holds: impl Fn(i32, &Value) -> bool) -> Value {
    for _ in 0..900 {
        let (code, value) = said(folder, arguments);
        if holds(code, &value) {
            return value;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{arguments:?} never holds: {:?}", said(folder, arguments));
}

#[test]
fn a_running_agent_answers_and_takes_acknowledgements() {
    let site = site();
    let folder = site.path();
    let mut run = command(folder, &["run"]);
    let child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    let hauled = |_: i32, status: &Value| {
        status["running"] == true
            && status["finding_count"] == 1
            && status["accounts"][OURS]["objects"].as_u64() == Some(1)
    };
    until(folder, &["status"], hauled);
    let (code, object) = said(folder, &["status", "--object", KEY]);
    assert_eq!((code, object["verdict"].as_str()), (0, Some("pending")), "{object}");
    let (code, acked) =
        said(folder, &["findings", "ack", "--all", "--kind", "foreign_account", "--reason", "a partner's"]);
    assert_eq!((code, acked["acknowledged"].as_array().map(Vec::len)), (0, Some(1)), "{acked}");
    // The lane writes it without being asked, although it has nothing else to do.
    for _ in 0..300 {
        if acks_in_journal(folder) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(acks_in_journal(folder), 1);
    assert_eq!(said(folder, &["findings", "list"]).0, 0);
    let pid = rustix::process::Pid::from_raw(running.0.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "what was found is acknowledged");
    assert_eq!(said(folder, &["status"]).1["running"], false);
}
