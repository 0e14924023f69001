//! An archive: the organization's logs in one bucket or folder, and (at home) the journal.

use std::time::Duration;

use trailhaul_core::model::AccountId;

use crate::config::choice::{Choice as _, choices};
use crate::config::key::{Form, Key, Kind};
use crate::config::organization::{ROLE, RoleTarget, optional_role};
use crate::config::section::{Context, Item, Section, choice, form};
use crate::config::support;
use crate::config::value::Place;
use crate::config::values::DAY;

use super::{Compression, Encoding, Format, Role, sink_keys};

/// An archive's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it lies: `data/`, `journal/` and the others are below this.
    pub place: Place,
    /// Whether it holds the journal. Exactly one archive of a configuration does.
    pub home: bool,
    /// How data objects are compressed.
    pub compression: Compression,
    /// How records are packed.
    pub encoding: Encoding,
    /// Of Parquet: what the names of the custom sources begin with.
    pub source: String,
    /// What the path of a data object tells besides the day, in this order.
    pub partition: Vec<PartitionBy>,
    /// The number of lanes, fixed when the archive is created.
    pub lanes: u16,
    /// Whether verbatim copies of the source objects are kept under `originals/`.
    pub originals: bool,
    /// The storage class of data objects.
    pub storage_class: StorageClass,
    /// The KMS key (id, ARN or alias) for everything in the archive; the bucket's own settings without it.
    pub kms_key: Option<String>,
    /// How data objects age, in the order of the file.
    pub lifecycle: Vec<LifecycleRule>,
    /// The bucket's region; found out where it is not given.
    pub region: Option<String>,
    /// The account that must own the bucket; that of the role's ARN without it.
    pub owner: Option<AccountId>,
    /// The role that writes; own credentials without it.
    pub role: Option<Role>,
}

/// One step of a data object's ageing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// How long after the object was written; whole days.
    pub after: Duration,
    /// What happens then.
    pub action: LifecycleAction,
}

/// What happens to an object that has aged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleAction {
    /// It moves to this class.
    MoveTo(StorageClass),
    /// It is deleted.
    Expire,
}

choices! {
    /// What the path of a data object tells besides the day.
    PartitionBy {
        /// `account=111122223333/`.
        Account = "account",
        /// `region=eu-central-1/`.
        Region = "region",
    }
}

choices! {
    /// S3 storage classes, by the names that S3 gives them.
    StorageClass {
        /// The default.
        Standard = "STANDARD",
        /// S3 moves objects between tiers itself.
        IntelligentTiering = "INTELLIGENT_TIERING",
        /// Infrequent access.
        StandardIa = "STANDARD_IA",
        /// Infrequent access, one zone.
        OnezoneIa = "ONEZONE_IA",
        /// Archive that can be read at once.
        GlacierIr = "GLACIER_IR",
        /// Archive that must be restored first.
        Glacier = "GLACIER",
        /// The coldest archive.
        DeepArchive = "DEEP_ARCHIVE",
    }
}

const RULE: &[Key] = &[
    Key::optional("to", Kind::Choice(StorageClass::NAMES), "The class to move to; with after."),
    Key::optional(
        "after",
        Kind::Duration(Duration::from_secs(DAY), Duration::from_secs(36_500 * DAY)),
        "The age at which objects move, in whole days.",
    ),
    Key::optional(
        "expire",
        Kind::Duration(Duration::from_secs(DAY), Duration::from_secs(36_500 * DAY)),
        "The age at which objects are deleted, in whole days; stands alone.",
    ),
];

pub(in crate::config) const KEYS: &[Key] = sink_keys![
    Key::required("bucket", Kind::Text(Form::Place), "Where the archive lies; the prefix may stand here."),
    Key::optional(
        "prefix",
        Kind::Text(Form::Any),
        "A prefix below the bucket for everything in the archive."
    ),
    Key::optional(
        "home",
        Kind::Flag,
        "Whether this archive holds the journal; needed when there are several."
    ),
    Key::with_default(
        "compression",
        Kind::Choice(Compression::NAMES),
        "zstd",
        "How data objects are compressed."
    ),
    Key::with_default("encoding", Kind::Choice(Encoding::NAMES), "ndjson", "How records are packed."),
    Key::with_default(
        "source",
        Kind::Text(Form::Any),
        "trailhaul",
        "Of Parquet: what the names of the custom sources of Security Lake begin with, such as trailhaul-api.",
    ),
    Key::optional(
        "partition",
        Kind::List(&Kind::Choice(PartitionBy::NAMES)),
        "What paths tell besides the day; more of it makes smaller objects.",
    ),
    Key::with_default(
        "lanes",
        Kind::Count(1, 1024),
        "16",
        "The number of lanes, fixed when the archive is created."
    ),
    Key::with_default(
        "originals",
        Kind::Flag,
        "false",
        "Whether verbatim copies of the source objects are kept."
    ),
    Key::with_default(
        "storage_class",
        Kind::Choice(StorageClass::NAMES),
        "STANDARD",
        "The class of data objects."
    ),
    Key::optional(
        "kms_key",
        Kind::Text(Form::Any),
        "The KMS key for the archive; the bucket's settings without it."
    ),
    Key::optional("lifecycle", Kind::List(&Kind::Group(RULE)), "How data objects age."),
    Key::optional(
        "region",
        Kind::Text(Form::Region),
        "The bucket's region; found out where it is not given."
    ),
    Key::optional(
        "owner",
        Kind::Text(Form::Account),
        "The account that must own the bucket; that of the role's ARN without it.",
    ),
    Key::optional("role", Kind::Group(ROLE), "The role that writes; own credentials without it."),
];

