//! `verify` and `keys` over live buckets of an emulator: roles of the configuration, keys from CloudTrail, a
//! bucket that is denied, trails that were stopped or deleted, older versions, copies of buckets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod cloud;
mod tree;

use std::fs;
use std::sync::{Arc, Mutex};

use cloud::{Cloud, HOME, answer, keep_versions, make_bucket, public_keys, upload};
use serde_json::{Value, json};
use trailhaul_core::verify::{parse_public_keys, write_public_keys};
use trailhaul_tests::digests::{self, Chain, Integrity, KEYS};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::org::{Carries, Options, Organization};
use trailhaul_tests::proxy::{Action, Answer, Proxy, Service};
use trailhaul_tests::{delivery, truth};
use tree::{Ran, Tree, finish};

/// What CloudTrail answers to questions about trails.
#[derive(Clone, PartialEq)]
enum Trails {
    Denied,
    None,
    /// All of them, stopped at this time where one is given.
    All(Option<i64>),
    /// All of them, stopped at the first time and started again at the second.
    Resumed(i64, i64),
}

/// Where the emulator's buckets are.
const REGION: &str = "us-east-1";

fn s3(endpoint: &str, account: &str) -> aws_sdk_s3::Client {
    cloud::s3(endpoint, account, REGION)
}

struct Live {
    cloud: Cloud,
    proxy: Proxy,
    integrity: Integrity,
    organization: Organization,
    until: String,
    trails: Arc<Mutex<Trails>>,
    denied: Arc<Mutex<Option<String>>>,
}

impl Live {
    /// An organization with digests in the buckets of an emulator, behind a proxy that answers for CloudTrail.
    async fn start(seed: u64) -> Option<Self> {
        Self::begin(Options { seed, ..Options::default() }).await
    }

    /// The same; seed and start are those of the options.
    async fn begin(options: Options) -> Option<Self> {
        println!("seed {}", options.seed);
        let emulator = Emulator::start(Kind::Ministack)?;
        let options = Options { accounts: 4, regions: 2, hours: 4, rate: 20, ..options };
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (organization, files) = delivery::simulate(folder.path(), &options).unwrap();
        files.finish().unwrap();
        let mut truth = truth::read(&folder.path().join("truth.ndjson")).unwrap();
        let integrity = digests::add(folder.path(), &mut truth, &folder.path().join(KEYS)).unwrap();
        let ends = normal(&integrity).filter_map(|chain| chain.digests.last().map(|digest| digest.end));
        let until = jiff::Timestamp::from_second(ends.min().unwrap()).unwrap().to_string();
        let mut cloud =
            Cloud::fill(Kind::Ministack, emulator, Tree::with(folder, &organization), REGION).await;
        let proxy = Proxy::start(cloud.emulator.address()).unwrap();
        for (bucket, owner) in &cloud.buckets {
            proxy.own(bucket, owner);
        }
        cloud.endpoint = proxy.endpoint();
        fs::write(cloud.tree.path("live.yaml"), cloud.config("archive", "")).unwrap();
        let (trails, denied) = (Arc::new(Mutex::new(Trails::Denied)), Arc::default());
        let live = Self { cloud, proxy, integrity, organization, until, trails, denied };
        live.script();
        Some(live)
    }

    fn script(&self) {
        let (trails, denied) = (Arc::clone(&self.trails), Arc::clone(&self.denied));
        let (organization, root) = (self.organization.clone(), self.cloud.tree.path(""));
        self.proxy.script(move |request| {
            if request.service == Service::S3 {
                let refused = denied.lock().unwrap().as_ref().is_some_and(|bucket| *bucket == request.bucket);
                return if refused { Action::Answer(Answer::denied()) } else { Action::Forward };
            }
            match (request.service, request.operation.as_str()) {
                (Service::CloudTrail, "ListPublicKeys") => public_keys(&root, request),
                (Service::CloudTrail, operation) => {
                    about_trails(&organization, &trails.lock().unwrap(), operation)
                }
                _ => Action::Forward,
            }
        });
    }

    /// Verifies the buckets of the configuration from their beginning.
    fn verify(&self, more: &[&str]) -> Ran {
        let mut arguments = vec!["--output", "json", "verify", "--from", "beginning", "--until", &self.until];
        arguments.extend(more);
        finish(self.cloud.command("live.yaml", &arguments))
    }

    /// A chain of an organization's trail with all its digests in the range.
    fn chain(&self) -> &Chain {
        normal(&self.integrity).find(|chain| chain.digests.len() >= 4).unwrap()
    }
}

fn normal(integrity: &Integrity) -> impl Iterator<Item = &Chain> {
    integrity.chains.iter().filter(|chain| !chain.backfill)
}

