//! Roles: which one, in which account, under which session name.
//!
//! In: a name or an ARN from the configuration. Out: a [`Role`] that STS will accept in form. Whatever breaks
//! one of STS's documented limits is refused here, with the limit in the message.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use trailhaul_core::model::AccountId;

use super::Secret;

/// The longest session of a role that was assumed from a role, and a default that every role allows:
/// 3,600 s (STS API reference, `DurationSeconds`: "role chaining limits your session to a maximum of one
/// hour").
pub const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// The shortest session that STS gives.
pub const MIN_DURATION: Duration = Duration::from_secs(900);

/// Why something cannot be a role or a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Neither `arn:PARTITION:iam::ACCOUNT:role/NAME` nor a role's name.
    #[error("{0:?} is neither a role's name nor its ARN (arn:aws:iam::ACCOUNT:role/NAME)")]
    Role(String),
    /// STS takes 2 to 64 characters.
    #[error(
        "session name {0:?} must come to 2 to 64 characters of A-Z a-z 0-9 _ + = , . @ - ({{account}} stands for the account)"
    )]
    Session(String),
    /// STS takes 2 to 1,224 characters. The value is not shown.
    #[error("the external id must have 2 to 1224 characters of A-Z a-z 0-9 _ + = , . @ : / -")]
    ExternalId,
    /// Outside 900 s to 3,600 s.
    #[error("a session must last 900s to 3600s, not {}s: chained roles get no longer one", .0.as_secs())]
    Duration(Duration),
}

/// The ARN of a role.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn {
    partition: String,
    account: AccountId,
    /// Path and name, without `role/`.
    name: String,
}

impl RoleArn {
    /// The account that the role belongs to.
    pub fn account(&self) -> AccountId {
        self.account
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:{}:iam::{}:role/{}", self.partition, self.account, self.name)
    }
}

impl FromStr for RoleArn {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        let parsed = || {
            let rest = text.strip_prefix("arn:")?;
            let (partition, rest) = rest.split_once(':')?;
            let (account, name) = rest.strip_prefix("iam::")?.split_once(':')?;
            let name = name.strip_prefix("role/")?;
            let good = partition.starts_with("aws") && is_role_name(name);
            let account = account.parse().ok()?;
            good.then(|| Self { partition: partition.to_owned(), account, name: name.to_owned() })
        };
        parsed().ok_or_else(|| RoleError::Role(text.chars().take(120).collect()))
    }
}

/// A role as the configuration names it: by name, the same in each account, or by ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RoleTarget {
    /// The role of this name (with its path, if it has one) in whichever account is meant.
    Name(String),
    /// This one role.
    Arn(RoleArn),
}

impl FromStr for RoleTarget {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        if text.starts_with("arn:") {
            return text.parse().map(Self::Arn);
        }
        let name = text.trim_start_matches('/');
        if is_role_name(name) {
            Ok(Self::Name(name.to_owned()))
        } else {
            Err(RoleError::Role(text.chars().take(120).collect()))
        }
    }
}

/// The name of a session, with `{account}` standing for the account of the role. It shows up in CloudTrail
/// as part of the caller's ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionName(String);

impl Default for SessionName {
    fn default() -> Self {
        Self("trailhaul".to_owned())
    }
}

impl FromStr for SessionName {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        let filled = text.replace("{account}", "000000000000");
        let good = (2..=64).contains(&filled.len()) && filled.bytes().all(is_session_byte);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(RoleError::Session(text.chars().take(120).collect()))
        }
    }
}

impl SessionName {
    fn in_account(&self, account: AccountId) -> String {
        self.0.replace("{account}", &account.to_string())
    }
}

/// What the configuration says of a role, before the account is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleTemplate {
    target: RoleTarget,
    external_id: Option<Secret>,
    session: SessionName,
    duration: Duration,
}

impl RoleTemplate {
    /// A role with the default session name and duration ([`MAX_DURATION`]) and no external id.
    pub fn new(target: RoleTarget) -> Self {
        Self { target, external_id: None, session: SessionName::default(), duration: MAX_DURATION }
    }

