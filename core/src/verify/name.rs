//! The names of digest files, and the chains that they belong to.
//!
//! ```text
//! {account}_CloudTrail-Digest_{source_region}_{trail}_{home_region}_{YYYYMMDDTHHMMSSZ}[_backfill].json.gz
//! ```
//!
//! A trail's name may hold underscores and even a region, so names are read from the right. The stamp is the
//! end of the digest's hour. Source: CloudTrail User Guide, "CloudTrail digest file structure".

use std::fmt;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::model::{AccountId, Family, KeyError, LogKey, OrganizationId};

/// Which of a trail's two chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// One digest per hour.
    Normal,
    /// Digests of log files that came too late for the hourly one; no cadence.
    Backfill,
}

/// What makes a chain: one trail's digests of one account and region in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainId {
    /// The bucket's name, as the reader of the digests calls it.
    pub bucket: String,
    /// What stands before `AWSLogs`, without the slash.
    pub prefix: String,
    /// The organization in the path of an organization trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// The account whose deliveries it covers.
    pub account: AccountId,
    /// The region whose deliveries it covers: the one whose keys sign it.
    pub region: String,
    /// The trail's name.
    pub trail: String,
    /// The region in which the trail was made.
    pub home_region: String,
    /// Hourly or backfill.
    pub kind: ChainKind,
}

impl ChainId {
    /// The key that the digest ending at `end` (seconds since the Unix epoch) has by the grammar.
    pub fn key_at(&self, end: i64) -> String {
        let zero = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        let at = zero.checked_add(jiff::SignedDuration::from_secs(end)).unwrap_or(DateTime::MAX);
        let Self { prefix, account, region, trail, home_region, .. } = self;
        let slash = if prefix.is_empty() { "" } else { "/" };
        let organization = self.organization.as_ref().map_or(String::new(), |id| format!("{id}/"));
        let (day, stamp) = (at.strftime("%Y/%m/%d"), at.strftime("%Y%m%dT%H%M%SZ"));
        let suffix = if self.kind == ChainKind::Backfill { "_backfill" } else { "" };
        format!(
            "{prefix}{slash}AWSLogs/{organization}{account}/CloudTrail-Digest/{region}/{day}/\
             {account}_CloudTrail-Digest_{region}_{trail}_{home_region}_{stamp}{suffix}.json.gz"
        )
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == ChainKind::Backfill { " (backfill)" } else { "" };
        write!(f, "{} {} trail {} of {}{kind}", self.account, self.region, self.trail, self.home_region)
    }
}

/// Why a key does not name a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestKeyError {
    /// It is not a CloudTrail key at all.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It lies in another family's folder.
    #[error("not in a CloudTrail-Digest folder")]
    Family,
    /// A part of the file name is not there, not well formed, or at odds with the folders.
    #[error("the {0} in the file name is missing, not well formed or not the folder's")]
    Part(&'static str),
}

/// A parsed digest key. Borrowed; folder and file name agree with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestKey<'a> {
    /// The folders: prefix, organization, account and source region.
    pub place: LogKey<'a>,
    /// The trail's name.
    pub trail: &'a str,
    /// The region in which the trail was made.
    pub home_region: &'a str,
    /// Hourly or backfill.
    pub kind: ChainKind,
    /// The end of the digest's hour, in seconds since the Unix epoch.
    pub end: i64,
}

