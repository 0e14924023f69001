//! An object that was found and has a place in the plan.
//!
//! In: an object reference. Out: what batches are made by: account, stamp and partition. A key that is not a
//! CloudTrail object's is an error that says which part is wrong.

use std::sync::Arc;

use crate::model::{AccountId, Family, KeyError, LogKey, ObjectRef};

use super::day::Day;

/// An object found in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundObject {
    /// The object.
    pub object: ObjectRef,
    /// The account in its key; it decides the lane.
    pub account: AccountId,
    /// The kind of file.
    pub family: Family,
    /// The stamp in its name, in seconds since the Unix epoch.
    pub stamp: i64,
    /// The day folder that it lies in: the publish day.
    pub day: Day,
}

impl FoundObject {
    /// Takes the object's key apart.
    pub fn new(object: ObjectRef) -> Result<Self, KeyError> {
        let key = LogKey::parse(&object.key)?;
        let (account, family) = (key.account, key.family);
        let (stamp, day) = (key.stamp.unix_seconds(), Day::from(key.day));
        Ok(Self { object, account, family, stamp, day })
    }

    /// The archive partition that its records go to.
    pub fn partition(&self, by: PartitionBy) -> Partition {
        let region = || LogKey::parse(&self.object.key).ok().map(|key| Arc::from(key.region));
        Partition {
            day: Day::of(self.stamp),
            account: by.account.then_some(self.account),
            region: if by.region { region() } else { None },
        }
    }
}

/// What, besides the date, the archive is partitioned by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionBy {
    /// One folder per account.
    pub account: bool,
    /// One folder per region.
    pub region: bool,
}

/// Objects of one batch render to one partition: the UTC date of the stamp, and what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The date of the stamp.
    pub day: Day,
    /// The account, where the archive is partitioned by it.
    pub account: Option<AccountId>,
    /// The region, where the archive is partitioned by it.
    pub region: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_that_of_the_stamp() {
        let key = "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/02/\
                   111122223333_CloudTrail_us-east-2_20150801T2355Z_Mu0KsOhtH1ar15ZZ.json.gz";
        let object = ObjectRef {
            bucket: "s3://logs".into(),
            key: key.into(),
            etag: "e".into(),
            version: None,
            size: 1,
        };
        let found = FoundObject::new(object).unwrap();
        assert_eq!(found.day.to_string(), "2015-08-02");
        let plain = found.partition(PartitionBy::default());
        assert_eq!((plain.day.to_string().as_str(), plain.account, plain.region), ("2015-08-01", None, None));
        let full = found.partition(PartitionBy { account: true, region: true });
        assert_eq!((full.account, full.region.as_deref()), (Some(found.account), Some("us-east-2")));
    }

    #[test]
    fn other_keys_are_refused() {
        let object = ObjectRef {
            bucket: "s3://logs".into(),
            key: "AWSLogs/".into(),
            etag: String::new(),
            version: None,
            size: 0,
        };
        assert_eq!(FoundObject::new(object), Err(KeyError::Folder));
    }
}