pub(super) fn build(s: &Section<'_>) -> Option<Archive> {
    let bucket = s.read("bucket", |text| Place::parse(text, s.cx.base()));
    let prefix = s.optional("prefix", super::prefix);
    let home = if s.item("home").is_some() { s.flag("home") } else { Some(false) };
    let compression = s.choice::<Compression>("compression");
    let encoding = s.choice::<Encoding>("encoding");
    let source = s.read("source", source);
    if let Some(encoding) = encoding {
        check_encoding(s, encoding);
    }
    let partition = s.scalars("partition", choice::<PartitionBy>);
    let lanes = s.count("lanes").and_then(|lanes| u16::try_from(lanes).ok());
    let originals = s.flag("originals");
    let storage_class = s.choice::<StorageClass>("storage_class");
    let kms_key = s.text("kms_key");
    let lifecycle = lifecycle(s);
    let region = s.optional("region", crate::config::aws::region);
    let owner = s.optional("owner", form::<AccountId>(Form::Account));
    let role = optional_role(s, "role");
    if let (Some(None), Some(Some(Role { target: RoleTarget::Name(_), .. }))) = (owner, &role) {
        s.problem(
            "role",
            "is given by its name, and nothing tells the account; give owner, or the role's arn",
        );
    }
    if let Some(place) = &bucket {
        check_place(s, place);
    }
    if originals == Some(true) {
        s.needs("originals", support::originals());
    }
    if let Some(StorageClass::Glacier | StorageClass::DeepArchive) = storage_class {
        s.problem("storage_class", "cannot be read back; write warmer and use lifecycle");
    }
    if let Some(parts) = &partition
        && parts.iter().enumerate().any(|(index, part)| parts.iter().take(index).any(|other| other == part))
    {
        s.problem("partition", "names the same part twice");
    }
    Some(Archive {
        place: bucket?.below(prefix?.as_deref().unwrap_or("")),
        home: home?,
        compression: compression?,
        encoding: encoding?,
        source: source?,
        partition: partition?,
        lanes: lanes?,
        originals: originals?,
        storage_class: storage_class?,
        kms_key: kms_key?,
        lifecycle: lifecycle?,
        region: region?,
        owner: owner?,
        role: role?,
    })
}

/// Parquet has a layout of its own, of several files per batch, so nothing can hang on one of them.
fn check_encoding(s: &Section<'_>, encoding: Encoding) {
    if encoding != Encoding::Parquet {
        if s.item("source").is_some() {
            s.problem("source", "means something for encoding: parquet alone; remove it");
        }
        return;
    }
    if s.item("home").is_some() {
        let message = "a home archive keeps one object per batch; write parquet to an archive beside it";
        s.problem("home", message);
    }
    for key in ["compression", "partition", "lanes", "originals"] {
        if s.item(key).is_some() {
            s.problem(key, "means nothing for encoding: parquet, which has a layout of its own; remove it");
        }
    }
}

/// Part of a name of a custom source (Security Lake API, sourceName: `[\w\-_:.]`, 64 characters in all).
fn source(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= 50 && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 50 letters, digits or -_.".into())
}

/// What the kind of store can and cannot do.
fn check_place(s: &Section<'_>, place: &Place) {
    if place.folder().is_none() {
        if s.item("lifecycle").is_some() {
            s.needs("lifecycle", support::lifecycle());
        }
        return;
    }
    for key in ["storage_class", "kms_key", "lifecycle", "region", "role"] {
        if s.item(key).is_some() {
            s.problem(key, "means nothing for a folder; remove it or use s3://");
        }
    }
}

fn lifecycle(s: &Section<'_>) -> Option<Vec<LifecycleRule>> {
    let items = s.list("lifecycle")?;
    let read: Vec<_> = items.iter().map(|item| rule(item, s.cx)).collect();
    let rules = read.into_iter().collect::<Option<Vec<_>>>()?;
    let ages: Vec<Duration> = rules.iter().map(|rule| rule.after).collect();
    if !ages.is_sorted_by(|a, b| a < b) {
        s.problem("lifecycle", "each rule must come later than the one before it");
    }
    let last = rules.len().saturating_sub(1);
    if rules.iter().take(last).any(|rule| rule.action == LifecycleAction::Expire) {
        s.problem("lifecycle", "nothing can follow expire");
    }
    Some(rules)
}

fn rule(item: &Item<'_>, cx: &Context) -> Option<LifecycleRule> {
    let s = Section::open(item, RULE, cx)?;
    let days = |name: &str| match s.item(name) {
        None => Some(None),
        Some(_) => s.duration(name).map(Some),
    };
    let to = match s.item("to") {
        None => Some(None),
        Some(_) => s.choice::<StorageClass>("to").map(Some),
    };
    let after = days("after");
    let expire = days("expire");
    let rule = match (to?, after?, expire?) {
        (Some(to), Some(after), None) => LifecycleRule { after, action: LifecycleAction::MoveTo(to) },
        (None, None, Some(after)) => LifecycleRule { after, action: LifecycleAction::Expire },
        _ => {
            cx.problem(&item.node.origin, &item.path, "give to and after, or expire alone");
            return None;
        }
    };
    if rule.after.as_secs() % DAY != 0 {
        cx.problem(&item.node.origin, &item.path, "S3 counts whole days");
    }
    Some(rule)
}
