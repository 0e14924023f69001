//! The whole of a verification: every chain of every account and region in a range of time.
//!
//! In: sources and a request; once the regions are known, the keys. Out: a [`Report`]. A few folders are
//! walked at once, and the log files being read are bounded over all of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{self, StreamExt};
use tokio::sync::Semaphore;
use trailhaul_core::model::{AccountId, Family};
use trailhaul_core::verify::{CADENCE, ChainKind, DigestKey, KeyRing, Previous, Scope};

use super::digests::{each_key, is_log_within, list_digests};
use super::folders::{Folder, find_folders};
use super::report::{ChainReport, Problem, Report, Weight};
use super::source::{Outlook, Sources};
use super::walk::{MAX_NAMED, Shared, Walk, mark, walk_chain};

/// Accounts and regions that are walked at once.
const GROUPS_AT_ONCE: usize = 8;

/// How many log files that no digest names are listed per folder.
const MAX_NOT_COVERED: usize = 1_000;

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
    /// Look below this prefix only.
    pub prefix: String,
    /// The most inflated bytes of a log file.
    pub max_log: u64,
    /// Log files being read at once.
    pub logs_at_once: usize,
}

/// How far a verification has come.
#[derive(Debug, Default)]
pub struct Progress {
    folders: AtomicU64,
    folders_done: AtomicU64,
    digests: AtomicU64,
    logs: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    pub(super) fn digest(&self) {
        self.digests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn log(&self, bytes: u64) {
        self.logs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (done, all) = (of(&self.folders_done), of(&self.folders));
        let mib = of(&self.bytes) >> 20;
        write!(f, "{done}/{all} folders, {} digests, {} logs, {mib} MiB", of(&self.digests), of(&self.logs))
    }
}

/// A verification that knows what there is, and waits for the keys.
pub struct Verification {
    sources: Sources,
    request: VerifyRequest,
    folders: Vec<Folder>,
    problems: Vec<Problem>,
    progress: Arc<Progress>,
}

impl Verification {
    /// Finds the accounts and regions to verify. A bucket that cannot be listed becomes part of the report.
    pub async fn find(sources: Sources, request: VerifyRequest) -> Self {
        let (mut folders, mut problems) = (Vec::new(), Vec::new());
        for source in sources.iter() {
            match find_folders(source, &request.prefix).await {
                Ok(found) => folders.extend(found.into_iter().filter(|folder| wanted(&request, folder))),
                Err(error) => {
                    let bucket = format!("s3://{}", source.bucket);
                    let why = error.to_string();
                    problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", bucket, why));
                }
            }
        }
        let progress = Progress { folders: AtomicU64::new(folders.len() as u64), ..Progress::default() };
        Self { sources, request, folders, problems, progress: Arc::new(progress) }
    }

    /// The regions whose public keys are needed.
    pub fn regions(&self) -> BTreeSet<&str> {
        self.folders.iter().filter(|folder| folder.digests).map(|folder| folder.region.as_str()).collect()
    }

