//! Roles: external ids, missing roles, denied buckets, chains, and that each fails alone and recovers.
//! ministack with `AUTH=true` is the emulator that refuses what STS and IAM would.

use std::time::{Duration, Instant};

use bytes::Bytes;
use trailhaul::aws::{Aws, BucketOwner, Identity, Role};
use trailhaul::config::{self, Secret};
use trailhaul::store::{ErrorKind, GetOptions, Keep, ObjectStore, PutOptions, S3Options, S3Store};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::iam::make_role;
use trailhaul_tests::proxy::{Action, Proxy, Service};

use crate::support;

/// The account that the agent runs in.
const HOME: &str = "999900001111";
/// Accounts whose roles it assumes.
const GOOD: &str = "111122223333";
const BAD: &str = "444455556666";

const EXTERNAL_ID: &str = "planted-external-id";

fn role(account: &str, external_id: Option<&str>) -> Role {
    let configured = config::Role {
        target: config::RoleTarget::Name("TrailhaulReader".to_owned()),
        external_id: external_id.map(Secret::new),
        session_name: "trailhaul-{account}".to_owned(),
        duration: Duration::from_secs(3_600),
    };
    Role::new(&configured, account.parse().unwrap(), "us-east-1").unwrap()
}

struct Bench {
    aws: Aws,
    proxy: Proxy,
    emulator: Emulator,
}

async fn bench(kind: Kind) -> Option<Bench> {
    let emulator = Emulator::start(kind)?;
    for (account, bucket) in [(GOOD, "good-logs"), (BAD, "bad-logs")] {
        let root = support::connect(&emulator.endpoint(), account).await;
        let store = support::bucket(&root, bucket).await;
        store.put("object", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    }
    let proxy = Proxy::start(emulator.address()).unwrap();
    proxy.own("good-logs", GOOD);
    proxy.own("bad-logs", BAD);
    let aws = support::connect(&proxy.endpoint(), HOME).await;
    Some(Bench { aws, proxy, emulator })
}

impl Bench {
    fn store(&self, bucket: &str, owner: &str, identity: &Identity) -> S3Store {
        let options = S3Options {
            bucket: bucket.to_owned(),
            owner: Some(BucketOwner::new(owner.parse().unwrap())),
            region: None,
            identity: identity.clone(),
            keep: Keep::default(),
        };
        S3Store::new(&self.aws, options).unwrap()
    }

    fn assumptions(&self) -> usize {
        self.proxy.seen().iter().filter(|request| request.service == Service::Sts).count()
    }
}

#[tokio::test]
async fn a_role_reads_the_bucket_of_its_owner() {
    let Some(bench) = bench(Kind::MinistackAuth).await else { return };
    make_role(&bench.emulator, HOME, GOOD, EXTERNAL_ID);
    let identity = bench.aws.assume(&[role(GOOD, Some(EXTERNAL_ID))]);
    let store = bench.store("good-logs", GOOD, &identity);
    assert_eq!(support::read(&store, "object", GetOptions::default()).await.unwrap(), b"x");
    assert_eq!(identity.caller().to_string(), "arn:aws:iam::111122223333:role/TrailhaulReader");
    let again = bench.aws.assume(&[role(GOOD, Some(EXTERNAL_ID))]);
    bench.store("good-logs", GOOD, &again).head("object").await.unwrap().unwrap();
    assert_eq!(bench.assumptions(), 1, "the same chain shares its credentials");
}

#[tokio::test]
async fn a_wrong_external_id_and_a_missing_role_fail_alone_and_say_why() {
    let Some(bench) = bench(Kind::MinistackAuth).await else { return };
    make_role(&bench.emulator, HOME, GOOD, EXTERNAL_ID);
    let wrong = bench.aws.assume(&[role(GOOD, Some("another-planted-id"))]);
    let none = bench.aws.assume(&[role(GOOD, None)]);
    let missing = bench.aws.assume(&[role(BAD, Some(EXTERNAL_ID))]);
    for (identity, bucket, owner, id) in [
        (&wrong, "good-logs", GOOD, "configured external id"),
        (&none, "good-logs", GOOD, "none is configured"),
        (&missing, "bad-logs", BAD, "the role exists"),
    ] {
        let error = bench.store(bucket, owner, identity).head("object").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let text = format!("{error} {error:?}");
        let arn = format!("arn:aws:iam::{owner}:role/TrailhaulReader");
        for part in ["sts:AssumeRole", &arn, "the agent's own credentials", "trust policy", id] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!text.contains("planted"), "{text}");
    }
    let good = bench.aws.assume(&[role(GOOD, Some(EXTERNAL_ID))]);
    bench.store("good-logs", GOOD, &good).head("object").await.unwrap().unwrap();
}

