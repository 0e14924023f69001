//! What commands that only look need of the outside: a configuration where there is one, AWS, public keys.
//!
//! In: the options of every command. Out: stores by place, keys with a source to ask. Invariants: AWS is set up
//! only where a bucket or a region is to be asked; a bucket that the configuration names is read with its role
//! and its owner pinned, any other with the agent's own credentials. Failure: the reason is shown, and the
//! exit code given back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trailhaul_core::verify::KeyRing;

use super::load::load;
use super::{ExitCode, Global, Output};
use crate::audit::{AskCloudTrail, AskTrails, KeySource, Keys, TrailOracle, load_kept_keys, load_key_file};
use crate::aws::{Aws, CloudTrail};
use crate::config::{self, Config, Place};
use crate::haul::{ConfiguredOpener, OpenerError, StoreOpener as _};
use crate::ledger::{Ledger, LedgerOptions};
use crate::runtime::{RetryPolicy, SystemClock};
use crate::store::{FolderStore, Keep, ObjectStore, S3Options, S3Store, StoreError};

/// Where the configuration lies unless it is named.
const DEFAULT_CONFIG: &str = "/etc/trailhaul/trailhaul.yaml";

/// The configuration; `None` where none was named and there is none at the default place.
pub(super) fn optional_config(global: &Global, output: &mut Output) -> Result<Option<Config>, ExitCode> {
    if global.config == Path::new(DEFAULT_CONFIG) && !global.config.exists() {
        return Ok(None);
    }
    load(global, output).map(Some)
}

/// The ledger's cache for reading some keys.
const CACHE: usize = 1 << 20;

/// A configuration, and the connection to AWS once something asked for it.
pub(super) struct Cloud {
    config: Option<Config>,
    opener: Option<ConfiguredOpener>,
    aws: Option<Aws>,
    /// Where to ask, where there is no configuration; otherwise the environment says.
    region: Option<String>,
}

impl Cloud {
    /// Nothing is asked for yet.
    pub(super) fn new(config: Option<Config>) -> Self {
        Self { config, opener: None, aws: None, region: None }
    }

    /// Asks in this region where there is no configuration.
    pub(super) fn set_region(&mut self, region: &str) {
        self.region = Some(region.to_owned());
    }

    pub(super) fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// The store of a place.
    pub(super) async fn open(
        &mut self,
        place: &Place,
        output: &mut Output,
    ) -> Result<Arc<dyn ObjectStore>, ExitCode> {
        let opened: Result<Arc<dyn ObjectStore>, StoreError> = match (place.folder(), place.s3_bucket()) {
            (Some(folder), _) => {
                FolderStore::open(folder).map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }
            (None, Some(bucket)) if !self.is_configured(place) => {
                let aws = self.aws(output).await?;
                let options = S3Options {
                    bucket: bucket.to_owned(),
                    owner: None,
                    region: None,
                    identity: aws.base(),
                    keep: Keep::default(),
                };
                S3Store::new(&aws, options).map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }
            (None, _) => {
                self.aws(output).await?;
                match &self.opener {
                    Some(opener) => opener.open(place.bucket()).await,
                    None => return Err(ExitCode::Internal),
                }
            }
        };
        opened.map_err(|error| {
            output.trouble(&error.to_string());
            ExitCode::Unreachable
        })
    }

    /// The connection to AWS: as the configuration says, or as the environment does.
    pub(super) async fn aws(&mut self, output: &mut Output) -> Result<Aws, ExitCode> {
        if let Some(aws) = &self.aws {
            return Ok(aws.clone());
        }
        let clock = Arc::new(SystemClock);
        let connected = match &self.config {
            Some(config) => match ConfiguredOpener::new(config, Arc::clone(&clock) as _).await {
                Ok(opener) => match opener.aws().cloned() {
                    Some(aws) => {
                        self.opener = Some(opener);
                        Ok(aws)
                    }
                    None => Aws::connect(&config.aws, clock).await.map_err(OpenerError::from),
                },
                Err(error) => Err(error),
            },
            None => {
                let options = config::Aws { region: self.region.clone(), ..config::Aws::default() };
                Aws::connect(&options, clock).await.map_err(OpenerError::from)
            }
        };
        match connected {
            Ok(aws) => Ok(self.aws.insert(aws).clone()),
            Err(error) => {
                output.trouble(&error.to_string());
                Err(ExitCode::Configuration)
            }
        }
    }

