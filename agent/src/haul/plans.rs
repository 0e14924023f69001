//! From a configuration to what the engine is built from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use trailhaul_core::decode::DecodeLimits;
use trailhaul_core::encode::Compression;
use trailhaul_core::model::MAX_ENTRY_BYTES;
use trailhaul_core::plan::{BatcherConfig, PartitionBy};

use super::StoreOpener;
use super::batch::BatchLimits;
use super::engine::{HomePlan, Plans, SinkPlan, SinkTarget};
use super::memory::MemoryNeeds;
use super::queue::QueueRules;
use super::run::RunOptions;
use crate::config::{self, Accounts, Carries, Config, IntegrityMode, Target, Trail};
use crate::store::{ErrorKind, FOLDER_PART, FolderStore, MIN_PART, ObjectStore, StoreError};
use crate::tail::{self, TrailBucket};

/// Why a configuration cannot be run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// `limits.memory` is too small.
    #[error(
        "limits.memory is {}, this configuration needs {}: raise it, or have fewer sinks or a smaller limits.record_size",
        in_mib(*has),
        in_mib(*needs)
    )]
    Memory {
        /// What the configuration says.
        has: u64,
        /// The least that works.
        needs: u64,
    },
    /// What is written would be read again.
    #[error(
        "sink {sink} writes to {place}, which links make the same as, inside or around the bucket of trail {trail}: \
         trailhaul would eat its own tail; write elsewhere"
    )]
    OwnTail {
        /// The sink.
        sink: String,
        /// Where it writes.
        place: String,
        /// The trail.
        trail: String,
    },
}

