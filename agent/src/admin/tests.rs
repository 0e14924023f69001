use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::{Filter, Ledger, LedgerOptions, NewFinding};
use crate::runtime::{Shutdown, SystemClock, Tasks};

fn ledger(folder: &Path) -> Ledger {
    Ledger::open(folder, &LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None }).unwrap()
}

fn find(ledger: &Ledger, subject: &str) {
    let now = "2026-11-22T08:00:00Z".parse().unwrap();
    ledger.find(&NewFinding::new("log_missing", subject, "it is not there"), now).unwrap();
}

fn desk(ledger: &Ledger) -> Desk {
    Desk::new(ledger.clone(), vec!["s3://trail".into()], Arc::new(SystemClock), true)
}

fn ack(ids: &[&str], all: Option<Filter>, reason: &str) -> Request {
    Request::Ack {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        all,
        reason: reason.into(),
        who: "ana".into(),
    }
}

/// Serves a state folder for the time of a test.
struct Served {
    tasks: Arc<Tasks>,
    ledger: Ledger,
}

impl Served {
    fn new(folder: &Path) -> Self {
        let tasks = Arc::new(Tasks::new(Shutdown::new(Duration::from_secs(20))));
        let ledger = ledger(folder);
        serve(folder, desk(&ledger), &tasks).unwrap();
        Self { tasks, ledger }
    }

    async fn end(self) {
        self.tasks.shutdown().stop();
        self.tasks.drain().await;
    }
}

async fn asked(folder: &Path, request: Request) -> Option<Answer> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || ask(&folder, &request).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_answers_its_owner_and_goes_with_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ask(folder.path(), &Request::Status {}).unwrap(), None);
    // What a killed agent has left.
    std::fs::write(folder.path().join("control.sock"), "").unwrap();
    let served = Served::new(folder.path());
    let mode = std::fs::metadata(folder.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    find(&served.ledger, "a");
    let Some(Answer::Status(status)) = asked(folder.path(), Request::Status {}).await else { panic!() };
    assert_eq!((status.running, status.counts.open, status.findings.len()), (true, 1, 1));
    let id = status.findings[0].id();
    let Some(Answer::Found { findings, .. }) = asked(folder.path(), ack(&[&id[..6]], None, "a drill")).await
    else {
        panic!()
    };
    assert_eq!(findings[0].ack.as_ref().unwrap().reason, "a drill");
    assert_eq!(served.ledger.finding_counts().unwrap().open, 0);
    served.end().await;
    assert!(!folder.path().join("control.sock").exists());
    assert_eq!(ask(folder.path(), &Request::Status {}).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_path_has_a_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    let served = Served::new(&long);
    assert!(matches!(asked(&long, Request::Status {}).await, Some(Answer::Status(_))));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_and_silence_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path());
    let path = folder.path().join("control.sock");
    // Three that never say anything: one place is left.
    let silent: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let rubbish: [&[u8]; 4] = [b"\n", b"hello\n", b"{\"request\":\"fly\"}\n", &[b'['; 200_000]];
    for bytes in rubbish {
        let path = path.clone();
        let bytes = bytes.to_vec();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // The server may hang up on what is too long.
            let _ = stream.write_all(&bytes);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        let answer = answer.await.unwrap();
        if !answer.is_empty() {
            let answer: Answer = serde_json::from_slice(&answer).unwrap();
            assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
        }
    }
    assert!(matches!(asked(folder.path(), Request::Status {}).await, Some(Answer::Status(_))));
    drop(silent);
    served.end().await;
}

#[test]
fn acknowledgements_need_a_reason_and_are_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let desk = desk(&ledger);
    for subject in ["a", "b", "c"] {
        find(&ledger, subject);
    }
    let id = ledger.finding("log_missing", "a").unwrap().unwrap().id();
    assert!(matches!(desk.answer(&ack(&[&id], None, " ")), Answer::Failed { .. }));
    let Answer::Found { findings, unknown, .. } = desk.answer(&ack(&[&id, "ffff", "a"], None, "r")) else {
        panic!()
    };
    assert_eq!((findings.len(), unknown), (0, vec!["ffff".to_owned(), "a".to_owned()]));
    assert_eq!(ledger.finding_counts().unwrap().open, 3);
    let none = Filter { kind: Some("log_extra".into()), ..Filter::default() };
    let Answer::Found { findings, more, .. } = desk.answer(&ack(&[], Some(none), "r")) else { panic!() };
    assert_eq!((findings.len(), more), (0, false));
    let Answer::Found { findings, .. } = desk.answer(&ack(&[], Some(Filter::default()), "r")) else {
        panic!()
    };
    assert_eq!((findings.len(), ledger.finding_counts().unwrap().open), (3, 0));
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let desk = desk(&ledger);
    let long = "x".repeat(1_400);
    for number in 0..40 {
        let now = "2026-11-22T08:00:00Z".parse().unwrap();
        let subject = format!("{number:04}{long}");
        let details = serde_json::Map::from_iter((0..700).map(|n| (n.to_string(), "x".into())));
        ledger.find(&NewFinding::new("log_missing", &subject, &long).details(details), now).unwrap();
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let request = Request::Findings { filter: Filter::default(), after };
        let Answer::Findings(page) = desk.answer(&request) else { panic!() };
        seen.extend(page.findings.into_iter().map(|finding| finding.subject));
        pages += 1;
        match page.next {
            None => break,
            next => after = next,
        }
    }
    assert!(pages > 1, "one page holds all: the case is too small");
    assert_eq!(seen.len(), 40);
    assert!(seen.is_sorted());
}

#[test]
fn an_object_is_found_by_key_and_by_url() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(&ledger(folder.path()));
    for key in ["AWSLogs/x", "s3://trail/AWSLogs/x", ""] {
        let answer = desk.answer(&Request::Object { key: key.into() });
        assert_eq!(answer, Answer::Object { object: None, waiting: None });
    }
}
