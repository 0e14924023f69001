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
    plans::check_apart(config)?;
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
    let tails = Tails::open(config, &means, &engine).await;
    let mut troubles = if options.once {
        once(tails, &engine, &means, config).await
    } else {
        for_ever(tails, &engine, &means, config).await
    };
    let ended_in_time = means.tasks.drain().await;
    engine.cpu.stop().await;
    if options.once && shutdown.stopping().is_cancelled() {
        // What is there was not seen to the end: a good exit would say that the archive has all of it.
        troubles.push("the pass was stopped before its end: run again to haul the rest".to_owned());
    }
    Ok(summarize(&engine, &ledger, troubles, ended_in_time, began.elapsed()))
}

/// A trail's tail and its name.
struct NamedTail {
    trail: String,
    tail: Tail,
    watch: Watch,
}

/// The trails' tails, as far as their buckets can be opened.
struct Tails {
    open: Vec<NamedTail>,
    /// The others, with what stands in the way: one trail's trouble does not hold up the rest.
    missing: Vec<(Trail, StoreError)>,
}

impl Tails {
    async fn open(config: &Config, means: &Means, engine: &Engine) -> Self {
        let mut tails = Self { open: Vec::new(), missing: Vec::new() };
        for trail in config.trails.listed() {
            match open_tail(config, trail, means, engine).await {
                Ok(tail) => tails.open.push(tail),
                Err(error) => {
                    tracing::error!(trail = trail.name, %error, "cannot open the bucket of a trail; the others go on");
                    tails.missing.push((trail.clone(), error));
                }
            }
        }
        tails
    }

    /// Tries again what could not be opened; returns what can be by now.
    async fn reopen(&mut self, config: &Config, means: &Means, engine: &Engine) -> Vec<NamedTail> {
        let (mut opened, mut missing) = (Vec::new(), Vec::new());
        for (trail, _) in std::mem::take(&mut self.missing) {
            match open_tail(config, &trail, means, engine).await {
                Ok(tail) => {
                    tracing::info!(trail = trail.name, "the bucket of a trail can be opened by now");
                    opened.push(tail);
                }
                Err(error) => missing.push((trail, error)),
            }
        }
        self.missing = missing;
        opened
    }

    /// What could not be opened, for people.
    fn troubles(&self) -> Vec<String> {
        let line = |(trail, error): &(Trail, StoreError)| {
            format!("trail {}: {error}; nothing of it was hauled", trail.name)
        };
        self.missing.iter().map(line).collect()
    }
}

async fn open_tail(
    config: &Config,
    trail: &Trail,
    means: &Means,
    engine: &Engine,
) -> Result<NamedTail, StoreError> {
    let start = match config.start.resolve(means.clock.now()) {
        None => Start::Beginning,
        Some(moment) => Start::At(moment.as_second()),
    };
    let store = means.places.get(trail.place.bucket()).await?;
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
    Ok(NamedTail { trail: trail.name.clone(), watch, tail })
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
async fn once(tails: Tails, engine: &Engine, means: &Means, config: &Config) -> Vec<String> {
    let mut troubles = tails.troubles();
    if let Err(error) = expire_ids(means, config) {
        troubles.push(error.to_string());
    }
    let intake = LaneIntake::new(&engine.queues);
    if let Err(error) = intake.offer_again(&means.ledger, true).await {
        troubles.push(error.to_string());
    }
    let passes = tails.open.into_iter().map(|mut named| async move {
        let pass = named.tail.run_once().await;
        (named, pass)
    });
    let stopping = means.tasks.shutdown().stopping();
    let passes = tokio::select! {
        passes = futures::future::join_all(passes) => passes,
        () = stopping.cancelled() => Vec::new(),
    };
    for (mut named, pass) in passes {
        named.watch.report(means);
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
async fn for_ever(mut tails: Tails, engine: &Engine, means: &Means, config: &Config) -> Vec<String> {
    let mut watches = start_tails(std::mem::take(&mut tails.open), means);
    let intake = LaneIntake::new(&engine.queues);
    let stopping = means.tasks.shutdown().stopping().clone();
    let mut first = true;
    loop {
        if let Err(error) = housekeep(&intake, means, config, first).await {
            means.tasks.shutdown().fail("housekeeping", error.into());
        }
        if !first {
            watches.extend(start_tails(tails.reopen(config, means, engine).await, means));
        }
        first = false;
        watches.iter_mut().for_each(|watch| watch.report(means));
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
    let failure = means.tasks.shutdown().failure();
    let failure = failure.map(|failure| format!("{}: {:#}", failure.task, failure.error));
    tails.troubles().into_iter().chain(failure).collect()
}

/// Drops the ids that are out of the window.
fn expire_ids(means: &Means, config: &Config) -> Result<(), LedgerError> {
    // An hour more than the window: clocks of past commits may have been ahead.
    let window = i64::try_from(config.dedup.window.as_secs()).unwrap_or(i64::MAX).saturating_add(3_600);
    means.ledger.expire_ids(means.clock.now().as_second().saturating_sub(window))?;
    Ok(())
}

fn start_tails(tails: Vec<NamedTail>, means: &Means) -> Vec<Watch> {
    let mut watches = Vec::with_capacity(tails.len());
    for NamedTail { trail, tail, watch } in tails {
        let name = format!("tail {trail}");
        means.tasks.spawn(name, OnError::StopProcess, OnStop::Wait, async move { Ok(tail.run().await?) });
        watches.push(watch);
    }
    watches
}

/// Offers what was found and is not done, and drops what has expired.
async fn housekeep(
    intake: &LaneIntake,
    means: &Means,
    config: &Config,
    first: bool,
) -> Result<(), LedgerError> {
    let taken = intake.offer_again(&means.ledger, false).await?;
    if first && taken > 0 {
        tracing::info!(objects = taken, "go on with objects that an earlier run had found");
    }
    expire_ids(means, config)?;
    let before = means.clock.now().checked_sub(config.state.retention).unwrap_or(Timestamp::MIN);
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
        findings: ledger.finding_counts().unwrap_or_default(),
    }
}