    /// With this external id.
    pub fn with_external_id(mut self, id: Secret) -> Result<Self, RoleError> {
        let text = id.expose();
        let allowed = |b: u8| is_session_byte(b) || b == b':' || b == b'/';
        if !(2..=1224).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(RoleError::ExternalId);
        }
        self.external_id = Some(id);
        Ok(self)
    }

    /// With this session name.
    #[must_use]
    pub fn with_session(mut self, session: SessionName) -> Self {
        self.session = session;
        self
    }

    /// With sessions of this length, 900 s to 3,600 s.
    pub fn with_duration(mut self, duration: Duration) -> Result<Self, RoleError> {
        if !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(RoleError::Duration(duration));
        }
        self.duration = duration;
        Ok(self)
    }

    /// The role in this account. A template that names an ARN means that role, whatever the account. The
    /// region tells the partition of a role that is given by name.
    pub fn in_account(&self, account: AccountId, region: &str) -> Role {
        let arn = match &self.target {
            RoleTarget::Arn(arn) => arn.clone(),
            RoleTarget::Name(name) => {
                RoleArn { partition: partition_of(region).to_owned(), account, name: name.clone() }
            }
        };
        Role {
            session: self.session.in_account(arn.account),
            arn,
            external_id: self.external_id.clone(),
            duration: self.duration,
        }
    }
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    pub(super) arn: RoleArn,
    pub(super) external_id: Option<Secret>,
    pub(super) session: String,
    pub(super) duration: Duration,
}

impl Role {
    /// Its ARN.
    pub fn arn(&self) -> &RoleArn {
        &self.arn
    }
}

/// The partition of a region (AWS General Reference, "Amazon Resource Names").
pub(crate) fn partition_of(region: &str) -> &'static str {
    let prefixes = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    prefixes.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// Path and name of a role: the name has at most 64 characters, the path at most 512 (IAM quotas).
fn is_role_name(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or(text);
    (1..=64).contains(&name.len())
        && text.len() <= 512 + 64
        && text.split('/').all(|part| !part.is_empty() && part.bytes().all(is_session_byte))
}

fn is_session_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_survives_its_text() {
        for text in
            ["arn:aws:iam::111122223333:role/TrailhaulReader", "arn:aws-us-gov:iam::000000000001:role/a/b/C"]
        {
            assert_eq!(text.parse::<RoleArn>().unwrap().to_string(), text);
        }
        for wrong in [
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/a//b",
            "arn:gcp:iam::111122223333:role/x",
            "arn:aws:sts::111122223333:role/x",
        ] {
            assert!(wrong.parse::<RoleArn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_becomes_the_role_of_the_account_and_partition() {
        let template = RoleTemplate::new("audit/TrailhaulReader".parse().unwrap())
            .with_session("trailhaul-{account}".parse().unwrap());
        let role = template.in_account("111122223333".parse().unwrap(), "cn-north-1");
        assert_eq!(role.arn().to_string(), "arn:aws-cn:iam::111122223333:role/audit/TrailhaulReader");
        assert_eq!(role.session, "trailhaul-111122223333");
    }

    #[test]
    fn an_arn_stays_itself_whatever_the_account() {
        let arn = "arn:aws:iam::444455556666:role/Reader";
        let template = RoleTemplate::new(arn.parse().unwrap());
        let role = template.in_account("111122223333".parse().unwrap(), "eu-central-1");
        assert_eq!((role.arn().to_string().as_str(), role.arn().account().as_u64()), (arn, 444_455_556_666));
    }

    #[test]
    fn the_limits_of_sts_are_kept() {
        let template = || RoleTemplate::new(RoleTarget::Name("R".to_owned()));
        assert!("x".parse::<SessionName>().is_err());
        assert!("{account}-{account}-{account}-{account}-{account}-".parse::<SessionName>().is_err());
        assert!("has space".parse::<SessionName>().is_err());
        assert!(template().with_duration(Duration::from_secs(899)).is_err());
        assert!(template().with_duration(Duration::from_secs(3_601)).is_err());
        assert!(template().with_external_id(Secret::new("x")).is_err());
        let error = template().with_external_id(Secret::new("planted secret")).unwrap_err();
        assert!(!error.to_string().contains("planted"));
        assert!(template().with_external_id(Secret::new("team:7/x")).is_ok());
    }
}
