//! Versions of objects on both emulators: overwritten, deleted, over several pages.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bytes::Bytes;
use trailhaul::store::{
    GetOptions, ObjectStore, ObjectVersion, PutOptions, S3Store, VersionMarker, VersionRequest,
};
use trailhaul_tests::emulator::{Emulator, Kind};

use crate::support;

async fn put(store: &S3Store, key: &str, body: &'static [u8]) {
    store.put(key, Bytes::from_static(body), &PutOptions::default()).await.unwrap();
}

/// Every version below a prefix, page by page.
async fn all(store: &S3Store, prefix: &str) -> (Vec<ObjectVersion>, usize) {
    let mut request = VersionRequest { prefix: prefix.to_owned(), after: None };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.list_versions(&request).await.unwrap();
        found.extend(page.versions);
        pages += 1;
        assert!(pages < 100, "the listing does not end");
        match page.next {
            Some(next) => request.after = Some(next),
            None => return (found, pages),
        }
    }
}

async fn versions_are_listed(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    let store = support::bucket(&aws, "versioned").await;
    put(&store, "a/before versioning", b"x").await;
    let client = support::s3(&aws, &aws.base());
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("versioned").versioning_configuration(on).send().await.unwrap();
    put(&store, "a/once", b"1").await;
    put(&store, "a/twice+", b"1").await;
    put(&store, "a/twice+", b"22").await;
    put(&store, "a/gone", b"1").await;
    client.delete_object().bucket("versioned").key("a/gone").send().await.unwrap();
    put(&store, "b/other", b"1").await;

    let (found, _) = all(&store, "a/").await;
    let mut by_key: BTreeMap<&str, Vec<(bool, bool, u64)>> = BTreeMap::new();
    for version in &found {
        by_key.entry(&version.key).or_default().push((version.latest, version.delete_marker, version.size));
    }
    let expected = BTreeMap::from([
        ("a/before versioning", vec![(true, false, 1)]),
        ("a/gone", vec![(true, true, 0), (false, false, 1)]),
        ("a/once", vec![(true, false, 1)]),
        ("a/twice+", vec![(true, false, 2), (false, false, 1)]),
    ]);
    assert_eq!(by_key, expected);
    let old = found.iter().find(|v| v.key == "a/twice+" && !v.latest).unwrap();
    let options = GetOptions { version: old.version.clone(), ..GetOptions::default() };
    assert_eq!(support::read(&store, "a/twice+", options).await.unwrap(), b"1", "by its id it can be read");

    let after = Some(VersionMarker { key: "a/gone".to_owned(), version: None });
    let page = store.list_versions(&VersionRequest { prefix: "a/".to_owned(), after }).await.unwrap();
    assert!(page.versions.iter().all(|version| version.key.as_str() > "a/gone"), "{page:?}");
}

#[tokio::test]
async fn versions_are_listed_on_ministack() {
    versions_are_listed(Kind::Ministack).await;
}

#[tokio::test]
async fn versions_are_listed_on_moto() {
    versions_are_listed(Kind::Moto).await;
}

/// More versions than a page, all of them once.
async fn pages(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    let store = support::bucket(&aws, "many").await;
    let client = support::s3(&aws, &aws.base());
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("many").versioning_configuration(on).send().await.unwrap();
    for number in 0..520 {
        for _ in 0..2 {
            put(&store, &format!("k/{number:04}"), b"x").await;
        }
    }
    let (found, pages) = all(&store, "k/").await;
    assert_eq!((found.len(), pages > 1), (1040, true));
    assert_eq!(found.iter().filter(|version| version.latest).count(), 520);
    let mut ids: Vec<_> = found.iter().map(|version| (&version.key, &version.version)).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1040, "none twice");
    assert!(found.is_sorted_by_key(|version| &version.key));
}

#[tokio::test]
async fn long_listings_of_versions_on_ministack() {
    pages(Kind::Ministack).await;
}

#[tokio::test]
async fn long_listings_of_versions_on_moto() {
    pages(Kind::Moto).await;
}
