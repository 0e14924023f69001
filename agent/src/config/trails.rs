//! `trails`: the buckets that CloudTrail writes to, and for whom each may speak.

use std::collections::BTreeSet;

use trailhaul_core::model::{AccountId, Family, OrganizationId};

use super::choice::{Choice as _, choices};
use super::key::{Form, Key, Kind};
use super::organization::{self, Organization, ROLE, Role, is_none};
use super::section::{Context, Item, Section, Shape, choice, form};
use super::support;
use super::value::Place;

/// Where the trails come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trails {
    /// These, in the order of the file; never empty.
    Listed(Vec<Trail>),
    /// Those that the accounts' CloudTrail names.
    Discovered,
}

/// One trail's bucket. Whatever it holds beyond what it may carry is a finding, not input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// Unique among the trails; for logs, metrics and output.
    pub name: String,
    /// Bucket and prefix; the keys below begin with `AWSLogs/`.
    pub place: Place,
    /// The account that must own the bucket; always known for `s3://`.
    pub owner: Option<AccountId>,
    /// The accounts that the bucket may carry.
    pub carries: Carries,
    /// The families to haul; digests are read where integrity asks for them, whatever stands here.
    pub families: BTreeSet<Family>,
    /// All CloudTrail trails that write here, by name, where the file says so; each makes digests.
    pub writers: Option<BTreeSet<String>>,
    /// The bucket's region; found out where it is not given.
    pub region: Option<String>,
    /// The role that reads the bucket; the organization's unless the trail has its own or `none`.
    pub role: Option<Role>,
}

/// For whom a bucket may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carries {
    /// For the accounts below this organization's folder.
    Organization(OrganizationId),
    /// For these accounts, never empty, whether below an organization's folder or not.
    Accounts(BTreeSet<AccountId>),
}

impl Trails {
    /// The trails of the file; none while they are still to be discovered.
    pub fn listed(&self) -> &[Trail] {
        match self {
            Self::Listed(trails) => trails,
            Self::Discovered => &[],
        }
    }
}

impl Trail {
    /// Whether an object of this account, found below this organization's folder (`None`: below none), is
    /// one that the bucket may carry.
    pub fn may_carry(&self, organization: Option<&OrganizationId>, account: AccountId) -> bool {
        self.carries.includes(organization, account)
    }
}

impl Carries {
    /// Whether logs of this account, found below this organization's folder (`None`: below none), are among
    /// them.
    pub fn includes(&self, organization: Option<&OrganizationId>, account: AccountId) -> bool {
        match self {
            Self::Organization(pinned) => organization == Some(pinned),
            Self::Accounts(accounts) => accounts.contains(&account),
        }
    }
}

choices! {
    /// The families as the file names them.
    FamilyName {
        /// Management and data events.
        CloudTrail = "cloudtrail",
        /// Insights events.
        Insight = "insight",
        /// Network activity events of VPC endpoints.
        NetworkActivity = "network-activity",
        /// Five-minute aggregations of data events.
        Aggregated = "aggregated",
    }
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Self {
        match name {
            FamilyName::CloudTrail => Self::CloudTrail,
            FamilyName::Insight => Self::Insight,
            FamilyName::NetworkActivity => Self::NetworkActivity,
            FamilyName::Aggregated => Self::Aggregated,
        }
    }
}

pub(super) const DISCOVERY: &[Key] =
    &[Key::required("discover", Kind::Flag, "true: ask each account's CloudTrail for its trails.")];

pub(super) const TRAIL: &[Key] = &[
    Key::optional(
        "name",
        Kind::Text(Form::Name),
        "Unique among the trails; without it, made from the bucket.",
    ),
    Key::required("bucket", Kind::Text(Form::Place), "Where CloudTrail writes; the prefix may stand here."),
    Key::optional("prefix", Kind::Text(Form::Any), "What stands before AWSLogs/ in the keys."),
    Key::optional(
        "owner",
        Kind::Text(Form::Account),
        "The account that must own the bucket; required for s3://.",
    ),
    Key::optional(
        "organization",
        Kind::Text(Form::Organization),
        "The organization whose trail writes here; organization.id without it.",
    ),
    Key::optional(
        "region",
        Kind::Text(Form::Region),
        "The bucket's region; found out where it is not given.",
    ),
    Key::optional(
        "role",
        Kind::Either(&[Kind::Text(Form::None), Kind::Group(ROLE)]),
        "The role that reads the bucket instead of organization.role, or none.",
    ),
    Key::with_default(
        "carries",
        Kind::Either(&[Kind::Choice(&["owner", "organization"]), Kind::List(&Kind::Text(Form::Account))]),
        "owner",
        "Whose logs the bucket may hold; anything else in it is a finding.",
    ),
    Key::optional(
        "families",
        Kind::List(&Kind::Choice(FamilyName::NAMES)),
        "The kinds of file to haul; all without it. Digests are read where integrity needs them.",
    ),
    Key::optional(
        "writers",
        Kind::List(&Kind::Text(Form::Any)),
        "All CloudTrail trails that write here, by name. Without it no log file is ever called extra.",
    ),
];

