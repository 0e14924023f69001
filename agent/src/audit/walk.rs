//! One chain from its oldest digest to its newest.
//!
//! In: the keys of its digests in order. Out: a [`ChainReport`]. A few digests and a few logs are read at
//! once; digests are examined on the CPU pool and handed to the chain as they come, which takes them in any
//! order; the logs of proven ones are checked meanwhile. Digests that only a successor proves have their
//! logs checked at the end, when it is known which they are. Held at a time: a few digests, the log entries
//! of a few, and what the chain keeps of each.
//!
//! All reads of a chain are in one set that is polled as a whole: one left unpolled could hold a place in
//! the CPU pool's queue that the others wait for.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use trailhaul_core::model::LogKey;
use trailhaul_core::verify::{
    CADENCE, Chain, ChainId, DigestFault, DigestKey, DigestLog, Examined, Expected, KeyRing, Link, Place,
    Scope, Seen, Sha256, SignatureMetadata, StoredDigest, examine,
};

use super::logs::{CheckedLog, LogJob, check_logs};
use super::progress::Progress;
use super::report::{ChainReport, Problem, Weight};
use super::source::{Outlook, ReadFailure, Source, Sources};
use super::standing::TrailOracle;
use crate::store::Metadata;

/// Digests of one chain that are read at once.
const DIGESTS_AHEAD: usize = 8;

/// Log files of one chain that are read at once, if the permits of all chains allow.
const LOGS_AHEAD: usize = 16;

/// Log files of one chain in a folder that one thread reads in one go: as many as have about so many stored
/// bytes, and not more than these. Enough that handing over hardly counts, few enough that every thread has some.
const TURN: (u64, u64) = (1024 * 1024, 32);

/// Stored bytes of a log file, as long as none of the chain was read.
const USUAL: u64 = 128 * 1024;

/// Log files of one chain whose names are remembered to tell which ones no digest names: 16 bytes each.
pub(super) const MAX_NAMED: usize = 2_000_000;

/// The most stored bytes of a digest; inflated they have a cap of their own.
const MAX_STORED: u64 = 32 * 1024 * 1024;

/// What every walk shares.
pub(super) struct Shared {
    pub(super) sources: Sources,
    pub(super) keys: Arc<KeyRing>,
    pub(super) scope: Scope,
    /// Whether each chain is surveyed from its own first digest on.
    pub(super) whole: bool,
    pub(super) max_log: u64,
    /// Log files being read by all chains together: each holds a decoder and a piece.
    pub(super) permits: Semaphore,
    pub(super) progress: Arc<Progress>,
    /// Who may know whether a trail delivers.
    pub(super) oracle: Option<Arc<dyn TrailOracle>>,
    /// Buckets whose versions could not be listed, with the reason.
    pub(super) versions_denied: Mutex<BTreeMap<String, String>>,
}

impl Shared {
    pub(super) fn is_denied(&self, source: &Source) -> bool {
        self.denied().contains_key(&source.bucket)
    }

    pub(super) fn deny(&self, source: &Source, why: &str) {
        self.denied().insert(source.bucket.clone(), why.to_owned());
    }

    fn denied(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.versions_denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A note for each bucket whose versions could not be listed: what stands there now was judged.
    pub(super) fn versions_not_listed(&self) -> Vec<Problem> {
        let note = |(bucket, why): (&String, &String)| {
            let why = format!("whether objects were written over before could not be seen: {why}");
            Problem::object(Weight::Note, "version", "not-listed", format!("s3://{bucket}"), why)
        };
        self.denied().iter().map(note).collect()
    }
}

/// Walks a chain; what is left is to judge it, when its neighbours are known: [`Walk::assume_genuine`] where none of
/// them has a signature, [`Walk::check_vouched`], [`Walk::finish`].
pub(super) async fn walk_chain<'a>(
    shared: &'a Shared,
    source: &'a Source,
    id: ChainId,
    keys: Vec<String>,
) -> Walk<'a> {
    let mut walk = Walk {
        shared,
        source,
        chain: Chain::new(),
        faults: BTreeMap::new(),
        assumed: None,
        unread: keys.into(),
        reading: 0,
        queue: VecDeque::new(),
        read: (0, 0),
        running: FuturesUnordered::new(),
        report: ChainReport::new(id),
        named: HashSet::new(),
    };
    loop {
        walk.start();
        match walk.running.next().await {
            Some(Done::Logs(logs)) => walk.note_logs(logs),
            Some(Done::Digest(digest)) => {
                walk.reading -= 1;
                walk.take(*digest);
            }
            None => break,
        }
    }
    walk
}

