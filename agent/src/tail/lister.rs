//! The tail of one bucket: walks it, lists its streams when they are due, and offers what is new.
//!
//! In: a bucket, and its neighbours as [`TailSeams`]. Out: offers to the intake; [`Health`]; for a single pass
//! a [`Pass`]. Invariants: at most [`TailConfig::at_once`] listings at a time, and two of one account; a stream whose
//! account has no room gives its turn to others; a page is in memory only while it has a place among those of all
//! tails ([`Pages`]). A stream that fails waits 30 s, then twice as long each time up to 15 minutes, and the others go
//! on; where the whole trail fails, one of its streams is tried every 25 s ([`Probe`]), and all when that one works.
//!
//! Stopping: [`Tail::run`] ends with its token and drops what is under way: what was recorded and not yet
//! offered is in the inventory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{Family, StreamKey};
use trailhaul_core::plan::{DayPlan, DayRules, Start};

use super::health::Health;
use super::inventory::{Intake, Inventory, InventoryError, Listed};
use super::pages::{Pages, Slowness};
use super::probe::{self, Probe};
use super::schedule::Schedule;
use super::streams::{TrailBucket, Walk};
use super::turn::{Context, Ended, Stream, Turn, TurnError, blocking};
use crate::runtime::{Clock, RetryPolicy};

/// How a bucket is tailed.
#[derive(Debug, Clone)]
pub struct TailConfig {
    /// Which day folders are listed, and when.
    pub rules: DayRules,
    /// Where a stream begins that nobody has listed before.
    pub start: Start,
    /// The kinds of file that are tailed.
    pub families: Vec<Family>,
    /// Listings of this bucket at the same time.
    pub at_once: usize,
    /// Seconds between two walks: new accounts and regions show up as new folders.
    pub walk_every: u32,
    /// For each request.
    pub retry: RetryPolicy,
    /// Who is told how far listings have come.
    pub listed: Option<Arc<dyn Listed>>,
}

impl TailConfig {
    /// The usual, beginning where `start` says: every family with records, 8 listings at once, a walk an
    /// hour.
    pub fn new(start: Start) -> Self {
        Self {
            rules: DayRules::default(),
            start,
            families: Family::ALL.into_iter().filter(|family| family.holds_records()).collect(),
            at_once: 8,
            walk_every: 3_600,
            retry: RetryPolicy::requests(),
            listed: None,
        }
    }
}

/// The tail's neighbours.
#[derive(Debug, Clone)]
pub struct TailSeams {
    /// What is known.
    pub inventory: Arc<dyn Inventory>,
    /// Who takes what is new.
    pub intake: Arc<dyn Intake>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The places for pages, shared by all tails.
    pub pages: Pages,
}

/// Why a tail cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TailError {
    /// Without the inventory nothing can be said to be new.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// A call to the inventory panicked, or was cut off by the end of the process.
    #[error("a call to the inventory did not come back: {0}")]
    Broken(String),
}

/// What a single pass came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Streams that were listed.
    pub streams: u64,
    /// Streams or folders that could not be listed to the end: the answer is incomplete. See [`Health`].
    pub failed: u64,
    /// Pages that were read.
    pub pages: u64,
    /// Logs that were listed, known ones included.
    pub logs: u64,
    /// Keys that are no logs of their stream.
    pub foreign: u64,
    /// New objects.
    pub new: u64,
    /// Objects that are known with another ETag.
    pub changed: u64,
}

impl Pass {
    fn add(&mut self, other: &Pass) {
        self.pages += other.pages;
        self.logs += other.logs;
        self.foreign += other.foreign;
        self.new += other.new;
        self.changed += other.changed;
    }
}

const AGAIN_FIRST: i64 = 30;
const AGAIN_LONGEST: i64 = 15 * 60;
/// A single pass looks again so soon whether there is room, when it waits for nothing else.
const LOOK: Duration = Duration::from_millis(50);
/// So many streams without room are looked at for one that has some.
const SCANNED: usize = 64;
/// Nothing is waited for longer than this without a look at the clock, which may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The tail of one bucket.
#[derive(Debug)]
pub struct Tail {
    context: Context,
    health: Health,
    schedule: Schedule,
}

