use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trailhaul_core::verify::KeyRing;

use super::list::{is_backfill, key_stamp, list};
use super::out::Out;
use super::*;
use crate::audit::{Outlook, Source, Sources};
use crate::runtime::{CpuPool, RetryPolicy};
use crate::store::{MemoryStore, ObjectStore as _, PutOptions};

const FOLDER: &str = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/05/20";

fn ask() -> LikeAws {
    LikeAws {
        trail_arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/foo".to_owned(),
        bucket: "b".to_owned(),
        prefix: String::new(),
        organization: None,
        account: "111122223333".parse().unwrap(),
        region: "us-east-1".to_owned(),
        from: 1_779_235_200,
        until: 1_779_238_800,
        verbose: true,
    }
}

fn key(trail: &str, stamp: &str) -> String {
    format!("{FOLDER}/111122223333_CloudTrail-Digest_us-east-1_{trail}_us-east-1_{stamp}.json.gz")
}

async fn bucket(keys: &[String]) -> MemoryStore {
    let store = MemoryStore::new("b");
    for key in keys {
        store.put(key, Bytes::from_static(b"no digest"), &PutOptions::default()).await.unwrap();
    }
    store
}

async fn sources(keys: &[String]) -> Sources {
    let cpu = Arc::new(CpuPool::new(1, 2).unwrap());
    let mut sources = Sources::new(cpu, RetryPolicy::never(), CancellationToken::new());
    sources.add(Source::whole(Arc::new(bucket(keys).await), "b", Outlook::Live));
    sources
}

#[test]
fn the_stamp_is_read_by_its_place() {
    let standard = key("foo", "20260520T001728Z");
    let backfill = key("foo", "20260520T001728Z_backfill");
    for (key, late) in [(&standard, false), (&backfill, true)] {
        assert_eq!((key_stamp(key), is_backfill(key)), (Some("20260520T001728Z"), late));
    }
    assert_eq!(key_stamp("x.json.gz"), None);
}

#[tokio::test]
async fn the_filter_is_as_loose_as_theirs_and_the_range_has_an_hour_more() {
    let keys = [
        key("foo", "20260519T235959Z"),
        key("foo", "20260520T001728Z"),
        key("foo", "20260520T001728Z_backfill"),
        key("foo", "20260520T020000Z"),
        key("foo", "20260520T020001Z"),
        key("foo_us-east-1_x", "20260520T011728Z"),
        key("fo", "20260520T011728Z"),
    ];
    let sources = sources(&keys).await;
    let found =
        list(&sources, sources.iter().next().unwrap(), &ask(), ask().from, ask().until).await.unwrap();
    assert_eq!(found.standard, [keys[1].clone(), keys[3].clone()], "listing ends at the first key beyond");
    assert_eq!(found.backfill, [keys[2].clone()]);
}

#[test]
fn errors_have_an_empty_line_before_them_only_after_a_valid_one() {
    let mut text = String::new();
    let mut print = |_: Stream, piece: &str| text.push_str(piece);
    let mut out = Out::new(&mut print, true);
    out.error("one");
    out.valid("two");
    out.error("three");
    out.digests.invalid = 2;
    out.digests.valid = 1;
    out.summary(0, 60);
    assert_eq!(
        text,
        "one\n\ntwo\n\nthree\n\nResults requested for 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z\n\
         No valid digests found in range\n\n1/3 digest files valid, 2/3 digest files INVALID\n"
    );
}

async fn answer(keys: &[String], ring: KeyRing, ask: &LikeAws) -> (u8, String, String) {
    let sources = sources(keys).await;
    let (mut out, mut err) = (String::new(), String::new());
    let mut print = |stream: Stream, text: &str| match stream {
        Stream::Out => out.push_str(text),
        Stream::Err => err.push_str(text),
    };
    let code = validate(&sources, &ring, ask, &mut print).await;
    (code, out, err)
}

#[tokio::test]
async fn no_keys_end_the_walk_and_no_digest_is_no_error() {
    let (code, _, err) = answer(&[], KeyRing::default(), &ask()).await;
    let expected = "\nNo public keys found between 2026-05-20T00:00:00Z and 2026-05-20T03:00:00Z\n";
    assert_eq!((code, err.as_str()), (255, expected));

    let saved = json!({"PublicKeyList": [{"Fingerprint": "f", "Value": "AAAA",
        "ValidityStartTime": 1_779_000_000, "ValidityEndTime": 1_780_000_000}]});
    let mut ring = KeyRing::default();
    ring.add(None, trailhaul_core::verify::parse_public_keys(saved.to_string().as_bytes()).unwrap());
    let (code, out, err) = answer(&[], ring.clone(), &ask()).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with("\nNo digests found\n"), "{out}");

    let damaged = key("foo", "20260520T001728Z");
    let (code, out, err) = answer(std::slice::from_ref(&damaged), ring, &ask()).await;
    assert_eq!((code, err), (1, format!("Digest file\ts3://b/{damaged}\tINVALID: invalid format\n\n")));
    assert!(
        out.ends_with(
            "No valid digests found in range\n\n0/1 digest files valid, 1/1 digest files INVALID\n"
        )
    );
}