/// A chain that is being walked, or has been.
pub(super) struct Walk<'a> {
    pub(super) shared: &'a Shared,
    pub(super) source: &'a Source,
    pub(super) chain: Chain,
    pub(super) faults: BTreeMap<Place, Fault>,
    /// The newest digest, where all were only taken for genuine: in a copy that has lost every signature.
    pub(super) assumed: Option<Link>,
    unread: VecDeque<String>,
    /// Digests among those that are running.
    reading: usize,
    queue: VecDeque<LogJob>,
    /// Log files that were read, and their stored bytes.
    read: (u64, u64),
    running: FuturesUnordered<BoxFuture<'a, Done>>,
    pub(super) report: ChainReport,
    /// Marks of the log files that proven digests name, at most [`MAX_NAMED`].
    pub(super) named: HashSet<u128>,
}

/// What ends a read.
enum Done {
    Digest(Box<ReadDigest>),
    Logs(Vec<CheckedLog>),
}

/// A digest that its own signature does not prove.
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) kind: FaultKind,
    /// How many log files it names.
    pub(super) logs: usize,
}

pub(super) enum FaultKind {
    Digest(DigestFault),
    Unread(ReadFailure),
}

struct ReadDigest {
    key: String,
    result: Result<Examined, ReadFailure>,
}

async fn read_digest(shared: &Shared, source: &Source, key: String) -> ReadDigest {
    let (keys, found, origin) = (Arc::clone(&shared.keys), key.clone(), source.clone());
    let examine =
        move |metadata: &Metadata, bytes: &[u8]| examine_object(&found, bytes, metadata, &origin, &keys);
    let result = match shared.sources.with_object(source, &key, MAX_STORED, examine.clone()).await {
        Some(examined) => examined,
        None => match shared.sources.read(source, &key, MAX_STORED).await {
            Err(failure) => Err(failure),
            Ok((meta, bytes)) => {
                let examined = shared.sources.cpu().run(move || examine(&meta.metadata, &bytes)).await;
                examined.unwrap_or_else(|error| Err(ReadFailure::Other(error.to_string())))
            }
        },
    };
    shared.progress.digest();
    ReadDigest { key, result }
}

fn examine_object(
    key: &str,
    bytes: &[u8],
    metadata: &Metadata,
    source: &Source,
    keys: &KeyRing,
) -> Result<Examined, ReadFailure> {
    let name = DigestKey::parse(key).map_err(|error| ReadFailure::Other(error.to_string()))?;
    let field = |name: &str| metadata.get(name).map(String::as_str);
    let metadata = SignatureMetadata {
        signature: field("signature"),
        algorithm: field("signature-algorithm"),
        generated: field("backfill-generation-timestamp"),
    };
    let expected = match source.outlook {
        Outlook::Live => Expected::Here(&source.bucket),
        Outlook::Copy => Expected::Copy,
    };
    Ok(examine(&StoredDigest { key, bytes, metadata }, &name, expected, keys))
}