#[tokio::test]
async fn failures_are_not_hammered_and_recovery_follows_the_mending() {
    let Some(bench) = bench(Kind::MinistackAuth).await else { return };
    let store = bench.store("bad-logs", BAD, &bench.aws.assume(&[role(BAD, Some(EXTERNAL_ID))]));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        assert_eq!(store.head("object").await.unwrap_err().kind(), ErrorKind::Denied);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = bench.assumptions();
    assert!((2..=5).contains(&asked), "{asked} assumptions in three seconds");
    make_role(&bench.emulator, HOME, BAD, EXTERNAL_ID);
    let mended = Instant::now();
    while store.head("object").await.is_err() {
        assert!(mended.elapsed() < Duration::from_secs(60), "no recovery within a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_denied_bucket_names_what_to_allow() {
    let Some(bench) = bench(Kind::MinistackAuth).await else { return };
    make_role(&bench.emulator, HOME, GOOD, EXTERNAL_ID);
    let identity = bench.aws.assume(&[role(GOOD, Some(EXTERNAL_ID))]);
    // The role of one account, the bucket of another that grants it nothing.
    let error =
        bench.store("bad-logs", BAD, &identity).get("object", GetOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let text = error.to_string();
    for part in ["s3:GetObject", "bad-logs", "account 444455556666 owns", "111122223333:role/TrailhaulReader"]
    {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[tokio::test]
async fn roles_are_assumed_one_from_the_other() {
    // moto believes every role, and shows in the key whose session a request belongs to.
    let Some(bench) = bench(Kind::Moto).await else { return };
    let (hub, member) = (role(GOOD, Some(EXTERNAL_ID)), role(BAD, None));
    let hub_only = bench.aws.assume(std::slice::from_ref(&hub));
    let chained = bench.aws.assume(&[hub, member]);
    assert_eq!(chained.caller().account().unwrap().to_string(), BAD);
    bench.store("bad-logs", BAD, &chained).head("object").await.unwrap().unwrap();
    bench.store("good-logs", GOOD, &hub_only).head("object").await.unwrap().unwrap();
    let seen = bench.proxy.seen();
    let keys: Vec<_> =
        seen.iter().filter(|r| r.service == Service::Sts).map(|r| r.access_key.as_str()).collect();
    let [first, second] = keys.as_slice() else { panic!("{keys:?}: the hub is assumed once") };
    assert!(*first == HOME && *second != HOME, "{keys:?}");
    let reader = seen.iter().find(|request| request.bucket == "bad-logs").unwrap();
    assert!(reader.access_key != HOME && reader.access_key != *second);
}

#[tokio::test]
async fn an_sts_that_is_down_is_worth_another_try() {
    let Some(bench) = bench(Kind::Moto).await else { return };
    bench.proxy.script(|request| match request.service {
        Service::Sts => Action::BreakBefore,
        _ => Action::Forward,
    });
    let store = bench.store("good-logs", GOOD, &bench.aws.assume(&[role(GOOD, None)]));
    let error = store.head("object").await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("sts:AssumeRole"), "{error}");
    bench.proxy.script(|_| Action::Forward);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    store.head("object").await.unwrap().unwrap();
}
