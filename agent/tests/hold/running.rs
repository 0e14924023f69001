//! A running agent: what waits is shown and survives its restart, and is hauled when the digests come.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use trailhaul_core::model::Verdict;

use super::tree::{Tree, signal, wait};
use super::{Aside, Case, change_a_digit, digest_folders, path_of, small, status, verdicts};

const PATIENCE: Duration = Duration::from_secs(240);

/// A running agent, ended with the test.
struct Running<'a> {
    child: Child,
    tree: &'a Tree,
}

impl<'a> Running<'a> {
    fn start(tree: &'a Tree) -> Self {
        let mut command = tree.command(&["run"]);
        command.stdout(Stdio::null()).stderr(File::create(tree.path("agent.log")).unwrap());
        let mut agent = Self { child: command.spawn().unwrap(), tree };
        // Until it answers, a status would look into the ledger itself, and keep the agent out.
        let (socket, began) = (tree.path("state").join("control.sock"), Instant::now());
        while !socket.exists() {
            assert!(
                agent.child.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE,
                "it does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        agent
    }

    /// Waits until the status is so.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = status(self.tree);
            if holds(&status) {
                return status;
            }
            let log = || fs::read_to_string(self.tree.path("agent.log")).unwrap();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: the agent has ended: {ended:?}\n{}", log());
            assert!(began.elapsed() < PATIENCE, "{what}: does not come to hold: {status}\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn stop(mut self) -> Option<i32> {
        signal(&self.child, rustix::process::Signal::TERM);
        wait(&mut self.child, PATIENCE).expect("the agent ends").code()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn held(status: &Value) -> u64 {
    status["held"]["objects"].as_u64().unwrap_or(0)
}

/// The digests of each year and region, whose folders stay for the walk to show.
fn take_digests(case: &Case) -> Aside {
    let (mut folders, mut years) = (Vec::new(), Vec::new());
    digest_folders(&case.tree.path("buckets"), &mut folders);
    for region in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let region = region.unwrap().path();
        years.extend(fs::read_dir(&region).unwrap().map(|year| year.unwrap().path()));
        fs::write(region.join("placeholder"), "").unwrap();
    }
    Aside::take(&case.tree, years)
}

#[test]
fn a_running_agent_shows_what_waits_and_hauls_it_when_the_digests_come() {
    let paces = "tail: {interval: 1s, max_interval: 2s, look_back: 2d}\nbatch: {age: 1s}\n";
    let case = Case::recent(&small(48), "  grace: 1h\n", paces);
    let digests = take_digests(&case);
    let logs = case.logs().count() as u64;
    let mut agent = Running::start(&case.tree);
    let noted = |status: &Value| held(status) == logs && status["held"]["since"].is_string();
    let before = agent.until("all wait", noted);
    let accounts: BTreeMap<String, Value> =
        serde_json::from_value(before["held"]["accounts"].clone()).unwrap();
    assert_eq!(accounts.values().filter_map(|account| account["objects"].as_u64()).sum::<u64>(), logs);
    assert_eq!(before["waiting_objects"], logs);
    let text = case.tree.run(&["status"]).stdout;
    assert!(text.contains(&format!("\n{logs} of them wait for their digests, the oldest since ")), "{text}");

    let one = &case.named[0];
    let object = || case.tree.run(&["--output", "json", "status", "--object", one]).json();
    let (waiting, key) = (object()["waiting"].clone(), object()["key"].clone());
    assert!(one.ends_with(key.as_str().unwrap()));
    assert_eq!((&waiting["held"], &waiting["digest"]), (&Value::from(true), &Value::Null));
    let text = case.tree.run(&["status", "--object", one]).stdout;
    assert!(text.contains("held: no digest vouches for it yet"), "{text}");

    // Meanwhile two of them are laid hands on, one after the restart.
    change_a_digit(&case.named[1]);
    assert_eq!(agent.stop(), Some(0));
    assert_eq!(case.status()["held"]["objects"], logs, "the same without an agent");
    fs::remove_file(path_of(&case.named[2])).unwrap();
    let mut agent = Running::start(&case.tree);
    let after = agent.until("all wait", |status| status["running"] == true && held(status) >= logs - 1);
    assert_eq!(after["held"]["since"], before["held"]["since"], "a restart does not begin anew");

    digests.give_back();
    let named = case.named.len() as u64;
    let there = |status: &Value| (verdicts(status, "verified"), verdicts(status, "mismatch"));
    agent.until("what digests name is hauled", |status| there(status) == (named - 2, 1));
    agent.until("what is left waits", |status| held(status) == logs - named);
    agent.until("what is gone is missing", |_| case.findings("log_missing") == [case.named[2].clone()]);
    let verified = object();
    assert_eq!((&verified["verdict"], &verified["waiting"]), (&Value::from("verified"), &Value::Null));
    agent.stop();
    let hauled = case.hauled();
    assert_eq!(hauled[&case.named[1]].verdict, Verdict::Mismatch);
    assert!(hauled.values().filter(|object| object.verdict == Verdict::Verified).count() as u64 == named - 2);
    assert_eq!(case.findings("log_mismatch"), [case.named[1].clone()]);
    let delivered: BTreeSet<String> =
        case.named.iter().filter(|url| !case.named[1..3].contains(url)).cloned().collect();
    case.check_delivered(&delivered, "a running agent");
    case.tree.check_nothing_uncommitted("a running agent");
}
