//! Buckets and folders of a configuration, opened by their URL.
//!
//! In: the configuration. Out: for each URL that it names the store, with the owner and the role that belong to
//! that bucket. Invariant: a bucket that the configuration does not name is not opened, for nothing would say
//! whose it must be. AWS is set up only where the configuration has a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::places::StoreOpener;
use super::plans::FolderOpener;
use crate::aws::{Aws, RoleError, SetupError};
use crate::config::{Config, Target};
use crate::runtime::Clock;
use crate::store::{
    ErrorKind, MeteredStore, ObjectStore, PacedStore, S3Options, S3Store, StoreError, StoreMeters,
};

/// Why the stores of a configuration cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenerError {
    /// AWS cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A role cannot be assumed as it is configured.
    #[error("the role for {bucket}: {source}")]
    Role {
        /// The bucket's URL.
        bucket: String,
        /// What is wrong with it.
        source: RoleError,
    },
    /// One bucket, two ways to use it.
    #[error("{bucket} is named twice, with different owners, regions or roles; give them all the same")]
    Twice {
        /// The bucket's URL.
        bucket: String,
    },
}

/// Opens the stores of a configuration.
#[derive(Debug)]
pub struct ConfiguredOpener {
    folders: FolderOpener,
    aws: Option<Aws>,
    buckets: BTreeMap<String, S3Options>,
    meters: Option<Arc<StoreMeters>>,
}

impl ConfiguredOpener {
    /// Everything that the configuration names. Asks no bucket yet.
    ///
    /// # Errors
    /// Mistakes of the configuration that only AWS's own rules show.
    pub async fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, OpenerError> {
        let folders = FolderOpener::new(config);
        if !names_a_bucket(config) {
            return Ok(Self { folders, aws: None, buckets: BTreeMap::new(), meters: None });
        }
        let aws = Aws::connect(&config.aws, clock).await?;
        Self::with(config, aws)
    }

    /// The same through this connection.
    ///
    /// # Errors
    /// As for [`ConfiguredOpener::new`].
    pub fn with(config: &Config, aws: Aws) -> Result<Self, OpenerError> {
        let mut buckets = BTreeMap::new();
        // Archives first: what they say of keeping objects matters to whoever writes, trails only read.
        for sink in &config.sinks {
            if let Target::Archive(archive) = &sink.target {
                let bucket = archive.place.bucket().to_string();
                let options = S3Options::of_archive(&aws, archive);
                add(&mut buckets, bucket, options)?;
            }
        }
        for trail in config.trails.listed() {
            add(&mut buckets, trail.place.bucket().to_string(), S3Options::of_trail(&aws, trail))?;
        }
        Ok(Self { folders: FolderOpener::new(config), aws: Some(aws), buckets, meters: None })
    }

    /// The same, whose calls are counted.
    #[must_use]
    pub fn metered(self, meters: Arc<StoreMeters>) -> Self {
        Self { meters: Some(meters), ..self }
    }

    fn counted(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        match &self.meters {
            Some(meters) => Arc::new(MeteredStore::new(store, Arc::clone(meters))),
            None => store,
        }
    }

    /// The connection to AWS, where there is one.
    pub fn aws(&self) -> Option<&Aws> {
        self.aws.as_ref()
    }
}

#[async_trait]
impl StoreOpener for ConfiguredOpener {
    async fn open(&self, url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if !url.starts_with("s3://") {
            return self.folders.open(url).await.map(|store| self.counted(store));
        }
        let (Some(aws), Some(options)) = (&self.aws, self.buckets.get(url)) else {
            let message = "the configuration does not name this bucket; put its sink back until its batches are finished";
            return Err(StoreError::new(ErrorKind::Invalid, "open store", url, message));
        };
        let store = self.counted(Arc::new(S3Store::new(aws, options.clone())?));
        // One for each bucket, so that all callers share its pace. What it does not send is not counted as a call.
        Ok(Arc::new(PacedStore::new(store)))
    }
}

