//! `organization`: which accounts, and how to get into them.

use std::collections::BTreeSet;
use std::time::Duration;

use trailhaul_core::model::{AccountId, OrganizationId};

use super::key::{Form, Key, Kind};
use super::section::{Context, Item, Section, Shape, form};
use super::support;
use super::value::Secret;
use super::values::{DAY, MINUTE};
use super::yaml::Node;

/// The organization whose accounts are hauled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Pins whose trail a bucket may carry.
    pub id: Option<OrganizationId>,
    /// What people call it; for output only.
    pub name: Option<String>,
    /// Whose logs are hauled.
    pub accounts: Accounts,
    /// The role that readers take in the account that owns a trail's bucket; own credentials without it.
    pub role: Option<Role>,
}

/// Whose logs are hauled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Every account that a trail may carry.
    Carried,
    /// These, and no others.
    Listed(BTreeSet<AccountId>),
    /// Those of the organization, as AWS Organizations lists them.
    Discovered {
        /// Only those that one of these names; all when empty.
        include: Vec<AccountMatch>,
        /// None of these; stronger than `include`.
        exclude: Vec<AccountMatch>,
    },
}

/// A condition on an account of the organization. Every field that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountMatch {
    /// The account's id.
    pub id: Option<AccountId>,
    /// The account's name, exactly.
    pub name: Option<String>,
    /// A tag, `KEY=VALUE`, or `KEY` for any value.
    pub tag: Option<String>,
    /// An organizational unit (`ou-…`) or root (`r-…`) that the account lies under, at any depth.
    pub ou: Option<String>,
}

/// A role to take before reading or writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Which role.
    pub target: RoleTarget,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<Secret>,
    /// The session name that CloudTrail will show (2 to 64 of `[\w+=,.@-]`, STS AssumeRole), in which
    /// `{account}` stands for the role's account.
    pub session_name: String,
    /// How long a session lasts (15 minutes to 12 hours, STS AssumeRole; chained roles get one hour at most).
    pub duration: Duration,
}

/// Which role to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleTarget {
    /// The role of this name (with its path) in whichever account is entered.
    Name(String),
    /// This very role.
    Arn(String),
}

impl RoleTarget {
    /// The ARN of the role in `account`; `partition` is `aws`, `aws-us-gov` or `aws-cn`.
    pub fn arn(&self, partition: &str, account: AccountId) -> String {
        match self {
            Self::Name(name) => format!("arn:{partition}:iam::{account}:role/{name}"),
            Self::Arn(arn) => arn.clone(),
        }
    }
}

const MATCH: &[Key] = &[
    Key::optional("id", Kind::Text(Form::Account), "The account's id."),
    Key::optional("name", Kind::Text(Form::Any), "The account's name, exactly."),
    Key::optional("tag", Kind::Text(Form::Any), "A tag, KEY=VALUE, or KEY for any value."),
    Key::optional("ou", Kind::Text(Form::Any), "An organizational unit (ou-…) or root (r-…), at any depth."),
];

const DISCOVERY: &[Key] = &[
    Key::required("discover", Kind::Choice(&["organizations"]), "Ask AWS Organizations for the accounts."),
    Key::optional("include", Kind::List(&Kind::Group(MATCH)), "Only accounts that one of these names."),
    Key::optional("exclude", Kind::List(&Kind::Group(MATCH)), "No account that one of these names."),
];

pub(super) const ROLE: &[Key] = &[
    Key::optional("name", Kind::Text(Form::Any), "The role's name in each account; this or arn."),
    Key::optional("arn", Kind::Text(Form::RoleArn), "One role, wherever it is used; this or name."),
    Key::optional(
        "external_id",
        Kind::Text(Form::Secret),
        "The external id of the trust policy; never shown.",
    ),
    Key::with_default(
        "session_name",
        Kind::Text(Form::Any),
        "trailhaul",
        "The session name, as CloudTrail shows it; {account} stands for the role's account.",
    ),
    Key::with_default(
        "duration",
        Kind::Duration(Duration::from_secs(15 * MINUTE), Duration::from_secs(DAY / 2)),
        "1h",
        "How long a session lasts before it is renewed.",
    ),
];

