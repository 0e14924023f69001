//! Checksums of what we upload, in the forms in which S3 tells them.
//!
//! In: recorded parts. Out: the values that HEAD must show for the object made of them. S3 keeps for an
//! upload whose parts came with SHA-256 the composite one: the hash of the parts' hashes, and their number
//! (Amazon S3 User Guide, "Checking object integrity", composite checksums). Stores that do not tell it back
//! show an ETag that is the MD5 of the parts' MD5s, and their number, wherever ETags are MD5s.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::store::{Part, keys};

/// SHA-256 of some bytes: lower-case hex for our records, base64 for S3's header.
pub(super) struct Sha256Sum([u8; 32]);

impl Sha256Sum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text, &mut sum).ok()?;
        Some(Self(sum))
    }

    pub(super) fn hex(&self) -> String {
        hex::encode(self.0)
    }

    pub(super) fn base64(&self) -> String {
        BASE64.encode(self.0)
    }
}

/// The base64 form of a part's recorded SHA-256; `None` if the record is not one.
pub(super) fn part_base64(part: &Part) -> Option<String> {
    Sha256Sum::from_hex(&part.sha256).map(|sum| sum.base64())
}

/// Whether this HEAD is the one of the object made of these parts.
pub(super) fn matches(head: &HeadObjectOutput, parts: &[Part]) -> bool {
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    if size.is_none() || size != keys::total(parts) {
        return false;
    }
    if let Some(told) = head.checksum_sha256() {
        return composite_sha256(parts).is_some_and(|wanted| told == wanted || without_count(told, &wanted));
    }
    let etag = head.e_tag().unwrap_or("").trim_matches('"');
    composite_etag(parts).is_some_and(|wanted| etag.eq_ignore_ascii_case(&wanted))
}

/// Some stores leave out the number of parts.
fn without_count(told: &str, wanted: &str) -> bool {
    !told.contains('-') && wanted.split_once('-').is_some_and(|(sum, _)| sum == told)
}

fn composite_sha256(parts: &[Part]) -> Option<String> {
    let mut whole = Sha256::new();
    for part in parts {
        whole.update(Sha256Sum::from_hex(&part.sha256)?.0);
    }
    Some(format!("{}-{}", BASE64.encode(whole.finalize()), parts.len()))
}

fn composite_etag(parts: &[Part]) -> Option<String> {
    let mut whole = Md5::new();
    for part in parts {
        let mut sum = [0; 16];
        hex::decode_to_slice(part.etag.trim_matches('"'), &mut sum).ok()?;
        whole.update(sum);
    }
    Some(format!("{}-{}", hex::encode(whole.finalize()), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, bytes: &[u8]) -> Part {
        Part {
            number,
            etag: hex::encode(Md5::digest(bytes)),
            size: bytes.len() as u64,
            sha256: Sha256Sum::of(bytes).hex(),
        }
    }

    #[test]
    fn the_composite_is_the_hash_of_the_hashes() {
        // From Python: base64(sha256(sha256(b"one").digest() + sha256(b"two").digest()).digest()), and the
        // same with md5 and hex.
        let parts = [part(1, b"one"), part(2, b"two")];
        assert_eq!(composite_sha256(&parts).unwrap(), "EZFMGaKKmMV9EvPM5sMreUR4T0tHgacGwk6x3ChOKFY=-2");
        assert_eq!(composite_etag(&parts).unwrap(), "1397b7ee3222e3980d0d20f23a871b02-2");
    }

    #[test]
    fn size_and_sum_both_count() {
        let parts = [part(1, b"one"), part(2, b"two")];
        let head = |size: i64, sha: Option<&str>, etag: &str| {
            HeadObjectOutput::builder()
                .content_length(size)
                .set_checksum_sha256(sha.map(str::to_owned))
                .e_tag(format!("\"{etag}\""))
                .build()
        };
        let (sha, etag) = (composite_sha256(&parts).unwrap(), composite_etag(&parts).unwrap());
        let bare = sha.trim_end_matches("-2").to_owned();
        assert!(matches(&head(6, Some(&sha), "anything"), &parts));
        assert!(matches(&head(6, Some(&bare), "anything"), &parts));
        assert!(matches(&head(6, None, &etag), &parts));
        assert!(!matches(&head(7, Some(&sha), &etag), &parts));
        assert!(!matches(&head(6, Some("AAAA-2"), &etag), &parts), "the stronger sum decides");
        assert!(!matches(&head(6, None, "0123"), &parts));
        assert!(!matches(&head(3, None, &etag), &parts[..1]));
        let unknown = [Part { sha256: "x".into(), etag: "opaque".into(), ..part(1, b"one") }];
        assert!(!matches(&head(3, Some(&sha), "opaque"), &unknown), "nothing to compare is no match");
    }
}
