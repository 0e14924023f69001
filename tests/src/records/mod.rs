//! Records as CloudTrail writes them.
//!
//! In: who, where and when. Out: the exact bytes of one record (one line of JSON), its id and its family.
//! Invariants: each record is valid JSON, no string in it holds a line feed, and its first field is a plain
//! string (so that [`reordered`] can move it). Texts come from templates, never from a JSON tree: a gigabyte
//! takes seconds. The shapes follow the CloudTrail User Guide, "CloudTrail record contents", and what public
//! data shows; every value is made up.

mod calls;
mod fill;
mod frames;
mod hostile;

use serde::{Deserialize, Serialize};

use crate::org::Account;
use crate::rng::Rng;
use fill::Filler;

/// What kind of file a record lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Management and data events.
    CloudTrail,
    /// Digests.
    Digest,
    /// Insights events.
    Insight,
    /// Events of VPC endpoints.
    NetworkActivity,
    /// Five-minute aggregations: a bare array.
    Aggregated,
    /// Not CloudTrail's: another service's folder, or a marker.
    Other,
}

impl Family {
    /// The folder in the key, also the word in the file name (for network activity and aggregations by
    /// analogy: no example of a file name is known).
    pub fn folder(self) -> &'static str {
        match self {
            Self::CloudTrail => "CloudTrail",
            Self::Digest => "CloudTrail-Digest",
            Self::Insight => "CloudTrail-Insight",
            Self::NetworkActivity => "CloudTrail-NetworkActivity",
            Self::Aggregated => "CloudTrail-Aggregated",
            Self::Other => "Config",
        }
    }

    /// What stands before and after the records of a file.
    pub fn brackets(self) -> (&'static str, &'static str) {
        if self == Self::Aggregated { ("[", "]") } else { ("{\"Records\":[", "]}") }
    }
}

/// Who, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The account in whose folder the record lies.
    pub account: Account,
    /// Another member, for actions across accounts.
    pub other: Account,
    /// The organization's id.
    pub organization: &'a str,
    /// The region.
    pub region: &'a str,
    /// The event's time, in seconds since the Unix epoch.
    pub time: i64,
}

/// One record, before anybody delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In whose folder it lies.
    pub account: Account,
    /// `eventID` (aggregations: `eventId`); `None` for the few records that have none.
    pub id: Option<String>,
    /// The event's time, in seconds since the Unix epoch.
    pub time: i64,
    /// The kind of file that it goes to.
    pub family: Family,
    /// Whether it is a management event.
    pub management: bool,
    /// The exact bytes.
    pub text: String,
}

/// The kinds of events that the simulation knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An API call from the table, mostly reads.
    Call,
    /// An API call by an AWS service on somebody's behalf, without an account in its identity.
    ServiceCall,
    /// An S3 object-level call, with `1371.0` as byte counts.
    S3Data,
    /// A call that failed.
    Failure,
    /// A sign-in to the console.
    SignIn,
    /// Something that a service did by itself; no `requestID`, no account in its identity.
    ServiceEvent,
    /// Non-ASCII text, raw and escaped, quotes, backslashes.
    Unicode,
    /// `Records` and `eventID` where they mean nothing.
    NestedNames,
    /// Numbers that do not survive a double.
    Numbers,
    /// A request of 20 to 100 KB.
    Large,
    /// A request that was too large and left out.
    Omitted,
    /// A late or corrected record.
    Addendum,
    /// One action seen by two accounts: two records, two ids, one shared id.
    CrossAccount,
    /// An old record without an id.
    WithoutId,
    /// The start and the end of an Insights event.
    Insight,
    /// A call through a VPC endpoint.
    Network,
    /// A five-minute aggregation.
    Aggregated,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 17] = [
        Self::Call,
        Self::ServiceCall,
        Self::S3Data,
        Self::Failure,
        Self::SignIn,
        Self::ServiceEvent,
        Self::Unicode,
        Self::NestedNames,
        Self::Numbers,
        Self::Large,
        Self::Omitted,
        Self::Addendum,
        Self::CrossAccount,
        Self::WithoutId,
        Self::Insight,
        Self::Network,
        Self::Aggregated,
    ];

    /// A kind, as often as in a busy organization.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.below(10_000) {
            0..3_200 => Self::Call,
            3_200..5_700 => Self::ServiceCall,
            5_700..8_700 => Self::S3Data,
            8_700..9_300 => Self::Failure,
            9_300..9_350 => Self::SignIn,
            9_350..9_450 => Self::ServiceEvent,
            9_450..9_530 => Self::Unicode,
            9_530..9_580 => Self::NestedNames,
            9_580..9_620 => Self::Numbers,
            9_620..9_622 => Self::Large,
            9_622..9_630 => Self::Omitted,
            9_630..9_650 => Self::Addendum,
            9_650..9_850 => Self::CrossAccount,
            9_850..9_870 => Self::WithoutId,
            9_870..9_880 => Self::Insight,
            9_880..9_940 => Self::Network,
            _ => Self::Aggregated,
        }
    }
}

