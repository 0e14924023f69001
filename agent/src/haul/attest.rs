//! The audit beside the haul: where its parts come from, and when they run.
//!
//! In: a configuration with `integrity.mode: attest`. Out: for each trail a second tail, of its digests alone,
//! whose finds go to the audit's own intake; a single pass, or tasks until the stop. Order of a single pass: the
//! haul, the digests, what they name and nobody has seen, and then what can be said of all. Failure: a ledger
//! that fails stops the process; what could not be asked for is told.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::Family;
use trailhaul_core::plan::{Day, Start};
use trailhaul_core::verify::KeyRing;

use super::engine::{Engine, Means};
use super::run::{RunError, RunOptions};
use super::seams::{LaneIntake, LedgerInventory};
use super::tails::tail_config;
use crate::audit::follow::{
    ASK_AGAIN, FollowMeans, FollowRules, Followed, Follower, Ground, Listings, remembered_keys,
};
use crate::audit::{AskCloudTrail, AskTrails, KeySource, Keys, Outlook, TrailOracle, load_key_file};
use crate::config::{Config, IntegrityMode, Trail};
use crate::runtime::{OnError, OnStop, RetryPolicy};
use crate::tail::{Pages, Tail, TailSeams, TrailBucket};

/// Rounds of a single pass: what digests bring to light is hauled, and looked at again.
const ROUNDS: usize = 4;

/// The audit of this run.
pub(super) struct Attest {
    follower: Follower,
    start: Start,
}

impl Attest {
    /// The audit that the configuration asks for; `None` where it is off.
    pub(super) fn new(
        config: &Config,
        options: RunOptions,
        means: &Means,
        engine: &Engine,
    ) -> Result<Option<Self>, RunError> {
        if config.integrity.mode == IntegrityMode::Off {
            return Ok(None);
        }
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
        let rules = FollowRules {
            grace: seconds(config.integrity.grace),
            extra_after: seconds(config.integrity.extra_after),
            keep: seconds(config.state.retention),
            lanes: engine.genesis.lanes,
            max_log: config.limits.inflated_size,
            once: options.once,
            holds: engine.hold.is_some(),
        };
        let follow = FollowMeans {
            ledger: means.ledger.clone(),
            lanes: Arc::new(LaneIntake::new(&engine.queues)),
            journal: engine.journal.clone(),
            keys: Arc::new(keys(config, means, means.tasks.shutdown().stopping().clone())?),
            clock: Arc::clone(&means.clock),
            cpu: Arc::clone(&engine.cpu),
            budget: engine.budget.clone(),
            retry: RetryPolicy::requests(),
            stop: means.tasks.shutdown().stopping().child_token(),
            metrics: Arc::clone(means.meters.registry()),
            oracle: oracle(config, means),
        };
        let start = start(config, options, means)?;
        Ok(Some(Self { follower: Follower::new(follow, rules), start }))
    }

    /// The tail of a trail's digests; from now on they are followed.
    pub(super) fn tail(
        &self,
        config: &Config,
        trail: &Trail,
        bucket: &TrailBucket,
        means: &Means,
        pages: &Pages,
    ) -> Tail {
        let listings = Arc::new(Listings::default());
        let url = bucket.store.url();
        let outlook = if trail.place.s3_bucket().is_some() { Outlook::Live } else { Outlook::Copy };
        self.follower.add(Arc::new(Ground {
            name: trail.name.clone(),
            store: Arc::clone(&bucket.store),
            url: url.into(),
            bucket: url.rsplit('/').next().unwrap_or(url).to_owned(),
            outlook,
            prefix: bucket.prefix.clone(),
            carries: bucket.carries.clone(),
            families: trail.families.iter().copied().filter(|family| family.holds_records()).collect(),
            writers: trail.writers.clone(),
            from: match self.start {
                Start::Beginning => Day::BEGINNING,
                Start::At(moment) => Day::of(moment),
            },
            listings: Arc::clone(&listings),
        }));
        let seams = TailSeams {
            inventory: Arc::new(LedgerInventory::new(means.ledger.clone(), self.start)),
            intake: Arc::new(self.follower.intake()),
            clock: Arc::clone(&means.clock),
            pages: pages.clone(),
        };
        let mut tail = tail_config(config, trail, self.start);
        tail.families = vec![Family::Digest];
        // Digests are an hourly trickle, and their listing must not crowd out that of the logs.
        tail.at_once = 4;
        tail.listed = Some(listings);
        Tail::new(bucket.clone(), seams, tail, means.tasks.shutdown().stopping().clone())
    }

