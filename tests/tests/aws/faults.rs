//! The S3 store when S3 refuses, moves, throttles, breaks off and answers what it did not do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use trailhaul::runtime::{Clock, ManualClock, RetryPolicy, SystemClock};
use trailhaul::store::{
    ErrorKind, GetOptions, ListRequest, ObjectReader, ObjectStore, PutOptions, StoreError,
};
use trailhaul_core::model::ObjectRef;
use trailhaul_tests::emulator::Kind;
use trailhaul_tests::proxy::{Action, Answer, Chaos, Rates};

use crate::support::{Bench, bench, bench_at, pattern, read};

/// A script that answers the first request so and lets the others pass.
fn first(
    action: impl FnOnce() -> Action + Send + 'static,
) -> impl FnMut(&trailhaul_tests::proxy::Request) -> Action {
    let mut action = Some(action);
    move |_| action.take().map_or(Action::Forward, |action| action())
}

fn put_options() -> PutOptions {
    PutOptions::default()
}

async fn with_object(kind: Kind) -> Option<Bench> {
    let bench = bench(kind).await?;
    bench.store.put("object", pattern(700_000), &put_options()).await.unwrap();
    bench.proxy.forget();
    Some(bench)
}

// moto takes whatever region a signature is for; ministack answers 301 for another one than the bucket's.
#[tokio::test]
async fn a_redirect_is_followed_once_and_remembered() {
    let Some(bench) = with_object(Kind::Moto).await else { return };
    bench.proxy.script(first(|| Action::Answer(Answer::moved("eu-central-1"))));
    assert_eq!(bench.store.region(), "us-east-1");
    bench.store.head("object").await.unwrap().unwrap();
    assert_eq!(bench.store.region(), "eu-central-1");
    bench.store.head("object").await.unwrap().unwrap();
    let regions: Vec<_> = bench.proxy.seen().into_iter().map(|request| request.region).collect();
    assert_eq!(regions, ["us-east-1", "eu-central-1", "eu-central-1"]);
}

#[tokio::test]
async fn a_bucket_of_another_region_is_found_by_ministacks_own_redirect() {
    let Some(bench) = bench(Kind::Ministack).await else { return };
    let config = bench.aws.sdk_config(&bench.aws.base(), Some("eu-central-1"));
    let config = aws_sdk_s3::config::Builder::from(&config)
        .force_path_style(true)
        .endpoint_url(bench.emulator.endpoint())
        .build();
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuCentral1)
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    client.create_bucket().bucket("far").create_bucket_configuration(place).send().await.unwrap();
    let store = crate::support::open(&bench.aws, "far");
    store.put("object", Bytes::from_static(b"x"), &put_options()).await.unwrap();
    assert_eq!(store.region(), "eu-central-1");
    let puts = bench.proxy.seen().iter().filter(|request| request.operation == "PutObject").count();
    assert_eq!(puts, 2);
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    bench.proxy.script(|request| {
        let other = if request.region == "us-east-1" { "eu-central-1" } else { "us-east-1" };
        Action::Answer(Answer::moved(other))
    });
    let error = bench.store.get("object", GetOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), bench.proxy.seen().len()), (ErrorKind::Other, 2), "{error}");
    assert!(error.to_string().contains("region"), "{error}");
}

#[tokio::test]
async fn a_400_that_names_the_region_is_a_redirect() {
    let Some(bench) = with_object(Kind::Moto).await else { return };
    let answer = Answer::s3(400, "AuthorizationHeaderMalformed").with("x-amz-bucket-region", "eu-west-3");
    bench.proxy.script(first(move || Action::Answer(answer)));
    bench.store.list(&ListRequest::default()).await.unwrap();
    assert_eq!(bench.store.region(), "eu-west-3");
}

#[tokio::test]
async fn a_redirect_to_no_region_is_an_error() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    bench.proxy.script(|_| Action::Answer(Answer::moved("evil.example.com/")));
    let error = bench.store.head("object").await.unwrap_err();
    assert_eq!((error.kind(), bench.proxy.seen().len()), (ErrorKind::Other, 1), "{error}");
}

#[tokio::test]
async fn a_refusal_names_caller_action_bucket_and_owner() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    bench.proxy.script(|_| Action::Answer(Answer::denied()));
    let error = bench.store.get("object", GetOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), bench.proxy.seen().len()), (ErrorKind::Denied, 1));
    let text = error.to_string();
    for part in
        ["read object s3://logs/object", "s3:GetObject", "bucket logs", "111122223333", "own credentials"]
    {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[tokio::test]
async fn each_trouble_has_its_kind_and_is_not_retried_here() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    let troubles: [(fn() -> Action, ErrorKind); 6] = [
        (|| Action::Answer(Answer::slow_down()), ErrorKind::Throttled),
        (|| Action::Answer(Answer::s3(500, "InternalError")), ErrorKind::Unavailable),
        (|| Action::Answer(Answer::s3(503, "ServiceUnavailable")), ErrorKind::Unavailable),
        (|| Action::Answer(Answer::s3(400, "RequestTimeout")), ErrorKind::Unavailable),
        (|| Action::BreakBefore, ErrorKind::Unavailable),
        (|| Action::BreakAfter, ErrorKind::Unavailable),
    ];
    for (trouble, kind) in troubles {
        bench.proxy.forget();
        bench.proxy.script(move |_| trouble());
        let error = bench.store.get("object", GetOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), bench.proxy.seen().len()), (kind, 1), "{error}");
    }
}

