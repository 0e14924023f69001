//! `trailhaul run`: start ► run ► stop.
//!
//! In: a configuration. Out: the archive, and a [`Summary`]. Invariant: nothing is taken in after the stop
//! began; what was begun is committed within the grace or planned again by the next start. Failure:
//! [`RunError`] when the run cannot start; later trouble is in the summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Places;
use super::attest::Attest;
use super::engine::{Engine, Means, StartError};
use super::gauges::{Gauges, Readiness};
use super::lane::LaneEnd;
use super::meters::Meters;
use super::opener::{ConfiguredOpener, OpenerError};
use super::plans::{self, PlanError};
use super::seams::LaneIntake;
use super::summary::{Ended, HeldSummary, Summary};
use super::tails::{self, NamedTail, Tails};
use super::watch::Watch;
use crate::admin::{self, Desk, Vitals};
use crate::audit::KeyFileError;
use crate::config::{Config, IntegrityMode};
use crate::ledger::{Filter, Finding, Ledger, LedgerError, LedgerOptions};
use crate::runtime::{Clock, OnError, OnStop, Shutdown, Tasks};
use crate::store::StoreMeters;
use crate::tail::Pages;
use crate::telemetry::{FindingKind, Weight};
use jiff::Timestamp;

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
    /// Saved public keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
}

/// How often expired rows are dropped and forgotten objects are offered again.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How often it is looked at what tails have seen and whether a lane is in doubt.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until everything that is there is hauled (`once`), or until `shutdown` stops it. What it does meanwhile is
/// counted in `vitals`.
pub async fn run(
    config: &Config,
    options: RunOptions,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    vitals: &Arc<Vitals>,
) -> Result<Summary, RunError> {
    vitals.starting();
    let result = haul(config, options, clock, shutdown, vitals).await;
    let vitals = Arc::clone(vitals);
    // It waits for a measurement that is under way, so that the ledger is nobody's afterwards.
    let _ended = tokio::task::spawn_blocking(move || vitals.ended()).await;
    result
}

async fn haul(
    config: &Config,
    options: RunOptions,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    vitals: &Vitals,
) -> Result<Summary, RunError> {
    let began = Instant::now();
    plans::check_apart(config)?;
    let (plans, cache_bytes) = plans::engine(config, options)?;
    let ledger_options = LedgerOptions { cache_bytes, rebuild: options.rebuild_ledger, gate: None };
    let ledger = open_ledger(config, &ledger_options).await?;
    let meters = Arc::new(Meters::of_config(Arc::clone(vitals.registry()), config));
    let opener = ConfiguredOpener::new(config, Arc::clone(&clock)).await?;
    let opener = opener.metered(StoreMeters::new(Arc::clone(vitals.registry())));
    let aws = opener.aws().cloned();
    let places = Arc::new(Places::new(Box::new(opener)));
    let tasks = Arc::new(Tasks::new(shutdown.clone()));
    let means = Means { ledger: ledger.clone(), places, clock: Arc::clone(&clock), tasks, aws, meters };

    let engine = Engine::start(&plans, &means).await?;
    tracing::info!(
        archive = engine.genesis.archive,
        lanes = engine.genesis.lanes,
        agent = ledger.agent(),
        "start"
    );
    // It answers until everything else has ended.
    let admin = Arc::new(Tasks::new(Shutdown::new(config.limits.shutdown_grace)));
    let desk =
        Desk::new(ledger.clone(), buckets(config), Arc::clone(&clock), true).holding(longest_hold(config));
    if let Err(error) = admin::serve(&config.state.path, desk, &admin) {
        tracing::warn!(error = %error, cause = ?std::error::Error::source(&error), "run without a control socket");
    }
    vitals.running(Arc::new(Readiness::new(&engine, &means)), Box::new(Gauges::new(&engine, &means)));
    let pages = Pages::new(plans.memory.pages);
    let attest = Attest::new(config, options, &means, &engine)?;
    let start = tails::start(config, &means)?;
    let tails = Tails::open(config, &means, &engine, attest.as_ref(), (pages, start)).await;
    let mut troubles = if options.once {
        once(tails, attest, &engine, &means, config).await
    } else {
        for_ever(tails, attest, &engine, &means, config).await
    };
    let ended_in_time = means.tasks.drain().await;
    admin.shutdown().stop();
    admin.drain().await;
    engine.cpu.stop().await;
    if options.once && shutdown.stopping().is_cancelled() {
        // What is there was not seen to the end: a good exit would say that the archive has all of it.
        troubles.push("the pass was stopped before its end: run again to haul the rest".to_owned());
    }
    Ok(summarize(config, &engine, &ledger, troubles, options.once, (ended_in_time, began.elapsed())))
}

/// Opens the ledger. Where no agent runs, somebody may be looking into it (`status`, `findings`), which takes seconds:
/// that must not keep an agent from starting.
async fn open_ledger(config: &Config, options: &LedgerOptions) -> Result<Ledger, LedgerError> {
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(250);
    for _ in 1..TRIES {
        match Ledger::open(&config.state.path, options) {
            Err(LedgerError::InUse { .. }) => tokio::time::sleep(PAUSE).await,
            opened => return opened,
        }
    }
    Ledger::open(&config.state.path, options)
}

/// The buckets of the trails, where objects are looked for.
pub fn buckets(config: &Config) -> Vec<Arc<str>> {
    config.trails.listed().iter().map(|trail| Arc::clone(trail.place.bucket())).collect()
}