impl Tail {
    /// The tail of a bucket. `cancel` ends pauses between tries, and [`Tail::run`].
    pub fn new(bucket: TrailBucket, seams: TailSeams, config: TailConfig, cancel: CancellationToken) -> Self {
        let context = Context { bucket, seams, config, cancel, slowness: Slowness::default() };
        Self { context, health: Health::default(), schedule: Schedule::default() }
    }

    /// Where to look for what stands in the way.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Walks the bucket, lists once everything from the start until now, and ends when all that is new was
    /// taken in, or the intake is closed. What could not be listed is counted in [`Pass::failed`].
    ///
    /// # Errors
    /// When the inventory fails; the tail is of no use after that.
    pub async fn run_once(&mut self) -> Result<Pass, TailError> {
        let Self { context, health, schedule } = self;
        let (context, now) = (&*context, context.now());
        let walked = context.walk().await;
        let mut total = Pass { failed: walked.failures_total, ..Pass::default() };
        admit(context, schedule, health, walked, now).await?;
        let mut waiting: VecDeque<(usize, Stream)> = schedule.take_all().into();
        for (_, stream) in &mut waiting {
            stream.plan.next(&context.config.rules, now);
            stream.plan.expedite(now);
            total.streams += 1;
        }
        let mut turns = FuturesUnordered::new();
        while !(waiting.is_empty() && turns.is_empty()) {
            while turns.len() < context.config.at_once.max(1) {
                let Some((index, stream)) = with_room(&mut waiting, context) else { break };
                turns.push(context.exhaust(index, stream, now));
            }
            let turn = tokio::select! {
                Some(turn) = turns.next(), if !turns.is_empty() => turn,
                () = tokio::time::sleep(LOOK), if turns.len() < context.config.at_once.max(1) => continue,
            };
            total.add(&turn.pass);
            total.failed += u64::from(matches!(turn.result, Err(TurnError::Own(..))));
            if matches!(turn.result, Ok(Ended::NoRoom)) {
                waiting.push_back((turn.index, turn.stream));
            } else if matches!(finish(context, schedule, health, turn, now)?, Finished::Closed) {
                break;
            }
        }
        Ok(total)
    }

    /// Walks and lists until the token is cancelled or the intake is closed.
    ///
    /// # Errors
    /// When the inventory fails.
    pub async fn run(mut self) -> Result<(), TailError> {
        let Self { context, health, schedule } = &mut self;
        let context = &*context;
        let (mut turns, mut probe) = (FuturesUnordered::new(), Probe::default());
        let mut walking = context.walk().boxed().fuse();
        let mut walk_at = i64::MAX;
        loop {
            let now = context.now();
            if now >= walk_at {
                walking = context.walk().boxed().fuse();
                walk_at = i64::MAX;
            }
            let has_room = |account| context.seams.intake.room(account) > 0;
            if let Some(index) = probe.due(now, schedule.len())
                && let Some(stream) = schedule.take(index, has_room)
            {
                turns.push(context.turn(index, stream, now));
            }
            while turns.len() < context.config.at_once.max(1) {
                let Some((index, stream)) = schedule.take_due(now, has_room) else { break };
                turns.push(context.turn(index, stream, now));
            }
            let is_full = turns.len() >= context.config.at_once.max(1);
            let due = schedule.next_due().filter(|_| !is_full);
            let wake = [due, probe.wake(schedule.len())].into_iter().flatten().fold(walk_at, i64::min);
            tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Ok(()),
                walked = &mut walking => {
                    let now = context.now();
                    walk_at = now + next_walk(&walked, &context.config);
                    admit(context, schedule, health, walked, now).await?;
                }
                Some(turn) = turns.next(), if !turns.is_empty() => {
                    let (index, now) = (turn.index, context.now());
                    match finish(context, schedule, health, turn, now)? {
                        Finished::Closed => return Ok(()),
                        Finished::Failed => probe.failed(index, now),
                        Finished::Worked => {
                            let others = probe.worked(index, schedule.len());
                            schedule.expedite(&others, now);
                            walk_at = if others.is_empty() { walk_at } else { walk_at.min(now) };
                        }
                    }
                }
                () = tokio::time::sleep(until(now, wake)) => {}
            }
        }
    }
}

