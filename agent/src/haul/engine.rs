//! The engine: home archive, ledger, recovered lanes and their queues, running.
//!
//! In: what a configuration means ([`Plans`]) and what the process has (stores, ledger, clock). Out: queues
//! that take objects, and lanes that haul them. Invariant: no lane starts before its past is settled. Failure:
//! [`StartError`] says what is in the way; a lane that is in doubt about its journal stays out and is a
//! finding, the others run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use trailhaul_core::decode::DecodeLimits;
use trailhaul_core::dedup::{IdentityHasher, Window};
use trailhaul_core::encode::{Compression, FrameEncoder};
use trailhaul_core::mill::MillOutput;
use trailhaul_core::model::LaneId;
use trailhaul_core::normalize::{Format, HashKey, Redaction};
use trailhaul_core::route::Filter;

use super::batch::{BatchLimits, Bench};
use super::commit::{CommitError, LaneWriter};
use super::counters::Counters;
use super::fetch::Fetcher;
use super::hold::Hold;
use super::lane::{Lane, LaneEnd};
use super::meters::Meters;
use super::mill::{Accounts, KeyBy, Mill, MillError};
use super::outputs::{build_sinks, finding_sinks};
use super::queue::{Gate, LaneQueue, QueueRules};
use super::recover::{RecoverError, Recovered, drop_leftovers, recover};
use super::seams::LaneIntake;
use super::tell::Teller;
use super::tools::{Toolbox, Tools};
use super::{Places, Scratch};
use crate::archive::{Genesis, GenesisError, Journal, Layout};
use crate::aws::Aws;
use crate::config;
use crate::ledger::{LaneState, Ledger, LedgerError, NewFinding};
use crate::runtime::{Budget, Clock, CpuPool, OnError, OnStop, RetryPolicy, Tasks};
use crate::store::{Patience, StoreError};
use crate::telemetry::FindingKind;

/// Where the home archive is.
#[derive(Debug, Clone)]
pub struct HomePlan {
    /// The store's URL.
    pub url: String,
    /// The prefix below it.
    pub prefix: String,
    /// The number of lanes, fixed in the genesis.
    pub lanes: u16,
}

/// A sink to be built.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// How its frames are compressed.
    pub compression: Compression,
    /// How a record is written.
    pub format: Format,
    /// Which events it gets, as an expression; all without one.
    pub filter: Option<String>,
    /// What it must not see, one rule each.
    pub redact: Vec<String>,
    /// Whether it gets findings too.
    pub findings: bool,
    /// Where it goes.
    pub target: SinkTarget,
}

/// Where a sink goes.
#[derive(Debug, Clone)]
pub enum SinkTarget {
    /// An archive.
    Archive {
        /// The store's URL.
        url: String,
        /// The prefix below it.
        prefix: String,
        /// Whether it is the home archive.
        home: bool,
    },
    /// A data lake of Parquet files.
    Lake {
        /// The store's URL.
        url: String,
        /// The prefix below it.
        prefix: String,
        /// What the names of its custom sources begin with.
        source: String,
    },
    /// A folder of files: its store's URL.
    Folder(String),
    /// Standard output.
    Console,
    /// A Kinesis data stream.
    Kinesis(config::Kinesis),
}

/// How memory is shared out, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct MemoryPlan {
    /// What all working sets together may take.
    pub working_sets: u64,
    /// One lane's working set.
    pub working_set: u64,
    /// One lane's hot segments, kept between its batches.
    pub window: usize,
    /// Objects that wait in one lane's queue.
    pub queue: usize,
    /// Pages of listings, of all tails together.
    pub pages: usize,
}

