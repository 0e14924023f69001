//! The trails of the organization and the keys that they write.
//!
//! In: accounts and regions. Out: overlapping trails in every layout that occurs: the organization's own,
//! Control Tower's (organization id as prefix and again below `AWSLogs`), members' own buckets, and a custom
//! prefix that itself contains the word `AWSLogs`. One bucket
//! has two trails, of which one writes no digests. Which accounts are watched twice or three times follows
//! from their position, so a share of events is delivered more than once.

use serde::{Deserialize, Serialize};

use super::Account;
use crate::records::Family;
use crate::time;

/// A trail: what it watches and where it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The trail's name.
    pub name: String,
    /// The bucket's name, a folder of the tree.
    pub bucket: String,
    /// The key prefix, without a slash at its end; may be empty.
    pub prefix: String,
    /// The organization's id when the keys carry it.
    pub organization: Option<String>,
    /// The account that owns the bucket.
    pub owner: Account,
    /// Whose logs the bucket may hold.
    pub carries: Carries,
    /// Where the trail was made.
    pub home_region: String,
    /// Which events it records.
    pub scope: Scope,
    /// The accounts that it watches.
    pub accounts: Vec<Account>,
    /// Whether it writes digests.
    pub validation: bool,
}

/// Whose logs a bucket may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// The bucket owner's alone.
    Owner,
    /// Every member's.
    Organization,
}

/// Which events a trail records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Management events only.
    Management,
    /// Management and data events, Insights, network activity, aggregations.
    Everything,
}

impl Trail {
    /// Whether it delivers such an event of this account.
    pub fn wants(&self, account: Account, family: Family, management: bool) -> bool {
        let recorded = self.scope == Scope::Everything || (family == Family::CloudTrail && management);
        recorded && self.accounts.contains(&account)
    }

    /// The key up to and with `AWSLogs/[o-ID/]ACCOUNT/`.
    pub fn account_folder(&self, account: Account) -> String {
        let mut key = String::with_capacity(120);
        if !self.prefix.is_empty() {
            key.push_str(&self.prefix);
            key.push('/');
        }
        key.push_str("AWSLogs/");
        if let Some(organization) = &self.organization {
            key.push_str(organization);
            key.push('/');
        }
        key.push_str(&account.to_string());
        key.push('/');
        key
    }

    /// The key of a log file published in the window that ends at `stamp`.
    pub fn log_key(
        &self,
        account: Account,
        family: Family,
        region: &str,
        stamp: i64,
        unique: &str,
    ) -> String {
        let folder = family.folder();
        let (day, stamp) = (time::day_path(stamp), time::minute_stamp(stamp));
        let mut key = self.account_folder(account);
        key.push_str(&format!(
            "{folder}/{region}/{day}/{account}_{folder}_{region}_{stamp}_{unique}.json.gz"
        ));
        key
    }
}

/// The trails of an organization with these members.
pub(super) fn of(id: &str, accounts: &[Account], regions: &[String]) -> Vec<Trail> {
    let home_region = regions.first().cloned().unwrap_or_default();
    let management = accounts.first().copied().unwrap_or(Account(0));
    let keeper = accounts.get(1).copied().unwrap_or(management);
    let trail = |name: &str, bucket: String, owner: Account, watched: Vec<Account>| Trail {
        name: name.to_owned(),
        bucket,
        prefix: String::new(),
        organization: None,
        owner,
        carries: Carries::Owner,
        home_region: home_region.clone(),
        scope: Scope::Everything,
        accounts: watched,
        validation: true,
    };
    let every = |step: usize| accounts.iter().copied().step_by(step).collect::<Vec<_>>();

    let mut trails = vec![
        Trail {
            organization: Some(id.to_owned()),
            carries: Carries::Organization,
            ..trail("organization", format!("organization-trail-{keeper}"), keeper, accounts.to_vec())
        },
        Trail {
            prefix: id.to_owned(),
            organization: Some(id.to_owned()),
            carries: Carries::Organization,
            scope: Scope::Management,
            ..trail(
                "aws-controltower-BaselineCloudTrail",
                format!("aws-controltower-logs-{keeper}-{home_region}"),
                keeper,
                every(4),
            )
        },
    ];
    if let Some(second) = accounts.get(1) {
        trails.push(Trail {
            prefix: "security/AWSLogs-export/v1".to_owned(),
            scope: Scope::Management,
            ..trail("security_export", format!("security-export-{second}"), *second, vec![*second])
        });
    }
    for member in every(3) {
        trails.push(trail("member.trail", format!("member-trail-{member}"), member, vec![member]));
    }
    // A second trail into the bucket of the fourth account, beside the first and without digests.
    if let Some(fourth) = accounts.get(3) {
        trails.push(Trail {
            scope: Scope::Management,
            validation: false,
            ..trail("unvalidated", format!("member-trail-{fourth}"), *fourth, vec![*fourth])
        });
    }
    trails
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::{Options, Organization};

    #[test]
    fn every_layout_writes_its_key() {
        let org = Organization::new(&Options::default()).unwrap();
        let stamp = time::parse("2026-03-01T00:05:00Z").unwrap();
        let keys: Vec<String> = org
            .trails
            .iter()
            .map(|t| t.log_key(t.accounts[0], Family::CloudTrail, "us-east-1", stamp, "Mu0KsOhtH1ar15ZZ"))
            .collect();
        let file = |account: &str| {
            format!(
                "{account}/CloudTrail/us-east-1/2026/03/01/{account}_CloudTrail_us-east-1_20260301T0005Z_Mu0KsOhtH1ar15ZZ.json.gz"
            )
        };
        let (first, second) = (file("111122223333"), file("222233334444"));
        assert_eq!(keys[0], format!("AWSLogs/o-a1b2c3d4e5/{first}"));
        assert_eq!(keys[1], format!("o-a1b2c3d4e5/AWSLogs/o-a1b2c3d4e5/{first}"));
        assert_eq!(keys[2], format!("security/AWSLogs-export/v1/AWSLogs/{second}"));
        assert_eq!(keys[3], format!("AWSLogs/{first}"));
    }

    #[test]
    fn the_first_account_is_watched_three_times() {
        let org = Organization::new(&Options::default()).unwrap();
        let watched = |family, management| {
            org.trails.iter().filter(|t| t.wants(org.accounts[0], family, management)).count()
        };
        assert_eq!(watched(Family::CloudTrail, true), 3);
        assert_eq!(watched(Family::CloudTrail, false), 2);
        assert_eq!(watched(Family::Insight, false), 2);
    }
}
