//! A bucket on S3, or on something that speaks its protocol.
//!
//! In: a bucket, its owner, the identity that may use it, and how objects are to be kept. Out: an
//! [`ObjectStore`]. Invariants:
//!
//! * Every request carries the bucket's expected owner, where it is known: a bucket of the same name in
//!   another hand is refused by S3 before anything is read or written.
//! * One call is one request. It is repeated here once at most, and only when the refusal told how to put it
//!   right: another region, expired credentials, a clock that is off. Everything else is the caller's retry.
//! * Each part travels with its SHA-256, so S3 refuses damaged ones, and what was completed can be recognized
//!   by size and checksums without reading it.
//!
//! On failure: a [`StoreError`](super::StoreError) that names the caller, the bucket, the call and what to
//! add. No error holds a request or a response, so none can show credentials.

mod call;
mod checksum;
mod configured;
mod read;
mod versions;
mod write;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use bytes::Bytes;

use super::{
    ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ObjectMeta, ObjectStore, Part, PutOptions,
    StoreError, UploadRef, VersionPage, VersionRequest,
};
use crate::aws::{Aws, BucketOwner, Identity};

/// Which bucket, and how to use it.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// Who owns it; sent with every request as `x-amz-expected-bucket-owner`. `None` only where the
    /// configuration leaves it open.
    pub owner: Option<BucketOwner>,
    /// Its region; `None`: the connection's. A wrong one is put right at the first redirect.
    pub region: Option<String>,
    /// Who reads and writes it.
    pub identity: Identity,
    /// How what we write is kept.
    pub keep: Keep,
}

/// How objects are kept. The default leaves everything to the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Encryption; `None`: the bucket's default.
    pub encryption: Option<Encryption>,
    /// The storage class of large and long-lived objects; everything else is `STANDARD`.
    pub class: Option<KeepClass>,
}

/// A storage class, for a part of the bucket only: the small objects of a journal would cost more in a cold
/// class than in `STANDARD`, and must stay readable at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepClass {
    /// Such as `STANDARD_IA`.
    pub class: String,
    /// The key prefix below which it applies; empty: everywhere.
    pub below: String,
}

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Keys managed by S3 (`AES256`).
    S3,
    /// A KMS key.
    Kms {
        /// Id, ARN or alias; `None`: the account's `aws/s3` key.
        key: Option<String>,
        /// One data key for many objects: cheaper, and the encryption context is the bucket's ARN. `None`: as
        /// the bucket says.
        bucket_key: Option<bool>,
    },
}

/// A bucket on S3.
pub struct S3Store {
    url: String,
    aws: Aws,
    options: S3Options,
    /// The client and the region that it is for; exchanged when S3 names another region.
    client: Mutex<(Client, String)>,
}

impl S3Store {
    /// The bucket, as the identity of the options sees it. Asks nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: what is given cannot be a bucket's name.
    pub fn new(aws: &Aws, options: S3Options) -> Result<Self, StoreError> {
        let url = format!("s3://{}", options.bucket);
        if !is_bucket_name(&options.bucket) {
            return Err(StoreError::new(ErrorKind::Invalid, "open bucket", url, "not a bucket's name"));
        }
        let region = options.region.clone().unwrap_or_else(|| aws.region().to_owned());
        let client = build_client(aws, &options.identity, &region);
        Ok(Self { url, aws: aws.clone(), options, client: Mutex::new((client, region)) })
    }

    /// The region that requests go to: the configured one until S3 named another.
    pub fn region(&self) -> String {
        self.current().1
    }

    fn current(&self) -> (Client, String) {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes to this region from now on; `false` if that is where requests go already.
    fn move_to(&self, region: &str) -> bool {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.1 == region {
            return false;
        }
        tracing::info!(bucket = %self.url, from = %client.1, to = region, "bucket lies in another region");
        *client = (build_client(&self.aws, &self.options.identity, region), region.to_owned());
        true
    }

    fn owner(&self) -> Option<String> {
        self.options.owner.map(|owner| owner.to_string())
    }

    fn storage_class(&self, key: &str) -> Option<StorageClass> {
        let class = self.options.keep.class.as_ref().filter(|class| key.starts_with(&class.below))?;
        Some(StorageClass::from(class.class.as_str()))
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.options.keep.encryption.as_ref().map(|encryption| match encryption {
            Encryption::S3 => ServerSideEncryption::Aes256,
            Encryption::Kms { .. } => ServerSideEncryption::AwsKms,
        })
    }

    fn kms(&self) -> (Option<String>, Option<bool>) {
        match &self.options.keep.encryption {
            Some(Encryption::Kms { key, bucket_key }) => (key.clone(), *bucket_key),
            _ => (None, None),
        }
    }
}

fn build_client(aws: &Aws, identity: &Identity, region: &str) -> Client {
    let config = aws_sdk_s3::config::Builder::from(&aws.sdk_config(identity, Some(region)))
        .force_path_style(aws.path_style())
        .build();
    Client::from_conf(config)
}

/// The characters of bucket names, old ones included (Amazon S3 User Guide, "Bucket naming rules"). ARNs of
/// access points are not bucket names.
fn is_bucket_name(name: &str) -> bool {
    (3..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({} as {})", self.url, self.options.identity.caller())
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self) -> &str {
        &self.url
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        read::list(self, request).await
    }

    async fn list_versions(&self, request: &VersionRequest) -> Result<VersionPage, StoreError> {
        versions::list(self, request).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        read::head(self, key).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        read::get(self, key, options).await
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        write::put(self, key, body, options).await
    }

    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        write::begin(self, key, options).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        write::part(self, key, upload, number, body).await
    }

    /// S3 keeps every part durably as soon as it has answered.
    async fn seal_upload(&self, _key: &str, _upload: &str, _parts: &[Part]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        write::complete(self, key, upload, parts).await
    }

    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        read::holds(self, key, parts).await
    }

    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        write::abort(self, key, upload).await
    }

    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        write::list_uploads(self, prefix, limit).await
    }
}