impl Walk<'_> {
    /// Hands a digest to the chain, and its logs to the queue if it is proven.
    fn take(&mut self, digest: ReadDigest) {
        let ReadDigest { key, result } = digest;
        let examined = match result {
            Ok(examined) => examined,
            // Gone between listing and reading: the chain will miss it.
            Err(ReadFailure::Missing) => return,
            Err(failure) => {
                let place = Place { bucket: self.source.bucket.clone(), key: key.clone() };
                let end = DigestKey::parse(&key).map_or(0, |name| name.end);
                self.faults.insert(place.clone(), Fault { key, kind: FaultKind::Unread(failure), logs: 0 });
                self.chain.accept(Seen::Unusable { place, end });
                return;
            }
        };
        let Examined { fault, seen, logs } = examined;
        let (place, start) = match &seen {
            Seen::Signed(link) | Seen::Unproven(link) | Seen::Vouched(link) => {
                (link.place.clone(), link.start)
            }
            Seen::Unusable { place, end } => (place.clone(), end - CADENCE),
        };
        // A digest after the range is read for what it says of the one before.
        let counts = start < self.shared.scope.until;
        match fault {
            Some(fault) if counts => {
                let kind = FaultKind::Digest(fault);
                self.faults.insert(place, Fault { key, kind, logs: logs.len() });
            }
            None if counts => {
                self.report.digests.valid += 1;
                self.enqueue(&key, &place, logs);
            }
            _ => {}
        }
        self.chain.accept(seen);
    }

    fn enqueue(&mut self, key: &str, place: &Place, logs: Vec<DigestLog>) {
        let named_by: Arc<str> = format!("s3://{place}").into();
        for log in logs {
            let key = key_in_copy(key, &place.key, &log.key);
            if self.named.len() < MAX_NAMED {
                self.named.insert(mark(&key));
            }
            self.queue.push_back(LogJob { log, key, named_by: Arc::clone(&named_by) });
        }
    }

    /// Starts what may run: logs first, so that few of them wait; no digest while the queue is long.
    fn start(&mut self) {
        let (shared, source) = (self.shared, self.source);
        while self.running.len() - self.reading < LOGS_AHEAD {
            let jobs: Vec<LogJob> = self.queue.drain(..self.turn().min(self.queue.len())).collect();
            if jobs.is_empty() {
                break;
            }
            self.running.push(Box::pin(async move {
                // Never closed: a permit always comes.
                let _permit = shared.permits.acquire().await.ok();
                Done::Logs(check_logs(&shared.sources, source, jobs, shared.max_log).await)
            }));
        }
        while self.reading < DIGESTS_AHEAD && self.queue.is_empty() {
            let Some(key) = self.unread.pop_front() else { break };
            self.reading += 1;
            self.running.push(Box::pin(async move {
                Done::Digest(Box::new(read_digest(shared, source, key).await))
            }));
        }
    }

    /// How many log files are read in one go.
    fn turn(&self) -> usize {
        if !self.source.is_local() {
            return 1;
        }
        let mean = self.read.1.checked_div(self.read.0).unwrap_or(USUAL);
        usize::try_from((TURN.0 / mean.max(1)).clamp(1, TURN.1)).unwrap_or(1)
    }

    fn note_logs(&mut self, logs: Vec<CheckedLog>) {
        for log in logs {
            self.read.0 += 1;
            self.read.1 += log.bytes;
            self.shared.progress.log(log.bytes);
            self.report.logs.count(log.outcome.class());
            if let Some(problem) = log.problem {
                self.report.push(problem);
            }
        }
    }

    /// In a copy that has lost the signatures of all its digests, takes each for genuine that its successor does
    /// not contradict, so that whatever contradicts itself is still found. Nothing counts as proven then.
    pub(super) fn assume_genuine(&mut self) {
        let lost = |fault: &Fault| matches!(fault.kind, FaultKind::Digest(DigestFault::SignatureMissing));
        let unreadable = |fault: &Fault| match &fault.kind {
            FaultKind::Unread(_) => true,
            FaultKind::Digest(kind) => {
                matches!(kind, DigestFault::Format(_) | DigestFault::Document(_) | DigestFault::Moved { .. })
            }
        };
        let none_left = self.faults.values().all(|fault| lost(fault) || unreadable(fault));
        if self.source.outlook != Outlook::Copy || self.chain.newest().is_some() || !none_left {
            return;
        }
        let mut chain = Chain::new();
        for seen in self.chain.export() {
            chain.accept(match seen {
                Seen::Unproven(link) => {
                    self.assumed = Some(link.clone());
                    Seen::Vouched(link)
                }
                other => other,
            });
        }
        self.chain = chain;
    }

    /// Checks the logs of digests that only their successors prove.
    pub(super) async fn check_vouched(&mut self) {
        let vouched: Vec<Place> = self.chain.vouched().cloned().collect();
        for place in vouched {
            let Some(key) = self.faults.get(&place).map(|fault| fault.key.clone()) else { continue };
            let again = read_digest(self.shared, self.source, key.clone()).await;
            if let Ok(examined) = again.result {
                self.enqueue(&key, &place, examined.logs);
            }
            while !self.queue.is_empty() || !self.running.is_empty() {
                self.start();
                if let Some(Done::Logs(logs)) = self.running.next().await {
                    self.note_logs(logs);
                }
            }
        }
    }
}

/// Where a log lies in the source: there, the digest that names it lies under `found`, and says `claimed`.
fn key_in_copy(found: &str, claimed: &str, log: &str) -> String {
    let prefix = |key| LogKey::parse(key).map(|name| name.prefix.to_owned()).unwrap_or_default();
    let (here, there) = (prefix(found), prefix(claimed));
    if here == there {
        return log.to_owned();
    }
    let rest = if there.is_empty() { Some(log) } else { log.strip_prefix(&format!("{there}/")) };
    match rest {
        Some(rest) if here.is_empty() => rest.to_owned(),
        Some(rest) => format!("{here}/{rest}"),
        None => log.to_owned(),
    }
}

/// A short mark of a key, for a set of many.
pub(super) fn mark(key: &str) -> u128 {
    let bytes = Sha256::of(key.as_bytes()).0;
    u128::from_be_bytes(*bytes.first_chunk().unwrap_or(&[0; 16]))
}
