//! The whole of a verification: every chain of every account and region in a range of time.
//!
//! In: sources, a request, the keys, and somebody who may know whether trails deliver. Out: a [`Report`]. A
//! few folders are walked at once, and the log files being read are bounded over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::stream::{self, StreamExt};
use tokio::sync::Semaphore;
use trailhaul_core::model::{AccountId, Family};
use trailhaul_core::verify::{ChainKind, DigestKey, Scope};

use super::digests::each_key;
use super::folders::{Folder, find_folders};
use super::group::walk_group;
use super::keys::Keys;
use super::progress::Progress;
use super::report::{Problem, Report, Weight};
use super::source::{Outlook, Source, Sources};
use super::standing::TrailOracle;
use super::walk::Shared;

/// Accounts and regions that are walked at once.
const GROUPS_AT_ONCE: usize = 8;

/// Regions whose keys are asked for at once.
const REGIONS_AT_ONCE: usize = 8;

/// Buckets that are searched for accounts and regions at once.
const BUCKETS_AT_ONCE: usize = 8;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Start of the range, in seconds since the Unix epoch; `None` for the first digest of each chain.
    pub from: Option<i64>,
    /// Its end; `None` for the present, or, of a copy, the newest digest that it holds.
    pub until: Option<i64>,
    /// The present.
    pub now: i64,
    /// How late a digest may come before it counts as missing, in seconds.
    pub grace: i64,
    /// Only these accounts; empty for all.
    pub accounts: BTreeSet<AccountId>,
    /// Only these regions; empty for all.
    pub regions: BTreeSet<String>,
    /// Only trails of these names; empty for all.
    pub trails: BTreeSet<String>,
    /// The most inflated bytes of a log file.
    pub max_log: u64,
    /// Log files being read at once.
    pub logs_at_once: usize,
}

/// A verification that knows what there is to verify.
pub struct Verification {
    sources: Sources,
    request: VerifyRequest,
    folders: Vec<Folder>,
    problems: Vec<Problem>,
    progress: Arc<Progress>,
}

impl Verification {
    /// Finds the accounts and regions to verify. What cannot be listed becomes part of the report.
    pub async fn find(sources: Sources, request: VerifyRequest) -> Self {
        let wanted = |account| request.accounts.is_empty() || request.accounts.contains(&account);
        let all: Vec<Source> = sources.iter().cloned().collect();
        let searches = stream::iter(&all).map(|source| find_folders(&sources, source, wanted));
        let found: Vec<_> = searches.buffered(BUCKETS_AT_ONCE).collect().await;
        let (mut folders, mut problems) = (Vec::new(), Vec::new());
        for (source, found) in all.iter().zip(found) {
            for (path, why) in found.unlisted {
                let place = format!("s3://{}/{path}", source.bucket);
                problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", place, why));
            }
            for folder in found.folders {
                if !request.regions.is_empty() && !request.regions.contains(&folder.region) {
                    continue;
                }
                if source.may_carry(folder.organization.as_ref(), folder.account) {
                    folders.push(folder);
                } else {
                    problems.push(foreign(&folder));
                }
            }
        }
        let progress = Arc::new(Progress::new(folders.len()));
        Self { sources, request, folders, problems, progress }
    }

    /// How far it has come, for somebody who watches.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Verifies everything. `oracle` may know whether trails deliver; without one, their cadence judges.
    pub async fn run(mut self, keys: &Keys, oracle: Option<Arc<dyn TrailOracle>>) -> Report {
        let until = self.until().await;
        // A copy without a stated end was made at about its newest digest: later than that nothing is late.
        let now = if self.request.until.is_none() { until } else { self.request.now };
        self.ask_for_keys(keys).await;
        let request = &self.request;
        let scope = Scope {
            from: request.from.unwrap_or_default(),
            until,
            now,
            grace: request.grace,
            stopped_at: None,
        };
        let shared = Shared {
            sources: self.sources.clone(),
            keys: keys.ring(),
            scope,
            whole: request.from.is_none(),
            max_log: request.max_log,
            permits: Semaphore::new(request.logs_at_once.max(1)),
            progress: Arc::clone(&self.progress),
            oracle,
            versions_denied: Mutex::default(),
        };
        let mut groups: BTreeMap<(AccountId, &str), Vec<&Folder>> = BTreeMap::new();
        for folder in &self.folders {
            groups.entry((folder.account, &folder.region)).or_default().push(folder);
        }
        let walks = stream::iter(groups.values());
        let mut walks = walks.map(|folders| walk_group(&shared, request, folders)).buffered(GROUPS_AT_ONCE);
        let (mut chains, mut problems) = (Vec::new(), std::mem::take(&mut self.problems));
        while let Some(mut walked) = walks.next().await {
            chains.append(&mut walked.0);
            problems.append(&mut walked.1);
        }
        drop(walks);
        problems.extend(shared.versions_not_listed());
        Report::new(request.from, until, chains, problems)
    }

    /// Asks for the keys of every region with digests, as of the start of the range and up to now: backfill
    /// digests are signed days later.
    async fn ask_for_keys(&mut self, keys: &Keys) {
        let with_digests = self.folders.iter().filter(|folder| folder.digests);
        let regions: BTreeSet<&str> = with_digests.map(|folder| folder.region.as_str()).collect();
        let (from, until) = (self.request.from.unwrap_or(BIRTH), self.request.now);
        let asks = stream::iter(regions).map(|region| async move {
            let asked = keys.for_range(region, from.min(until), until).await;
            asked.err()
        });
        let failures: Vec<_> = asks.buffered(REGIONS_AT_ONCE).collect().await;
        for error in failures.into_iter().flatten() {
            // Digests that need a key that is not known are said to be unknown one by one.
            let region = error.region.clone();
            let problem = Problem::object(Weight::Note, "keys", "not-asked", region, error.to_string());
            self.problems.push(problem);
        }
    }

    /// The end of the range. A copy ends when it was made, which its newest digest tells.
    async fn until(&self) -> i64 {
        if let Some(until) = self.request.until {
            return until;
        }
        if self.sources.iter().any(|source| source.outlook == Outlook::Live) {
            return self.request.now;
        }
        let from = self.request.from.unwrap_or_default();
        let mut newest = from;
        for folder in self.folders.iter().filter(|folder| folder.digests) {
            let Some(source) = self.sources.iter().find(|source| source.bucket == folder.bucket) else {
                continue;
            };
            // A listing that fails now fails again when the folder is walked, and is said then.
            let listed =
                each_key(&self.sources, source, folder, Family::Digest, from, self.request.now, |key| {
                    if let Ok(name) = DigestKey::parse(key)
                        && name.kind == ChainKind::Normal
                        && self.request.now >= name.end
                    {
                        newest = newest.max(name.end);
                    }
                });
            drop(listed.await);
        }
        newest
    }
}

/// The month of CloudTrail's first announcement, November 2013: no digest is older.
const BIRTH: i64 = 1_383_264_000;

/// Logs or digests of an account that the bucket does not speak for.
fn foreign(folder: &Folder) -> Problem {
    let family = if folder.digests { Family::Digest } else { Family::CloudTrail };
    let place = format!("s3://{}/{}", folder.bucket, folder.path(family));
    let why =
        "the bucket may not hold logs of this account (carries): planted, or a trail that is not configured";
    Problem::object(Weight::Finding, "folder", "foreign", place, why)
}
