//! The trails' tails: for each bucket one for the logs, and one for the digests where they are followed.
//!
//! In: the trails of a configuration. Out: open tails, and those whose bucket cannot be opened, which are tried
//! again. Invariant: one trail's trouble does not hold up the rest. Failure: told, and kept for the summary.

use std::sync::Arc;
use std::time::Duration;

use trailhaul_core::plan::{Day, Start};

use super::attest::Attest;
use super::engine::{Engine, Means};
use super::plans;
use super::seams::LedgerInventory;
use super::watch::Watch;
use crate::config::{Config, Trail};
use crate::ledger::LedgerError;
use crate::store::StoreError;
use crate::tail::{Pages, Tail, TailConfig, TailSeams};
use crate::telemetry::Metric;

/// Where streams begin that nobody has listed. When the ledger was lost, what had been found and not hauled may lie
/// before a start that is said as an age, such as -1d: then it is where the memory begins, if that is earlier.
pub(super) fn start(config: &Config, means: &Means) -> Result<Start, LedgerError> {
    let Some(moment) = config.start.resolve(means.clock.now()) else { return Ok(Start::Beginning) };
    let first = means.ledger.first_day_if_lost()?.map_or(i64::MAX, Day::begin);
    Ok(Start::At(moment.as_second().min(first)))
}

/// A trail's tail and its name.
pub(super) struct NamedTail {
    pub(super) trail: String,
    pub(super) tail: Tail,
    pub(super) watch: Watch,
    /// The tail of its digests, where they are followed.
    pub(super) digests: Option<Tail>,
}

/// The trails' tails, as far as their buckets can be opened.
pub(super) struct Tails {
    pub(super) open: Vec<NamedTail>,
    /// The others, with what stands in the way: one trail's trouble does not hold up the rest.
    missing: Vec<(Trail, StoreError)>,
    /// The places for pages of listings, shared by all.
    pages: Pages,
    start: Start,
}

impl Tails {
    pub(super) async fn open(
        config: &Config,
        means: &Means,
        engine: &Engine,
        attest: Option<&Attest>,
        (pages, start): (Pages, Start),
    ) -> Self {
        let mut tails = Self { open: Vec::new(), missing: Vec::new(), pages, start };
        for trail in config.trails.listed() {
            match open_tail(config, trail, means, engine, attest, (&tails.pages, start)).await {
                Ok(tail) => tails.open.push(tail),
                Err(error) => {
                    tracing::error!(trail = trail.name, %error, "cannot open the bucket of a trail; the others go on");
                    means.meters.registry().series(Metric::Unlisted, &[&trail.name]).set(1);
                    tails.missing.push((trail.clone(), error));
                }
            }
        }
        tails
    }

    /// Tries again what could not be opened; returns what can be by now.
    pub(super) async fn reopen(
        &mut self,
        config: &Config,
        means: &Means,
        engine: &Engine,
        attest: Option<&Attest>,
    ) -> Vec<NamedTail> {
        let (mut opened, mut missing) = (Vec::new(), Vec::new());
        for (trail, _) in std::mem::take(&mut self.missing) {
            match open_tail(config, &trail, means, engine, attest, (&self.pages, self.start)).await {
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
    pub(super) fn troubles(&self) -> Vec<String> {
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
    attest: Option<&Attest>,
    (pages, start): (&Pages, Start),
) -> Result<NamedTail, StoreError> {
    let store = means.places.get(trail.place.bucket()).await?;
    let metrics = means.meters.registry();
    let found = metrics.series(Metric::ObjectsFound, &[&trail.name]);
    let seams = TailSeams {
        inventory: Arc::new(
            LedgerInventory::new(means.ledger.clone(), start).holding(engine.hold.clone()).counting(found),
        ),
        intake: Arc::new(engine.intake()),
        clock: Arc::clone(&means.clock),
        pages: pages.clone(),
    };
    let bucket = plans::bucket(config, trail, store);
    let digests = attest.map(|attest| attest.tail(config, trail, &bucket, means, pages));
    let tail = Tail::new(
        bucket,
        seams,
        tail_config(config, trail, start),
        means.tasks.shutdown().stopping().clone(),
    );
    let unlisted = metrics.series(Metric::Unlisted, &[&trail.name]);
    let watch = Watch::new(trail.name.clone(), tail.health(), unlisted);
    Ok(NamedTail { trail: trail.name.clone(), watch, tail, digests })
}

/// Days that are over bring objects more seldom: they are listed this many times less often than today's folder.
const PAST: u32 = 4;

/// How a trail's bucket is tailed for its logs.
pub(super) fn tail_config(config: &Config, trail: &Trail, start: Start) -> TailConfig {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let mut tail = TailConfig::new(start);
    tail.families = trail.families.iter().copied().filter(|family| family.holds_records()).collect();
    tail.rules.shortest = seconds(config.tail.interval);
    tail.rules.longest = seconds(config.tail.max_interval);
    tail.rules.longest_past = tail.rules.longest.saturating_mul(PAST);
    let days = config.tail.look_back.as_secs().div_ceil(86_400);
    tail.rules.look_back = u16::try_from(days).unwrap_or(u16::MAX);
    tail
}
