//! The grammar of CloudTrail's object keys.
//!
//! ```text
//! [prefix/]AWSLogs/[o-ORGID/]ACCOUNT/FAMILY/REGION/YYYY/MM/DD/FILENAME
//! ```
//!
//! The last component equal to `AWSLogs` counts, so prefixes may hold the same word, and Control Tower's
//! doubled organization id (`o-X/AWSLogs/o-X/…`) is a prefix like any other. The family is told by the
//! folder, never by the file name. Sources: CloudTrail User Guide, "Getting and viewing your CloudTrail log
//! files"; awslabs/landing-zone-accelerator-on-aws#491 for Control Tower.

use jiff::civil::{Date, DateTime};

use super::ids::{AccountId, OrganizationId};

/// What kind of file a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Management and data events, mixed.
    CloudTrail,
    /// Digest files, standard and backfill.
    Digest,
    /// Insights events.
    Insight,
    /// Network activity events of VPC endpoints.
    NetworkActivity,
    /// Five-minute aggregations of data events; a bare JSON array.
    Aggregated,
}

impl Family {
    /// Every family, in the order in which their folders list.
    pub const ALL: [Family; 5] =
        [Self::CloudTrail, Self::Aggregated, Self::Digest, Self::Insight, Self::NetworkActivity];

    /// The path segment of the family.
    pub fn folder(self) -> &'static str {
        match self {
            Self::CloudTrail => "CloudTrail",
            Self::Digest => "CloudTrail-Digest",
            Self::Insight => "CloudTrail-Insight",
            Self::NetworkActivity => "CloudTrail-NetworkActivity",
            Self::Aggregated => "CloudTrail-Aggregated",
        }
    }

    /// The family of a path segment; `None` for a folder that is not CloudTrail's.
    pub fn from_folder(folder: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.folder() == folder)
    }

    /// Whether objects of this family hold records (digests do not).
    pub fn holds_records(self) -> bool {
        self != Self::Digest
    }
}

/// The time in a file name: to the minute in log files, to the second in digests. UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(DateTime);

impl Stamp {
    /// Seconds since the Unix epoch.
    pub fn unix_seconds(self) -> i64 {
        let zero = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        self.0.duration_since(zero).as_secs()
    }

    /// The UTC day of the stamp.
    pub fn day(self) -> Date {
        self.0.date()
    }

    /// Finds the last `_YYYYMMDDTHHMM[SS]Z` of a file name.
    fn find(file_name: &str) -> Option<Self> {
        let mut end = file_name.len();
        while let Some(at) = file_name.get(..end)?.rfind('_') {
            if let Some(stamp) = file_name.get(at + 1..).and_then(Self::parse_start) {
                return Some(stamp);
            }
            end = at;
        }
        None
    }

    /// Parses a stamp at the start of a text; what follows the `Z` is not looked at.
    fn parse_start(text: &str) -> Option<Self> {
        let digits = |from: usize, to: usize| -> Option<i16> {
            let part = text.get(from..to)?;
            if part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let eight = |from: usize| digits(from, from + 2).and_then(|n| i8::try_from(n).ok());
        if text.get(8..9)? != "T" {
            return None;
        }
        let seconds = match (text.get(13..14)?, text.get(15..16)) {
            ("Z", _) => 0,
            (_, Some("Z")) => eight(13)?,
            _ => return None,
        };
        let date = Date::new(digits(0, 4)?, eight(4)?, eight(6)?).ok()?;
        let time = jiff::civil::Time::new(eight(9)?, eight(11)?, seconds, 0).ok()?;
        Some(Self(date.to_datetime(time)))
    }
}

/// Why a key is not a CloudTrail object's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No component is `AWSLogs`.
    #[error("no AWSLogs component")]
    NotALog,
    /// Something else than an account follows `AWSLogs/[o-ORGID/]`.
    #[error("no account id after AWSLogs")]
    Account,
    /// The folder under the account is not one of CloudTrail's families.
    #[error("unknown family folder {0:?}")]
    Family(String),
    /// The region, the day folders or the file name are not there or not well formed.
    #[error("{0} is missing or not well formed")]
    Part(&'static str),
    /// A key ends in `/`: a folder marker, not an object.
    #[error("a folder marker")]
    Folder,
}

/// A parsed key. Borrowed from the text; every part is known to be well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey<'a> {
    /// What stands before `AWSLogs`, without the slash; empty where there is none.
    pub prefix: &'a str,
    /// The organization in the path of an organization trail.
    pub organization: Option<OrganizationId>,
    /// The account whose folder it is.
    pub account: AccountId,
    /// The kind of file.
    pub family: Family,
    /// The region whose events (or, for digests, deliveries) it holds.
    pub region: &'a str,
    /// The publish day (for digests: the day of the digest's end).
    pub day: Date,
    /// The last component.
    pub file_name: &'a str,
    /// The stamp in the file name; the start of `day` where the name carries none.
    pub stamp: Stamp,
}