impl<'a> DigestKey<'a> {
    /// Parses a key; the error says which part is wrong.
    pub fn parse(key: &'a str) -> Result<Self, DigestKeyError> {
        use DigestKeyError::Part;
        let place = LogKey::parse(key)?;
        if place.family != Family::Digest {
            return Err(DigestKeyError::Family);
        }
        let rest = place.file_name.strip_suffix(".json.gz").ok_or(Part("suffix"))?;
        let (rest, kind) = match rest.strip_suffix("_backfill") {
            Some(rest) => (rest, ChainKind::Backfill),
            None => (rest, ChainKind::Normal),
        };
        let (rest, stamp) = rest.rsplit_once('_').ok_or(Part("stamp"))?;
        let stamp = parse_stamp(stamp).filter(|at| at.date() == place.day).ok_or(Part("stamp"))?;
        let (rest, home_region) = rest.rsplit_once('_').ok_or(Part("home region"))?;
        if !is_region(home_region) {
            return Err(Part("home region"));
        }
        let (account, rest) = rest.split_once('_').ok_or(Part("account"))?;
        if account.parse::<AccountId>().ok() != Some(place.account) {
            return Err(Part("account"));
        }
        let rest = rest.strip_prefix("CloudTrail-Digest_").ok_or(Part("family"))?;
        let (region, trail) = rest.split_once('_').ok_or(Part("trail"))?;
        if region != place.region {
            return Err(Part("source region"));
        }
        if !is_trail(trail) {
            return Err(Part("trail"));
        }
        let zero = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        Ok(Self { place, trail, home_region, kind, end: stamp.duration_since(zero).as_secs() })
    }

    /// The chain that a digest of this name in this bucket belongs to.
    pub fn chain(&self, bucket: &str) -> ChainId {
        ChainId {
            bucket: bucket.to_owned(),
            prefix: self.place.prefix.to_owned(),
            organization: self.place.organization.clone(),
            account: self.place.account,
            region: self.place.region.to_owned(),
            trail: self.trail.to_owned(),
            home_region: self.home_region.to_owned(),
            kind: self.kind,
        }
    }
}

/// `YYYYMMDDTHHMMSSZ`, nothing before or behind it.
fn parse_stamp(text: &str) -> Option<DateTime> {
    let shape = text.len() == 16
        && text.bytes().zip(*b"00000000T000000Z").all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            letter => byte == letter,
        });
    if shape { DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok() } else { None }
}

fn is_region(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(good)
}

/// At most 128 of letters, digits, `.`, `_`, `-` (CloudTrail User Guide, "Naming requirements"); its rules on
/// neighbouring separators are not enforced, so that no trail of the past is left out.
fn is_trail(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(file: &str) -> String {
        format!("p/AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail-Digest/eu-west-1/2026/05/20/{file}")
    }

    #[test]
    fn names_are_read_from_the_right_and_written_back() {
        for (trail, suffix, kind) in [
            ("org-trail", "", ChainKind::Normal),
            ("a_us-east-1_20200101T000000Z", "", ChainKind::Normal),
            ("x_backfill", "_backfill", ChainKind::Backfill),
            ("eu-west-1_us-east-1", "_backfill", ChainKind::Backfill),
        ] {
            let file = format!(
                "111122223333_CloudTrail-Digest_eu-west-1_{trail}_us-east-1_20260520T101728Z{suffix}.json.gz"
            );
            let key = key(&file);
            let parsed = DigestKey::parse(&key).unwrap();
            assert_eq!((parsed.trail, parsed.home_region, parsed.kind), (trail, "us-east-1", kind));
            assert_eq!(parsed.end, 1_779_272_248);
            assert_eq!(parsed.chain("b").key_at(parsed.end), key);
        }
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        use DigestKeyError::Part;
        for (file, error) in [
            ("111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20260520T101728Z.json", Part("suffix")),
            ("111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20260520T1017Z.json.gz", Part("stamp")),
            ("111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20260521T101728Z.json.gz", Part("stamp")),
            ("111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_2026052١T101728Z.json.gz", Part("stamp")),
            (
                "111122223334_CloudTrail-Digest_eu-west-1_t_us-east-1_20260520T101728Z.json.gz",
                Part("account"),
            ),
            (
                "111122223333_CloudTrail-Digest_eu-west-2_t_us-east-1_20260520T101728Z.json.gz",
                Part("source region"),
            ),
            ("111122223333_CloudTrail-Digest_eu-west-1_us-east-1_20260520T101728Z.json.gz", Part("trail")),
            ("111122223333_CloudTrail_eu-west-1_t_us-east-1_20260520T101728Z.json.gz", Part("family")),
        ] {
            assert_eq!(DigestKey::parse(&key(file)).unwrap_err(), error, "{file}");
        }
        let elsewhere = key("x").replace("-Digest", "");
        assert_eq!(DigestKey::parse(&elsewhere).unwrap_err(), DigestKeyError::Family);
    }
}
