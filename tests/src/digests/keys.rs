//! Signing keys, as CloudTrail has them per region, and what `ListPublicKeys` says of them.
//!
//! In: a folder. Out: two keys per region, the second taking over one hour into the run, as a monthly
//! rotation would; their validities overlap. Where there are several regions, the last one's second key is
//! published in the X.509 form instead of PKCS#1, as in one of AWS's own samples; version 1 of the AWS CLI
//! cannot load such a key. Keys are 2048-bit RSA, made once and kept in the folder
//! as PKCS#8. They sign nothing but simulated digests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::time::{self, DAY, HOUR};

/// The keys of all regions.
#[derive(Debug)]
pub struct Keys {
    regions: BTreeMap<String, [SigningKey; 2]>,
    /// From then on the second key of a region signs.
    rotation: i64,
}

/// One key and its published half.
#[derive(Debug)]
pub struct SigningKey {
    pair: KeyPair,
    /// The published bytes: PKCS#1 mostly.
    public: Vec<u8>,
}

impl Keys {
    /// Loads the keys of these regions from the folder, and makes those that it lacks. Digests that end an
    /// hour after `start` or later are signed with the second key.
    pub fn load_or_make(folder: &Path, regions: &[String], start: i64) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let mut keys = BTreeMap::new();
        for (index, region) in regions.iter().enumerate() {
            let x509 = index > 0 && index + 1 == regions.len();
            let first = SigningKey::load_or_make(&folder.join(format!("{region}-1.pk8")), false)?;
            let second = SigningKey::load_or_make(&folder.join(format!("{region}-2.pk8")), x509)?;
            keys.insert(region.clone(), [first, second]);
        }
        Ok(Self { regions: keys, rotation: start + HOUR })
    }

    /// The key that signs a region's digests generated at that time.
    pub fn at(&self, region: &str, time: i64) -> Result<&SigningKey> {
        let [first, second] =
            self.regions.get(region).with_context(|| format!("region {region} has no signing key"))?;
        Ok(if time < self.rotation { first } else { second })
    }

    /// Writes `REGION.json`, what `aws cloudtrail list-public-keys` would print for the time of the run.
    pub fn save_public(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (region, [first, second]) in &self.regions {
            let answer = json!({ "PublicKeyList": [
                first.listed(self.rotation - 28 * DAY),
                second.listed(self.rotation - DAY),
            ]});
            fs::write(folder.join(format!("{region}.json")), serde_json::to_vec_pretty(&answer)?)?;
        }
        Ok(())
    }
}

impl SigningKey {
    /// A new key.
    pub fn make() -> Result<Self> {
        Self::of(KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("make an RSA key"))?, false)
    }

    fn load_or_make(path: &Path, x509: bool) -> Result<Self> {
        if let Ok(der) = fs::read(path) {
            let pair = KeyPair::from_pkcs8(&der).map_err(|e| anyhow!("{}: {e}", path.display()))?;
            return Self::of(pair, x509);
        }
        let key = Self::of(Self::make()?.pair, x509)?;
        let der: Pkcs8V1Der<'_> = key.pair.as_der().map_err(|_| anyhow!("encode an RSA key"))?;
        fs::write(path, der.as_ref()).with_context(|| format!("write {}", path.display()))?;
        Ok(key)
    }

    fn of(pair: KeyPair, x509: bool) -> Result<Self> {
        let public = if x509 {
            let der: PublicKeyX509Der<'_> =
                pair.public_key().as_der().map_err(|_| anyhow!("encode a public key"))?;
            der.as_ref().to_vec()
        } else {
            pair.public_key().as_ref().to_vec()
        };
        Ok(Self { pair, public })
    }

    /// The signature over a text, in lower-case hex (RSA PKCS#1 v1.5 with SHA-256).
    pub fn sign(&self, text: &str) -> Result<String> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("sign a digest"))?;
        Ok(hex::encode(signature))
    }

    /// Hex MD5 of the published bytes, as AWS's published samples have it.
    pub fn fingerprint(&self) -> String {
        hex::encode(Md5::digest(&self.public))
    }

    /// The published half in Base64, as `ListPublicKeys` has it.
    pub fn published(&self) -> String {
        STANDARD.encode(&self.public)
    }

    fn listed(&self, from: i64) -> Value {
        let date = |seconds: i64| time::iso(seconds).replace('Z', "+00:00");
        json!({
            "Value": self.published(),
            "ValidityStartTime": date(from),
            "ValidityEndTime": date(from + 30 * DAY),
            "Fingerprint": self.fingerprint(),
        })
    }
}
