//! What CloudTrail signs, and whether a signature holds.
//!
//! ```text
//! {digestEndTime}\n{bucket}/{key}\n{hex SHA-256 of the inflated digest}\n{previous signature, or null}
//! ```
//!
//! RSA PKCS#1 v1.5 with SHA-256, pinned: the algorithm in the metadata or in the signature itself is never
//! believed. Source: CloudTrail User Guide, "Custom implementations of log file integrity validation"; the
//! literal `null` is the AWS CLI's.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::document::Digest;
use super::hash::Sha256;
use super::keys::PublicKey;

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not hexadecimal.
    #[error("the signature is not hexadecimal")]
    NotHex,
    /// The key made no such signature over these bytes.
    #[error("the signature does not match")]
    Mismatch,
}

/// The bytes that the signature of a digest is over.
pub fn string_to_sign(digest: &Digest, inflated: Sha256) -> Vec<u8> {
    let Digest { end_text, bucket, key, previous_signature, .. } = digest;
    let previous = previous_signature.as_deref().unwrap_or("null");
    format!("{end_text}\n{bucket}/{key}\n{inflated}\n{previous}").into_bytes()
}

/// Checks a hexadecimal signature over `message`. Keys are 2048 to 8192 bits; shorter ones never verify.
pub fn verify_signature(key: &PublicKey, message: &[u8], signature: &str) -> Result<(), SignatureError> {
    let signature = hex::decode(signature).map_err(|_| SignatureError::NotHex)?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pkcs1());
    key.verify(message, &signature).map_err(|_| SignatureError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestKey;
    use super::*;

    /// The test vector of the AWS CLI's own unit tests.
    #[test]
    fn the_string_to_sign_is_the_aws_clis_byte_for_byte() {
        let digest = Digest {
            aws_account_id: None,
            start: 0,
            end_text: "a".to_owned(),
            bucket: "b".to_owned(),
            key: "c".to_owned(),
            fingerprint: String::new(),
            previous_bucket: None,
            previous_key: None,
            previous_sha256: None,
            previous_signature: None,
            log_files: Vec::new(),
        };
        let expected = "a\nb/c\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nnull";
        assert_eq!(string_to_sign(&digest, Sha256::of(b"abc")), expected.as_bytes());
        let next = Digest { previous_signature: Some("00FF".to_owned()), ..digest };
        assert!(string_to_sign(&next, Sha256::of(b"abc")).ends_with(b"\n00FF"));
    }

    #[test]
    fn only_the_key_that_signed_verifies() {
        let (one, two) = (TestKey::get(0), TestKey::get(1));
        let signature = one.sign(b"message");
        assert_eq!(verify_signature(&one.public(), b"message", &signature), Ok(()));
        assert_eq!(verify_signature(&one.public_spki(), b"message", &signature.to_uppercase()), Ok(()));
        assert_eq!(verify_signature(&two.public(), b"message", &signature), Err(SignatureError::Mismatch));
        assert_eq!(verify_signature(&one.public(), b"messagf", &signature), Err(SignatureError::Mismatch));
        assert_eq!(verify_signature(&one.public(), b"message", "xy"), Err(SignatureError::NotHex));
        assert_eq!(verify_signature(&one.public(), b"message", ""), Err(SignatureError::Mismatch));
    }
}
