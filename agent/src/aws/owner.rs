//! The account that owns a bucket, which need not be the account whose logs lie in it.

use std::fmt;

use trailhaul_core::model::AccountId;

/// The owner of a bucket: the account that S3 compares with `x-amz-expected-bucket-owner`, and whose role
/// reads the bucket. A type of its own, because the account of a lane (the account in an object's key) is
/// another one wherever an organization trail delivers, and mixing them up would read from, or trust, the
/// wrong place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketOwner(AccountId);

impl BucketOwner {
    /// This account owns the bucket.
    pub fn new(account: AccountId) -> Self {
        Self(account)
    }

    /// The account, for building the ARN of its role.
    pub fn account(self) -> AccountId {
        self.0
    }
}

impl fmt::Display for BucketOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BucketOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {}", self.0)
    }
}