fn about_trails(organization: &Organization, trails: &Trails, operation: &str) -> Action {
    match (trails, operation) {
        (Trails::Denied, _) => Action::Answer(Answer::json(400, "AccessDeniedException")),
        (Trails::None, _) => answer(&json!({"trailList": []})),
        (Trails::All(_) | Trails::Resumed(..), "DescribeTrails") => {
            let list = organization.trails.iter().map(|trail| {
                json!({
                    "Name": trail.name, "S3BucketName": trail.bucket, "S3KeyPrefix": trail.prefix,
                    "HomeRegion": trail.home_region, "LogFileValidationEnabled": trail.validation,
                    "IsOrganizationTrail": trail.carries == Carries::Organization,
                    "TrailARN": format!("arn:aws:cloudtrail:{}:{HOME}:trail/{}", trail.home_region, trail.name),
                })
            });
            answer(&json!({"trailList": list.collect::<Vec<_>>()}))
        }
        (Trails::Resumed(stopped, started), _) => {
            let times = json!({"IsLogging": true, "StopLoggingTime": stopped, "StartLoggingTime": started});
            answer(&times)
        }
        (Trails::All(stopped), _) => match stopped {
            Some(at) => answer(&json!({"IsLogging": false, "StopLoggingTime": at})),
            None => answer(&json!({"IsLogging": true})),
        },
    }
}