#[tokio::test]
async fn a_broken_body_says_so_and_is_resumed_by_range() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    let whole = pattern(700_000);
    bench.proxy.script(first(|| Action::Truncate(300_001)));
    let got = bench.store.get("object", GetOptions::default()).await.unwrap();
    let (etag, mut body) = (got.meta.etag, got.body);
    let mut bytes = Vec::new();
    let error = loop {
        match body.next().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => panic!("a broken body ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable() && error.to_string().contains("of 700000 bytes"), "{error}");
    assert!(body.next().await.unwrap().is_none(), "after an error the body is over");
    let rest = GetOptions {
        range: Some(bytes.len() as u64..700_000),
        if_match: Some(etag),
        ..GetOptions::default()
    };
    bytes.extend(read(&bench.store, "object", rest).await.unwrap());
    assert!(bytes == whole, "other bytes");
}

#[tokio::test]
async fn an_unknown_outcome_of_a_create_is_found_out_by_reading() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    let create = PutOptions { create: true, ..put_options() };
    bench.proxy.script(first(|| Action::BreakAfter));
    let entry = Bytes::from_static(b"the very bytes");
    let error = bench.store.put("entry", entry.clone(), &create).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    let error = bench.store.put("entry", entry.clone(), &create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(read(&bench.store, "entry", GetOptions::default()).await.unwrap(), entry);
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_recognized() {
    for kind in [Kind::Ministack, Kind::Moto] {
        let Some(bench) = with_object(kind).await else { return };
        let upload = bench.store.begin_upload("large", &put_options()).await.unwrap();
        let part = bench.store.put_part("large", &upload, 1, pattern(1_000)).await.unwrap();
        let parts = [part];
        bench.proxy.script(first(|| Action::BreakAfter));
        let error = bench.store.complete_upload("large", &upload, &parts).await.unwrap_err();
        assert!(error.outcome_unknown(), "{error}");
        let repeated = bench.store.complete_upload("large", &upload, &parts).await;
        let kind = repeated.map_err(|error| error.kind());
        assert!(matches!(kind, Ok(()) | Err(ErrorKind::NoSuchUpload | ErrorKind::AlreadyExists)), "{kind:?}");
        assert!(bench.store.holds("large", &parts).await.unwrap());
    }
}

#[tokio::test]
async fn an_aborted_upload_cannot_be_completed_on_either_emulator() {
    for kind in [Kind::Ministack, Kind::Moto] {
        let Some(bench) = with_object(kind).await else { return };
        let upload = bench.store.begin_upload("gone", &put_options()).await.unwrap();
        let parts = [bench.store.put_part("gone", &upload, 1, pattern(10)).await.unwrap()];
        bench.store.abort_upload("gone", &upload).await.unwrap();
        let error = bench.store.complete_upload("gone", &upload, &parts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSuchUpload, "{error}");
        assert!(!bench.store.holds("gone", &parts).await.unwrap());
    }
}

#[tokio::test]
async fn expired_credentials_are_renewed_in_the_middle() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let Some(bench) = bench_at(Kind::Ministack, Arc::clone(&clock) as Arc<dyn Clock>).await else { return };
    bench.store.put("object", Bytes::from_static(b"x"), &put_options()).await.unwrap();
    clock.advance(Duration::from_secs(60));
    bench.proxy.forget();
    bench.proxy.script(first(|| Action::Answer(Answer::s3(400, "ExpiredToken"))));
    read(&bench.store, "object", GetOptions::default()).await.unwrap();
    assert_eq!(bench.proxy.seen().len(), 2);
    // A HEAD cannot say why.
    clock.advance(Duration::from_secs(60));
    bench.proxy.forget();
    bench.proxy.script(first(|| Action::Answer(Answer::s3(400, "ExpiredToken"))));
    bench.store.head("object").await.unwrap().unwrap();
    assert_eq!(bench.proxy.seen().len(), 2);
    // The new ones are refused as well: another reason, and nobody runs in circles.
    bench.proxy.script(|_| Action::Answer(Answer::s3(400, "ExpiredToken")));
    let error = bench.store.get("object", GetOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), bench.proxy.seen().len()), (ErrorKind::Denied, 3), "{error}");
}

