//! What the tests against emulators share.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::sync::Arc;

use trailhaul::aws::{Aws, BucketOwner, StaticKeys};
use trailhaul::config::{self, Secret};
use trailhaul::runtime::SystemClock;
use trailhaul::store::{Keep, S3Options, S3Store};

/// The account that owns the buckets of tests.
pub(crate) const OWNER: &str = "111122223333";

/// A connection through this endpoint; `key` is the access key id.
pub(crate) async fn connect(endpoint: &str, key: &str) -> Aws {
    let settings = config::Aws {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(endpoint.to_owned()),
        path_style: true,
        proxy: None,
        ca_bundle: None,
        fips: false,
        dual_stack: false,
    };
    let keys = StaticKeys { id: key.to_owned(), secret: Secret::new("planted-secret-key") };
    Aws::connect_with_keys(&settings, Arc::new(SystemClock), &keys).await.unwrap()
}

/// Makes a bucket and opens it as a store.
pub(crate) async fn bucket(aws: &Aws, name: &str) -> S3Store {
    let client = s3(aws);
    client.create_bucket().bucket(name).send().await.unwrap();
    open(aws, name)
}

/// A plain S3 client, for what the store cannot do.
pub(crate) fn s3(aws: &Aws) -> aws_sdk_s3::Client {
    let config = aws.sdk_config(&aws.base(), None);
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