/// The records of one happening: mostly one; two for an action across accounts and for Insights.
pub fn make(kind: Kind, scene: &Scene<'_>, rng: &mut Rng) -> Vec<Record> {
    match kind {
        Kind::Call => vec![one(scene, rng, calls::any, frames::CALL)],
        Kind::ServiceCall => vec![one(scene, rng, calls::by_service, frames::SERVICE_CALL)],
        Kind::S3Data => vec![data(one(scene, rng, calls::s3_data, frames::S3_DATA))],
        Kind::Failure => vec![one(scene, rng, calls::any, frames::FAILURE)],
        Kind::SignIn => vec![one(scene, rng, calls::any, frames::SIGN_IN)],
        Kind::ServiceEvent => vec![one(scene, rng, calls::any, frames::SERVICE_EVENT)],
        Kind::Unicode => vec![one(scene, rng, hostile::text, frames::CALL)],
        Kind::NestedNames => vec![one(scene, rng, hostile::names, frames::CALL)],
        Kind::Numbers => vec![one(scene, rng, hostile::numbers, frames::CALL)],
        Kind::Large => vec![one(scene, rng, calls::large, frames::CALL)],
        Kind::Omitted => vec![one(scene, rng, calls::omitted, frames::CALL)],
        Kind::Addendum => vec![one(scene, rng, calls::any, frames::ADDENDUM)],
        Kind::CrossAccount => twins(scene, rng),
        Kind::WithoutId => vec![Record { id: None, ..one(scene, rng, calls::any, frames::WITHOUT_ID) }],
        Kind::Insight => insight(scene, rng),
        Kind::Network => vec![of(Family::NetworkActivity, one(scene, rng, calls::any, frames::NETWORK))],
        Kind::Aggregated => vec![of(Family::Aggregated, one(scene, rng, calls::any, frames::AGGREGATED))],
    }
}

/// A call of this size or a little more, in bytes: for tests of single huge records.
pub fn sized(bytes: usize, scene: &Scene<'_>, rng: &mut Rng) -> Record {
    let mut filler = Filler::new(scene, calls::sized(), rng);
    filler.padding = bytes;
    finish(scene, filler, frames::CALL)
}

/// The same record with its first field moved to the end: same id, other bytes.
pub fn reordered(text: &str) -> String {
    let moved = text.split_once("\",").and_then(|(first, rest)| {
        let (first, rest) = (first.strip_prefix('{')?, rest.strip_suffix('}')?);
        Some(format!("{{{rest},{first}\"}}"))
    });
    moved.unwrap_or_else(|| text.to_owned())
}

type Choose = fn(&mut Rng) -> &'static calls::Call;

fn one(scene: &Scene<'_>, rng: &mut Rng, choose: Choose, frame: &str) -> Record {
    let call = choose(rng);
    finish(scene, Filler::new(scene, call, rng), frame)
}

fn finish(scene: &Scene<'_>, mut filler: Filler<'_>, frame: &str) -> Record {
    let mut text = String::with_capacity(2_048);
    filler.fill(frame, &mut text);
    let id = Some(std::mem::take(&mut filler.id));
    Record {
        account: scene.account,
        id,
        time: scene.time,
        family: Family::CloudTrail,
        management: true,
        text,
    }
}

fn data(record: Record) -> Record {
    Record { management: false, ..record }
}

fn of(family: Family, record: Record) -> Record {
    Record { family, management: false, ..record }
}

/// The caller's record, and the one of the account that owns the resource.
fn twins(scene: &Scene<'_>, rng: &mut Rng) -> Vec<Record> {
    let shared = rng.guid();
    let call = calls::across_accounts(rng);
    let mirror = Scene { account: scene.other, other: scene.account, ..*scene };
    let mut make = |scene: &Scene<'_>, frame: &str| {
        let mut filler = Filler::new(scene, call, rng);
        filler.shared.clone_from(&shared);
        finish(scene, filler, frame)
    };
    let caller = make(scene, frames::ACROSS_CALLER);
    if scene.other == scene.account {
        return vec![caller];
    }
    vec![caller, make(&mirror, frames::ACROSS_OWNER)]
}

/// Start and end of one anomaly share a `sharedEventID` and differ in their ids.
fn insight(scene: &Scene<'_>, rng: &mut Rng) -> Vec<Record> {
    let shared = rng.guid();
    let call = calls::any(rng);
    let later = Scene { time: scene.time + 300, ..*scene };
    let mut make = |scene: &Scene<'_>, frame: &str| {
        let mut filler = Filler::new(scene, call, rng);
        filler.shared.clone_from(&shared);
        of(Family::Insight, finish(scene, filler, frame))
    };
    vec![make(scene, frames::INSIGHT_START), make(&later, frames::INSIGHT_END)]
}

#[cfg(test)]
mod tests;