    /// How far it has come, for somebody who watches.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Verifies everything.
    pub async fn run(mut self, keys: KeyRing) -> Report {
        let until = self.until().await;
        // A copy without a stated end was made at about its newest digest: later than that nothing is late.
        let now = if self.request.until.is_none() { until } else { self.request.now };
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
            keys: Arc::new(keys),
            scope,
            whole: request.from.is_none(),
            max_log: request.max_log,
            permits: Semaphore::new(request.logs_at_once.max(1)),
            progress: Arc::clone(&self.progress),
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
        Report::new(request.from, until, chains, problems)
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
            let listed = each_key(&*source.store, folder, Family::Digest, from, self.request.now, |key| {
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

fn wanted(request: &VerifyRequest, folder: &Folder) -> bool {
    (request.accounts.is_empty() || request.accounts.contains(&folder.account))
        && (request.regions.is_empty() || request.regions.contains(&folder.region))
}

/// Walks the folders of one account and region. A trail may have moved from one to another of them, so their
/// chains are judged together.
async fn walk_group(
    shared: &Shared,
    request: &VerifyRequest,
    folders: &[&Folder],
) -> (Vec<ChainReport>, Vec<Problem>) {
    let (mut walks, mut problems, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
    for folder in folders {
        let Some(source) = shared.sources.iter().find(|source| source.bucket == folder.bucket) else {
            continue;
        };
        match list_digests(&*source.store, folder, shared.scope.from, shared.scope.until).await {
            Ok(chains) => {
                for (id, keys) in chains {
                    if request.trails.is_empty() || request.trails.contains(&id.trail) {
                        walks.push(walk_chain(shared, source, id, keys).await);
                    }
                }
            }
            Err(error) => {
                unlisted.push(*folder);
                let place = format!("s3://{}/{}", folder.bucket, folder.path(Family::Digest));
                let why = error.to_string();
                problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", place, why));
            }
        }
    }
    let moves = link_moves(&mut walks);
    let mut named = HashSet::new();
    let mut whole = request.trails.is_empty();
    let mut reports = Vec::new();
    for (walk, (moved_at, arrived)) in walks.into_iter().zip(moves) {
        whole &= walk.named.len() < MAX_NAMED;
        named.extend(&walk.named);
        reports.push(walk.finish(moved_at, arrived));
    }
    for folder in folders.iter().filter(|folder| folder.logs && whole && !unlisted.contains(folder)) {
        let of_folder = reports.iter().filter(|report| report.chain.bucket == folder.bucket);
        let from = of_folder.map(|report| report.surveyed_from).min();
        problems.extend(not_covered(shared, folder, &named, from).await);
    }
    shared.progress.folders_done.fetch_add(folders.len() as u64, Ordering::Relaxed);
    (reports, problems)
}

/// For each chain: when it went on in another bucket or folder, and whether the digest that it came from is
/// where it should be.
fn link_moves(walks: &mut [Walk<'_>]) -> Vec<(Option<i64>, Option<bool>)> {
    let mut moves = vec![(None, None); walks.len()];
    for to in 0..walks.len() {
        let arrivals: Vec<(i64, Previous)> = walks.get(to).map_or_else(Vec::new, |walk| {
            walk.chain.arrivals().map(|(link, previous)| (link.start, previous.clone())).collect()
        });
        for (start, previous) in arrivals {
            let holds = |walk: &Walk<'_>| {
                let same = walk.chain.oldest().is_some_and(|link| link.place.bucket == previous.place.bucket);
                let name = DigestKey::parse(&previous.place.key).ok();
                name.is_some_and(|name| {
                    let there = name.chain(&walk.report.chain.bucket);
                    let (mine, here) =
                        (&walk.report.chain, walk.report.chain.bucket == previous.place.bucket);
                    (same || here)
                        && (&there.trail, there.kind, &there.home_region)
                            == (&mine.trail, mine.kind, &mine.home_region)
                })
            };
            let Some(from) = (0..walks.len()).find(|at| *at != to && walks.get(*at).is_some_and(holds))
            else {
                continue;
            };
            let attested = walks.get_mut(from).is_some_and(|walk| walk.chain.attest(&previous));
            if let Some((moved_at, _)) = moves.get_mut(from) {
                *moved_at = Some(moved_at.map_or(start, |at: i64| at.max(start)));
            }
            if let Some((_, arrived)) = moves.get_mut(to) {
                *arrived = Some(arrived.unwrap_or(true) && attested);
            }
        }
    }
    moves
}

/// Log files of the range that no proven digest names. That alone accuses nobody: another trail without
/// validation may write to the same place, and validation may have been off.
async fn not_covered(
    shared: &Shared,
    folder: &Folder,
    named: &HashSet<u128>,
    surveyed_from: Option<i64>,
) -> Vec<Problem> {
    let scope = &shared.scope;
    let Some(source) = shared.sources.iter().find(|source| source.bucket == folder.bucket) else {
        return Vec::new();
    };
    // A digest names what was delivered in its hour; the stamp in a log's name may be some minutes off that.
    let digests = surveyed_from.is_some();
    let from = surveyed_from.unwrap_or(scope.from);
    let (from, until) = (from + CADENCE, scope.until.min(scope.now - scope.grace) - CADENCE);
    let (mut problems, mut beyond) = (Vec::new(), 0_u64);
    let listed = each_key(&*source.store, folder, Family::CloudTrail, from, until, |key| {
        if !is_log_within(key, from, until) || named.contains(&mark(key)) {
            return;
        }
        if problems.len() >= MAX_NOT_COVERED || !digests {
            beyond += 1;
            return;
        }
        let object = format!("s3://{}/{key}", folder.bucket);
        let why = "no proven digest names it: planted, or written by a trail without validation";
        problems.push(Problem::object(Weight::Note, "log", "not-covered", object, why));
    });
    let place = format!("s3://{}/{}", folder.bucket, folder.path(Family::CloudTrail));
    if let Err(error) = listed.await {
        problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", place, error.to_string()));
    } else if beyond > 0 {
        let why = format!("{beyond} log files that no proven digest names");
        problems.push(Problem::object(Weight::Note, "folder", "not-covered", place, why));
    }
    problems
}
