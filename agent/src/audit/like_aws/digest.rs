//! One digest, read as that command reads it: loosely, in its order of checks, with its words.

use serde_json::Value;
use trailhaul_core::verify::{
    InflatedDigest, KeyEncoding, PublicKey, Sha256, SignatureError, inflate_digest, verify_signature,
};

use super::list::is_backfill;
use crate::store::Metadata;

/// That command has no cap; this one keeps a hostile bucket from filling the memory.
const MAX_INFLATED: u64 = 256 * 1024 * 1024;

/// Why a digest is invalid: the text after `INVALID: `.
pub(super) type Invalid = String;

/// A digest before its signature has been checked.
pub(super) struct Loaded {
    document: Value,
    sha256: Sha256,
    signature: String,
    pub(super) generated: Option<String>,
}

const SIGNATURE: &str = "signature verification failed";
const FORMAT: &str = "invalid format";

/// Inflates, parses, and checks metadata, required fields and place, in this order.
pub(super) fn load(bucket: &str, key: &str, bytes: &[u8], metadata: &Metadata) -> Result<Loaded, Invalid> {
    // What follows the first gzip member of a digest is ignored.
    let InflatedDigest { bytes, .. } = inflate_digest(bytes, MAX_INFLATED).map_err(|_| FORMAT)?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|_| FORMAT)?;
    let (Some(signature), true) = (metadata.get("signature"), metadata.contains_key("signature-algorithm"))
    else {
        return Err(SIGNATURE.to_owned());
    };
    not_an_object(&document)?;
    let generated = metadata.get("backfill-generation-timestamp").cloned();
    if is_backfill(key) && generated.is_none() {
        return Err(FORMAT.to_owned());
    }
    for required in [
        "digestPublicKeyFingerprint",
        "digestS3Bucket",
        "digestS3Object",
        "previousDigestSignature",
        "digestEndTime",
        "digestStartTime",
    ] {
        document.get(required).ok_or(FORMAT)?;
    }
    let loaded = Loaded { document, sha256: Sha256::of(&bytes), signature: signature.clone(), generated };
    if loaded.text("digestS3Bucket") != Some(bucket) || loaded.text("digestS3Object") != Some(key) {
        return Err("has been moved from its original location".to_owned());
    }
    Ok(loaded)
}

/// Python's words when something else than an object is given a member.
fn not_an_object(document: &Value) -> Result<(), Invalid> {
    let kind = match document {
        Value::Object(_) => return Ok(()),
        Value::Array(_) => return Err("list indices must be integers or slices, not str".to_owned()),
        Value::String(_) => "str",
        Value::Bool(_) => "bool",
        Value::Null => "NoneType",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
    };
    Err(format!("'{kind}' object does not support item assignment"))
}

impl Loaded {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.document.get(field)?.as_str()
    }

    pub(super) fn fingerprint(&self) -> &str {
        self.text("digestPublicKeyFingerprint").unwrap_or_default()
    }

    /// The entries of `logFiles`: bucket, key, hash as text. `None` where the member is missing.
    pub(super) fn logs(&self) -> Option<Vec<[String; 3]>> {
        let list = self.document.get("logFiles")?;
        let text = |entry: &Value, field: &str| {
            entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let logs = list.as_array().map(Vec::as_slice).unwrap_or_default();
        Some(
            logs.iter()
                .map(|log| ["s3Bucket", "s3Object", "hashValue"].map(|field| text(log, field)))
                .collect(),
        )
    }

    /// Checks the signature under the key that the digest names.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), Invalid> {
        if key.encoding() != Some(KeyEncoding::Pkcs1) {
            return Err(format!("Unable to load PKCS #1 key with fingerprint {}", self.fingerprint()));
        }
        if self.signature.len() % 2 == 1 {
            return Err("Odd-length string".to_owned());
        }
        match verify_signature(key, &self.message(), &self.signature) {
            Ok(()) => Ok(()),
            Err(SignatureError::NotHex) => Err("Non-hexadecimal digit found".to_owned()),
            Err(SignatureError::Mismatch) => Err(SIGNATURE.to_owned()),
        }
    }

    fn message(&self) -> Vec<u8> {
        let text = |field: &str| self.text(field).unwrap_or_default();
        let previous = self.text("previousDigestSignature").unwrap_or("null");
        let (end, bucket, key) = (text("digestEndTime"), text("digestS3Bucket"), text("digestS3Object"));
        format!("{end}\n{bucket}/{key}\n{}\n{previous}", self.sha256).into_bytes()
    }
}