impl<'a> LogKey<'a> {
    /// Parses a key; the error says which part is wrong.
    pub fn parse(key: &'a str) -> Result<Self, KeyError> {
        if key.ends_with('/') {
            return Err(KeyError::Folder);
        }
        let (prefix, rest) = split_at_aws_logs(key).ok_or(KeyError::NotALog)?;
        let mut parts = rest.split('/');
        let mut next =
            |name: &'static str| parts.next().filter(|p| !p.is_empty()).ok_or(KeyError::Part(name));

        let mut account = next("account").map_err(|_| KeyError::Account)?;
        let organization = account.parse::<OrganizationId>().ok();
        if organization.is_some() {
            account = next("account").map_err(|_| KeyError::Account)?;
        }
        let account = account.parse().map_err(|_| KeyError::Account)?;
        let folder = next("family")?;
        let family =
            Family::from_folder(folder).ok_or_else(|| KeyError::Family(folder.chars().take(80).collect()))?;
        let region = next("region")?;
        if !is_region(region) {
            return Err(KeyError::Part("region"));
        }
        let day = parse_day(next("year")?, next("month")?, next("day")?).ok_or(KeyError::Part("day"))?;
        let file_name = next("file name")?;
        if parts.next().is_some() {
            return Err(KeyError::Part("file name"));
        }
        let stamp = Stamp::find(file_name).unwrap_or(Stamp(day.at(0, 0, 0, 0)));
        Ok(Self { prefix, organization, account, family, region, day, file_name, stamp })
    }
}

/// Splits at the last component that equals `AWSLogs`.
fn split_at_aws_logs(key: &str) -> Option<(&str, &str)> {
    let mut end = key.len();
    while let Some(at) = key.get(..end)?.rfind("AWSLogs/") {
        let before = key.get(..at)?;
        if before.is_empty() || before.ends_with('/') {
            return Some((before.trim_end_matches('/'), key.get(at + "AWSLogs/".len()..)?));
        }
        end = at;
    }
    None
}

/// Region names are open (new ones appear), but always short lower-case words joined by dashes.
fn is_region(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn parse_day(year: &str, month: &str, day: &str) -> Option<Date> {
    let digits = |text: &str, width: usize| -> Option<i16> {
        if text.len() == width && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let small = |text: &str| digits(text, 2).and_then(|n| i8::try_from(n).ok());
    Date::new(digits(year, 4)?, small(month)?, small(day)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";

    #[test]
    fn every_layout_parses() {
        for (key, prefix, organization) in [
            (format!("AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/{FILE}"), "", None),
            (
                format!("p/AWSLogs/x/AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/{FILE}"),
                "p/AWSLogs/x",
                None,
            ),
            (
                format!(
                    "o-a1b2c3d4e5/AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/us-east-2/2015/08/01/{FILE}"
                ),
                "o-a1b2c3d4e5",
                Some("o-a1b2c3d4e5"),
            ),
        ] {
            let parsed = LogKey::parse(&key).unwrap();
            assert_eq!(parsed.prefix, prefix);
            assert_eq!(parsed.organization.as_ref().map(OrganizationId::as_str), organization);
            assert_eq!(parsed.account.to_string(), "111122223333");
            assert_eq!((parsed.family, parsed.region), (Family::CloudTrail, "us-east-2"));
            assert_eq!(parsed.stamp.unix_seconds(), 1_438_395_000);
            assert_eq!(parsed.file_name, FILE);
        }
    }

    #[test]
    fn the_folder_tells_the_family() {
        for family in Family::ALL {
            let key = format!("AWSLogs/111122223333/{}/us-east-2/2015/08/01/{FILE}", family.folder());
            assert_eq!(LogKey::parse(&key).unwrap().family, family);
        }
    }

    #[test]
    fn a_digest_stamp_has_seconds_and_stands_last() {
        let name = "111122223333_CloudTrail-Digest_us-east-2_a_20200101T0000Z_b_us-east-1_20150801T021007Z_backfill.json.gz";
        let key = format!("AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/01/{name}");
        assert_eq!(LogKey::parse(&key).unwrap().stamp.unix_seconds(), 1_438_395_007);
    }

    #[test]
    fn what_is_not_a_log_says_why() {
        use KeyError::{Account, Folder, NotALog, Part};
        for (key, error) in [
            ("", NotALog),
            ("xAWSLogs/111122223333/CloudTrail/r/2015/08/01/f", NotALog),
            ("AWSLogs/", Folder),
            ("AWSLogs/CloudTrail/us-east-2/2015/08/01/f", Account),
            ("AWSLogs/111122223333/Config/us-east-2/2015/08/01/f", KeyError::Family("Config".into())),
            ("AWSLogs/111122223333/CloudTrail/us-east-2/2015/13/01/f", Part("day")),
            ("AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01", Part("file name")),
            ("AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/f/g", Part("file name")),
            ("AWSLogs/111122223333/CloudTrail/US/2015/08/01/f", Part("region")),
            ("AWSLogs/111122223333/CloudTrail-Digest", Part("region")),
        ] {
            assert_eq!(LogKey::parse(key), Err(error), "{key}");
        }
    }
}