pub(super) const KEYS: &[Key] = &[
    Key::optional("id", Kind::Text(Form::Organization), "Pins whose trail a bucket may carry."),
    Key::optional("name", Kind::Text(Form::Any), "What people call the organization; for output only."),
    Key::optional(
        "accounts",
        Kind::Either(&[Kind::List(&Kind::Text(Form::Account)), Kind::Group(DISCOVERY)]),
        "Whose logs are hauled: a list of ids, or discover. Without it, all that the trails may carry.",
    ),
    Key::optional("role", Kind::Group(ROLE), "The role to take in the account that owns a trail's bucket."),
];

pub(super) fn build(s: &Section<'_>) -> Option<Organization> {
    let id = s.optional("id", form(Form::Organization));
    let name = s.text("name");
    let accounts = accounts(s);
    let role = optional_role(s, "role");
    Some(Organization { id: id?, name: name?, accounts: accounts?, role: role? })
}

fn accounts(s: &Section<'_>) -> Option<Accounts> {
    match s.shape("accounts") {
        Shape::Absent => Some(Accounts::Carried),
        Shape::Group => {
            s.needs("accounts", support::discover_accounts());
            let discovery = s.group("accounts", DISCOVERY)?;
            let include = matches(&discovery, "include");
            let exclude = matches(&discovery, "exclude");
            Some(Accounts::Discovered { include: include?, exclude: exclude? })
        }
        Shape::List | Shape::Scalar => {
            let ids = s.scalars("accounts", form(Form::Account))?;
            if ids.is_empty() {
                s.problem("accounts", "the list is empty; remove the key to haul all that the trails carry");
            }
            Some(Accounts::Listed(ids.into_iter().collect()))
        }
    }
}

fn matches(s: &Section<'_>, name: &str) -> Option<Vec<AccountMatch>> {
    let read: Vec<_> = s.list(name)?.iter().map(|item| account_match(item, s.cx)).collect();
    read.into_iter().collect()
}

fn account_match(item: &Item<'_>, cx: &Context) -> Option<AccountMatch> {
    let s = Section::open(item, MATCH, cx)?;
    let id = s.optional("id", form(Form::Account));
    let name = s.text("name");
    let tag = s.text("tag");
    let ou = s.text("ou");
    let found = AccountMatch { id: id?, name: name?, tag: tag?, ou: ou? };
    if found == (AccountMatch { id: None, name: None, tag: None, ou: None }) {
        cx.problem(&item.node.origin, &item.path, "names nothing; give id, name, tag or ou");
    }
    Some(found)
}

/// The role under a key: `Some(None)` where there is none.
#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
pub(super) fn optional_role(s: &Section<'_>, name: &str) -> Option<Option<Role>> {
    match s.item(name) {
        None => Some(None),
        Some(item) => role(&item, s.cx).map(Some),
    }
}

fn role(item: &Item<'_>, cx: &Context) -> Option<Role> {
    let s = Section::open(item, ROLE, cx)?;
    let name = s.optional("name", role_name);
    let arn = s.optional("arn", role_arn);
    let external_id = s.optional("external_id", |text| Ok(Secret::new(text)));
    let session_name = s.read("session_name", session_name);
    let duration = s.duration("duration");
    let target = match (name?, arn?) {
        (Some(name), None) => Some(RoleTarget::Name(name)),
        (None, Some(arn)) => Some(RoleTarget::Arn(arn)),
        _ => {
            cx.problem(&item.node.origin, &item.path, "give name or arn, one of the two");
            None
        }
    };
    Some(Role {
        target: target?,
        external_id: external_id?,
        session_name: session_name?,
        duration: duration?,
    })
}

/// Path and name of a role (IAM API: 64 characters of `[\w+=,.@-]`, the path up to 512).
fn role_name(text: &str) -> Result<String, String> {
    let name = text.trim_start_matches('/');
    let good = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    if name.is_empty() || name.len() > 576 || name.ends_with('/') || !name.chars().all(good) {
        return Err("expected a role name such as TrailhaulReader".into());
    }
    Ok(name.to_owned())
}

fn role_arn(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws")
                && account.parse::<AccountId>().is_ok()
                && role.strip_prefix("role/").is_some_and(|name| role_name(name).is_ok()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!("expected {}", Form::RoleArn.describe())),
    }
}

fn session_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
    let filled = text.replace("{account}", "000000000000");
    if (2..=64).contains(&filled.len()) && filled.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err("expected 2 to 64 letters, digits or +=,.@-_, with {account} counting as 12".into())
}

/// Whether a node is the word `none`.
pub(super) fn is_none(node: &Node) -> bool {
    matches!(&node.value, super::yaml::Value::Scalar(text, _) if text == "none")
}
