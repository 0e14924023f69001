//! What the tests against emulators share.

use std::sync::Arc;

use bytes::Bytes;
use trailhaul::aws::{Aws, BucketOwner, Identity, StaticKeys};
use trailhaul::config::{self, Secret};
use trailhaul::runtime::{Clock, SystemClock};
use trailhaul::store::{GetOptions, Keep, ObjectStore, S3Options, S3Store, StoreError};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::proxy::Proxy;

/// The account that owns the buckets of tests.
pub(crate) const OWNER: &str = "111122223333";

/// A secret that must show nowhere.
pub(crate) const SECRET_KEY: &str = "planted-secret-key";

/// Settings for this endpoint.
pub(crate) fn settings(endpoint: &str) -> config::Aws {
    config::Aws {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(endpoint.to_owned()),
        path_style: true,
        proxy: None,
        ca_bundle: None,
        fips: false,
        dual_stack: false,
    }
}

/// A connection through this endpoint; `key` is the access key id.
pub(crate) async fn connect(endpoint: &str, key: &str) -> Aws {
    connect_at(endpoint, key, Arc::new(SystemClock)).await
}

/// The same with another clock.
pub(crate) async fn connect_at(endpoint: &str, key: &str, clock: Arc<dyn Clock>) -> Aws {
    let keys = StaticKeys { id: key.to_owned(), secret: Secret::new(SECRET_KEY) };
    Aws::connect_with_keys(&settings(endpoint), clock, &keys).await.unwrap()
}

/// Makes a bucket and opens it as a store.
pub(crate) async fn bucket(aws: &Aws, name: &str) -> S3Store {
    s3(aws, &aws.base()).create_bucket().bucket(name).send().await.unwrap();
    open(aws, name)
}

/// A plain S3 client, for what the store cannot do.
pub(crate) fn s3(aws: &Aws, identity: &Identity) -> aws_sdk_s3::Client {
    let config = aws.sdk_config(identity, None);
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Opens a bucket as the base identity.
pub(crate) fn open(aws: &Aws, name: &str) -> S3Store {
    S3Store::new(aws, options(aws, name)).unwrap()
}

/// The options of a bucket that [`OWNER`] owns.
pub(crate) fn options(aws: &Aws, name: &str) -> S3Options {
    S3Options {
        bucket: name.to_owned(),
        owner: Some(BucketOwner::new(OWNER.parse().unwrap())),
        region: None,
        identity: aws.base(),
        keep: Keep::default(),
    }
}

/// All bytes of an object.
pub(crate) async fn read(store: &S3Store, key: &str, options: GetOptions) -> Result<Vec<u8>, StoreError> {
    let mut body = store.get(key, options).await?.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into()
}

/// An emulator with a bucket `logs` of [`OWNER`], a proxy in front of it, and a store that goes through the
/// proxy.
pub(crate) struct Bench {
    pub(crate) store: S3Store,
    pub(crate) aws: Aws,
    pub(crate) proxy: Proxy,
    pub(crate) emulator: Emulator,
}

/// The bench; `None` where the emulator is not installed.
pub(crate) async fn bench(kind: Kind) -> Option<Bench> {
    bench_at(kind, Arc::new(SystemClock)).await
}

/// The same with another clock for what goes through the proxy.
pub(crate) async fn bench_at(kind: Kind, clock: Arc<dyn Clock>) -> Option<Bench> {
    let emulator = Emulator::start(kind)?;
    bucket(&connect(&emulator.endpoint(), OWNER).await, "logs").await;
    let proxy = Proxy::start(emulator.address()).unwrap();
    proxy.own("logs", OWNER);
    let aws = connect_at(&proxy.endpoint(), OWNER, clock).await;
    Some(Bench { store: open(&aws, "logs"), aws, proxy, emulator })
}