/// The outcomes of this weight, each with its object.
fn said(ran: &Ran, weight: &str) -> Vec<(String, String)> {
    let report = ran.json();
    let chains = report["chains"].as_array().unwrap().iter();
    let all = chains.flat_map(|chain| chain["problems"].as_array().unwrap());
    let all = all.chain(report["problems"].as_array().unwrap());
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    all.filter(|problem| problem["weight"] == weight)
        .map(|p| (text(p, "outcome"), text(p, "object")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_buckets_are_verified_with_the_roles_and_keys_of_the_accounts() {
    let Some(live) = Live::start(41).await else { return };
    let ran = live.verify(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let digests: usize = live.integrity.chains.iter().map(|chain| chain.digests.len()).sum();
    let valid = ran.number("/totals/digests/valid");
    // Backfill digests and the ends of longer chains lie after the range.
    assert!(valid > 20 && valid <= digests as u64, "{valid} of {digests}");
    assert!(ran.number("/totals/logs/valid") > 40);
    assert_eq!(live.proxy.violations(), [""; 0], "every request expects the owner of its bucket");
    let asked: Vec<_> =
        live.proxy.seen().into_iter().filter(|request| request.operation == "ListPublicKeys").collect();
    assert_eq!(asked.len(), 2, "each region is asked once: {asked:?}");

    // Saved keys make it work without asking, and are what CloudTrail answered.
    let keys = live.cloud.tree.path("saved-keys");
    let regions: Vec<String> = asked.iter().map(|request| request.region.clone()).collect();
    let mut arguments = vec!["keys", "--from", "beginning", "--save", keys.to_str().unwrap()];
    for region in &regions {
        arguments.extend(["--region", region]);
    }
    let saved = finish(live.cloud.command("live.yaml", &arguments));
    assert_eq!(saved.code, Some(0), "{saved:?}");
    live.proxy.forget();
    let files: Vec<String> = regions.iter().map(|r| format!("{}/{r}.json", keys.display())).collect();
    let mut offline = Vec::new();
    for file in &files {
        let text = fs::read(file).unwrap();
        let read = parse_public_keys(&text).unwrap();
        assert_eq!((read.len(), write_public_keys(&read).into_bytes()), (2, text));
        offline.extend(["--public-keys", file]);
    }
    let again = live.verify(&offline);
    assert_eq!((again.code, again.json()), (Some(0), ran.json()));
    assert!(live.proxy.seen().iter().all(|request| request.service != Service::CloudTrail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_place_of_the_aws_cli_the_trail_alone_is_enough() {
    let Some(live) = Live::start(46).await else { return };
    let chain = live.chain();
    let trail = &live.organization.trails[chain.trail];
    assert!(trail.carries == Carries::Organization);
    let arn = format!("arn:aws:cloudtrail:{}:{HOME}:trail/{}", trail.home_region, trail.name);
    let like_aws = |trail_arn: &str, more: &[&str]| {
        let asked = ["verify", "--like-aws", "--trail-arn", trail_arn, "--region", &chain.region];
        let times = ["--start-time", "beginning", "--end-time", &live.until];
        finish(live.cloud.command("live.yaml", &[&asked[..], &times[..], more].concat()))
    };
    let denied = like_aws(&arn, &["--account-id", &chain.account.to_string()]);
    assert_eq!(denied.code, Some(255), "{denied:?}");
    assert!(
        denied.stderr.contains("cloudtrail:DescribeTrails") && denied.stderr.contains("--bucket"),
        "{denied:?}"
    );

    *live.trails.lock().unwrap() = Trails::All(None);
    let unknown = like_aws(&format!("{arn}-other"), &[]);
    assert_eq!(unknown.stderr, format!("\nA trail could not be found for {arn}-other\n"));
    let whose = like_aws(&arn, &[]);
    assert_eq!(whose.stderr, "\nMissing required parameter for organization trail: '--account-id'\n");
    assert_eq!((unknown.code, whose.code), (Some(255), Some(255)));

    let account = chain.account.to_string();
    let found = like_aws(&arn, &["--account-id", &account]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains("digest files valid") && found.stderr.is_empty(), "{found:?}");
    let organization = live.organization.id.to_string();
    let given =
        ["--s3-bucket", &trail.bucket, "--s3-prefix", &trail.prefix, "--organization-id", &organization];
    let given = like_aws(&arn, &[&["--account-id", account.as_str()][..], &given[..]].concat());
    assert_eq!((given.code, &given.stdout), (Some(0), &found.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_bucket_stops_no_other_and_a_finding_wins() {
    let Some(live) = Live::start(42).await else { return };
    let bucket = live.chain().digests[0].bucket.clone();
    let other = normal(&live.integrity).find(|chain| chain.digests[0].bucket != bucket).unwrap();
    *live.denied.lock().unwrap() = Some(bucket.clone());
    let ran = live.verify(&[]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    let unknown = said(&ran, "unknown");
    assert!(
        unknown.iter().all(|(outcome, object)| outcome == "unreadable" && object.contains(&bucket)),
        "{unknown:?}"
    );
    assert!(!unknown.is_empty() && ran.number("/totals/digests/valid") > 4, "{ran:?}");

    let gone = &other.digests[1];
    live.cloud.delete(&gone.bucket, &gone.key).await;
    let ran = live.verify(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let object = format!("s3://{}/{}", gone.bucket, gone.key);
    assert_eq!(said(&ran, "finding"), [("gap-missing".to_owned(), object)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_newest_digests_are_weighed_by_what_cloudtrail_says_of_the_trail() {
    let Some(live) = Live::start(43).await else { return };
    let chain = live.chain();
    let until: jiff::Timestamp = live.until.parse().unwrap();
    let within: Vec<_> = chain.digests.iter().filter(|digest| digest.end <= until.as_second()).collect();
    let (kept, gone) = within.split_at(within.len() - 2);
    for digest in &chain.digests[kept.len()..] {
        live.cloud.delete(&digest.bucket, &digest.key).await;
    }
    // Their logs are gone as well, as of a trail that was stopped: otherwise they would only be uncovered.
    let judge = |trails: Trails| {
        *live.trails.lock().unwrap() = trails;
        live.verify(&["--account", &chain.account.to_string(), "--region", &chain.region, "--notes"])
    };
    let missing = |ran: &Ran| said(ran, "finding").iter().filter(|(o, _)| o == "gap-missing").count();

    let ran = judge(Trails::All(None));
    assert_eq!((ran.code, missing(&ran)), (Some(1), gone.len()), "{ran:?}");
    let ran = judge(Trails::All(Some(kept.last().unwrap().end)));
    assert_eq!((ran.code, said(&ran, "finding")), (Some(0), Vec::new()), "{ran:?}");
    let ran = judge(Trails::Resumed(kept.last().unwrap().end, until.as_second() + 60));
    assert_eq!((ran.code, said(&ran, "finding")), (Some(0), Vec::new()), "{ran:?}");
    let stopped = said(&ran, "note").into_iter().filter(|(outcome, _)| outcome == "gap-trail-stopped");
    assert!(stopped.count() >= gone.len(), "{ran:?}");
    let ran = judge(Trails::None);
    assert_eq!((ran.code, said(&ran, "finding")), (Some(69), Vec::new()), "{ran:?}");
    assert!(said(&ran, "unknown").iter().all(|(outcome, _)| outcome == "gap-trail-gone"), "{ran:?}");
    let ran = judge(Trails::Denied);
    assert_eq!((ran.code, missing(&ran)), (Some(1), gone.len()), "{ran:?}");
    let notes = said(&ran, "note");
    assert!(
        notes.iter().any(|(outcome, _)| outcome == "standing"),
        "it says that nobody could be asked: {notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_accuses_no_trail_that_was_stopped() {
    const HOUR: i64 = 3_600;
    // The newest digests are hours old: the next one of each chain is overdue.
    let now = jiff::Timestamp::now().as_second();
    let options = Options { seed: 46, start: now - 4 * HOUR - 4 * HOUR, ..Options::default() };
    let Some(live) = Live::begin(options).await else { return };
    let ends: Vec<i64> =
        normal(&live.integrity).filter_map(|chain| Some(chain.digests.last()?.end)).collect();
    let (first, chains) = (*ends.iter().min().unwrap(), ends.len());
    assert!(ends.iter().max().unwrap() + HOUR + 60 < now, "the next digests are due");
    let run = |name: &str, trails: Trails| {
        *live.trails.lock().unwrap() = trails;
        let state = format!("/state-{name}\n");
        let config = live.cloud.config(name, "").replace("/state\n", &state);
        let config = config.replace("  mode: off\n", "  mode: attest\n  grace: 60s\n");
        fs::write(live.cloud.tree.path(&format!("{name}.yaml")), config).unwrap();
        let mut command = live.cloud.command(&format!("{name}.yaml"), &["--output", "json", "run", "--once"]);
        command.env("RUST_LOG", "info");
        let ran = finish(command);
        let listed =
            finish(live.cloud.command(&format!("{name}.yaml"), &["--output", "json", "findings", "list"]));
        let missing = listed.json()["findings"].as_array().unwrap().clone();
        let missing = missing.iter().filter(|finding| finding["kind"] == "digest_missing").count();
        (ran, missing)
    };
    let (ran, missing) = run("delivers", Trails::All(None));
    assert!(ran.code == Some(1) && missing >= chains, "{missing} of {chains}: {ran:?}");
    let (ran, missing) = run("denied", Trails::Denied);
    assert!(ran.code == Some(1) && missing >= chains, "{missing} of {chains}: {ran:?}");
    assert!(ran.stderr.contains("cannot ask whether a silent trail was stopped"), "{ran:?}");
    let silent = [Trails::All(Some(first)), Trails::Resumed(first, now + HOUR), Trails::None];
    for (trails, said) in silent.into_iter().zip(["stopped at", "started again at", "there is no such trail"])
    {
        let (ran, missing) = run(&said.replace(' ', "-"), trails);
        assert_eq!((ran.code, missing), (Some(0), 0), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let asked = live.proxy.seen().into_iter().filter(|request| request.operation == "DescribeTrails").count();
    assert!(asked < 5 * 2 * chains, "one answer does for many chains: {asked} of {chains}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_over_and_written_back_is_still_found() {
    let Some(live) = Live::start(44).await else { return };
    let digest = live.chain().digests.iter().find(|digest| !digest.logs.is_empty()).unwrap();
    let truth = truth::read(&live.cloud.tree.path("truth.ndjson")).unwrap();
    let log = &truth.objects[usize::try_from(digest.logs[0]).unwrap()];
    let owner = live.cloud.buckets.iter().find(|(name, _)| *name == log.bucket).unwrap().1.clone();
    let client = s3(&live.cloud.emulator.endpoint(), &owner);
    keep_versions(&client, &log.bucket).await;
    let genuine = fs::read(live.cloud.tree.path("buckets").join(&log.bucket).join(&log.key)).unwrap();
    for body in [b"forged".to_vec(), genuine] {
        client.put_object().bucket(&log.bucket).key(&log.key).body(body.into()).send().await.unwrap();
    }
    let ran = live.verify(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let object = format!("s3://{}/{}", log.bucket, log.key);
    assert_eq!(said(&ran, "finding"), [("overwritten".to_owned(), object)]);
    assert_eq!(ran.number("/totals/logs/invalid"), 0, "what stands there now is genuine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_bucket_is_checked_against_the_place_that_it_records() {
    let Some(live) = Live::start(45).await else { return };
    let bucket = &live.chain().digests[0].bucket;
    let folder = live.cloud.tree.path("buckets").join(bucket);
    let client = s3(&live.cloud.emulator.endpoint(), HOME);
    make_bucket(&client, "evidence", REGION).await;
    upload(&client, "evidence", &folder).await;
    live.proxy.own("evidence", HOME);
    let keys = fs::read_dir(live.cloud.tree.path("public-keys")).unwrap();
    let keys: Vec<String> = keys.map(|file| file.unwrap().path().display().to_string()).collect();
    // The emulator is asked directly: nobody owns the copy but whoever made it.
    let config =
        live.cloud.config("archive", "").replace(&live.cloud.endpoint, &live.cloud.emulator.endpoint());
    fs::write(live.cloud.tree.path("copy.yaml"), config).unwrap();
    let verify = |more: &[&str]| {
        let mut arguments = vec!["--output", "json", "verify", "--bucket", "s3://evidence"];
        for file in &keys {
            arguments.extend(["--public-keys", file]);
        }
        arguments.extend(more);
        finish(live.cloud.command("copy.yaml", &arguments))
    };
    let ran = verify(&["--copy", "--from", "beginning"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.number("/totals/digests/valid") > 4 && ran.number("/totals/logs/valid") > 4, "{ran:?}");
    // Taken for CloudTrail's own bucket, every digest is in the wrong place.
    let ran = verify(&["--from", "beginning", "--until", &live.until]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(said(&ran, "finding").iter().all(|(outcome, _)| outcome == "moved"), "{ran:?}");
}
