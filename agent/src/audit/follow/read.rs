//! One digest: read and examined.
//!
//! In: a digest that a listing has shown. Out: what it proves, or why it could not be read. Small digests are
//! examined at once; one that inflates to more than [`SMALL`] waits for memory out of the lanes' budget, and
//! holds it until it is recorded.

use std::sync::Arc;

use bytes::Bytes;
use trailhaul_core::model::ObjectRef;
use trailhaul_core::verify::{
    Class, DigestFault, DigestKey, Examined, Expected, FormatFault, KeyRing, MAX_DIGEST, SignatureMetadata,
    StoredDigest, examine_within,
};

use super::super::source::Outlook;
use super::known::more_keys;
use super::{Ground, Shared};
use crate::runtime::Permit;
use crate::store::{Metadata, ObjectMeta, ObjectReader, ReadError};

/// Inflated bytes of a small digest: some eight hundred log files.
const SMALL: u64 = 256 * 1024;

/// The most stored bytes of a digest.
const MAX_STORED: u64 = 4 * 1024 * 1024;

/// What a digest of the largest size may take: its bytes, and the log files that it names.
const LARGE: u64 = 3 * MAX_DIGEST;

/// A digest after its reading.
#[derive(Debug)]
pub(super) struct ReadDigest {
    /// The digest as it was found.
    pub(super) object: ObjectRef,
    /// Where it lies.
    pub(super) ground: Arc<Ground>,
    /// What came of it.
    pub(super) outcome: Outcome,
    /// Memory that is held until it is recorded.
    #[expect(dead_code, reason = "it is held, and given back with the digest")]
    pub(super) permit: Option<Permit>,
}

/// What came of reading a digest.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was examined.
    Examined(Box<Examined>),
    /// It could not be read or judged, for now.
    Unread(String),
    /// It is not there any more, or another object is: a later listing shows that one.
    Gone,
}

/// Reads and examines a digest. Never fails: what went wrong is in the outcome.
pub(super) async fn read(shared: &Shared, ground: Arc<Ground>, mut object: ObjectRef) -> ReadDigest {
    let (outcome, permit) = match fetch(shared, &ground, &object).await {
        Ok((meta, bytes)) => {
            object.etag = meta.etag;
            judge(shared, &ground, &object, meta.metadata, bytes).await
        }
        Err(outcome) => (outcome, None),
    };
    ReadDigest { object, ground, outcome, permit }
}

async fn fetch(shared: &Shared, ground: &Ground, object: &ObjectRef) -> Result<(ObjectMeta, Bytes), Outcome> {
    let means = &shared.means;
    let reader = ObjectReader::new(Arc::clone(&ground.store), object, means.retry, means.stop.clone());
    match reader.read_to_end(MAX_STORED).await {
        Ok(read) => Ok(read),
        Err(ReadError::Vanished(_) | ReadError::Changed(_)) => Err(Outcome::Gone),
        Err(error) => Err(Outcome::Unread(error.to_string())),
    }
}

async fn judge(
    shared: &Shared,
    ground: &Arc<Ground>,
    object: &ObjectRef,
    meta: Metadata,
    bytes: Bytes,
) -> (Outcome, Option<Permit>) {
    let ring = shared.means.keys.ring();
    let once = Work { ground: Arc::clone(ground), key: object.key.clone(), meta, bytes };
    let (mut outcome, work) = once.examine(shared, Arc::clone(&ring), SMALL).await;
    let Some(work) = work else { return (outcome, None) };
    let mut permit = None;
    if is_large(&outcome) {
        let budget = &shared.means.budget;
        permit = budget.acquire(LARGE.min(budget.capacity())).await.ok();
        (outcome, _) = work.clone().examine(shared, ring, MAX_DIGEST).await;
    }
    if let Some((region, at)) = lacks_key(&outcome, &object.key) {
        match more_keys(shared, &region, at).await {
            Ok(ring) => {
                let cap = if permit.is_some() { MAX_DIGEST } else { SMALL };
                (outcome, _) = work.examine(shared, ring, cap).await;
            }
            Err(why) => outcome = Outcome::Unread(why),
        }
    }
    (undecided(outcome), permit)
}

/// What cannot be judged without keys is not judged.
fn undecided(outcome: Outcome) -> Outcome {
    match &outcome {
        Outcome::Examined(examined) => match &examined.fault {
            Some(fault) if fault.class() == Class::Unknown => Outcome::Unread(fault.to_string()),
            _ => outcome,
        },
        Outcome::Unread(_) | Outcome::Gone => outcome,
    }
}

fn is_large(outcome: &Outcome) -> bool {
    let Outcome::Examined(examined) = outcome else { return false };
    matches!(examined.fault, Some(DigestFault::Format(FormatFault::TooLarge(_))))
}

/// The region and the time of a key that is not known, but may be to CloudTrail.
fn lacks_key(outcome: &Outcome, key: &str) -> Option<(String, i64)> {
    let Outcome::Examined(examined) = outcome else { return None };
    examined.fault.as_ref().filter(|fault| fault.may_pass())?;
    let name = DigestKey::parse(key).ok()?;
    Some((name.place.region.to_owned(), name.end))
}

/// A digest in memory.
#[derive(Clone)]
struct Work {
    ground: Arc<Ground>,
    key: String,
    meta: Metadata,
    bytes: Bytes,
}

impl Work {
    /// Examines on the CPU pool, and gives the work back.
    async fn examine(self, shared: &Shared, ring: Arc<KeyRing>, cap: u64) -> (Outcome, Option<Self>) {
        let done = shared.means.cpu.run(move || (self.examine_now(&ring, cap), self)).await;
        match done {
            Ok((outcome, work)) => (outcome, Some(work)),
            Err(error) => (Outcome::Unread(error.to_string()), None),
        }
    }

    fn examine_now(&self, ring: &KeyRing, cap: u64) -> Outcome {
        let name = match DigestKey::parse(&self.key) {
            Ok(name) => name,
            Err(error) => return Outcome::Unread(error.to_string()),
        };
        let field = |name: &str| self.meta.get(name).map(String::as_str);
        let metadata = SignatureMetadata {
            signature: field("signature"),
            algorithm: field("signature-algorithm"),
            generated: field("backfill-generation-timestamp"),
        };
        let expected = match self.ground.outlook {
            Outlook::Live => Expected::Here(&self.ground.bucket),
            Outlook::Copy => Expected::Copy,
        };
        let stored = StoredDigest { key: &self.key, bytes: &self.bytes, metadata };
        Outcome::Examined(Box::new(examine_within(&stored, &name, expected, ring, cap)))
    }
}
