//! Roles: which one, in which account, under which session name.
//!
//! In: a role of the configuration, by name or by ARN, and the account. Out: a [`Role`] that STS will accept in
//! form. Whatever breaks one of STS's documented limits is refused here, with the limit in the message.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use trailhaul_core::model::AccountId;

use crate::config::{self, Secret};

/// The longest session of a role that was assumed from a role, 3,600 s (STS API reference, AssumeRole).
pub(super) const MAX_CHAINED: Duration = Duration::from_secs(3_600);

/// The longest and the shortest session that STS gives at all.
const MAX_DURATION: Duration = Duration::from_secs(43_200);
const MIN_DURATION: Duration = Duration::from_secs(900);

/// Why something cannot be a role or a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Neither `arn:PARTITION:iam::ACCOUNT:role/NAME` nor a role's name.
    #[error("{0:?} is neither a role's name nor its ARN (arn:aws:iam::ACCOUNT:role/NAME)")]
    Role(String),
    /// A name alone does not say in which account the role is.
    #[error("the role is given by its name, and nothing tells the account; give the role's arn")]
    NoAccount,
    /// STS takes 2 to 64 characters.
    #[error(
        "session name {0:?} must come to 2 to 64 characters of A-Z a-z 0-9 _ + = , . @ - ({{account}} stands for the account)"
    )]
    Session(String),
    /// STS takes 2 to 1,224 characters. The value is not shown.
    #[error("the external id must have 2 to 1224 characters of A-Z a-z 0-9 _ + = , . @ : / -")]
    ExternalId,
    /// Outside 900 s to 43,200 s.
    #[error("a session must last 900s to 43200s, not {}s", .0.as_secs())]
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

/// A role to assume: everything that AssumeRole is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Role {
    pub(super) arn: RoleArn,
    pub(super) external_id: Option<Secret>,
    pub(super) session: String,
    pub(super) duration: Duration,
}

impl Role {
    /// The configured role in this account. One that is configured by its ARN is that role, whatever the
    /// account. The region tells the partition of a role that is given by name.
    ///
    /// # Errors
    /// Whatever breaks a limit of STS.
    pub fn new(configured: &config::Role, account: AccountId, region: &str) -> Result<Self, RoleError> {
        let arn: RoleArn = match &configured.target {
            config::RoleTarget::Arn(arn) => arn.parse()?,
            config::RoleTarget::Name(name) => {
                format!("arn:{}:iam::{account}:role/{name}", partition_of(region)).parse()?
            }
        };
        if !(MIN_DURATION..=MAX_DURATION).contains(&configured.duration) {
            return Err(RoleError::Duration(configured.duration));
        }
        if configured.external_id.as_ref().is_some_and(|id| !is_external_id(id.expose())) {
            return Err(RoleError::ExternalId);
        }
        let session = configured.session_name.replace("{account}", &arn.account.to_string());
        if !(2..=64).contains(&session.len()) || !session.bytes().all(is_session_byte) {
            return Err(RoleError::Session(session));
        }
        Ok(Self { arn, external_id: configured.external_id.clone(), session, duration: configured.duration })
    }

    /// Its ARN.
    pub fn arn(&self) -> &RoleArn {
        &self.arn
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({})", self.arn)
    }
}

/// By everything but the external id: equal roles have equal hashes, and no hash tells of a secret.
impl std::hash::Hash for Role {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.arn, &self.session, self.duration).hash(state);
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

fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && text.bytes().all(|b| is_session_byte(b) || b == b':' || b == b'/')
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

    fn configured(target: &str) -> config::Role {
        let arn = target.starts_with("arn:");
        config::Role {
            target: if arn {
                config::RoleTarget::Arn(target.to_owned())
            } else {
                config::RoleTarget::Name(target.to_owned())
            },
            external_id: None,
            session_name: "trailhaul-{account}".to_owned(),
            duration: MAX_CHAINED,
        }
    }

    fn new(role: &config::Role) -> Result<Role, RoleError> {
        Role::new(role, "111122223333".parse().unwrap(), "cn-north-1")
    }

    #[test]
    fn a_name_becomes_the_role_of_the_account_and_partition() {
        let role = new(&configured("audit/TrailhaulReader")).unwrap();
        assert_eq!(role.arn().to_string(), "arn:aws-cn:iam::111122223333:role/audit/TrailhaulReader");
        assert_eq!(role.session, "trailhaul-111122223333");
    }

    #[test]
    fn an_arn_stays_itself_whatever_the_account() {
        let arn = "arn:aws:iam::444455556666:role/Reader";
        let role = new(&configured(arn)).unwrap();
        assert_eq!((role.arn().to_string().as_str(), role.arn().account().as_u64()), (arn, 444_455_556_666));
        assert_eq!(role.session, "trailhaul-444455556666");
    }

    #[test]
    fn the_limits_of_sts_are_kept() {
        let with = |change: fn(&mut config::Role)| {
            let mut role = configured("R");
            change(&mut role);
            new(&role)
        };
        assert!(with(|_| {}).is_ok());
        assert!(with(|role| role.external_id = Some(Secret::new("team:7/x"))).is_ok());
        assert!(with(|role| role.session_name = "x".to_owned()).is_err());
        assert!(with(|role| role.session_name = "has space".to_owned()).is_err());
        assert!(with(|role| role.session_name = "{account}".repeat(6)).is_err());
        assert!(with(|role| role.duration = Duration::from_secs(899)).is_err());
        assert!(with(|role| role.duration = Duration::from_secs(43_201)).is_err());
        let error = with(|role| role.external_id = Some(Secret::new("planted secret"))).unwrap_err();
        assert!(error == RoleError::ExternalId && !format!("{error} {error:?}").contains("planted"));
    }
}