    /// A single pass, after the haul: everything that can be said. What could not be asked for, for people.
    pub(super) async fn once(self, digests: Vec<Tail>, engine: &Engine, means: &Means) -> Vec<String> {
        let examine = self.follower.examine();
        means.tasks.spawn("digests", OnError::StopProcess, OnStop::Wait, async move { Ok(examine.await?) });
        let mut troubles = Vec::new();
        let listed = async {
            self.follower.take_up().await.map_err(|error| error.to_string())?;
            let passes = join_all(digests.into_iter().map(|mut tail| async move { tail.run_once().await }));
            let mut failed = 0;
            for pass in passes.await {
                failed += pass.map_err(|error| error.to_string())?.failed;
            }
            self.follower.examined().await;
            Ok::<_, String>(failed)
        };
        let stopping = means.tasks.shutdown().stopping();
        let passed = tokio::select! {
            passed = listed => passed,
            () = stopping.cancelled() => return troubles,
        };
        match passed {
            Ok(0) => {}
            Ok(failed) => troubles
                .push(format!("{failed} folders of digests cannot be listed: their logs have no verdict")),
            Err(error) => troubles.push(error),
        }
        engine.queues.iter().for_each(|queue| queue.hurry());
        // What digests vouch for by now need not wait any longer; what none of them names may have waited in vain.
        if let Some(hold) = &engine.hold {
            hold.digests_are_read(true);
            if let Err(error) = engine.intake().offer_again(&means.ledger, true).await {
                troubles.push(error.to_string());
            }
        }
        for round in 1..=ROUNDS {
            tokio::select! {
                () = idle(engine) => {}
                () = stopping.cancelled() => return troubles,
            }
            match self.follower.look_at_all(round == ROUNDS).await {
                Ok(followed) if followed.handed > 0 && round < ROUNDS => {}
                Ok(followed) => {
                    troubles.extend(unknowns(followed));
                    break;
                }
                Err(error) => {
                    troubles.push(error.to_string());
                    break;
                }
            }
        }
        self.follower.stop();
        troubles
    }

    /// Whether the digests that lay in the buckets when the process began were read.
    pub(super) fn is_caught_up(&self) -> bool {
        self.follower.is_caught_up()
    }

    /// Follows digests until the stop.
    pub(super) fn start(self, means: &Means) -> Self {
        let examine = self.follower.examine();
        means.tasks.spawn("digests", OnError::StopProcess, OnStop::Wait, async move { Ok(examine.await?) });
        let watch = self.follower.clone();
        means.tasks.spawn("audit", OnError::StopProcess, OnStop::Wait, async move {
            watch.take_up().await?;
            Ok(watch.watch().await?)
        });
        self
    }
}

/// Waits until the lanes have nothing left to do.
async fn idle(engine: &Engine) {
    while !engine.queues.iter().all(|queue| queue.is_idle()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn unknowns(followed: Followed) -> Vec<String> {
    let mut lines = Vec::new();
    if followed.unread > 0 {
        lines.push(format!(
            "{} digests cannot be read or judged: their logs have no verdict (are there public keys of their region?)",
            followed.unread
        ));
    }
    if followed.undelivered > 0 {
        lines.push(format!(
            "CloudTrail could not deliver the newest digests of {} chains, and goes on trying",
            followed.undelivered
        ));
    }
    if followed.unknown > 0 {
        lines.push(format!("{} logs that digests name cannot be asked for", followed.unknown));
    }
    lines
}

/// Where digests begin that nobody has listed: where the haul begins, or where its memory does, if that is earlier
/// (the ledger was lost). A continuous run remembers nothing older than `state.retention`.
fn start(config: &Config, options: RunOptions, means: &Means) -> Result<Start, RunError> {
    let now = means.clock.now();
    let Some(moment) = config.start.resolve(now) else {
        if options.once {
            return Ok(Start::Beginning);
        }
        let kept = now.checked_sub(config.state.retention).unwrap_or(jiff::Timestamp::MIN);
        return Ok(Start::At(kept.as_second()));
    };
    let first = means.ledger.first_day()?.map_or(i64::MAX, Day::begin);
    let kept = now.checked_sub(config.state.retention).map_or(i64::MIN, jiff::Timestamp::as_second);
    let from = moment.as_second().min(first);
    Ok(Start::At(if options.once { from } else { from.max(kept) }))
}

/// CloudTrail, to be asked whether a silent trail was stopped; it is asked again from time to time.
fn oracle(config: &Config, means: &Means) -> Option<Arc<dyn TrailOracle>> {
    /// Chains are reviewed one after the other, and one answer does for all chains of a trail.
    const TIME: Duration = Duration::from_secs(15);
    let aws = means.aws.as_ref()?;
    let stop = means.tasks.shutdown().stopping().clone();
    let trails = AskTrails::of_config(aws, config, RetryPolicy::requests(), stop);
    Some(Arc::new(trails.asking_again(ASK_AGAIN, TIME)))
}

/// The keys of files and of earlier runs, and CloudTrail to be asked where a bucket is S3's.
fn keys(config: &Config, means: &Means, stop: CancellationToken) -> Result<Keys, RunError> {
    let mut ring = KeyRing::default();
    for path in &config.integrity.public_keys {
        for warning in load_key_file(path, &mut ring)? {
            tracing::warn!(warning, "public keys");
        }
    }
    remembered_keys(&means.ledger, &mut ring)?;
    let in_aws = config.trails.listed().iter().any(|trail| trail.place.s3_bucket().is_some());
    let source = match means.aws.as_ref().filter(|_| in_aws) {
        None => None,
        Some(aws) => match AskCloudTrail::of_config(aws, config, RetryPolicy::requests(), stop) {
            Ok(source) => Some(Arc::new(source) as Arc<dyn KeySource>),
            Err(error) => {
                tracing::error!(%error, "CloudTrail cannot be asked for public keys; those that are known count");
                None
            }
        },
    };
    Ok(Keys::new(ring, source))
}
