//! Test doubles: keys made once per test run, and a CloudTrail that signs.

use std::io::Write as _;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::*;

/// A signing key, made when first asked for.
pub(super) struct TestKey(RsaKeyPair);

impl TestKey {
    /// One of two keys.
    pub(super) fn get(which: usize) -> &'static Self {
        static KEYS: [OnceLock<TestKey>; 2] = [OnceLock::new(), OnceLock::new()];
        KEYS[which].get_or_init(|| Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        hex::encode(signature)
    }

    pub(super) fn der(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(super) fn public(&self) -> PublicKey {
        key_of(self.der())
    }

    pub(super) fn public_spki(&self) -> PublicKey {
        let spki: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        key_of(spki.as_ref().to_vec())
    }
}

fn key_of(der: Vec<u8>) -> PublicKey {
    PublicKey::new(&hex::encode(Md5::digest(&der)), der, T0 - 86_400 * 20, T0 + 86_400 * 20)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 2026-05-20T00:17:28Z, the end of the first hour of every test chain.
pub(super) const T0: i64 = 1_779_236_248;

pub(super) const BUCKET: &str = "trail-bucket";
pub(super) const REGION: &str = "eu-west-1";

/// An object of the simulated bucket.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) bytes: Vec<u8>,
    pub(super) signature: Option<String>,
    pub(super) generated: Option<String>,
}

impl Object {
    pub(super) fn examine(&self, keys: &KeyRing) -> Examined {
        self.examine_at(&self.key, keys)
    }

    /// As if it were found under another key.
    pub(super) fn examine_at(&self, key: &str, keys: &KeyRing) -> Examined {
        let metadata = SignatureMetadata {
            signature: self.signature.as_deref(),
            algorithm: self.signature.is_some().then_some("SHA256withRSA"),
            generated: self.generated.as_deref(),
        };
        let stored = StoredDigest { key, bytes: &self.bytes, metadata };
        examine(&stored, &DigestKey::parse(key).unwrap(), Expected::Here(BUCKET), keys)
    }

    pub(super) fn place(&self) -> Place {
        Place { bucket: BUCKET.to_owned(), key: self.key.clone() }
    }
}

pub(super) fn chain_id(kind: ChainKind) -> ChainId {
    ChainId {
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
        organization: None,
        account: "111122223333".parse().unwrap(),
        region: REGION.to_owned(),
        trail: "a_us-east-1_b".to_owned(),
        home_region: "us-east-1".to_owned(),
        kind,
    }
}

pub(super) fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.add(Some(REGION), [TestKey::get(0).public()]);
    ring
}

pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

/// Writes digests the way CloudTrail does, one after the other.
pub(super) struct Signer {
    pub(super) id: ChainId,
    last: Option<(String, Sha256, String)>,
}

impl Signer {
    pub(super) fn new(kind: ChainKind) -> Self {
        Self { id: chain_id(kind), last: None }
    }

    /// As after `StartLogging`: the next digest links to nothing.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }

    /// The digest of the hour that ends at `end`, naming these logs.
    pub(super) fn hour(&mut self, end: i64, logs: &[(&str, &[u8])]) -> Object {
        self.window(end - CADENCE, end, logs)
    }

    pub(super) fn window(&mut self, start: i64, end: i64, logs: &[(&str, &[u8])]) -> Object {
        let key = self.id.key_at(end);
        let (signer, last) = (TestKey::get(0), self.last.as_ref());
        let logs: Vec<Value> = logs
            .iter()
            .map(|(key, content)| {
                json!({"s3Bucket": BUCKET, "s3Object": key, "hashAlgorithm": "SHA-256",
                    "hashValue": Sha256::of(content)})
            })
            .collect();
        let document = json!({
            "awsAccountId": "111122223333", "digestStartTime": time(start), "digestEndTime": time(end),
            "digestS3Bucket": BUCKET, "digestS3Object": key, "newestEventTime": null,
            "digestPublicKeyFingerprint": signer.public().fingerprint(),
            "previousDigestS3Bucket": last.map(|_| BUCKET), "previousDigestS3Object": last.map(|l| &l.0),
            "previousDigestHashValue": last.map(|l| l.1), "previousDigestSignature": last.map(|l| &l.2),
            "logFiles": logs,
        })
        .to_string();
        let sha256 = Sha256::of(document.as_bytes());
        let digest = Digest::parse(document.as_bytes()).unwrap();
        let signature = signer.sign(&string_to_sign(&digest, sha256));
        self.last = Some((key.clone(), sha256, signature.clone()));
        let generated = (self.id.kind == ChainKind::Backfill).then(|| time(end + 40 * CADENCE));
        Object { key, bytes: gzip(document.as_bytes()), signature: Some(signature), generated }
    }

    /// `count` hours from T0 on.
    pub(super) fn hours(&mut self, count: i64) -> Vec<Object> {
        (0..count).map(|n| self.hour(T0 + n * CADENCE, &[])).collect()
    }
}
