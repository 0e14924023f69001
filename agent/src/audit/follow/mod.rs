//! Following digests while the haul runs.
//!
//! ```text
//!  digest tails ─► intake ─► examiner ─► ledger: chains, expected hashes, awaited log files
//!  (one per bucket)          reads,        │
//!                            proves        ├─► verdicts: awaited log files against what was hauled; unseen ones
//!                                          │             are handed to the lanes; absent ones are missing
//!                                          ├─► sweep:    hauled objects that no digest names: extra, undigested
//!                                          └─► chains:   hours without digests, digests that prove nothing;
//!                                                        of a silent chain CloudTrail is asked first
//!                                                           │
//!                                     findings, with the archive's records that they concern, and verdicts
//! ```
//!
//! In: the digests of pinned buckets, public keys, the inventory. Out: verdicts and findings, posted for the
//! lanes' journals; objects that nobody had seen, handed to the lanes. Invariants: what an unproven digest says
//! is never acted upon, nor what a proven one says of a place that its bucket is not pinned for; absence is
//! concluded only from a listing that came to its end after the grace, and from asking for the very key; a log
//! file is not read again unless the haul could not hash it. Everything survives a crash: a digest is done by one
//! transaction, a verdict is settled after it was posted.
//!
//! Bounded: [`examiner`] (digests at once), pages of rows (a few hundred), what is remembered of what was told.
//! On failure: a digest that cannot be read accuses nobody and is tried again; one chain's or bucket's trouble is
//! its own; only a ledger that fails ends the follower.

mod asking;
mod chains;
mod examiner;
mod findings;
mod intake;
mod known;
mod listings;
mod read;
mod run;
mod silence;
mod sweep;
mod traces;
mod verdicts;
mod versions;

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{AccountId, Family, LogKey, ObjectRef, lane_of};
use trailhaul_core::plan::Day;
use trailhaul_core::verify::{ChainId, Place};

use super::keys::Keys;
use super::source::Outlook;
use super::standing::TrailOracle;
use crate::archive::Journal;
use crate::ledger::{Ledger, LedgerError};
use crate::runtime::{Budget, Clock, CpuPool, RetryPolicy};
use crate::store::ObjectStore;
use crate::tail::{Carries, Intake};
use crate::telemetry::Registry;

pub use intake::DigestIntake;
pub use known::remembered_keys;
pub use listings::Listings;
pub use run::{Followed, Follower};
pub use silence::AGAIN as ASK_AGAIN;

/// A bucket whose digests are followed, and what it is pinned for.
#[derive(Debug)]
pub struct Ground {
    /// The trail's name in the configuration.
    pub name: String,
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// Its URL.
    pub url: Arc<str>,
    /// Its name, as digests have it.
    pub bucket: String,
    /// CloudTrail's own bucket, or a copy of one.
    pub outlook: Outlook,
    /// What stands before `AWSLogs`, without slashes at its ends.
    pub prefix: String,
    /// Whose logs it may carry.
    pub carries: Carries,
    /// The kinds of file that are hauled.
    pub families: BTreeSet<Family>,
    /// All trails that write here, by name, where the configuration says so.
    pub writers: Option<BTreeSet<String>>,
    /// Where new streams begin: log files of earlier days are out of scope.
    pub from: Day,
    /// How far its digests were listed.
    pub listings: Arc<Listings>,
}

/// How digests are followed. Lengths are seconds.
#[derive(Debug, Clone, Copy)]
pub struct FollowRules {
    /// How late a digest, or a log file that it names, may come before its absence is a finding.
    pub grace: i64,
    /// How long after its haul an object stays pending that no digest names.
    pub extra_after: i64,
    /// How long objects and chains are remembered.
    pub keep: i64,
    /// The lanes of the archive.
    pub lanes: u16,
    /// The most inflated bytes of a log file.
    pub max_log: u64,
    /// Whether this is a single pass.
    pub once: bool,
    /// Whether objects wait to be hauled until a digest names them.
    pub holds: bool,
}