fn names_a_bucket(config: &Config) -> bool {
    let trails = config.trails.listed().iter().any(|trail| trail.place.s3_bucket().is_some());
    trails
        || config.sinks.iter().any(|sink| match &sink.target {
            Target::Archive(archive) => archive.place.s3_bucket().is_some(),
            Target::Kinesis(_) => true,
            Target::File(_) | Target::Console(_) => false,
        })
}

fn add(
    buckets: &mut BTreeMap<String, S3Options>,
    bucket: String,
    options: Result<Option<S3Options>, RoleError>,
) -> Result<(), OpenerError> {
    let options = match options {
        Ok(Some(options)) => options,
        Ok(None) => return Ok(()),
        Err(source) => return Err(OpenerError::Role { bucket, source }),
    };
    match buckets.get(&bucket) {
        None => {
            buckets.insert(bucket, options);
            Ok(())
        }
        Some(first) if same_access(first, &options) => Ok(()),
        Some(_) => Err(OpenerError::Twice { bucket }),
    }
}

/// Whether two sections use a bucket alike: who owns it, where it is, who asks.
fn same_access(one: &S3Options, other: &S3Options) -> bool {
    one.owner == other.owner && one.region == other.region && one.identity.caller() == other.identity.caller()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{BucketOwner, StaticKeys};
    use crate::config::Secret;
    use crate::runtime::SystemClock;
    use crate::store::KeepClass;

    const CONFIG: &str = "
organization: {role: {name: TrailhaulReader}}
trails:
  - {bucket: s3://org-trail, owner: '111122223333', carries: ['444455556666']}
  - {bucket: s3://own-trail, owner: '444455556666', role: none}
sinks:
  archive:
    {type: archive, bucket: s3://central/logs, storage_class: STANDARD_IA, kms_key: alias/logs,
     role: {arn: 'arn:aws:iam::777788889999:role/Writer'}}
aws: {region: us-east-1}
";

    async fn opener(text: &str) -> Result<ConfiguredOpener, OpenerError> {
        let config = Config::parse_every(text);
        let keys = StaticKeys { id: "test".to_owned(), secret: Secret::new("test") };
        let aws = Aws::connect_with_keys(&config.aws, Arc::new(SystemClock), &keys).await.unwrap();
        ConfiguredOpener::with(&config, aws)
    }

    #[tokio::test]
    async fn each_bucket_has_its_owners_role() {
        let opener = opener(CONFIG).await.unwrap();
        let of = |url: &str| {
            let options = &opener.buckets[url];
            (
                options.owner.map(BucketOwner::account).unwrap().to_string(),
                options.identity.caller().to_string(),
            )
        };
        // The role is in the bucket owner's account, not in that of the logs.
        let reader = "arn:aws:iam::111122223333:role/TrailhaulReader".to_owned();
        assert_eq!(of("s3://org-trail"), ("111122223333".to_owned(), reader));
        assert_eq!(
            of("s3://own-trail"),
            ("444455556666".to_owned(), "the agent's own credentials".to_owned())
        );
        let writer = "arn:aws:iam::777788889999:role/Writer".to_owned();
        assert_eq!(of("s3://central"), ("777788889999".to_owned(), writer));
        let class = KeepClass { class: "STANDARD_IA".to_owned(), below: "logs/data/".to_owned() };
        assert_eq!(opener.buckets["s3://central"].keep.class, Some(class));
        assert_eq!(opener.open("s3://central").await.unwrap().url(), "s3://central");
    }

    #[tokio::test]
    async fn a_bucket_that_is_not_named_is_not_opened() {
        let error = opener(CONFIG).await.unwrap().open("s3://elsewhere").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn one_bucket_cannot_have_two_owners() {
        let twice = CONFIG.replace("s3://own-trail", "s3://org-trail/other");
        assert!(matches!(opener(&twice).await, Err(OpenerError::Twice { .. })));
    }
}