    /// The public keys of these files, and where to ask for others: nowhere when there are files, nor while
    /// nothing needs AWS.
    pub(super) fn keys(&self, files: &[PathBuf], output: &mut Output) -> Result<Keys, ExitCode> {
        let mut ring = KeyRing::default();
        for path in files {
            match load_key_file(path, &mut ring) {
                Ok(warnings) => warnings.iter().for_each(|warning| output.trouble(warning)),
                Err(error) => {
                    output.trouble(&error.to_string());
                    return Err(ExitCode::Usage);
                }
            }
        }
        if !files.is_empty() {
            return Ok(Keys::new(ring, None));
        }
        self.kept_keys(&mut ring);
        Ok(Keys::new(ring, self.key_source(output)?))
    }

    /// The keys that an agent with this state folder has fetched, unless one that runs holds the ledger: then
    /// CloudTrail alone is asked.
    fn kept_keys(&self, ring: &mut KeyRing) {
        let Some(config) = &self.config else { return };
        if !config.state.path.join("ledger.redb").exists() {
            return;
        }
        let options = LedgerOptions { cache_bytes: CACHE, rebuild: false, gate: None };
        match Ledger::open(&config.state.path, &options).and_then(|ledger| ledger.public_keys()) {
            Ok(notes) => load_kept_keys(&notes, ring),
            Err(error) => tracing::debug!(%error, "the kept public keys cannot be read"),
        }
    }

    fn key_source(&self, output: &mut Output) -> Result<Option<Arc<dyn KeySource>>, ExitCode> {
        let Some(aws) = &self.aws else { return Ok(None) };
        let (retry, cancel) = (RetryPolicy::requests(), CancellationToken::new());
        let source = match &self.config {
            Some(config) => AskCloudTrail::of_config(aws, config, retry, cancel).map_err(|error| {
                output.trouble(&error.to_string());
                ExitCode::Configuration
            })?,
            None => AskCloudTrail::new(vec![CloudTrail::new(aws, aws.base())], retry, cancel),
        };
        Ok(Some(Arc::new(source)))
    }

    /// Who may know whether a trail delivers: CloudTrail, where a configuration has the roles to ask it.
    pub(super) fn oracle(&self) -> Option<Arc<dyn TrailOracle>> {
        let (aws, config) = (self.aws.as_ref()?, self.config.as_ref()?);
        let (retry, cancel) = (RetryPolicy::requests(), CancellationToken::new());
        Some(Arc::new(AskTrails::of_config(aws, config, retry, cancel)))
    }

    /// Who may describe trails: the agent's own credentials, then each role with which the configuration reads a
    /// trail's bucket.
    pub(super) async fn trail_callers(&mut self, output: &mut Output) -> Result<Vec<CloudTrail>, ExitCode> {
        let aws = self.aws(output).await?;
        let mut callers = vec![CloudTrail::new(&aws, aws.base())];
        for trail in self.config.iter().flat_map(|config| config.trails.listed()) {
            // A role that cannot be assumed as it is configured is said when the bucket is opened.
            let Ok(Some(options)) = S3Options::of_trail(&aws, trail) else { continue };
            if callers.iter().all(|caller| caller.caller() != options.identity.caller()) {
                callers.push(CloudTrail::new(&aws, options.identity));
            }
        }
        Ok(callers)
    }

    fn is_configured(&self, place: &Place) -> bool {
        let trails = self.config.iter().flat_map(|config| config.trails.listed());
        trails.into_iter().any(|trail| trail.place.bucket() == place.bucket())
    }
}
