//! CloudTrail's public keys, and choosing the key for a digest.
//!
//! Keys belong to the region that delivered the digest (its *source* region). They rotate about monthly with
//! an overlap, so a digest names its key by fingerprint, and the key's validity must cover the time of
//! signing. Sources: API reference `ListPublicKeys`; documented sample keys (three PKCS#1, one SPKI), on all
//! of which the fingerprint is the MD5 of the DER bytes.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::der::{RsaKey, recognize};

/// How far signing may lie from the moment that a digest states, in seconds: what the AWS CLI allows around
/// a rotation.
const SLACK: i64 = 2 * 3600;

/// How a key is encoded. The AWS CLI can load the first kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyEncoding {
    /// `RSAPublicKey`, as documented.
    Pkcs1,
    /// `SubjectPublicKeyInfo`.
    Spki,
}

/// One public key, ready to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    fingerprint: String,
    /// The bytes as they were returned.
    der: Vec<u8>,
    /// Where the PKCS#1 form lies within `der`; `None` where it is no RSA key.
    encoding: Option<KeyEncoding>,
    valid_from: i64,
    valid_until: i64,
}

impl PublicKey {
    /// A key as `ListPublicKeys` returns it; the validity is in seconds since the Unix epoch, both ends
    /// included. Bytes that are no RSA key are kept: a digest that names them gets an outcome of its own.
    pub fn new(fingerprint: &str, der: Vec<u8>, valid_from: i64, valid_until: i64) -> Self {
        let encoding = recognize(&der).map(|key| match key {
            RsaKey::Pkcs1(_) => KeyEncoding::Pkcs1,
            RsaKey::Spki(_) => KeyEncoding::Spki,
        });
        Self { fingerprint: fingerprint.to_ascii_lowercase(), der, encoding, valid_from, valid_until }
    }

    /// The fingerprint that digests name, in lower case.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How it is encoded; `None` for bytes that are no RSA public key.
    pub fn encoding(&self) -> Option<KeyEncoding> {
        self.encoding
    }

    /// Whether the fingerprint is the MD5 of the bytes. Not promised by AWS, so `false` is a warning about
    /// where the key came from, and no more.
    pub fn fingerprint_fits(&self) -> bool {
        hex::encode(Md5::digest(&self.der)) == self.fingerprint
    }

    /// The bytes as they were returned.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// First and last second of validity.
    pub fn validity(&self) -> (i64, i64) {
        (self.valid_from, self.valid_until)
    }

    /// The PKCS#1 bytes; empty for bytes that are no RSA key, which no signature verifies under.
    pub(super) fn pkcs1(&self) -> &[u8] {
        match recognize(&self.der) {
            Some(RsaKey::Pkcs1(inner) | RsaKey::Spki(inner)) => inner,
            None => &[],
        }
    }

    fn covers(&self, signed_at: i64) -> bool {
        self.valid_from <= signed_at.saturating_add(SLACK) && signed_at <= self.valid_until
    }
}

/// What a [`KeyRing`] has for a digest.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyChoice<'a> {
    /// The keys with that fingerprint, valid at that time; more than one only by an MD5 collision.
    Found(Vec<&'a PublicKey>),
    /// There is one, but it is no RSA key that we can load.
    Unloadable,
    /// There is one, but its validity does not cover the time: its first and last second.
    OutOfTime(i64, i64),
    /// None of the region's keys has that fingerprint.
    NotFound,
    /// No key of that region is known at all: nothing can be said of its digests.
    NoneForRegion,
}

/// Every key that is known, by region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing {
    regions: BTreeMap<String, Vec<PublicKey>>,
    anywhere: Vec<PublicKey>,
}

impl KeyRing {
    /// Adds keys of a region; `None` for a saved answer that does not say of which region it is, whose keys
    /// then count everywhere. Repeats are dropped.
    pub fn add(&mut self, region: Option<&str>, keys: impl IntoIterator<Item = PublicKey>) {
        let place = match region {
            Some(region) => self.regions.entry(region.to_owned()).or_default(),
            None => &mut self.anywhere,
        };
        for key in keys {
            if !place.contains(&key) {
                place.push(key);
            }
        }
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Every key with its region.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &PublicKey)> {
        let regional = self
            .regions
            .iter()
            .flat_map(|(region, keys)| keys.iter().map(move |key| (Some(region.as_str()), key)));
        regional.chain(self.anywhere.iter().map(|key| (None, key)))
    }

    /// The key for a digest delivered from `region`, naming `fingerprint`, signed at about `signed_at` (the
    /// digest's end; for backfill digests the time of generation).
    pub fn choose(&self, region: &str, fingerprint: &str, signed_at: i64) -> KeyChoice<'_> {
        let of_region = self.regions.get(region).map_or(&[][..], Vec::as_slice);
        if of_region.is_empty() && self.anywhere.is_empty() {
            return KeyChoice::NoneForRegion;
        }
        let fingerprint = fingerprint.to_ascii_lowercase();
        let named: Vec<_> =
            of_region.iter().chain(&self.anywhere).filter(|key| key.fingerprint == fingerprint).collect();
        let Some(first) = named.first() else { return KeyChoice::NotFound };
        let (from, until) = first.validity();
        let timely: Vec<_> = named.into_iter().filter(|key| key.covers(signed_at)).collect();
        if timely.is_empty() {
            return KeyChoice::OutOfTime(from, until);
        }
        let loadable: Vec<_> = timely.into_iter().filter(|key| key.encoding.is_some()).collect();
        if loadable.is_empty() { KeyChoice::Unloadable } else { KeyChoice::Found(loadable) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{T0, TestKey};
    use super::*;

    #[test]
    fn the_key_is_chosen_by_region_fingerprint_and_time() {
        let key = TestKey::get(0).public();
        let (from, until) = key.validity();
        let mut ring = KeyRing::default();
        assert_eq!(ring.choose("eu-west-1", key.fingerprint(), T0), KeyChoice::NoneForRegion);
        ring.add(Some("eu-west-1"), [key.clone(), key.clone()]);
        assert_eq!(ring.iter().count(), 1);
        let upper = key.fingerprint().to_uppercase();
        assert_eq!(ring.choose("eu-west-1", &upper, T0), KeyChoice::Found(vec![&key]));
        assert_eq!(ring.choose("eu-west-1", "00", T0), KeyChoice::NotFound);
        assert_eq!(ring.choose("us-east-1", key.fingerprint(), T0), KeyChoice::NoneForRegion);
        for (at, good) in [(from - SLACK, true), (from - SLACK - 1, false), (until, true), (until + 1, false)]
        {
            let choice = ring.choose("eu-west-1", key.fingerprint(), at);
            assert_eq!(matches!(choice, KeyChoice::Found(_)), good, "{at}");
            assert!(good || choice == KeyChoice::OutOfTime(from, until));
        }
        ring.add(Some("us-east-1"), [PublicKey::new("00", b"no key".to_vec(), from, until)]);
        assert_eq!(ring.choose("us-east-1", "00", T0), KeyChoice::Unloadable);
        ring.add(None, [key.clone()]);
        assert_eq!(ring.choose("us-east-1", key.fingerprint(), T0), KeyChoice::Found(vec![&key]));
    }

    #[test]
    fn both_encodings_load() {
        assert_eq!(TestKey::get(0).public().encoding(), Some(KeyEncoding::Pkcs1));
        assert_eq!(TestKey::get(0).public_spki().encoding(), Some(KeyEncoding::Spki));
        assert_eq!(TestKey::get(0).public_spki().pkcs1(), TestKey::get(0).der());
    }
}
