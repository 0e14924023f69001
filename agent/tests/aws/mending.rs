//! Missing roles, wrong external ids, denied buckets: alone, named, and over soon after they were mended.

use trailhaul_tests::emulator::Kind;
use trailhaul_tests::iam;
use trailhaul_tests::org::Options;

use crate::cloud::{Cloud, EXTERNAL_ID, HOME};
use crate::running::Running;
use crate::tree::finish;
use crate::{ONCE, check_secrets, write};

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
        if owner != missing && owner != HOME && !made.contains(&owner.as_str()) {
            let external_id = if owner == wrong { "another-id" } else { EXTERNAL_ID };
            iam::make_role(&cloud.emulator, HOME, owner, external_id);
            made.push(owner);
        }
    }
    iam::allow(&cloud.emulator, denied, "Deny");
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
    iam::make_role(&cloud.emulator, HOME, missing, EXTERNAL_ID);
    iam::make_role(&cloud.emulator, HOME, wrong, EXTERNAL_ID);
    iam::allow(&cloud.emulator, denied, "Allow");
    let second = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(second.code, Some(0), "{second:?}");
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("after the mending");
}

/// The same in a continuous run, which nobody starts again: it recovers by itself, soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_continuous_run_recovers_within_a_minute_of_the_mending() {
    let options = Options { seed: 52, accounts: 10, regions: 1, hours: 1, rate: 20, ..Options::default() };
    println!("seed {}", options.seed);
    let Some(cloud) = Cloud::start(Kind::MinistackAuth, &options).await else { return };
    let members: Vec<(&str, &str)> = {
        let members = cloud.buckets.iter().filter(|(bucket, _)| bucket.starts_with("member-trail-"));
        members.map(|(bucket, owner)| (bucket.as_str(), owner.as_str())).collect()
    };
    let [missing, wrong, denied, unreadable] = members[..4] else { panic!("{members:?}") };
    for (_, owner) in cloud.buckets.iter().filter(|(_, owner)| owner != missing.1 && owner != HOME) {
        let external_id = if owner == wrong.1 { "another-id" } else { EXTERNAL_ID };
        iam::make_role(&cloud.emulator, HOME, owner, external_id);
    }
    iam::allow(&cloud.emulator, denied.1, "Deny");
    // What is there can be seen, and not read.
    let seen = [("Allow", "s3:ListBucket"), ("Deny", "s3:GetObject")];
    iam::permit(&cloud.emulator, unreadable.1, &seen);
    let quick = "batch: {age: 1s}\ntail: {interval: 2s, max_interval: 5s}\n";
    write(&cloud, "s3.yaml", &format!("{}{quick}", cloud.config("trails", "")));
    let running = Running::start(&cloud, "s3.yaml");

    // The others are complete, what came through the organization's trail included. Accounts may own other buckets.
    let shut: Vec<&str> = {
        let owners = [missing.1, wrong.1, denied.1, unreadable.1];
        let shut = cloud.buckets.iter().filter(|(_, owner)| owners.contains(&owner.as_str()));
        shut.map(|(bucket, _)| bucket.as_str()).collect()
    };
    running.until_whole(&cloud, "trails", &shut).await;
    let told = |what: &str, parts: &[&str]| {
        let log = running.log();
        let lines = log.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
        assert!(lines.count() > 0, "{what}: no line has all of {parts:?}:\n{log}");
    };
    let role = |account: &str| format!("arn:aws:iam::{account}:role/{}", iam::ROLE);
    told("missing", &[&role(missing.1), missing.0, "sts:AssumeRole", "check that the role exists"]);
    told("wrong", &[&role(wrong.1), wrong.0, "sts:AssumeRole", "configured external id"]);
    told("denied", &[&role(denied.1), denied.0, "allow s3:ListBucket on bucket"]);
    told("unreadable", &[&role(unreadable.1), unreadable.0, "allow s3:GetObject on bucket"]);

    iam::make_role(&cloud.emulator, HOME, missing.1, EXTERNAL_ID);
    iam::make_role(&cloud.emulator, HOME, wrong.1, EXTERNAL_ID);
    iam::allow(&cloud.emulator, denied.1, "Allow");
    iam::allow(&cloud.emulator, unreadable.1, "Allow");
    let took = running.until_whole(&cloud, "trails", &[]).await;
    println!("whole {took:.1?} after the mending");
    cloud.tree.check_truth("after the mending");
    let ran = running.stop();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    check_secrets(&cloud, &ran);
}
