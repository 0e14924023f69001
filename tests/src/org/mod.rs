//! The organization: who exists, where, and which trails watch them.
//!
//! In: [`Options`]. Out: an [`Organization`], the same for the same options. Nothing is written here.
//! Too few or too many accounts, regions or hours are an error that names the bounds.

mod trails;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

pub use trails::{Carries, Scope, Trail};

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// How many accounts, 1 to 10,000.
    pub accounts: usize,
    /// How many regions, 1 to 17.
    pub regions: usize,
    /// Hours of events, 1 to 10,000.
    pub hours: u32,
    /// The first event, in seconds since the Unix epoch.
    pub start: i64,
    /// Mean events per account, region and hour.
    pub rate: u32,
    /// About this many bytes of inflated objects, instead of `rate`.
    pub raw_bytes: Option<u64>,
    /// Deliver some events again after 6, 8 and 25 days; for runs with a simulated clock.
    pub far_copies: bool,
    /// Compression level of the objects, 1 to 9.
    pub level: u32,
}

impl Default for Options {
    fn default() -> Self {
        // The evening of a month's last day: a run of a few hours crosses midnight and a change of month.
        Self {
            seed: 1,
            accounts: 4,
            regions: 2,
            hours: 4,
            start: 1_772_312_400,
            rate: 60,
            raw_bytes: None,
            far_copies: false,
            level: 4,
        }
    }
}

/// An account id: twelve decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account(pub u64);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl FromStr for Account {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            bail!("{text:?} is not an account id");
        }
        Ok(Self(text.parse()?))
    }
}

impl TryFrom<String> for Account {
    type Error = anyhow::Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

/// Who exists, and who watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// `o-` and ten characters.
    pub id: String,
    /// The members; the first is the management account, the second (where there is one) keeps the logs.
    pub accounts: Vec<Account>,
    /// The regions in use.
    pub regions: Vec<String>,
    /// The trails; the first is the organization's.
    pub trails: Vec<Trail>,
}

impl Organization {
    /// The organization of these options.
    pub fn new(options: &Options) -> Result<Self> {
        let Options { accounts, regions, hours, level, .. } = *options;
        if !(1..=10_000).contains(&accounts) {
            bail!("{accounts} accounts: 1 to 10000 are possible");
        }
        if !(1..=REGIONS.len()).contains(&regions) {
            bail!("{regions} regions: 1 to {} are possible", REGIONS.len());
        }
        if !(1..=10_000).contains(&hours) || !(1..=9).contains(&level) {
            bail!("{hours} hours at level {level}: 1 to 10000 hours and levels 1 to 9 are possible");
        }
        let id = "o-a1b2c3d4e5".to_owned();
        let accounts: Vec<Account> = (0..accounts).map(account).collect();
        let regions: Vec<String> = REGIONS.iter().take(regions).map(|r| (*r).to_owned()).collect();
        let trails = trails::of(&id, &accounts, &regions);
        Ok(Self { id, accounts, regions, trails })
    }

    /// An account that does not belong to the organization.
    pub fn stranger(&self) -> Account {
        Account(999_900_009_999)
    }
}

/// Accounts in the manner of the documentation's examples; one has leading zeros, because ids are text.
fn account(index: usize) -> Account {
    const EXAMPLES: [u64; 6] =
        [111_122_223_333, 222_233_334_444, 333_344_445_555, 123_456_789, 444_455_556_666, 555_566_667_777];
    Account(EXAMPLES.get(index).copied().unwrap_or(900_000_000_000 + index as u64))
}

/// The regions that every account has enabled by default.
const REGIONS: [&str; 17] = [
    "us-east-1",
    "eu-central-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-2",
    "us-east-2",
    "us-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ca-central-1",
    "sa-east-1",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_distinct() {
        let org = Organization::new(&Options { accounts: 500, ..Options::default() }).unwrap();
        let distinct: std::collections::BTreeSet<_> = org.accounts.iter().collect();
        assert_eq!(distinct.len(), 500);
        assert!(!distinct.contains(&org.stranger()));
        assert_eq!(org.accounts[3].to_string(), "000123456789");
    }

    #[test]
    fn bounds_are_told() {
        for wrong in [
            Options { accounts: 0, ..Options::default() },
            Options { regions: 18, ..Options::default() },
            Options { hours: 0, ..Options::default() },
            Options { level: 0, ..Options::default() },
        ] {
            assert!(Organization::new(&wrong).unwrap_err().to_string().contains("are possible"));
        }
    }
}
