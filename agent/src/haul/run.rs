//! `trailhaul run`: start ► run ► stop.
//!
//! In: a configuration. Out: the archive, and a [`Summary`]. Invariant: nothing is taken in after the stop
//! began; what was begun is committed within the grace or planned again by the next start. Failure:
//! [`RunError`] when the run cannot start; later trouble is in the summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use trailhaul_core::plan::Start;

use super::Places;
use super::engine::{Engine, Means, StartError};
use super::lane::LaneEnd;
use super::opener::{ConfiguredOpener, OpenerError};
use super::plans::{self, PlanError};
use super::seams::{LaneIntake, LedgerInventory};
use super::summary::{Ended, Summary};
use super::watch::Watch;
use crate::config::{Config, Trail};
use crate::ledger::{Ledger, LedgerError, LedgerOptions};
use crate::runtime::{Clock, OnError, OnStop, Shutdown, Tasks};
use crate::store::StoreError;
use crate::tail::{Tail, TailConfig, TailSeams};

/// What the command line says about a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// One pass over what is there.
    pub once: bool,
    /// Take lanes from another owner.
    pub take_lanes: bool,
    /// Start with an empty ledger and rebuild it from the journal.
    pub rebuild_ledger: bool,
}

/// Why a run does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration asks for more than there is.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The stores.
    #[error(transparent)]
    Open(#[from] OpenerError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engine.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A bucket of a trail.
    #[error("trail {trail}")]
    Trail {
        /// The trail's name.
        trail: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// How often expired rows are dropped and forgotten objects are offered again.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Runs until everything that is there is hauled (`once`), or until `shutdown` stops it.
pub async fn run(
    config: &Config,
    options: RunOptions,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Summary, RunError> {
    let began = Instant::now();
    let (plans, cache_bytes) = plans::engine(config, options)?;
    let ledger_options = LedgerOptions { cache_bytes, rebuild: options.rebuild_ledger, gate: None };
    let ledger = Ledger::open(&config.state.path, &ledger_options)?;
    let opener = ConfiguredOpener::new(config, Arc::clone(&clock)).await?;
    let aws = opener.aws().cloned();
    let places = Arc::new(Places::new(Box::new(opener)));
    let tasks = Arc::new(Tasks::new(shutdown.clone()));
    let means = Means { ledger: ledger.clone(), places, clock: Arc::clone(&clock), tasks, aws };

    let engine = Engine::start(&plans, &means).await?;
    tracing::info!(
        archive = engine.genesis.archive,
        lanes = engine.genesis.lanes,
        agent = ledger.agent(),
        "start"
    );
    let tails = open_tails(config, &means, &engine).await?;
    let troubles = if options.once {
        once(tails, &engine, &means).await
    } else {
        for_ever(tails, &engine, &means, config).await
    };
    let ended_in_time = means.tasks.drain().await;
    engine.cpu.stop().await;
    Ok(summarize(&engine, &ledger, troubles, ended_in_time, began.elapsed()))
}

/// A trail's tail and its name.
struct NamedTail {
    trail: String,
    tail: Tail,
    watch: Watch,
}

async fn open_tails(config: &Config, means: &Means, engine: &Engine) -> Result<Vec<NamedTail>, RunError> {
    let now = means.clock.now();
    let start = match config.start.resolve(now) {
        None => Start::Beginning,
        Some(moment) => Start::At(moment.as_second()),
    };
    let mut tails = Vec::new();
    for trail in config.trails.listed() {
        let store = means.places.get(trail.place.bucket()).await;
        let store = store.map_err(|source| RunError::Trail { trail: trail.name.clone(), source })?;
        let seams = TailSeams {
            inventory: Arc::new(LedgerInventory(means.ledger.clone())),
            intake: Arc::new(LaneIntake::new(&engine.queues)),
            clock: Arc::clone(&means.clock),
        };
        let bucket = plans::bucket(config, trail, store);
        let tail = Tail::new(
            bucket,
            seams,
            tail_config(config, trail, start),
            means.tasks.shutdown().stopping().clone(),
        );
        let watch = Watch::new(trail.name.clone(), tail.health());
        tails.push(NamedTail { trail: trail.name.clone(), watch, tail });
    }
    Ok(tails)
}

fn tail_config(config: &Config, trail: &Trail, start: Start) -> TailConfig {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let mut tail = TailConfig::new(start);
    tail.families = trail.families.iter().copied().filter(|family| family.holds_records()).collect();
    tail.rules.shortest = seconds(config.tail.interval);
    tail.rules.longest = seconds(config.tail.max_interval);
    let days = config.tail.look_back.as_secs().div_ceil(86_400);
    tail.rules.look_back = u16::try_from(days).unwrap_or(u16::MAX);
    tail
}

/// One pass: what was found before, then everything that the buckets show, then the queues run dry.
async fn once(tails: Vec<NamedTail>, engine: &Engine, means: &Means) -> Vec<String> {
    let mut troubles = Vec::new();
    let intake = LaneIntake::new(&engine.queues);
    if let Err(error) = intake.offer_again(&means.ledger, true).await {
        troubles.push(error.to_string());
    }
    let passes = tails.into_iter().map(|mut named| async move {
        let pass = named.tail.run_once().await;
        (named, pass)
    });
    let stopping = means.tasks.shutdown().stopping();
    let passes = tokio::select! {
        passes = futures::future::join_all(passes) => passes,
        () = stopping.cancelled() => Vec::new(),
    };
    for (mut named, pass) in passes {
        named.watch.report(means, &engine.counters);
        match pass {
            Err(error) => troubles.push(format!("trail {}: {error}", named.trail)),
            Ok(pass) if pass.failed > 0 => troubles.extend(named.watch.unlisted()),
            Ok(pass) => tracing::debug!(trail = named.trail, ?pass, "listed"),
        }
    }
    engine.queues.iter().for_each(|queue| queue.close());
    troubles
}

/// Listing and hauling until the stop.
async fn for_ever(tails: Vec<NamedTail>, engine: &Engine, means: &Means, config: &Config) -> Vec<String> {
    let mut watches = Vec::with_capacity(tails.len());
    for NamedTail { trail, tail, watch } in tails {
        let name = format!("tail {trail}");
        means.tasks.spawn(name, OnError::StopProcess, OnStop::Wait, async move { Ok(tail.run().await?) });
        watches.push(watch);
    }
    let intake = LaneIntake::new(&engine.queues);
    let retention = config.state.retention;
    let window = config.dedup.window;
    let stopping = means.tasks.shutdown().stopping().clone();
    let mut first = true;
    loop {
        if let Err(error) = housekeep(&intake, means, retention, window, first).await {
            means.tasks.shutdown().fail("housekeeping", error.into());
        }
        first = false;
        watches.iter_mut().for_each(|watch| watch.report(means, &engine.counters));
        if engine.ends.doubt() {
            tracing::error!("a lane is in doubt: stop when the others have drained");
            means.tasks.shutdown().stop();
        }
        tokio::select! {
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
    }
    engine.queues.iter().for_each(|queue| queue.close());
    means
        .tasks
        .shutdown()
        .failure()
        .map(|failure| format!("{}: {:#}", failure.task, failure.error))
        .into_iter()
        .collect()
}

/// Offers what was found and is not done, and drops what has expired.
async fn housekeep(
    intake: &LaneIntake,
    means: &Means,
    retention: Duration,
    window: Duration,
    first: bool,
) -> Result<(), LedgerError> {
    let taken = intake.offer_again(&means.ledger, false).await?;
    if first && taken > 0 {
        tracing::info!(objects = taken, "go on with objects that an earlier run had found");
    }
    let now = means.clock.now();
    // An hour more than the window: clocks of past commits may have been ahead.
    let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX).saturating_add(3_600);
    means.ledger.expire_ids(now.as_second().saturating_sub(window))?;
    let before = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
    means.ledger.expire_inventory(trailhaul_core::plan::Day::of(before.as_second()))?;
    Ok(())
}

fn summarize(
    engine: &Engine,
    ledger: &Ledger,
    mut troubles: Vec<String>,
    ended_in_time: bool,
    took: Duration,
) -> Summary {
    let mut ended = Ended::Well;
    for queue in &engine.queues {
        for (object, why) in queue.abandoned() {
            troubles.push(format!("leave {object} behind: {why}"));
        }
    }
    if !troubles.is_empty() || !ended_in_time {
        ended = ended.max(Ended::Unreachable);
    }
    for end in engine.ends.take() {
        ended = ended.max(match end {
            LaneEnd::Doubt { .. } => Ended::Doubt,
            LaneEnd::Lost(_) | LaneEnd::Unreachable(_) => Ended::Unreachable,
        });
        troubles.push(end.to_string());
    }
    let counts = engine.counters.counts();
    if counts.findings > 0 || !engine.out.is_empty() {
        ended = ended.max(Ended::Finding);
    }
    Summary {
        ended,
        counts,
        recovered: engine.recovered,
        took,
        troubles,
        out: engine.out.clone(),
        findings: ledger.finding_count().unwrap_or_default(),
    }
}