/// `integrity.max_hold` in seconds, where objects wait for their digests.
pub fn longest_hold(config: &Config) -> Option<i64> {
    let holds = config.integrity.mode == IntegrityMode::Hold;
    holds.then(|| i64::try_from(config.integrity.max_hold.as_secs()).unwrap_or(i64::MAX))
}

/// One pass: what was found before, then everything that the buckets show, then the queues run dry.
async fn once(
    tails: Tails,
    attest: Option<Attest>,
    engine: &Engine,
    means: &Means,
    config: &Config,
) -> Vec<String> {
    let mut troubles = tails.troubles();
    if let Err(error) = expire_ids(means, config) {
        troubles.push(error.to_string());
    }
    let intake = engine.intake();
    let passes = tails.open.into_iter().map(|mut named| async move {
        let pass = named.tail.run_once().await;
        (named, pass)
    });
    let passes = async {
        // A full lane holds up neither what was found before of the others, nor the listings.
        let (again, passes) =
            tokio::join!(intake.offer_again(&means.ledger, true), futures::future::join_all(passes));
        // What was recorded and found its place taken.
        (again.and(intake.offer_again(&means.ledger, true).await), passes)
    };
    let stopping = means.tasks.shutdown().stopping();
    let (again, passes) = tokio::select! {
        passes = passes => passes,
        () = stopping.cancelled() => (Ok(0), Vec::new()),
    };
    troubles.extend(again.err().map(|error| error.to_string()));
    let mut digests = Vec::new();
    for (mut named, pass) in passes {
        digests.extend(named.digests.take());
        named.watch.report(means);
        match pass {
            Err(error) => troubles.push(format!("trail {}: {error}", named.trail)),
            Ok(pass) if pass.failed > 0 => troubles.extend(named.watch.unlisted()),
            Ok(pass) => tracing::debug!(trail = named.trail, ?pass, "listed"),
        }
    }
    if let Some(attest) = attest
        && !stopping.is_cancelled()
    {
        troubles.extend(attest.once(digests, engine, means).await);
    }
    engine.queues.iter().for_each(|queue| queue.close());
    troubles
}

/// Listing and hauling until the stop.
async fn for_ever(
    mut tails: Tails,
    attest: Option<Attest>,
    engine: &Engine,
    means: &Means,
    config: &Config,
) -> Vec<String> {
    let mut watches = start_tails(std::mem::take(&mut tails.open), means);
    let attest = attest.map(|attest| attest.start(means));
    let intake = engine.intake();
    let stopping = means.tasks.shutdown().stopping().clone();
    let mut kept = None;
    loop {
        if kept.is_none_or(|at: Instant| at.elapsed() >= HOUSEKEEPING) {
            let first = kept.is_none();
            if let (Some(hold), Some(attest)) = (&engine.hold, &attest) {
                hold.digests_are_read(attest.is_caught_up());
            }
            if let Err(error) = housekeep(&intake, means, config, first).await {
                means.tasks.shutdown().fail("housekeeping", error.into());
            }
            if !first {
                let again = tails.reopen(config, means, engine, attest.as_ref()).await;
                watches.extend(start_tails(again, means));
            }
            kept = Some(Instant::now());
        }
        watches.iter_mut().for_each(|watch| watch.report(means));
        if engine.ends.doubt() {
            tracing::error!("a lane is in doubt: stop when the others have drained");
            means.tasks.shutdown().stop();
        }
        tokio::select! {
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
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
    for NamedTail { trail, tail, watch, digests } in tails {
        for (of, tail) in [("logs", Some(tail)), ("digests", digests)] {
            let Some(tail) = tail else { continue };
            let name = format!("tail {trail} {of}");
            means.tasks.spawn(name, OnError::StopProcess, OnStop::Wait, async move { Ok(tail.run().await?) });
        }
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
    config: &Config,
    engine: &Engine,
    ledger: &Ledger,
    mut troubles: Vec<String>,
    once: bool,
    (ended_in_time, took): (bool, Duration),
) -> Summary {
    let mut ended = Ended::Well;
    for queue in &engine.queues {
        for (object, why) in queue.abandoned() {
            // What the audit has called missing since, or found an older version of, waits no longer.
            if !ledger.is_found(&object).unwrap_or(true) {
                continue;
            }
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
    // What was found and is acknowledged by now has been looked at.
    if ((once || counts.findings > 0) && accuses(ledger)) || !engine.out.is_empty() {
        ended = ended.max(Ended::Finding);
    }
    Summary {
        ended,
        counts,
        recovered: engine.recovered,
        took,
        troubles,
        out: engine.out.clone(),
        held: held(engine, ledger, config),
        findings: ledger.finding_counts().unwrap_or_default(),
    }
}

/// What waits for digests, as far as it is counted.
fn held(engine: &Engine, ledger: &Ledger, config: &Config) -> Option<HeldSummary> {
    /// Reading more of them takes longer than anybody looks at the number.
    const MOST: usize = 1_000_000;
    engine.hold.as_ref()?;
    let counts = ledger.unhauled_counts(MOST).unwrap_or_default();
    Some(HeldSummary { held: counts.held(), more: counts.more, longest: config.integrity.max_hold })
}

/// Whether a finding about integrity is open: the exit code says so until somebody has looked at it.
fn accuses(ledger: &Ledger) -> bool {
    /// Open findings that are looked at; more of them than this are no trouble of reading any more.
    const MOST: usize = 1_000;
    let open = ledger.findings(&Filter { open: true, ..Filter::default() }, MOST).unwrap_or_default();
    let accuses = |finding: &Finding| {
        FindingKind::from_name(&finding.kind).is_none_or(|kind| kind.weight() == Weight::Integrity)
    };
    open.len() >= MOST || open.iter().any(accuses)
}
