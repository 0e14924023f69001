//! References to source objects, and the streams that they belong to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::AccountId;
use super::key::Family;

/// One object of a source bucket, as a listing or a message named it. Identity is bucket, key and ETag
/// (and the version, where the bucket has versions): CloudTrail writes an object once and never appends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The bucket's URL: `s3://name` or `file:///path`.
    pub bucket: Arc<str>,
    /// The key below the bucket.
    pub key: String,
    /// The ETag without quotes; never interpreted.
    pub etag: String,
    /// The version id, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The stored (compressed) size in bytes.
    pub size: u64,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// A stream: what CloudTrail writes into one folder tree of day folders. The unit of listing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The bucket's URL.
    pub bucket: Arc<str>,
    /// Everything up to and with the region, ending in `/`: the day folders hang below it.
    pub prefix: String,
    /// The account of the folder; it decides the lane.
    pub account: AccountId,
    /// The kind of file.
    pub family: Family,
    /// The region of the folder.
    pub region: String,
}