/// Bytes as the configuration writes them, rounded up to whole MiB.
fn in_mib(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

/// Refuses folders that are apart by name, and by way of links are not.
pub(super) fn check_apart(config: &Config) -> Result<(), PlanError> {
    for sink in &config.sinks {
        let (url, prefix) = match sink_plan(config, sink).target {
            SinkTarget::Archive { url, prefix, .. } | SinkTarget::Lake { url, prefix, .. } => (url, prefix),
            SinkTarget::Folder(url) => (url, String::new()),
            SinkTarget::Console | SinkTarget::Kinesis(_) => continue,
        };
        let Some(ours) = url.strip_prefix("file://") else { continue };
        let ours = resolve(&Path::new(ours).join(&prefix));
        for trail in config.trails.listed() {
            let Some(theirs) = trail.place.folder() else { continue };
            let theirs = resolve(&theirs.join(trail.place.prefix()));
            if ours.starts_with(&theirs) || theirs.starts_with(&ours) {
                return Err(PlanError::OwnTail {
                    sink: sink.name.to_string(),
                    place: format!("{url}/{prefix}"),
                    trail: trail.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The path without links, as far as it is there.
fn resolve(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let Ok(real) = there.canonicalize() {
            return real.join(path.strip_prefix(there).unwrap_or(Path::new("")));
        }
    }
    path.to_owned()
}

/// Attempts in a single pass before something is left behind.
const ATTEMPTS_ONCE: u32 = 3;

/// What the engine is built from, and the bytes of the ledger's cache.
pub fn engine(config: &Config, options: RunOptions) -> Result<(Plans, usize), PlanError> {
    let home = home(config);
    let needs = memory_needs(config);
    let has = config.limits.memory;
    let (memory, cache) =
        needs.share(has, home.lanes).ok_or(PlanError::Memory { has, needs: needs.least() })?;
    let clamp = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let plans = Plans {
        sinks: config.sinks.iter().map(|sink| sink_plan(config, sink)).collect(),
        accounts: Arc::clone(&config.enrichment.accounts),
        memory,
        threads: config.limits.cpus.resolve(threads).get(),
        decode: DecodeLimits {
            inflated_bytes: config.limits.inflated_size,
            record_bytes: usize::try_from(config.limits.record_size).unwrap_or(usize::MAX),
            records: clamp(config.limits.object_records),
        },
        batch: BatchLimits {
            // About what a thousand of the largest real objects inflate to: a second of work.
            inflated: 1 << 30,
            // 4 MiB of tentative ids.
            ids: 262_144,
            // The objects of a batch must fit its entry; one more of the largest is always possible.
            entry: MAX_ENTRY_BYTES / 2,
            log: config.limits.inflated_size,
        },
        queue: QueueRules {
            batcher: BatcherConfig {
                partition: partition(config),
                max_bytes: config.batch.bytes,
                max_objects: config.batch.objects as usize,
                max_age: clamp(config.batch.age.as_secs()),
                queue: memory.queue,
                ..BatcherConfig::default()
            },
            attempts: options.once.then_some(ATTEMPTS_ONCE),
        },
        hold: (config.integrity.mode == IntegrityMode::Hold).then_some(config.integrity.max_hold),
        window_seconds: clamp(config.dedup.window.as_secs()),
        scratch: config.state.path.join("scratch"),
        take_lanes: options.take_lanes,
        patient: !options.once,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        home,
    };
    Ok((plans, cache))
}

/// What a configuration's memory is needed for.
pub fn memory_needs(config: &Config) -> MemoryNeeds {
    let is_remote = |sink: &config::Sink| match &sink.target {
        Target::Archive(archive) => archive.place.s3_bucket().is_some(),
        _ => false,
    };
    let part = if config.sinks.iter().any(is_remote) { MIN_PART } else { FOLDER_PART };
    MemoryNeeds {
        sinks: config.sinks.len() as u64,
        part: part as u64,
        record: config.limits.record_size,
        accounts: config.enrichment.memory(),
        lakes: config.sinks.iter().filter(|sink| sink.is_parquet()).count() as u64,
        refusing: config.sinks.iter().filter(|sink| may_refuse(sink)).count() as u64,
    }
}

/// Whether a sink may refuse records, so that lines about them wait for their part.
fn may_refuse(sink: &config::Sink) -> bool {
    let takes_everything = sink.format == config::Format::Raw && sink.filter.is_none();
    !takes_everything || matches!(sink.target, Target::Kinesis(_))
}

/// A trail's bucket, as the tail sees it.
pub(super) fn bucket(config: &Config, trail: &Trail, store: Arc<dyn ObjectStore>) -> TrailBucket {
    // Where the accounts are listed, the list says who belongs to the organization.
    let members = match &config.organization.accounts {
        Accounts::Listed(accounts) => Some(Arc::new(accounts.iter().copied().collect())),
        _ => None,
    };
    let carries = match &trail.carries {
        Carries::Organization(id) => {
            tail::Carries { organization: Some(id.clone()), accounts: members, below_organization: true }
        }
        Carries::Accounts(accounts) => tail::Carries {
            organization: None,
            accounts: Some(Arc::new(accounts.clone())),
            below_organization: false,
        },
    };
    TrailBucket { store, prefix: trail.place.prefix().trim_matches('/').to_owned(), carries }
}

/// Without an archive the journal lives in the state folder.
fn home(config: &Config) -> HomePlan {
    /// As many as an archive has by default.
    const LANES: u16 = 16;
    match config.home() {
        Some((_, archive)) => HomePlan {
            url: archive.place.bucket().to_string(),
            prefix: archive.place.prefix().trim_matches('/').to_owned(),
            lanes: archive.lanes,
        },
        None => HomePlan {
            url: format!("file://{}", config.state.path.join("home").display()),
            prefix: String::new(),
            lanes: LANES,
        },
    }
}

fn partition(config: &Config) -> PartitionBy {
    let by = config.home().map(|(_, archive)| archive.partition.clone()).unwrap_or_default();
    PartitionBy {
        account: by.contains(&config::PartitionBy::Account),
        region: by.contains(&config::PartitionBy::Region),
    }
}

fn sink_plan(config: &Config, sink: &config::Sink) -> SinkPlan {
    let compress = |compression: config::Compression| match compression {
        config::Compression::Zstd => Compression::Zstd,
        config::Compression::Gzip => Compression::Gzip(6),
        config::Compression::None => Compression::None,
    };
    let (compression, target) = match &sink.target {
        Target::Archive(archive) if archive.encoding == config::Encoding::Parquet => (
            // Pages are compressed within the files.
            Compression::None,
            SinkTarget::Lake {
                url: archive.place.bucket().to_string(),
                prefix: archive.place.prefix().trim_matches('/').to_owned(),
                source: archive.source.clone(),
            },
        ),
        Target::Archive(archive) => (
            compress(archive.compression),
            SinkTarget::Archive {
                url: archive.place.bucket().to_string(),
                prefix: archive.place.prefix().trim_matches('/').to_owned(),
                home: config.home().is_some_and(|(name, _)| *name == sink.name),
            },
        ),
        Target::File(file) => {
            (compress(file.compression), SinkTarget::Folder(format!("file://{}", file.path.display())))
        }
        Target::Console(_) => (Compression::None, SinkTarget::Console),
        Target::Kinesis(stream) => (Compression::None, SinkTarget::Kinesis(stream.clone())),
    };
    SinkPlan {
        name: sink.name.to_string(),
        compression,
        format: sink.format.format(),
        filter: sink.filter.clone(),
        redact: sink.redact.clone(),
        findings: sink.findings,
        target,
    }
}

/// Opens folders. What we write to is made when it is not there; what we read from must be there.
#[derive(Debug, Default, Clone)]
pub struct FolderOpener {
    ours: BTreeSet<String>,
}

impl FolderOpener {
    /// An opener that makes the folders of this configuration's sinks and journal.
    pub fn new(config: &Config) -> Self {
        let mut ours = BTreeSet::from([home(config).url]);
        for sink in &config.sinks {
            match sink_plan(config, sink).target {
                SinkTarget::Archive { url, .. } | SinkTarget::Lake { url, .. } | SinkTarget::Folder(url) => {
                    ours.insert(url)
                }
                SinkTarget::Console | SinkTarget::Kinesis(_) => false,
            };
        }
        Self { ours }
    }
}

#[async_trait]
impl StoreOpener for FolderOpener {
    async fn open(&self, url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let Some(path) = url.strip_prefix("file://") else {
            return Err(StoreError::new(ErrorKind::Invalid, "open store", url, "not a file:// URL"));
        };
        let store = if self.ours.contains(url) { FolderStore::create(path) } else { FolderStore::open(path) };
        Ok(Arc::new(store?))
    }
}
