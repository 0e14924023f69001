//! One digest, by itself: is it proven, and if not, why.
//!
//! In: where the object lies, its stored bytes and user metadata, and the known keys. Out: an [`Examined`]
//! with the fault, if any, what the chain needs, and the log files that it names. What the checks look at
//! first decides which fault is named: container, document, place, metadata, key, signature.

use jiff::Timestamp;

use super::chain::{Link, Place, Previous, Seen};
use super::document::{Digest, DigestLog};
use super::hash::Sha256;
use super::inflate::{FormatFault, MAX_DIGEST, inflate_digest};
use super::keys::{KeyChoice, KeyRing};
use super::name::{ChainKind, DigestKey};
use super::outcome::DigestFault;
use super::signature::{string_to_sign, verify_signature};

/// The user metadata of a digest object, names without `x-amz-meta-`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignatureMetadata<'a> {
    /// `signature`: hexadecimal.
    pub signature: Option<&'a str>,
    /// `signature-algorithm`.
    pub algorithm: Option<&'a str>,
    /// `backfill-generation-timestamp`, on backfill digests.
    pub generated: Option<&'a str>,
}

/// Where the document must say that it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// In this bucket under the key where it was found: CloudTrail's own bucket.
    Here(&'a str),
    /// In whatever bucket it names, under the same key from `AWSLogs` on: a copy of the bucket.
    Copy,
}

/// A digest as it was read.
#[derive(Debug, Clone, Copy)]
pub struct StoredDigest<'a> {
    /// The key where it was found.
    pub key: &'a str,
    /// The stored (compressed) bytes.
    pub bytes: &'a [u8],
    /// Its user metadata.
    pub metadata: SignatureMetadata<'a>,
}

/// What is known of one digest from itself alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Why it is not proven; `None` when it is.
    pub fault: Option<DigestFault>,
    /// What to tell the chain.
    pub seen: Seen,
    /// The log files that it names: to be acted upon only once it is proven or vouched for.
    pub logs: Vec<DigestLog>,
}

/// Examines a digest found under a key that parsed as `name`.
pub fn examine(
    stored: &StoredDigest<'_>,
    name: &DigestKey<'_>,
    expected: Expected<'_>,
    keys: &KeyRing,
) -> Examined {
    examine_within(stored, name, expected, keys, MAX_DIGEST)
}

/// The same with another cap on the inflated bytes; beyond it the fault is [`FormatFault::TooLarge`].
pub fn examine_within(
    stored: &StoredDigest<'_>,
    name: &DigestKey<'_>,
    expected: Expected<'_>,
    keys: &KeyRing,
    cap: u64,
) -> Examined {
    let unusable = |fault| {
        let bucket = if let Expected::Here(bucket) = expected { bucket } else { "" };
        let place = Place { bucket: bucket.to_owned(), key: stored.key.to_owned() };
        Examined { fault: Some(fault), seen: Seen::Unusable { place, end: name.end }, logs: Vec::new() }
    };
    let inflated = match inflate_digest(stored.bytes, cap) {
        Ok(inflated) if inflated.trailing => return unusable(DigestFault::Format(FormatFault::Trailing)),
        Ok(inflated) => inflated.bytes,
        Err(fault) => return unusable(DigestFault::Format(fault)),
    };
    let digest = match Digest::parse(&inflated) {
        Ok(digest) => digest,
        Err(error) => return unusable(DigestFault::Document(error.to_string())),
    };
    if !belongs(&digest, stored.key, expected) {
        return unusable(DigestFault::Moved { claimed: format!("{}/{}", digest.bucket, digest.key) });
    }
    let sha256 = Sha256::of(&inflated);
    let link = link(&digest, sha256, name, stored.metadata.signature);
    match prove(&digest, sha256, name, &stored.metadata, keys) {
        Ok(()) => Examined { fault: None, seen: Seen::Signed(link), logs: digest.log_files },
        Err(fault) => Examined { fault: Some(fault), seen: Seen::Unproven(link), logs: digest.log_files },
    }
}

fn belongs(digest: &Digest, key: &str, expected: Expected<'_>) -> bool {
    match expected {
        Expected::Here(bucket) => digest.bucket == bucket && digest.key == key,
        Expected::Copy => match (DigestKey::parse(&digest.key), DigestKey::parse(key)) {
            (Ok(claimed), Ok(found)) => {
                let tail = |key: &DigestKey<'_>| {
                    (key.place.organization.clone(), key.place.account, key.place.file_name.to_owned())
                };
                tail(&claimed) == tail(&found)
            }
            _ => false,
        },
    }
}

fn link(digest: &Digest, sha256: Sha256, name: &DigestKey<'_>, signature: Option<&str>) -> Link {
    let previous = match (&digest.previous_bucket, &digest.previous_key) {
        (Some(bucket), Some(key)) => Some(Previous {
            place: Place { bucket: bucket.clone(), key: key.clone() },
            sha256: digest.previous_sha256,
            signature: digest.previous_signature.as_deref().map(signature_mark),
        }),
        _ => None,
    };
    Link {
        place: Place { bucket: digest.bucket.clone(), key: digest.key.clone() },
        start: digest.start,
        end: digest.end().unwrap_or(name.end),
        sha256,
        signature: signature.map(signature_mark),
        previous,
    }
}

/// Signatures are only compared, so their hash is kept: 32 bytes instead of 512.
fn signature_mark(hexadecimal: &str) -> Sha256 {
    Sha256::of(hexadecimal.to_ascii_lowercase().as_bytes())
}

fn prove(
    digest: &Digest,
    sha256: Sha256,
    name: &DigestKey<'_>,
    metadata: &SignatureMetadata<'_>,
    keys: &KeyRing,
) -> Result<(), DigestFault> {
    let (Some(signature), Some(algorithm)) = (metadata.signature, metadata.algorithm) else {
        return Err(DigestFault::SignatureMissing);
    };
    if algorithm != "SHA256withRSA" {
        return Err(DigestFault::Algorithm(algorithm.chars().take(80).collect()));
    }
    let signed_at = match name.kind {
        ChainKind::Normal => name.end,
        ChainKind::Backfill => metadata
            .generated
            .and_then(|text| text.parse::<Timestamp>().ok())
            .map(Timestamp::as_second)
            .ok_or(DigestFault::GenerationTimeMissing)?,
    };
    let fingerprint = digest.fingerprint.chars().take(80).collect::<String>();
    let candidates = match keys.choose(name.place.region, &digest.fingerprint, signed_at) {
        KeyChoice::Found(candidates) => candidates,
        KeyChoice::Unloadable => return Err(DigestFault::KeyUnloadable { fingerprint }),
        KeyChoice::OutOfTime(from, until) => {
            return Err(DigestFault::KeyOutOfTime { fingerprint, from, until });
        }
        KeyChoice::NotFound => return Err(DigestFault::KeyNotFound { fingerprint }),
        KeyChoice::NoneForRegion => {
            return Err(DigestFault::NoKeys { region: name.place.region.to_owned() });
        }
    };
    let message = string_to_sign(digest, sha256);
    let holds = candidates.into_iter().any(|key| verify_signature(key, &message, signature).is_ok());
    if holds { Ok(()) } else { Err(DigestFault::BadSignature) }
}
