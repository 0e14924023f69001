//! CloudTrail's API against a scripted service (no emulator has `ListPublicKeys`): public keys by region, kept,
//! retried and refused; trails and their status.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trailhaul::audit::{AskCloudTrail, KeySource, Keys};
use trailhaul::aws::CloudTrail;
use trailhaul::runtime::RetryPolicy;
use trailhaul_core::verify::{KeyChoice, KeyRing, parse_public_keys, write_public_keys};
use trailhaul_tests::digests::SigningKey;
use trailhaul_tests::proxy::{Action, Answer, Proxy, Service};

use crate::support;

/// Nobody is behind it: whatever is forwarded fails.
fn service() -> Proxy {
    Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).unwrap()
}

fn json(body: String) -> Action {
    let answer = Answer { status: 200, headers: Vec::new(), body };
    Action::Answer(answer.with("content-type", "application/x-amz-json-1.1"))
}

/// A page of one key, valid for 1,000,000 seconds from `from`; the API writes times as numbers.
fn page(key: &SigningKey, from: i64, next: &str) -> String {
    let (value, until, fingerprint) = (key.published(), from + 1_000_000, key.fingerprint());
    let next = if next.is_empty() { String::new() } else { format!(r#","NextToken":"{next}""#) };
    format!(
        r#"{{"PublicKeyList":[{{"Value":"{value}","ValidityStartTime":{from}.0,"ValidityEndTime":{until}.0,"Fingerprint":"{fingerprint}"}}]{next}}}"#
    )
}

async fn ask(proxy: &Proxy) -> AskCloudTrail {
    let aws = support::connect(&proxy.endpoint(), support::OWNER).await;
    let callers = vec![CloudTrail::new(&aws, aws.base())];
    AskCloudTrail::new(callers, RetryPolicy::requests().seeded(1), CancellationToken::new())
}

#[tokio::test]
async fn keys_are_asked_for_in_their_region_and_every_page_is_read() {
    let (one, two) = (SigningKey::make().unwrap(), SigningKey::make().unwrap());
    let proxy = service();
    let answers = [page(&one, 1_779_000_000, "more"), page(&two, 1_779_500_000, "")];
    let mut calls = 0;
    proxy.script(move |request| {
        assert_eq!((request.service, request.operation.as_str()), (Service::CloudTrail, "ListPublicKeys"));
        calls += 1;
        // Throttled first, then a page, then the rest.
        match calls {
            1 => Action::Answer(Answer::json(400, "ThrottlingException")),
            2 => json(answers[0].clone()),
            _ => json(answers[1].clone()),
        }
    });
    // A throttled call is repeated whole.
    let keys = Keys::new(KeyRing::default(), Some(Arc::new(ask(&proxy).await)));
    let ring = keys.for_range("eu-west-1", 1_779_100_000, 1_779_600_000).await.unwrap();
    for (key, at) in [(&one, 1_779_100_000), (&two, 1_779_600_000)] {
        assert!(matches!(ring.choose("eu-west-1", &key.fingerprint(), at), KeyChoice::Found(_)));
    }
    assert_eq!(ring.choose("us-east-1", &one.fingerprint(), 1_779_100_000), KeyChoice::NoneForRegion);
    assert!(proxy.seen().iter().all(|request| request.region == "eu-west-1"), "{:?}", proxy.seen());
    assert_eq!(proxy.seen().len(), 3);

    // What was fetched can be saved in the form of the AWS CLI, and read back.
    let fetched: Vec<_> = keys.take_fetched().into_iter().map(|(_, key)| key).collect();
    assert_eq!(parse_public_keys(write_public_keys(&fetched).as_bytes()), Ok(fetched));
}

#[tokio::test]
async fn a_refusal_names_caller_permission_and_region() {
    let proxy = service();
    proxy.script(|_| Action::Answer(Answer::json(400, "AccessDeniedException")));
    let error = ask(&proxy).await.public_keys("eu-west-1", 0, 1).await.unwrap_err().to_string();
    for word in ["eu-west-1", "cloudtrail:ListPublicKeys", "the agent's own credentials"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(proxy.seen().len(), 1, "a refusal is not repeated");
}

#[tokio::test]
async fn a_list_without_an_end_is_no_list() {
    let key = SigningKey::make().unwrap();
    let proxy = service();
    proxy.script(move |_| json(page(&key, 1_779_000_000, "again")));
    let error = ask(&proxy).await.public_keys("eu-west-1", 0, 1).await.unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
}

#[tokio::test]
async fn trails_and_their_status_are_read() {
    let proxy = service();
    proxy.script(|request| {
        match request.operation.as_str() {
        "DescribeTrails" => json(
            r#"{"trailList":[{"Name":"org","S3BucketName":"logs","S3KeyPrefix":"p/","IsMultiRegionTrail":true,
            "HomeRegion":"us-east-1","TrailARN":"arn:aws:cloudtrail:us-east-1:111122223333:trail/org",
            "LogFileValidationEnabled":true,"IsOrganizationTrail":true},{"Name":"no more"}]}"#
                .to_owned(),
        ),
        "GetTrailStatus" => json(
            r#"{"IsLogging":false,"StopLoggingTime":1779272248.5,"StartLoggingTime":1779000000,
            "LatestDigestDeliveryError":"AccessDenied"}"#
                .to_owned(),
        ),
        other => panic!("{other}"),
    }
    });
    let aws = support::connect(&proxy.endpoint(), support::OWNER).await;
    let cloudtrail = CloudTrail::new(&aws, aws.base());
    let trails = cloudtrail.trails("eu-west-1").await.unwrap();
    assert_eq!(trails.len(), 1, "what lacks a bucket is passed over");
    assert_eq!(
        (trails[0].prefix.as_str(), trails[0].of_organization, trails[0].validates),
        ("p", true, true)
    );
    let status = cloudtrail.status(&trails[0].home_region, &trails[0].arn).await.unwrap();
    assert_eq!((status.logging, status.stopped), (false, Some(1_779_272_248)));
    assert_eq!(status.digest_error.as_deref(), Some("AccessDenied"));
    let regions: Vec<_> = proxy.seen().iter().map(|request| request.region.clone()).collect();
    assert_eq!(regions, ["eu-west-1", "us-east-1"]);
}
