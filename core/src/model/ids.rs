//! Identifiers: AWS accounts and organizations, and trailhaul's own lanes and batches.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An account id is exactly twelve decimal digits.
    #[error("{0:?} is not an account id (twelve digits)")]
    Account(String),
    /// An organization id is `o-` and 10 to 32 characters of `[a-z0-9]`.
    #[error("{0:?} is not an organization id (o- and 10 to 32 of a-z, 0-9)")]
    Organization(String),
    /// A batch id is `LANE-EPOCH-BATCH` in decimal digits.
    #[error("{0:?} is not a batch id (LANE-EPOCH-BATCH)")]
    Batch(String),
}

/// An AWS account id: twelve decimal digits, kept as a number so that it is `Copy` and cheap to hash. The
/// default is `000000000000`, which AWS gives to nobody.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u64);

impl AccountId {
    /// The number behind the twelve digits; always below 10^12.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The account with this number; an error when it has more than twelve digits.
    pub fn from_u64(number: u64) -> Result<Self, IdError> {
        if number < 1_000_000_000_000 { Ok(Self(number)) } else { Err(IdError::Account(number.to_string())) }
    }
}

impl FromStr for AccountId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IdError::Account(clip(text)));
        }
        text.parse().map(Self).map_err(|_| IdError::Account(clip(text)))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl Serialize for AccountId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An AWS organization id, such as `o-a1b2c3d4e5` (pattern `^o-[a-z0-9]{10,32}$` of the Organizations API).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationId(String);

impl OrganizationId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let rest = text.strip_prefix("o-").unwrap_or("");
        let good = (10..=32).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if good { Ok(Self(text.to_owned())) } else { Err(IdError::Organization(clip(text))) }
    }
}

impl TryFrom<String> for OrganizationId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<OrganizationId> for String {
    fn from(id: OrganizationId) -> Self {
        id.0
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lane: the unit of order, of duplicate decisions and of ownership. Below the genesis' number of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(pub u16);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// The lane of an account: the first eight bytes of SHA-256 of its twelve digits, big-endian, modulo the number of
/// lanes. The account is the one in the object's key, never one in a record.
pub fn lane_of(account: AccountId, lanes: u16) -> LaneId {
    let digest = Sha256::digest(account.to_string().as_bytes());
    let number = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    LaneId(u16::try_from(number % u64::from(lanes.max(1))).unwrap_or(0))
}

/// Names one batch for ever: an epoch's number is taken once, and a batch number once within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    /// The lane that made it.
    pub lane: LaneId,
    /// The epoch of the lane, counted from 1.
    pub epoch: u32,
    /// The number within the epoch, counted from 1; attempts that came to nothing used up theirs.
    pub batch: u32,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}-{:08}", self.lane, self.epoch, self.batch)
    }
}

impl FromStr for BatchId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Batch(clip(text));
        let mut parts = text.split('-');
        let mut next = |width: usize| -> Option<u32> {
            let part = parts.next()?;
            let digits = part.len() >= width && part.len() <= 10 && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        };
        let lane = next(4).and_then(|n| u16::try_from(n).ok()).ok_or_else(wrong)?;
        let epoch = next(6).ok_or_else(wrong)?;
        let batch = next(8).ok_or_else(wrong)?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { lane: LaneId(lane), epoch, batch })
    }
}

impl Serialize for BatchId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BatchId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// At most this many bytes of a text from outside appear in an error.
const SHOWN: usize = 80;

fn clip(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_twelve_digits() {
        let id: AccountId = "000123456789".parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.as_u64()), ("000123456789", 123_456_789));
        for wrong in ["", "12345678901", "1234567890123", "12345678901x", "+12345678901", "١٢٣"] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong}");
        }
        assert!(AccountId::from_u64(1_000_000_000_000).is_err());
    }

    #[test]
    fn an_organization_is_o_dash() {
        assert!("o-a1b2c3d4e5".parse::<OrganizationId>().is_ok());
        for wrong in ["o-", "o-a1b2c3d4e", "ou-a1b2c3d4e5", "o-A1b2c3d4e5", "o-a1b2c3d4e5/"] {
            assert!(wrong.parse::<OrganizationId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_batch_id_survives_its_text() {
        let id = BatchId { lane: LaneId(3), epoch: 17, batch: 42 };
        assert_eq!(id.to_string(), "0003-000017-00000042");
        assert_eq!(id.to_string().parse::<BatchId>().unwrap(), id);
        for wrong in ["", "3-17-42", "0003-000017", "0003-000017-00000042-1", "0003-000017-0000004x"] {
            assert!(wrong.parse::<BatchId>().is_err(), "{wrong}");
        }
    }
}
