//! Seeded storms over S3 and Kinesis together, and redirects and refusals by script.

use trailhaul_tests::emulator::Kind;
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Action, Answer, Chaos, Rates, Service};

use crate::cloud::{Cloud, HOME, STREAM, with_stream};
use crate::tree::finish;
use crate::{ONCE, behind_a_proxy, in_front, write};

fn small(seed: u64) -> Options {
    Options { seed, accounts: 2, regions: 1, hours: 1, rate: 12, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_leaves_the_truth() {
    let Some((cloud, proxy)) = behind_a_proxy(&small(41)).await else { return };
    let (mut repeats, mut troubled) = (0, 0);
    for seed in 0..5 {
        println!("seed {seed}");
        let rates = Rates {
            throttle: 25,
            fail: 25,
            break_before: 15,
            break_after: 15,
            truncate: 15,
            delay: 20,
            entries: 0,
        };
        // There are few PutRecords among many requests to S3.
        let stream = Rates { break_after: 150, entries: 400, ..rates };
        let (mut s3, mut kinesis) = (Chaos::new(seed, rates), Chaos::new(seed + 100, stream));
        proxy.script(move |request| match request.service {
            Service::Kinesis => kinesis.decide(request),
            _ => s3.decide(request),
        });
        let run = format!("storm-{seed}");
        cloud.make_stream(&run).await;
        let config = format!("{run}.yaml");
        write(&cloud, &config, &cloud.config_of(&run, ""));
        let first = finish(cloud.command(&config, &ONCE));
        assert!(matches!(first.code, Some(0 | 69)), "{first:?}");
        proxy.script(|_| Action::Forward);
        let rest = finish(cloud.command(&config, &ONCE));
        assert_eq!(rest.code, Some(0), "{rest:?}");
        cloud.fetch_archive(&run).await;
        cloud.tree.check_truth(&run);
        cloud.tree.check_nothing_uncommitted_below(&format!("{run}/"), &run);
        repeats += cloud.check_stream(&run, &run).await;
        troubled += u32::from(first.stderr.contains("repeat a call that failed"));
    }
    println!("{repeats} repeats in the streams");
    assert!(troubled > 0, "no storm");
    assert!(repeats > 0, "lost answers of PutRecords mean repeats");
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

/// Every bucket is in another region than the configured one: S3 says so with 301, and is asked there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_of_another_region_are_found_and_used() {
    // ministack redirects as S3 does; moto takes whatever region a signature is for.
    let Some(mut cloud) = Cloud::start_in(Kind::Ministack, &small(42), "eu-west-3").await else { return };
    let proxy = in_front(&mut cloud);
    write(&cloud, "far.yaml", &with_stream(&cloud.config("far", ""), STREAM));
    let ran = finish(cloud.command("far.yaml", &ONCE));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("bucket lies in another region"), "{}", ran.stderr);
    cloud.fetch_archive("far").await;
    cloud.tree.check_truth("another region");
    cloud.check_stream(STREAM, "the stream stays where it is configured").await;
    let seen = proxy.seen();
    let count = |region: &str| seen.iter().filter(|r| r.service == Service::S3 && r.region == region).count();
    let (here, there) = (count("us-east-1"), count("eu-west-3"));
    println!("{here} requests to the configured region, {there} to the right one");
    assert!(here >= cloud.buckets.len() && here <= 20 * cloud.buckets.len(), "a redirect is remembered");
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

/// Redirects that lead nowhere, and refusals: the message says what to set and what to allow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_moves_in_circles_or_refuses_is_named_with_what_to_do() {
    let Some((cloud, proxy)) = behind_a_proxy(&small(43)).await else { return };
    let names: Vec<&(String, String)> = cloud.buckets.iter().filter(|(_, owner)| owner != HOME).collect();
    let find = |word: &str| names.iter().find(|(bucket, _)| bucket.starts_with(word)).unwrap();
    let (member, (org, keeper)) = (find("member-trail-").0.clone(), find("organization-trail-"));
    {
        let (moving, refusing) = (member.clone(), org.clone());
        proxy.script(move |request| {
            if request.bucket == moving {
                let other = if request.region == "us-east-1" { "eu-central-1" } else { "us-east-1" };
                return Action::Answer(Answer::moved(other));
            }
            if request.bucket == refusing { Action::Answer(Answer::denied()) } else { Action::Forward }
        });
    }
    write(&cloud, "s3.yaml", &cloud.config("told", ""));
    let ran = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(ran.code, Some(69), "{ran:?}");
    let troubles = ran.json()["troubles"].to_string();
    let role = format!("arn:aws:iam::{keeper}:role/TrailhaulReader");
    let owner = format!("make sure that account {keeper} owns the bucket");
    for part in [&format!("set the region of bucket {member}"), "s3:ListBucket", org.as_str(), &role, &owner]
    {
        assert!(troubles.contains(part), "{part} is missing: {troubles}");
    }
    // A 403 is asked again by the next pass.
    proxy.script(|_| Action::Forward);
    let rest = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(rest.code, Some(0), "{rest:?}");
    cloud.fetch_archive("told").await;
    cloud.tree.check_truth("after the refusals");
}