/// What the follower works with.
#[derive(Debug)]
pub struct FollowMeans {
    /// What is remembered.
    pub ledger: Ledger,
    /// Takes objects that nobody had seen.
    pub lanes: Arc<dyn Intake>,
    /// What was committed, for findings that name it.
    pub journal: Journal,
    /// Public keys.
    pub keys: Arc<Keys>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Inflating, hashing, signatures.
    pub cpu: Arc<CpuPool>,
    /// Memory for large digests, shared with the lanes.
    pub budget: Budget,
    /// For each request.
    pub retry: RetryPolicy,
    /// Ends requests when the process stops.
    pub stop: CancellationToken,
    /// What is counted.
    pub metrics: Arc<Registry>,
    /// Who may know whether a trail still delivers; nobody for folders.
    pub oracle: Option<Arc<dyn TrailOracle>>,
}

/// What every part of the follower shares.
#[derive(Debug)]
pub(super) struct Shared {
    means: FollowMeans,
    rules: FollowRules,
    grounds: RwLock<Vec<Arc<Ground>>>,
    told: Told,
    /// Chains of this pass whose newest digests CloudTrail could not deliver.
    undelivered: AtomicU64,
}

impl Shared {
    /// The questions of one look. A continuous run looks again within seconds, and need not insist.
    fn asking(&self) -> asking::Asking {
        let retry = if self.rules.once { self.means.retry } else { RetryPolicy::never() };
        asking::Asking::new(retry, self.means.stop.clone())
    }

    fn now(&self) -> i64 {
        self.means.clock.now().as_second()
    }

    fn add(&self, ground: Arc<Ground>) {
        self.grounds.write().unwrap_or_else(PoisonError::into_inner).push(ground);
    }

    fn grounds(&self) -> Vec<Arc<Ground>> {
        self.grounds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ground that an object of this bucket (by URL) and prefix lies on.
    fn ground(&self, url: &str, prefix: &str) -> Option<Arc<Ground>> {
        let grounds = self.grounds.read().unwrap_or_else(PoisonError::into_inner);
        grounds.iter().find(|ground| &*ground.url == url && ground.prefix == prefix).cloned()
    }

    /// The ground of a place as a digest names it; `from` is where the digest lies, and `claimed` the bucket that
    /// it says it lies in.
    fn ground_of_place(&self, from: &Arc<Ground>, claimed: &str, place: &Place) -> Option<Arc<Ground>> {
        let key = LogKey::parse(&place.key).ok()?;
        if place.bucket == claimed && key.prefix == from.prefix {
            return Some(Arc::clone(from));
        }
        let grounds = self.grounds.read().unwrap_or_else(PoisonError::into_inner);
        let there = |ground: &&Arc<Ground>| ground.bucket == place.bucket && ground.prefix == key.prefix;
        grounds.iter().find(there).cloned()
    }

    fn lane(&self, account: AccountId) -> trailhaul_core::model::LaneId {
        lane_of(account, self.rules.lanes)
    }
}

impl Ground {
    /// Whether an object with this key is one that the bucket may speak of.
    fn admits(&self, key: &LogKey<'_>) -> bool {
        key.prefix == self.prefix && self.carries.admits(key.organization.as_ref(), key.account)
    }

    /// An object of the bucket whose ETag is not known.
    fn object(&self, key: &str) -> ObjectRef {
        ObjectRef {
            bucket: Arc::clone(&self.url),
            key: key.to_owned(),
            etag: String::new(),
            version: None,
            size: 0,
        }
    }
}

/// What was told by this process, so that it is told once. Bounded: beyond [`Told::MOST`] it begins anew.
#[derive(Debug, Default)]
struct Told {
    hashers: [RandomState; 2],
    known: Mutex<HashSet<u128>>,
}

impl Told {
    /// 32 bytes each.
    const MOST: usize = 200_000;

    fn name(&self, what: &impl std::hash::Hash) -> u128 {
        let [one, two] = &self.hashers;
        (u128::from(one.hash_one(what)) << 64) | u128::from(two.hash_one(what))
    }

    /// Whether this was told.
    fn was(&self, what: &impl std::hash::Hash) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.name(what))
    }

    /// Whether this is told for the first time.
    fn first(&self, what: &impl std::hash::Hash) -> bool {
        let name = self.name(what);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(name)
    }
}

/// The URL of an object that a chain's digest has or should have.
fn digest_url(chain: &ChainId, key: &str) -> String {
    format!("{}/{key}", chain.bucket)
}

/// Runs work on the ledger off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LedgerError::Scratch(error.to_string())),
    }
}
