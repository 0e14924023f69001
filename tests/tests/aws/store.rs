//! The S3 store on both emulators: the promises of the seam, and what is particular to S3.

use bytes::Bytes;
use trailhaul::store::conformance::{self, Gap};
use trailhaul::store::{
    Encryption, ErrorKind, GetOptions, Keep, KeepClass, ListRequest, ObjectStore, PutOptions, S3Options,
    S3Store,
};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::proxy::Service;

use crate::support;

async fn conforms(kind: Kind, gaps: &[Gap]) {
    let Some(bench) = support::bench(kind).await else { return };
    if kind == Kind::Moto {
        // It looks whether a name is taken and writes in two steps: of writers that race, two may win.
        bench.proxy.one_at_a_time(Service::S3, &["PutObject", "CompleteMultipartUpload"]);
    }
    conformance::check_except(&bench.store, "", gaps).await.unwrap();
    conformance::check_except(&bench.store, "some/prefix/", gaps).await.unwrap();
    assert_eq!(bench.proxy.violations(), [""; 0], "requests without the bucket's owner");
    assert!(bench.proxy.seen().len() > 2_000);
}

#[tokio::test]
async fn the_store_conforms_on_moto_and_names_the_owner() {
    // It answers 500 to a part of an upload that is not there.
    conforms(Kind::Moto, &[Gap::PartOfNoUpload]).await;
}

#[tokio::test]
async fn the_store_conforms_on_ministack_and_names_the_owner() {
    conforms(Kind::Ministack, &[]).await;
}

async fn keys_survive(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    let store = support::bucket(&aws, "strange").await;
    let mut keys = ["a+b c", "a/../b", "a/./b", "a//b", "a%2Fb", "é/ü?x=y&z#q", "quote\"'<>", "tab\there"];
    for key in keys {
        store.put(key, Bytes::copy_from_slice(key.as_bytes()), &PutOptions::default()).await.unwrap();
    }
    for key in keys {
        assert_eq!(support::read(&store, key, GetOptions::default()).await.unwrap(), key.as_bytes(), "{key}");
    }
    let page = store.list(&ListRequest::default()).await.unwrap();
    let listed: Vec<_> = page.objects.iter().map(|object| object.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(listed, keys);
}

#[tokio::test]
async fn strange_keys_survive_on_ministack() {
    keys_survive(Kind::Ministack).await;
}

#[tokio::test]
async fn strange_keys_survive_on_moto() {
    keys_survive(Kind::Moto).await;
}

async fn is_kept_as_asked(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    support::bucket(&aws, "kept").await;
    let key = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
    let keep = Keep {
        encryption: Some(Encryption::Kms { key: Some(key.to_owned()), bucket_key: Some(true) }),
        class: Some(KeepClass { class: "STANDARD_IA".to_owned(), below: "data/".to_owned() }),
    };
    let store = S3Store::new(&aws, S3Options { keep, ..support::options(&aws, "kept") }).unwrap();
    store.put("data/small", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    store.put("journal/1", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    let upload = store.begin_upload("data/large", &PutOptions::default()).await.unwrap();
    let part = store.put_part("data/large", &upload, 1, Bytes::from_static(b"x")).await.unwrap();
    store.complete_upload("data/large", &upload, std::slice::from_ref(&part)).await.unwrap();
    assert!(store.holds("data/large", &[part]).await.unwrap());
    let client = support::s3(&aws, &aws.base());
    for (name, class) in [("data/small", true), ("journal/1", false), ("data/large", true)] {
        let head = client.head_object().bucket("kept").key(name).send().await.unwrap();
        assert_eq!(
            head.server_side_encryption().map(aws_sdk_s3::types::ServerSideEncryption::as_str),
            Some("aws:kms"),
            "{name}"
        );
        assert_eq!(head.ssekms_key_id(), Some(key), "{name}");
        assert_eq!(head.storage_class().is_some_and(|told| told.as_str() == "STANDARD_IA"), class, "{name}");
    }
}

#[tokio::test]
async fn encryption_and_storage_class_are_asked_for_on_ministack() {
    is_kept_as_asked(Kind::Ministack).await;
}

#[tokio::test]
async fn encryption_and_storage_class_are_asked_for_on_moto() {
    is_kept_as_asked(Kind::Moto).await;
}

async fn archived_is_said(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    support::bucket(&aws, "cold").await;
    let class = Some(KeepClass { class: "GLACIER".to_owned(), below: String::new() });
    let keep = Keep { class, ..Keep::default() };
    let store = S3Store::new(&aws, S3Options { keep, ..support::options(&aws, "cold") }).unwrap();
    store.put("frozen", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    let error = store.get("frozen", GetOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archived, "{error}");
    assert!(error.to_string().contains("restore"), "{error}");
}

#[tokio::test]
async fn an_archived_object_is_not_called_denied() {
    archived_is_said(Kind::Ministack).await;
    archived_is_said(Kind::Moto).await;
}

#[tokio::test]
async fn what_is_no_bucket_is_refused_before_anything_is_sent() {
    let aws = support::connect("http://127.0.0.1:9", support::OWNER).await;
    for name in ["", "a", "arn:aws:s3:us-east-1:111122223333:accesspoint/x", "a/b", "-ab", "a b"] {
        let error = S3Store::new(&aws, support::options(&aws, name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
    }
}
