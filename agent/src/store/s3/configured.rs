//! From the configuration to the options of a bucket.

use crate::aws::{Aws, BucketOwner, Identity, Role, RoleArn, RoleError};
use crate::config::{self, RoleTarget, StorageClass};

use super::{Encryption, Keep, KeepClass, S3Options};

impl S3Options {
    /// A trail's bucket, read with the role of the *bucket's owner*: an organization trail's bucket lies in one
    /// account and holds the logs of all. `None` for a folder.
    ///
    /// # Errors
    /// A role that breaks a limit of STS.
    pub fn of_trail(aws: &Aws, trail: &config::Trail) -> Result<Option<Self>, RoleError> {
        let Some(bucket) = trail.place.s3_bucket() else { return Ok(None) };
        let owner = trail.owner.map(BucketOwner::new);
        Ok(Some(Self {
            bucket: bucket.to_owned(),
            owner,
            region: trail.region.clone(),
            identity: identity(aws, trail.role.as_ref(), owner, trail.region.as_deref())?,
            keep: Keep::default(),
        }))
    }

    /// An archive's bucket. The storage class is for data objects alone. `None` for a folder.
    ///
    /// # Errors
    /// A role that breaks a limit of STS, or whose account nothing tells.
    pub fn of_archive(aws: &Aws, archive: &config::Archive) -> Result<Option<Self>, RoleError> {
        let Some(bucket) = archive.place.s3_bucket() else { return Ok(None) };
        let owner = archive.owner.or_else(|| account_of(archive.role.as_ref())).map(BucketOwner::new);
        let prefix = archive.place.prefix().trim_matches('/');
        let below = if prefix.is_empty() { "data/".to_owned() } else { format!("{prefix}/data/") };
        let class = match archive.storage_class {
            StorageClass::Standard => None,
            class => Some(KeepClass { class: class.to_string(), below }),
        };
        // A bucket key makes one data key of many: thousands of objects a day would else be as many calls.
        let encryption = archive
            .kms_key
            .as_ref()
            .map(|key| Encryption::Kms { key: Some(key.clone()), bucket_key: Some(true) });
        Ok(Some(Self {
            bucket: bucket.to_owned(),
            owner,
            region: archive.region.clone(),
            identity: identity(aws, archive.role.as_ref(), owner, archive.region.as_deref())?,
            keep: Keep { encryption, class },
        }))
    }
}

/// The configured role in the owner's account, or the agent's own credentials.
fn identity(
    aws: &Aws,
    role: Option<&config::Role>,
    owner: Option<BucketOwner>,
    region: Option<&str>,
) -> Result<Identity, RoleError> {
    let Some(role) = role else { return Ok(aws.base()) };
    let account = owner.map(BucketOwner::account).or_else(|| account_of(Some(role)));
    let account = account.ok_or(RoleError::NoAccount)?;
    let role = Role::new(role, account, region.unwrap_or(aws.region()))?;
    Ok(aws.assume(&[role]))
}

fn account_of(role: Option<&config::Role>) -> Option<trailhaul_core::model::AccountId> {
    match &role?.target {
        RoleTarget::Arn(arn) => arn.parse::<RoleArn>().ok().map(|arn| arn.account()),
        RoleTarget::Name(_) => None,
    }
}
