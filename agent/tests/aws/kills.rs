//! The agent killed before and after every single request of a small case, started again, and held against the truth.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Action, Proxy, Request};

use crate::cloud::Cloud;
use crate::tree::finish;
use crate::{ONCE, behind_a_proxy, write};

/// When the agent dies, seen from the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// It never hears of the request.
    Before,
    /// It has done what was asked; the agent never hears of that.
    After,
}

/// The most requests that a small case may have; more would take minutes.
const MOST: usize = 120;

/// Kills the process of `pid` with the `number`-th of the requests that `counts`; `hit` says whether it came to
/// that.
fn script(
    proxy: &Proxy,
    counts: impl Fn(&Request) -> bool + Send + 'static,
    number: usize,
    when: When,
    pid: &Arc<AtomicU32>,
    hit: &Arc<Mutex<Option<Request>>>,
) {
    let (count, pid, hit) = (AtomicUsize::new(0), Arc::clone(pid), Arc::clone(hit));
    proxy.script(move |request| {
        if !counts(request) || count.fetch_add(1, Ordering::SeqCst) + 1 != number {
            return Action::Forward;
        }
        *hit.lock().unwrap() = Some(request.clone());
        let pid = Arc::clone(&pid);
        let kill = move || {
            // The first request may come before the parent has heard of the child's number.
            let mut id = pid.load(Ordering::SeqCst);
            while id == 0 {
                std::thread::yield_now();
                id = pid.load(Ordering::SeqCst);
            }
            let _ = kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL);
        };
        match when {
            When::Before => {
                kill();
                Action::BreakBefore
            }
            When::After => Action::After(Box::new(kill)),
        }
    });
}

/// One run that is killed with the `number`-th of the requests that `counts`: that request, if there was one.
pub(crate) fn run_and_kill(
    cloud: &Cloud,
    proxy: &Proxy,
    config: &str,
    counts: impl Fn(&Request) -> bool + Send + 'static,
    number: usize,
    when: When,
) -> Option<Request> {
    let (pid, hit) = (Arc::new(AtomicU32::new(0)), Arc::default());
    script(proxy, counts, number, when, &pid, &hit);
    let mut command = cloud.command(config, &ONCE);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    pid.store(child.id(), Ordering::SeqCst);
    let ended = child.wait().unwrap();
    proxy.script(|_| Action::Forward);
    let hit: Option<Request> = hit.lock().unwrap().clone();
    assert_eq!(ended.code(), if hit.is_some() { None } else { Some(0) }, "{when:?} {number}: {hit:?}");
    hit
}

/// One run that is killed with its `number`-th request, and one after it; whether there was such a request.
async fn killed_at(cloud: &Cloud, proxy: &Proxy, number: usize, when: When) -> bool {
    let run = format!("run-{number}");
    cloud.make_stream(&run).await;
    let config = format!("{run}.yaml");
    write(cloud, &config, &cloud.config_of(&run, "\n    lanes: 1"));
    let hit = run_and_kill(cloud, proxy, &config, |_| true, number, when);
    let context = match &hit {
        Some(request) => format!("killed {when:?} request {number}: {request}"),
        None => "not killed".to_owned(),
    };
    let again = finish(cloud.command(&config, &ONCE));
    assert_eq!(again.code, Some(0), "{context}: {again:?}");
    cloud.fetch_archive(&run).await;
    cloud.tree.check_truth(&context);
    cloud.tree.check_nothing_uncommitted_below(&format!("{run}/"), &context);
    cloud.check_stream(&run, &context).await;
    hit.is_some()
}

/// All of them: until a run has fewer requests than it would be killed at.
async fn at_every_request(when: When, seed: u64) {
    let options = Options { seed, accounts: 1, regions: 1, hours: 1, rate: 4, ..Options::default() };
    let Some((cloud, proxy)) = behind_a_proxy(&options).await else { return };
    let mut number = 1;
    while killed_at(&cloud, &proxy, number, when).await {
        number += 1;
        assert!(number < MOST, "a small case must have fewer requests");
    }
    println!("killed {when:?} each of {} requests", number - 1);
    assert!(number > 30, "the case is too small: {} requests", number - 1);
    let seen = proxy.seen();
    for operation in ["GetObject", "PutObject", "CompleteMultipartUpload", "PutRecords", "ListObjectsV2"] {
        assert!(seen.iter().any(|request| request.operation == operation), "no {operation} in this case");
    }
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_killed_before_every_request() {
    at_every_request(When::Before, 31).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_killed_after_every_request() {
    at_every_request(When::After, 32).await;
}
