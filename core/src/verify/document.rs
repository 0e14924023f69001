//! The JSON of a digest file.
//!
//! Fields that trailhaul does not use are ignored, so that CloudTrail may add some; fields that it needs must
//! be there once and well formed. Source: CloudTrail User Guide, "CloudTrail digest file structure".

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::hash::Sha256;

/// Why the content of a digest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not an object of the known shape; with the parser's words.
    #[error("not a digest document: {0}")]
    Json(String),
    /// `digestStartTime` is not before `digestEndTime`.
    #[error("the digest ends before it starts")]
    Times,
}

/// A digest document. What it says counts only once its signature, or a proven successor, vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// The account whose deliveries it covers.
    pub aws_account_id: Option<String>,
    /// Start of the delivery window, in seconds since the Unix epoch.
    #[serde(rename = "digestStartTime", deserialize_with = "instant")]
    pub start: i64,
    /// End of the delivery window; the text as it stands, since it is part of what is signed.
    #[serde(rename = "digestEndTime")]
    pub end_text: String,
    /// The bucket where it claims to lie.
    #[serde(rename = "digestS3Bucket")]
    pub bucket: String,
    /// The key where it claims to lie.
    #[serde(rename = "digestS3Object")]
    pub key: String,
    /// The key that signed it: MD5 of its DER bytes in hex.
    #[serde(rename = "digestPublicKeyFingerprint")]
    pub fingerprint: String,
    /// Where the digest before it lies; `None` in the first of a chain.
    #[serde(rename = "previousDigestS3Bucket")]
    pub previous_bucket: Option<String>,
    /// See `previous_bucket`.
    #[serde(rename = "previousDigestS3Object")]
    pub previous_key: Option<String>,
    /// SHA-256 of the inflated previous digest.
    #[serde(rename = "previousDigestHashValue")]
    pub previous_sha256: Option<Sha256>,
    /// The previous digest's signature in hex, as it stands. The field must be there, and may be null.
    #[serde(rename = "previousDigestSignature", deserialize_with = "Option::deserialize")]
    pub previous_signature: Option<String>,
    /// The log files delivered in the window.
    pub log_files: Vec<DigestLog>,
}

/// A log file that a digest names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestLog {
    /// The bucket.
    #[serde(rename = "s3Bucket")]
    pub bucket: String,
    /// The key.
    #[serde(rename = "s3Object")]
    pub key: String,
    /// SHA-256 of the inflated log file.
    #[serde(rename = "hashValue")]
    pub sha256: Sha256,
    /// Always SHA-256; another algorithm makes the document unreadable rather than the log suspicious.
    #[serde(rename = "hashAlgorithm")]
    pub algorithm: HashAlgorithm,
}

/// The hash algorithms of digest files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum HashAlgorithm {
    /// The only one that CloudTrail uses.
    #[serde(rename = "SHA-256")]
    Sha256,
}

impl Digest {
    /// Parses inflated bytes.
    pub fn parse(inflated: &[u8]) -> Result<Self, DocumentError> {
        let digest: Self =
            serde_json::from_slice(inflated).map_err(|error| DocumentError::Json(error.to_string()))?;
        match digest.end() {
            Some(end) if digest.start <= end => Ok(digest),
            Some(_) => Err(DocumentError::Times),
            None => Err(DocumentError::Json("digestEndTime is not a time".to_owned())),
        }
    }

    /// End of the delivery window, in seconds since the Unix epoch; `None` only where [`Digest::parse`] was
    /// not the maker.
    pub fn end(&self) -> Option<i64> {
        self.end_text.parse::<Timestamp>().ok().map(Timestamp::as_second)
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<Timestamp>().map(Timestamp::as_second).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sample() -> Value {
        json!({
            "awsAccountId": "111122223333",
            "digestStartTime": "2026-05-20T09:17:28Z", "digestEndTime": "2026-05-20T10:17:28Z",
            "digestS3Bucket": "b", "digestS3Object": "k", "digestPublicKeyFingerprint": "f",
            "digestSignatureAlgorithm": "SHA256withRSA", "newestEventTime": null, "oldestEventTime": null,
            "previousDigestS3Bucket": null, "previousDigestS3Object": null,
            "previousDigestHashValue": null, "previousDigestHashAlgorithm": null,
            "previousDigestSignature": null, "somethingNew": {"a": 1},
            "logFiles": [{"s3Bucket": "b", "s3Object": "l", "hashValue": "AB".repeat(32),
                "hashAlgorithm": "SHA-256", "newestEventTime": "x", "oldestEventTime": "y"}],
        })
    }

    #[test]
    fn a_digest_parses_and_a_field_less_does_not() {
        let digest = Digest::parse(sample().to_string().as_bytes()).unwrap();
        assert_eq!((digest.end().unwrap() - digest.start, digest.log_files.len()), (3600, 1));
        for needed in [
            "digestStartTime",
            "digestEndTime",
            "digestS3Bucket",
            "digestS3Object",
            "digestPublicKeyFingerprint",
            "previousDigestSignature",
            "logFiles",
        ] {
            let mut value = sample();
            value.as_object_mut().unwrap().remove(needed);
            assert!(Digest::parse(value.to_string().as_bytes()).is_err(), "{needed}");
        }
    }

    #[test]
    fn unusable_values_are_refused() {
        for (field, wrong) in [
            ("digestEndTime", json!("yesterday")),
            ("digestEndTime", json!("2026-05-20T09:00:00Z")),
            ("previousDigestSignature", json!(7)),
            ("previousDigestHashValue", json!("ab")),
            ("logFiles", json!(null)),
            (
                "logFiles",
                json!([{"s3Bucket": "b", "s3Object": "l", "hashValue": "ab", "hashAlgorithm": "SHA-256"}]),
            ),
        ] {
            let mut value = sample();
            value[field] = wrong;
            assert!(Digest::parse(value.to_string().as_bytes()).is_err(), "{field}");
        }
        assert!(Digest::parse(b"[]").is_err() && Digest::parse(b"").is_err());
    }
}
