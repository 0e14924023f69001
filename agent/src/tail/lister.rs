//! The tail of one bucket: walks it, lists its streams when they are due, and offers what is new.
//!
//! In: a bucket, and its neighbours as [`TailSeams`]. Out: offers to the intake; [`Health`]; for a single pass
//! a [`Pass`]. Invariants: at most [`TailConfig::at_once`] listings at a time, and two of one account, so that
//! an account whose queue is full does not use up all places; one page in memory per listing. A stream that
//! fails waits 30 s, then twice as long each time up to 15 minutes, and the others go on.
//!
//! Stopping: [`Tail::run`] ends with its token and drops what is under way: what was recorded and not yet
//! offered is in the inventory.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{Family, StreamKey};
use trailhaul_core::plan::{DayPlan, DayRules, Start};

use super::health::Health;
use super::inventory::{Intake, Inventory, InventoryError, Listed};
use super::schedule::Schedule;
use super::streams::{TrailBucket, Walk};
use super::turn::{Context, Stream, Turn, TurnError, blocking};
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
    /// Listings at the same time: each has one page in memory, about 300 KiB.
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
        let context = Context { bucket, seams, config, cancel };
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
        let streams = schedule.take_all().into_iter().map(|(index, mut stream)| {
            stream.plan.next(&context.config.rules, now);
            stream.plan.expedite(now);
            context.exhaust(index, stream, now)
        });
        let mut turns = futures::stream::iter(streams).buffer_unordered(context.config.at_once.max(1));
        while let Some(turn) = turns.next().await {
            total.add(&turn.pass);
            total.streams += 1;
            total.failed += u64::from(matches!(turn.result, Err(TurnError::Own(..))));
            if !finish(context, schedule, health, turn, now)? {
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
        let mut turns = FuturesUnordered::new();
        let mut walking = context.walk().boxed().fuse();
        let mut walk_at = i64::MAX;
        loop {
            let now = context.now();
            if now >= walk_at {
                walking = context.walk().boxed().fuse();
                walk_at = i64::MAX;
            }
            while turns.len() < context.config.at_once.max(1) {
                let has_room = |account| context.seams.intake.has_room(account);
                let Some((index, stream)) = schedule.take_due(now, has_room) else { break };
                turns.push(context.turn(index, stream, now));
            }
            let is_full = turns.len() >= context.config.at_once.max(1);
            let wake = schedule.next_due().filter(|_| !is_full).unwrap_or(i64::MAX).min(walk_at);
            tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Ok(()),
                walked = &mut walking => {
                    let now = context.now();
                    let is_whole = walked.failures_total == 0;
                    walk_at = now + if is_whole { i64::from(context.config.walk_every) } else { AGAIN_LONGEST };
                    admit(context, schedule, health, walked, now).await?;
                }
                Some(turn) = turns.next(), if !turns.is_empty() => {
                    if !finish(context, schedule, health, turn, context.now())? {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(until(now, wake)) => {}
            }
        }
    }
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
        schedule.add(Stream { key, plan, saved: None }, now);
    }
    if let Some(listed) = &context.config.listed {
        listed.walked(now, walked.failures_total == 0 && !walked.is_cut);
    }
    health.walked(&context.bucket, schedule.len(), &walked);
    Ok(())
}

/// Puts a stream back after its turn. Whether to go on.
fn finish(
    context: &Context,
    schedule: &mut Schedule,
    health: &Health,
    turn: Turn,
    now: i64,
) -> Result<bool, TailError> {
    let Turn { index, stream, result, .. } = turn;
    let earliest = match result {
        Ok(()) => {
            health.recovered(&stream.key);
            now
        }
        Err(TurnError::Own(kind, message)) => {
            health.failed(&stream.key, kind, message, now, |failures| now + pause(failures))
        }
        Err(TurnError::Fatal(error)) => return Err(error),
        Err(TurnError::Closed) => return Ok(false),
    };
    schedule.put_back(index, stream, &context.config.rules, earliest);
    Ok(true)
}

/// Seconds until a stream is tried again that failed so often in a row.
fn pause(failures: u32) -> i64 {
    (AGAIN_FIRST << failures.saturating_sub(1).min(10)).min(AGAIN_LONGEST)
}

fn until(now: i64, wake: i64) -> Duration {
    let seconds = u64::try_from(wake.saturating_sub(now)).unwrap_or(0);
    Duration::from_secs(seconds).min(LONGEST_SLEEP)
}
