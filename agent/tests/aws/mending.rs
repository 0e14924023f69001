//! Missing roles, wrong external ids, denied buckets: alone, named, and over soon after they were mended.

use trailhaul_tests::emulator::Kind;
use trailhaul_tests::iam;
use trailhaul_tests::org::Options;

use crate::cloud::{Cloud, EXTERNAL_ID, HOME};
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
