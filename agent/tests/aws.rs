//! The real program over S3, STS and Kinesis of the emulators: the truth, faults, kills, missing roles.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod cloud;
mod tree;

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cloud::{Cloud, EXTERNAL_ID, SECRET_KEY, STREAM};
use rustix::process::{Pid, Signal, kill_process};
use trailhaul_tests::emulator::Kind;
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Action, Chaos, Proxy, Rates, Service};
use tree::{Ran, files, finish};

const ONCE: [&str; 4] = ["--output", "json", "run", "--once"];

fn write(cloud: &Cloud, name: &str, text: &str) {
    fs::write(cloud.tree.path(name), text).unwrap();
}

/// No planted secret stands in what was printed, nor in the state folder.
fn check_secrets(cloud: &Cloud, ran: &Ran) {
    for secret in [EXTERNAL_ID, SECRET_KEY] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} was printed");
        for path in files(&cloud.tree.path("state")) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", path.display());
        }
    }
}

async fn the_truth_through_s3(kind: Kind) {
    let options = Options { seed: 21, accounts: 20, regions: 4, hours: 6, ..Options::default() };
    println!("seed {}", options.seed);
    let Some(cloud) = Cloud::start(kind, &options).await else { return };
    let stream = "\n  events:\n    type: kinesis\n    stream: org-cloudtrail\n    format: raw+meta\n";
    let config = cloud.config("trails", "").replace("state:\n", &format!("{}state:\n", &stream[1..]));
    write(&cloud, "s3.yaml", &config);
    let ran = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    check_secrets(&cloud, &ran);
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("through S3");
    cloud.tree.check_nothing_uncommitted_below("trails/", "through S3");

    cloud.check_stream(STREAM, "through Kinesis").await;
    let second = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(second.number("/total/objects"), 0, "a second pass hauls nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_truth_through_ministack() {
    the_truth_through_s3(Kind::Ministack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_truth_through_moto() {
    the_truth_through_s3(Kind::Moto).await;
}

/// A small case behind a proxy that asserts the owner of every bucket.
async fn behind_a_proxy(seed: u64) -> Option<(Cloud, Proxy)> {
    let options = Options { seed, accounts: 2, regions: 1, hours: 1, rate: 12, ..Options::default() };
    let mut cloud = Cloud::start(Kind::Ministack, &options).await?;
    let proxy = Proxy::start(cloud.emulator.address()).unwrap();
    for (bucket, owner) in &cloud.buckets {
        proxy.own(bucket, owner);
    }
    cloud.endpoint = proxy.endpoint();
    Some((cloud, proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_killed_at_every_request() {
    let Some((cloud, proxy)) = behind_a_proxy(31).await else { return };
    let small = "\n    lanes: 1";
    let run = |number: usize| {
        let name = format!("run-{number}.yaml");
        let text =
            cloud.config(&format!("run-{number}"), small).replace("/state\n", &format!("/state-{number}\n"));
        write(&cloud, &name, &text);
        name
    };
    let counted = Arc::new(AtomicUsize::new(0));
    {
        let counted = Arc::clone(&counted);
        proxy.script(move |request| {
            if matches!(request.service, Service::S3) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Action::Forward
        });
    }
    let clean = finish(cloud.command(&run(0), &ONCE));
    assert_eq!(clean.code, Some(0), "{clean:?}");
    cloud.fetch_archive("run-0").await;
    cloud.tree.check_truth("a clean run");
    let total = counted.load(Ordering::SeqCst);
    // Listings and reads of many objects repeat themselves: every request of the first forty, then a spread.
    let chosen: Vec<usize> = (1..=total).filter(|n| *n <= 24 || *n + 24 > total || n % 7 == 0).collect();
    println!("{total} requests, killed at {} of them", chosen.len());
    assert!(chosen.len() >= 30, "the case is too small: {total} requests");
    for number in chosen {
        let name = run(number);
        let pid = Arc::new(AtomicU32::new(0));
        let count = Arc::new(AtomicUsize::new(0));
        {
            let (pid, count) = (Arc::clone(&pid), Arc::clone(&count));
            proxy.script(move |request| {
                let is_it = matches!(request.service, Service::S3)
                    && count.fetch_add(1, Ordering::SeqCst) + 1 == number;
                if !is_it {
                    return Action::Forward;
                }
                let pid = Arc::clone(&pid);
                let kill = move || {
                    if let Some(pid) = Pid::from_raw(pid.load(Ordering::SeqCst).cast_signed()) {
                        let _ = kill_process(pid, Signal::KILL);
                    }
                };
                if number % 2 == 0 {
                    kill();
                    Action::BreakBefore
                } else {
                    Action::After(Box::new(kill))
                }
            });
        }
        let mut child =
            cloud.command(&name, &ONCE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        pid.store(child.id(), Ordering::SeqCst);
        child.wait().unwrap();
        proxy.script(|_| Action::Forward);
        let again = finish(cloud.command(&name, &ONCE));
        assert_eq!(again.code, Some(0), "request {number}: {again:?}");
        cloud.fetch_archive(&format!("run-{number}")).await;
        cloud.tree.check_truth(&format!("killed at request {number}"));
        let prefix = format!("run-{number}/");
        cloud.tree.check_nothing_uncommitted_below(&prefix, &format!("killed at request {number}"));
    }
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_leaves_the_truth() {
    let Some((cloud, proxy)) = behind_a_proxy(41).await else { return };
    for seed in 0..5 {
        println!("seed {seed}");
        let rates = Rates {
            throttle: 25,
            fail: 25,
            break_before: 15,
            break_after: 15,
            truncate: 15,
            delay: 20,
            ..Rates::default()
        };
        let chaos = Mutex::new(Chaos::new(seed, rates));
        proxy.script(move |request| chaos.lock().unwrap().decide(request));
        let name = format!("storm-{seed}.yaml");
        let text =
            cloud.config(&format!("storm-{seed}"), "").replace("/state\n", &format!("/state-{seed}\n"));
        write(&cloud, &name, &text);
        let first = finish(cloud.command(&name, &ONCE));
        assert!(matches!(first.code, Some(0 | 69)), "{first:?}");
        proxy.script(|_| Action::Forward);
        let rest = finish(cloud.command(&name, &ONCE));
        assert_eq!(rest.code, Some(0), "{rest:?}");
        cloud.fetch_archive(&format!("storm-{seed}")).await;
        cloud.tree.check_truth(&format!("storm {seed}"));
    }
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_role_a_wrong_external_id_and_a_denied_bucket_hold_up_nobody() {
    let options = Options { seed: 51, accounts: 8, regions: 2, hours: 2, ..Options::default() };
    println!("seed {}", options.seed);
    let Some(cloud) = Cloud::start(Kind::MinistackAuth, &options).await else { return };
    let owners: Vec<String> = {
        let members = cloud.buckets.iter().filter(|(bucket, _)| bucket.starts_with("member-trail-"));
        members.map(|(_, owner)| owner.clone()).collect()
    };
    assert!(owners.len() >= 3, "{owners:?}");
    let (missing, wrong, denied) = (&owners[0], &owners[1], &owners[2]);
    let mut made: Vec<&str> = Vec::new();
    for (_, owner) in &cloud.buckets {
        if owner != missing && owner != cloud::HOME && !made.contains(&owner.as_str()) {
            let external_id = if owner == wrong { "another-id" } else { EXTERNAL_ID };
            cloud::iam::make_role(&cloud.emulator, owner, external_id);
            made.push(owner);
        }
    }
    cloud::iam::allow(&cloud.emulator, denied, "Deny");
    write(&cloud, "s3.yaml", &cloud.config("trails", ""));

    let first = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(first.code, Some(69), "{first:?}");
    check_secrets(&cloud, &first);
    let troubles = first.json()["troubles"].to_string();
    for account in [missing, wrong, denied] {
        assert!(troubles.contains(account.as_str()), "{account} is not named: {troubles}");
        let arrived = first.json()["accounts"][account.as_str()]["unique"].as_u64().unwrap_or(0);
        assert!(arrived > 0, "{account} still arrives through the organization trail");
    }
    assert!(troubles.contains("AssumeRole") && troubles.contains("ListBucket"), "{troubles}");

    // Mended: the next pass brings what was missing, and nothing twice.
    cloud::iam::make_role(&cloud.emulator, missing, EXTERNAL_ID);
    cloud::iam::make_role(&cloud.emulator, wrong, EXTERNAL_ID);
    cloud::iam::allow(&cloud.emulator, denied, "Allow");
    let second = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(second.code, Some(0), "{second:?}");
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("after the mending");
}