/// Reads the trails of the root section; `organization` gives what a trail does not say itself, and is `None`
/// when it could not be read. Trails that cannot be read are left out, their problems noted; the numbers are the
/// places in the file's list of those that could.
pub(super) fn build(root: &Section<'_>, organization: Option<&Organization>) -> (Trails, Vec<usize>) {
    if root.shape("trails") == Shape::Group {
        return (discovered(root), Vec::new());
    }
    let items = root.list("trails").unwrap_or_default();
    if items.is_empty() && root.shape("trails") == Shape::List {
        root.problem("trails", "the list is empty; there is nothing to haul");
    }
    let read =
        items.iter().enumerate().filter_map(|(row, item)| Some((trail(item, organization, root.cx)?, row)));
    let (trails, rows) = read.unzip();
    (Trails::Listed(trails), rows)
}

fn discovered(root: &Section<'_>) -> Trails {
    let asked = root.item("trails").is_some_and(|item| item.node.get("discover").is_some());
    if !asked {
        root.problem("trails", "expected a list of trails (each begins with a dash), or discover: true");
        return Trails::Listed(Vec::new());
    }
    root.needs("trails", support::discover_trails());
    if let Some(s) = root.group("trails", DISCOVERY)
        && s.flag("discover") == Some(false)
    {
        s.problem("discover", "false says nothing; list the trails instead");
    }
    Trails::Discovered
}

fn trail(item: &Item<'_>, organization: Option<&Organization>, cx: &Context) -> Option<Trail> {
    let s = Section::open(item, TRAIL, cx)?;
    let name = s.optional("name", super::sinks::name);
    let bucket = s.read("bucket", |text| Place::parse(text, cx.base()));
    let prefix = s.optional("prefix", super::sinks::prefix);
    let owner = owner(&s, bucket.as_ref());
    let carries = carries(&s, owner, organization);
    let families = families(&s);
    let writers = writers(&s);
    let region = s.optional("region", super::aws::region);
    let folder = bucket.as_ref().is_some_and(|place| place.folder().is_some());
    let role = match s.item("role") {
        Some(item) if is_none(item.node) => Some(None),
        Some(_) => organization::optional_role(&s, "role"),
        None if folder => Some(None),
        None => Some(organization.and_then(|organization| organization.role.clone())),
    };
    for key in ["region", "role"] {
        if folder && s.item(key).is_some() {
            s.problem(key, "means nothing for a folder; remove it or use s3://");
        }
    }
    let place = bucket?.below(prefix?.as_deref().unwrap_or(""));
    let name = name?.unwrap_or_else(|| name_of(&place));
    let (owner, carries) = (owner?, carries?);
    let (families, writers, region, role) = (families?, writers?, region?, role?);
    Some(Trail { name, place, owner, carries, families, writers, region, role })
}

#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
fn owner(s: &Section<'_>, bucket: Option<&Place>) -> Option<Option<AccountId>> {
    let owner = s.optional("owner", form::<AccountId>(Form::Account))?;
    if owner.is_none() && bucket?.s3_bucket().is_some() {
        s.problem("owner", "is missing; every s3:// bucket pins the account that owns it");
        return None;
    }
    Some(owner)
}

#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
fn carries(
    s: &Section<'_>,
    owner: Option<Option<AccountId>>,
    organization: Option<&Organization>,
) -> Option<Carries> {
    let pinned = s.optional("organization", form::<OrganizationId>(Form::Organization));
    if s.shape("carries") == Shape::List {
        let accounts = s.scalars("carries", form::<AccountId>(Form::Account))?;
        if accounts.is_empty() {
            s.problem("carries", "the list is empty; such a bucket could carry nothing");
        }
        return Some(Carries::Accounts(accounts.into_iter().collect()));
    }
    let whole = s.read("carries", |text| match text {
        "owner" => Ok(false),
        "organization" => Ok(true),
        _ => Err("expected owner, organization, or a list of account ids".into()),
    })?;
    if whole {
        let pinned = match pinned? {
            Some(pinned) => Some(pinned),
            None => organization?.id.clone(),
        };
        if pinned.is_none() {
            s.problem("carries", "whose organization? give organization.id, or organization here");
        }
        return pinned.map(Carries::Organization);
    }
    let owner = owner?;
    if owner.is_none() {
        s.problem("carries", "whose logs may it hold? give owner, or carries: [account ids]");
    }
    owner.map(|owner| Carries::Accounts([owner].into()))
}

fn families(s: &Section<'_>) -> Option<BTreeSet<Family>> {
    let names: Vec<FamilyName> = s.scalars("families", choice::<FamilyName>)?;
    if s.shape("families") == Shape::Absent {
        return Some(FamilyName::ALL.iter().copied().map(Family::from).collect());
    }
    if names.is_empty() {
        s.problem("families", "the list is empty; remove the key to haul every family");
    }
    Some(names.into_iter().map(Family::from).collect())
}

#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
fn writers(s: &Section<'_>) -> Option<Option<BTreeSet<String>>> {
    if s.shape("writers") == Shape::Absent {
        return Some(None);
    }
    let name = |text: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let is_name = (3..=128).contains(&text.len()) && text.bytes().all(good);
        if is_name {
            Ok(text.to_owned())
        } else {
            Err(String::from("expected the name of a CloudTrail trail"))
        }
    };
    let names: Vec<String> = s.scalars("writers", name)?;
    if names.is_empty() {
        s.problem("writers", "the list is empty; remove the key where the trails are not known");
    }
    Some(Some(names.into_iter().collect()))
}

/// A name made from the last part of a place: letters, digits and dashes.
fn name_of(place: &Place) -> String {
    let text = place.to_string();
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let clean: String =
        last.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let clean: String = clean.trim_matches('-').chars().take(40).collect();
    if clean.is_empty() { "trail".into() } else { clean }
}