/// Everything that the engine is built from.
#[derive(Debug, Clone)]
pub struct Plans {
    /// The home archive.
    pub home: HomePlan,
    /// The sinks.
    pub sinks: Vec<SinkPlan>,
    /// What is known of accounts.
    pub accounts: Accounts,
    /// Memory.
    pub memory: MemoryPlan,
    /// CPU threads.
    pub threads: usize,
    /// Limits of decoding.
    pub decode: DecodeLimits,
    /// When a batch takes no further object.
    pub batch: BatchLimits,
    /// How the queues form batches.
    pub queue: QueueRules,
    /// In `integrity.mode: hold`: how long an object may wait for its digest.
    pub hold: Option<std::time::Duration>,
    /// `dedup.window` in seconds.
    pub window_seconds: u32,
    /// Folder for scratch files.
    pub scratch: PathBuf,
    /// Whether lanes are taken from another owner.
    pub take_lanes: bool,
    /// Whether to wait for stores without end (continuous), or only as long as a retry policy says (once).
    pub patient: bool,
    /// The host's name.
    pub host: String,
}

/// What the process has.
#[derive(Debug, Clone)]
pub struct Means {
    /// The ledger.
    pub ledger: Ledger,
    /// The stores.
    pub places: Arc<Places>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tasks, and the shutdown that they obey.
    pub tasks: Arc<Tasks>,
    /// The connection to AWS, where the configuration needs one.
    pub aws: Option<Aws>,
    /// What is counted.
    pub meters: Arc<Meters>,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home archive's genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state folder belongs to another archive.
    #[error(
        "state folder belongs to archive {known}, but {place} is {found}: put the home archive back in the \
         configuration, or give this one a new state folder (state.path) and a `start`"
    )]
    OtherArchive {
        /// The archive that the state folder remembers.
        known: String,
        /// The configured archive.
        place: String,
        /// What it is.
        found: String,
    },
    /// A lane's past is in the way.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The mill.
    #[error(transparent)]
    Mill(#[from] MillError),
    /// A sink's settings.
    #[error("sink {sink}, {key}: {reason}")]
    Sink {
        /// The sink's name.
        sink: String,
        /// The key in the configuration.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The system has no more threads.
    #[error("start the CPU pool")]
    Threads(#[source] std::io::Error),
}

/// How the lanes ended.
#[derive(Debug, Default)]
pub struct Ends(Mutex<Vec<LaneEnd>>);

impl Ends {
    /// Whether a lane ended in doubt: the process must not go on for long.
    pub fn doubt(&self) -> bool {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().any(|end| matches!(end, LaneEnd::Doubt { .. }))
    }

    /// What was noted so far, for people.
    pub fn texts(&self) -> Vec<String> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().map(ToString::to_string).collect()
    }

    /// Takes what was noted so far.
    pub fn take(&self) -> Vec<LaneEnd> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The running engine.
#[derive(Debug)]
pub struct Engine {
    /// What the archive is.
    pub genesis: Genesis,
    /// One queue per lane.
    pub queues: Vec<Arc<LaneQueue>>,
    /// What was done so far.
    pub counters: Arc<Counters>,
    /// What recovery did.
    pub recovered: Recovered,
    /// Lanes that stayed out, with the reason.
    pub out: Vec<(LaneId, String)>,
    /// How lanes ended before they were told to.
    pub ends: Arc<Ends>,
    /// The CPU pool.
    pub cpu: Arc<CpuPool>,
    /// Where found objects wait for their digests.
    pub hold: Option<Hold>,
    /// The memory that working sets share.
    pub budget: Budget,
    /// The journal of the home archive.
    pub journal: Journal,
}

impl Engine {
    /// The intake of the lanes.
    pub fn intake(&self) -> LaneIntake {
        LaneIntake::new(&self.queues).holding(self.hold.clone())
    }

    /// Settles every lane's past and starts the lanes.
    pub async fn start(plans: &Plans, means: &Means) -> Result<Self, StartError> {
        let home = means.places.get(&plans.home.url).await?;
        let layout = Layout::new(&plans.home.prefix);
        let genesis = settle_archive(plans, means, home.as_ref(), &layout).await?;
        let counters = Arc::new(Counters::new(Arc::clone(&means.meters)));
        let gate = || Arc::clone(&means.places) as Arc<dyn Gate>;
        let new_queue = |_| Arc::new(LaneQueue::new(&plans.queue, Arc::clone(&means.clock), gate()));
        let queues: Vec<Arc<LaneQueue>> = (0..genesis.lanes).map(new_queue).collect();
        means.ledger.listen(Arc::new(Teller::new(queues.clone(), Arc::clone(&counters))));
        let cpu = Arc::new(CpuPool::new(plans.threads, plans.threads * 2).map_err(StartError::Threads)?);
        let sinks = build_sinks(plans, means).await?;
        let findings = finding_sinks(plans, means).await?;
        let journal = Journal::new(Arc::clone(&home), layout.clone());
        let (mut writers, recovered, out) = settle_lanes(plans, means, &genesis, &journal).await?;
        take_forced(plans, &mut writers).await?;
        drop_all_leftovers(plans, means, &layout, &writers).await?;

        let stopping = means.tasks.shutdown().stopping().clone();
        let bench = Bench {
            fetcher: Fetcher {
                places: Arc::clone(&means.places),
                policy: RetryPolicy::requests(),
                gives_way: plans.patient,
                stop: means.tasks.shutdown().aborting().clone(),
            },
            cpu: Arc::clone(&cpu),
            sinks,
            findings,
            home,
            layout,
            patience: Patience::brief(RetryPolicy::requests(), means.tasks.shutdown().aborting().clone()),
            limits: plans.batch,
            grouped: lakes(plans) > 0,
            settings: Arc::new(settings(plans)),
        };
        let budget = Budget::new(plans.memory.working_sets);
        let toolbox = Arc::new(new_toolbox(plans, &genesis)?);
        let ends = Arc::new(Ends::default());
        for (number, queue) in (0..genesis.lanes).zip(&queues) {
            let queue = Arc::clone(queue);
            let Some(at) = writers.iter().position(|writer| writer.lane.0 == number) else {
                queue.refuse();
                continue;
            };
            let writer = writers.swap_remove(at);
            let mill = new_mill(plans, means, &genesis, writer.lane);
            let lane = Lane {
                epoch: taken_epoch(&writer),
                batch: 0,
                untold: 0,
                hold: plans.hold.is_some(),
                writer,
                bench: bench.clone(),
                mill: Some(Box::new(mill)),
                queue: Arc::clone(&queue),
                budget: budget.clone(),
                working_set: plans.memory.working_set,
                toolbox: Arc::clone(&toolbox),
                counters: Arc::clone(&counters),
                host: plans.host.clone(),
                decode: plans.decode,
            };
            let (ends, stopping) = (Arc::clone(&ends), stopping.clone());
            means.tasks.spawn(format!("lane {number}"), OnError::Log, OnStop::Wait, async move {
                let id = lane.writer.lane;
                if let Err(end) = lane.run(stopping).await {
                    tracing::error!(lane = %id, error = %end, "lane ended");
                    ends.0.lock().unwrap_or_else(PoisonError::into_inner).push(end);
                }
                // Whoever offers objects to this lane learns that nobody takes them.
                queue.refuse();
                Ok(())
            });
        }
        let hold = plans.hold.map(|longest| {
            let (ledger, clock) = (means.ledger.clone(), Arc::clone(&means.clock));
            let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
            Hold::new(ledger, clock, Arc::clone(&counters), longest, plans.patient)
        });
        Ok(Self { genesis, queues, counters, recovered, out, ends, cpu, hold, budget, journal })
    }
}

/// Reads or makes the genesis, unless the state folder remembers another archive.
async fn settle_archive(
    plans: &Plans,
    means: &Means,
    home: &dyn crate::store::ObjectStore,
    layout: &Layout,
) -> Result<Genesis, StartError> {
    let known = means.ledger.archive()?;
    let found = Genesis::read(home, layout).await?;
    if let Some(known) = &known
        && found.as_ref().is_none_or(|genesis| genesis.archive != *known)
    {
        return Err(StartError::OtherArchive {
            known: known.clone(),
            place: format!("{}/{}", plans.home.url, plans.home.prefix),
            found: found.map_or_else(
                || "no archive yet".to_owned(),
                |genesis| format!("archive {}", genesis.archive),
            ),
        });
    }
    let genesis = Genesis::read_or_create(home, layout, plans.home.lanes).await?;
    if known.is_none() {
        means.ledger.set_archive(&genesis.archive, genesis.lanes)?;
    }
    Ok(genesis)
}

/// Recovers every lane. A lane whose journal was tampered with stays out.
async fn settle_lanes(
    plans: &Plans,
    means: &Means,
    genesis: &Genesis,
    journal: &Journal,
) -> Result<(Vec<LaneWriter>, Recovered, Vec<(LaneId, String)>), StartError> {
    let stop = means.tasks.shutdown().stopping().clone();
    let patience =
        if plans.patient { Patience::lasting(stop) } else { Patience::brief(RetryPolicy::requests(), stop) };
    let (mut writers, mut out, mut done) = (Vec::new(), Vec::new(), Recovered::default());
    for number in 0..genesis.lanes {
        let lane = LaneId(number);
        let state = means.ledger.lane(lane)?.unwrap_or_else(|| LaneState::start(&genesis.hash));
        let mut writer = LaneWriter {
            lane,
            journal: journal.clone(),
            ledger: means.ledger.clone(),
            places: Arc::clone(&means.places),
            patience: patience.clone(),
            clock: Arc::clone(&means.clock),
            window_seconds: i64::from(plans.window_seconds),
            scratch: plans.scratch.clone(),
            state,
            claimed: false,
        };
        match recover(&mut writer, plans.take_lanes).await {
            Ok(recovered) => {
                done.add(recovered);
                writers.push(writer);
            }
            Err(error) if is_tampering(&error) => {
                let text = error.to_string();
                let subject = format!("lane {lane}");
                let finding = NewFinding::new(FindingKind::JournalChanged.name(), &subject, &text);
                means.ledger.find(&finding, means.clock.now())?;
                tracing::error!(%lane, "leave a lane out");
                out.push((lane, text));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((writers, done, out))
}

/// Whether the journal is not what it was: that lane stops, the others go on.
fn is_tampering(error: &RecoverError) -> bool {
    use trailhaul_core::model::EntryError;
    matches!(
        error,
        RecoverError::Ahead { .. } | RecoverError::Commit(CommitError::Entry(EntryError::Chain { .. }))
    )
}

/// Lanes of another owner are taken at once, so that the old owner's next entry is refused.
async fn take_forced(plans: &Plans, writers: &mut [LaneWriter]) -> Result<(), StartError> {
    for writer in writers {
        let foreign = writer.state.owner.as_deref().is_some_and(|owner| owner != writer.ledger.agent());
        if foreign {
            writer.claim(&plans.host).await.map_err(RecoverError::from)?;
        }
    }
    Ok(())
}

/// The epoch that was taken at this start; other lanes take theirs with their first batch.
fn taken_epoch(writer: &LaneWriter) -> Option<u32> {
    writer.claimed.then_some(writer.state.epoch)
}

async fn drop_all_leftovers(
    plans: &Plans,
    means: &Means,
    layout: &Layout,
    writers: &[LaneWriter],
) -> Result<(), StartError> {
    let lanes: Vec<(LaneId, u32)> = writers.iter().map(|writer| (writer.lane, writer.state.epoch)).collect();
    let home = means.places.get(&plans.home.url).await?;
    let stop = means.tasks.shutdown().stopping().clone();
    let patience =
        if plans.patient { Patience::lasting(stop) } else { Patience::brief(RetryPolicy::requests(), stop) };
    let folders = layout.upload_folders();
    let mut dropped = patience.run(|| drop_leftovers(home.as_ref(), &folders, &lanes)).await?;
    for sink in &plans.sinks {
        let (url, folders) = match &sink.target {
            SinkTarget::Archive { home: true, .. } | SinkTarget::Console | SinkTarget::Kinesis(_) => continue,
            SinkTarget::Archive { url, prefix, .. } => (url, Layout::new(prefix).upload_folders().to_vec()),
            SinkTarget::Lake { url, prefix, .. } => {
                (url, vec![Layout::new(prefix).lake_folder(), Layout::new(prefix).findings_folder()])
            }
            SinkTarget::Folder(url) => (url, vec![String::new()]),
        };
        let store = means.places.get(url).await?;
        dropped += patience.run(|| drop_leftovers(store.as_ref(), &folders, &lanes)).await?;
    }
    if dropped > 0 {
        tracing::info!(dropped, "drop uploads that an earlier run left unfinished");
    }
    Ok(())
}

/// As many sets of tools as the budget has working sets; more than lanes are never in use.
fn new_toolbox(plans: &Plans, genesis: &Genesis) -> Result<Toolbox, StartError> {
    let fit = plans.memory.working_sets / plans.memory.working_set.max(1);
    let mut sets = Vec::new();
    for _ in 0..fit.clamp(1, u64::from(genesis.lanes)) {
        let outputs = plans.sinks.iter().map(|sink| keyed_output(plans, sink, genesis));
        sets.push(Tools::new(outputs.collect::<Result<_, _>>()?));
    }
    Ok(Toolbox::new(sets))
}

fn new_mill(plans: &Plans, means: &Means, genesis: &Genesis, lane: LaneId) -> Mill {
    Mill::new(
        lane,
        means.ledger.clone(),
        IdentityHasher::new(&genesis.content_key),
        plans.decode,
        Window::new(plans.memory.window, plans.window_seconds),
        Scratch::new(plans.scratch.join(format!("lane-{lane}"))),
    )
    .knowing(Arc::clone(&plans.accounts))
}

/// The mill's end of a sink, and by what its records are keyed.
fn keyed_output(
    plans: &Plans,
    sink: &SinkPlan,
    genesis: &Genesis,
) -> Result<(MillOutput, Option<KeyBy>), StartError> {
    let key_by = match &sink.target {
        SinkTarget::Kinesis(stream) if stream.partition_key == config::PartitionKey::Account => {
            Some(KeyBy::Account)
        }
        SinkTarget::Kinesis(_) => Some(KeyBy::Event),
        _ => None,
    };
    let made = output(plans, sink, genesis)?;
    Ok((if key_by.is_some() { made.telling_places() } else { made }, key_by))
}

/// The mill's end of a sink.
fn output(plans: &Plans, sink: &SinkPlan, genesis: &Genesis) -> Result<MillOutput, StartError> {
    let refuse = |key, reason: String| StartError::Sink { sink: sink.name.clone(), key, reason };
    let encoder = FrameEncoder::new(sink.compression).map_err(MillError::from)?;
    let filter = sink.filter.as_deref().map(Filter::compile).transpose();
    let filter = filter.map_err(|error| refuse("filter", error.to_string()))?;
    // Hashed values can be compared within an archive and with nothing outside it.
    let key = Sha256::new().chain_update(b"redaction").chain_update(genesis.content_key).finalize();
    let mut redaction = Redaction::new(Some(HashKey::new(key.into())));
    for rule in &sink.redact {
        redaction.rule(rule).map_err(|error| refuse("redact", error.to_string()))?;
    }
    let made = match &sink.target {
        SinkTarget::Lake { .. } => {
            let allowed = LAKE_FILES / lakes(plans).max(1);
            MillOutput::parquet(sink.format, filter, redaction, allowed)
        }
        _ => MillOutput::new(encoder, sink.format, filter, redaction),
    };
    made.map_err(|error| refuse("redact", error.to_string()))
}

/// Parquet files of a batch, over all sinks: their names fill a tenth of the journal entry, and the
/// descriptions at their ends some 10 MiB.
const LAKE_FILES: u32 = 512;

/// How many sinks write Parquet files.
fn lakes(plans: &Plans) -> u32 {
    let lakes = plans.sinks.iter().filter(|sink| matches!(sink.target, SinkTarget::Lake { .. }));
    u32::try_from(lakes.count()).unwrap_or(u32::MAX)
}

/// What the journal notes of the sinks that do not get everything raw.
fn settings(plans: &Plans) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for sink in &plans.sinks {
        if sink.format == Format::Raw && sink.filter.is_none() && sink.redact.is_empty() {
            continue;
        }
        let mut text = format!("format {}", sink.format);
        if matches!(sink.target, SinkTarget::Lake { .. }) {
            text.push_str(" as parquet");
        }
        if let Some(filter) = &sink.filter {
            text.push_str(&format!("; filter {filter}"));
        }
        if !sink.redact.is_empty() {
            text.push_str(&format!("; redact {}", sink.redact.join(", ")));
        }
        settings.insert(sink.name.clone(), text);
    }
    settings
}
