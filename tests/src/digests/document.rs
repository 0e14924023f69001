//! The digest file itself: its JSON, the string that is signed, its name.

use serde::{Deserialize, Serialize};

use crate::org::{Account, Trail};
use crate::time;
use crate::truth::Sha;

/// The JSON of a digest file, in CloudTrail's field order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are CloudTrail's")]
pub struct Document {
    pub aws_account_id: String,
    pub digest_start_time: String,
    pub digest_end_time: String,
    #[serde(rename = "digestS3Bucket")]
    pub digest_s3_bucket: String,
    #[serde(rename = "digestS3Object")]
    pub digest_s3_object: String,
    pub digest_public_key_fingerprint: String,
    pub digest_signature_algorithm: String,
    pub newest_event_time: Option<String>,
    pub oldest_event_time: Option<String>,
    #[serde(rename = "previousDigestS3Bucket")]
    pub previous_digest_s3_bucket: Option<String>,
    #[serde(rename = "previousDigestS3Object")]
    pub previous_digest_s3_object: Option<String>,
    pub previous_digest_hash_value: Option<String>,
    pub previous_digest_hash_algorithm: Option<String>,
    pub previous_digest_signature: Option<String>,
    pub log_files: Vec<LogFile>,
}

/// One log file in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are CloudTrail's")]
pub struct LogFile {
    #[serde(rename = "s3Bucket")]
    pub s3_bucket: String,
    #[serde(rename = "s3Object")]
    pub s3_object: String,
    pub hash_value: String,
    pub hash_algorithm: String,
    pub newest_event_time: String,
    pub oldest_event_time: String,
}

/// What a digest's signature is made over: end time, place, hash of the inflated bytes, and the signature of
/// the digest before it or the word `null`; lines end in a line feed, the last one does not.
pub fn string_to_sign(end: &str, bucket: &str, key: &str, inflated: &[u8], previous: Option<&str>) -> String {
    format!("{end}\n{bucket}/{key}\n{}\n{}", Sha::of(inflated), previous.unwrap_or("null"))
}

/// The key of a digest that ends at `end`.
pub(crate) fn key(trail: &Trail, account: Account, region: &str, end: i64, backfill: bool) -> String {
    let (day, stamp) = (time::day_path(end), time::second_stamp(end));
    let (name, home, suffix) = (&trail.name, &trail.home_region, if backfill { "_backfill" } else { "" });
    let folder = trail.account_folder(account);
    format!(
        "{folder}CloudTrail-Digest/{region}/{day}/{account}_CloudTrail-Digest_{region}_{name}_{home}_{stamp}{suffix}.json.gz"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_the_string_holds() {
        // The vector of the AWS CLI's unit tests.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(string_to_sign("a", "b", "c", b"abc", None), format!("a\nb/c\n{hash}\nnull"));
        assert!(string_to_sign("a", "b", "c", b"abc", Some("0f")).ends_with("\n0f"));
    }
}