/// The connection breaks in the middle of an object, and by then the credentials have expired: new ones are fetched,
/// and the rest is read by range, of the same version.
#[tokio::test]
async fn credentials_that_expire_in_mid_object_cost_one_request() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let Some(bench) = bench_at(Kind::Ministack, Arc::clone(&clock) as Arc<dyn Clock>).await else { return };
    let whole = pattern(900_000);
    let meta = bench.store.put("object", whole.clone(), &put_options()).await.unwrap();
    bench.proxy.forget();
    let mut gets = 0;
    bench.proxy.script(move |request| {
        gets += u32::from(request.operation == "GetObject");
        match gets {
            1 => Action::Truncate(400_000),
            2 => Action::Answer(Answer::s3(400, "ExpiredToken")),
            _ => Action::Forward,
        }
    });
    let object = ObjectRef {
        bucket: "s3://logs".into(),
        key: "object".to_owned(),
        etag: meta.etag.clone(),
        version: None,
        size: 900_000,
    };
    let store: Arc<dyn ObjectStore> = Arc::new(bench.store);
    let mut reader = ObjectReader::new(store, &object, storm_policy(), CancellationToken::new());
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
        // An hour passes while the first half is worked on.
        clock.advance(Duration::from_secs(600));
    }
    assert!(bytes == whole, "other bytes");
    let seen: Vec<_> = bench.proxy.seen().into_iter().filter(|r| r.operation == "GetObject").collect();
    let ranges: Vec<_> = seen.iter().map(|request| request.range.as_deref()).collect();
    let [None, Some(first), Some(second)] = ranges.as_slice() else { panic!("{ranges:?}") };
    assert!(first == second && first.ends_with("-899999"), "{ranges:?}");
    let matches: Vec<_> = seen.iter().map(|request| request.if_match.as_deref()).collect();
    assert_eq!(matches, [Some(format!("\"{}\"", meta.etag).as_str()); 3]);
}

#[tokio::test]
async fn a_clock_that_is_off_is_put_right() {
    let clock = Arc::new(ManualClock::new("2026-11-22T08:00:00Z".parse().unwrap()));
    let Some(bench) = bench_at(Kind::Ministack, clock).await else { return };
    bench.store.put("object", Bytes::from_static(b"x"), &put_options()).await.unwrap();
    bench.proxy.forget();
    let answer = Answer::s3(403, "RequestTimeTooSkewed").with("date", "Sun, 22 Nov 2026 09:30:00 GMT");
    bench.proxy.script(first(move || Action::Answer(answer)));
    bench.store.head("object").await.unwrap().unwrap();
    let dates: Vec<_> = bench.proxy.seen().into_iter().map(|request| request.date).collect();
    assert_eq!(dates, ["20261122T080000Z", "20261122T093000Z"]);
    let theirs: Timestamp = "2026-11-22T09:30:00Z".parse().unwrap();
    assert_eq!(bench.aws.time().timestamp(), theirs);
}

#[tokio::test]
async fn retried_calls_get_through_a_storm() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let Some(bench) = bench(Kind::Ministack).await else { return };
    let mut chaos = Chaos::new(seed, Rates::default());
    bench.proxy.script(move |request| chaos.decide(request));
    let (policy, stop) = (storm_policy(), CancellationToken::new());
    let create = PutOptions { create: true, ..put_options() };
    for number in 0..60 {
        let (key, bytes) = (format!("storm/{number}"), pattern(number * 4_321));
        let put = || bench.store.put(&key, bytes.clone(), &create);
        match policy.run(&stop, put).await {
            Ok(_) => {}
            // An earlier attempt of ours took effect.
            Err(gave_up) => assert_eq!(gave_up.error.kind(), ErrorKind::AlreadyExists, "{}", gave_up.error),
        }
        let got = policy.run(&stop, || read(&bench.store, &key, GetOptions::default())).await.unwrap();
        assert!(got == bytes, "other bytes in {key}");
    }
    let request = ListRequest { prefix: "storm/".to_owned(), ..ListRequest::default() };
    let page = policy.run(&stop, || bench.store.list(&request)).await.unwrap();
    assert_eq!(page.objects.len(), 60);
    assert_eq!(bench.proxy.violations(), [""; 0]);
    let asked = bench.proxy.seen().len();
    assert!(asked > 125, "only {asked} requests for 121 calls: no storm");
    drop(bench.emulator);
}

fn storm_policy() -> RetryPolicy {
    let ms = Duration::from_millis;
    RetryPolicy::new(ms(1), ms(50), 2.0, 30, Duration::from_secs(60)).unwrap()
}

/// Errors say what happened, and nothing that could be used.
#[tokio::test]
async fn no_error_shows_a_secret() {
    let Some(bench) = with_object(Kind::Ministack).await else { return };
    let mut errors: Vec<StoreError> = Vec::new();
    for answer in
        [Answer::denied(), Answer::slow_down(), Answer::s3(500, "InternalError"), Answer::s3(400, "x")]
    {
        bench.proxy.script(move |_| Action::Answer(answer.clone()));
        errors.push(bench.store.get("object", GetOptions::default()).await.unwrap_err());
        errors.push(bench.store.put("object", Bytes::new(), &put_options()).await.unwrap_err());
    }
    for error in errors {
        let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!text.contains(crate::support::SECRET_KEY) && !text.contains("Credential="), "{text}");
    }
}