/// Seconds until the next walk. One that could not even begin is tried again like a trail in trouble.
fn next_walk(walked: &Walk, config: &TailConfig) -> i64 {
    match (walked.failures_total, walked.streams.is_empty()) {
        (0, _) => i64::from(config.walk_every),
        (_, true) => probe::EVERY,
        (_, false) => AGAIN_LONGEST,
    }
}

/// Takes a stream whose account has room; those that were looked at in vain go to the end.
fn with_room(waiting: &mut VecDeque<(usize, Stream)>, context: &Context) -> Option<(usize, Stream)> {
    for _ in 0..waiting.len().min(SCANNED) {
        let (index, stream) = waiting.pop_front()?;
        if context.seams.intake.room(stream.key.account) > 0 {
            return Some((index, stream));
        }
        waiting.push_back((index, stream));
    }
    None
}

/// Adds the streams that a walk has shown and that are not there yet, with the plans saved for them.
async fn admit(
    context: &Context,
    schedule: &mut Schedule,
    health: &Health,
    walked: Walk,
    now: i64,
) -> Result<(), TailError> {
    let is_new = |key: &&StreamKey| context.config.families.contains(&key.family) && !schedule.knows(key);
    let new: Vec<StreamKey> = walked.streams.iter().filter(is_new).cloned().collect();
    let inventory = Arc::clone(&context.seams.inventory);
    let load =
        move || new.into_iter().map(|key| Ok((inventory.plan(&key)?, key))).collect::<Result<Vec<_>, _>>();
    let loaded: Result<_, InventoryError> = match blocking(load).await {
        Ok(loaded) => loaded,
        Err(TurnError::Fatal(error)) => return Err(error),
        Err(TurnError::Own(..) | TurnError::Closed) => return Ok(()),
    };
    for (plan, key) in loaded? {
        let plan = plan.unwrap_or_else(|| DayPlan::new(context.config.start));
        schedule.add(Stream::new(key, plan), now);
    }
    if let Some(listed) = &context.config.listed {
        listed.walked(now, walked.failures_total == 0 && !walked.is_cut, schedule.len());
    }
    health.walked(&context.bucket, schedule.len(), &walked);
    Ok(())
}

/// What the end of a turn means for the others.
enum Finished {
    Worked,
    /// The store failed.
    Failed,
    /// Nobody takes anything any more.
    Closed,
}

/// Puts a stream back after its turn.
fn finish(
    context: &Context,
    schedule: &mut Schedule,
    health: &Health,
    turn: Turn,
    now: i64,
) -> Result<Finished, TailError> {
    let Turn { index, stream, result, .. } = turn;
    let (earliest, finished) = match result {
        Ok(_) => {
            health.recovered(&stream.key);
            (now, Finished::Worked)
        }
        Err(TurnError::Own(kind, message)) => {
            let again = health.failed(&stream.key, kind, message, now, |failures| now + pause(failures));
            // A listing that cannot be right is that stream's own affair.
            (again, if kind.is_some() { Finished::Failed } else { Finished::Worked })
        }
        Err(TurnError::Fatal(error)) => return Err(error),
        Err(TurnError::Closed) => return Ok(Finished::Closed),
    };
    schedule.put_back(index, stream, &context.config.rules, earliest);
    Ok(finished)
}

/// Seconds until a stream is tried again that failed so often in a row.
fn pause(failures: u32) -> i64 {
    (AGAIN_FIRST << failures.saturating_sub(1).min(10)).min(AGAIN_LONGEST)
}

fn until(now: i64, wake: i64) -> Duration {
    let seconds = u64::try_from(wake.saturating_sub(now)).unwrap_or(0);
    Duration::from_secs(seconds).min(LONGEST_SLEEP)
}
