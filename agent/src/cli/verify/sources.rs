//! From options and configuration to sources and keys.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::cloud::{Cloud, optional_config};
use super::super::load::load;
use super::super::{ExitCode, Global, Output};
use super::Args;
use crate::audit::{Keys, Outlook, Source, Sources, TrailOracle};
use crate::config::{Carries, Config, Place, Trail};

/// What is to be verified, and with which keys.
pub(super) struct Prepared {
    pub(super) sources: Sources,
    pub(super) keys: Keys,
    /// Who may know whether trails deliver.
    pub(super) oracle: Option<Arc<dyn TrailOracle>>,
    /// What stands before `AWSLogs`, where there is one such place.
    pub(super) prefix: String,
    /// The name of the bucket that was given first.
    pub(super) first: String,
    /// Whether all sources are copies.
    pub(super) copies: bool,
    /// Whether a source is a bucket, and not a folder.
    pub(super) remote: bool,
    /// Whether CloudTrail was asked for the trail of `--like-aws` and says that it is an organization's.
    pub(super) of_organization: bool,
}

/// A bucket to read: once, however many trails write to it.
struct Wanted {
    place: Place,
    prefixes: Vec<String>,
    carries: Vec<Carries>,
}

/// Opens every bucket and reads every key file; on failure everything has been said.
pub(super) async fn prepare(
    args: &Args,
    global: &Global,
    mut sources: Sources,
    output: &mut Output,
) -> Result<Prepared, ExitCode> {
    let mut of_organization = false;
    let (wanted, mut cloud) = match wanted(args, global, output)? {
        (None, mut cloud) => {
            let trail = super::trail::find(args, &mut cloud, output).await?;
            of_organization = trail.of_organization;
            (vec![Wanted::bucket(&trail.bucket, &trail.prefix, output)?], cloud)
        }
        (Some(wanted), cloud) => (wanted, cloud),
    };
    if args.original.is_some() && wanted.len() != 1 {
        output.trouble("--as names the original of one bucket or folder: give exactly one --bucket");
        return Err(ExitCode::Usage);
    }
    let prefix = match wanted.as_slice() {
        [Wanted { prefixes, .. }] if prefixes.len() == 1 => prefixes.concat(),
        _ => String::new(),
    };
    let (mut first, mut remote) = (String::new(), false);
    for wanted in wanted {
        remote |= wanted.place.s3_bucket().is_some();
        let source = open(wanted, args, &mut cloud, output).await?;
        if first.is_empty() {
            first.clone_from(&source.bucket);
        }
        sources.add(source);
    }
    let keys = cloud.keys(&key_files(args, &cloud), output)?;
    let copies = sources.iter().all(|source| source.outlook == Outlook::Copy);
    Ok(Prepared { sources, keys, oracle: cloud.oracle(), prefix, first, copies, remote, of_organization })
}

/// The saved keys: of the command line, else of the configuration.
fn key_files(args: &Args, cloud: &Cloud) -> Vec<PathBuf> {
    match cloud.config() {
        Some(config) if args.public_keys.is_empty() => config.integrity.public_keys.clone(),
        _ => args.public_keys.clone(),
    }
}

/// The buckets of the command line, else those of the configuration's trails; `None` where CloudTrail is to be asked.
fn wanted(
    args: &Args,
    global: &Global,
    output: &mut Output,
) -> Result<(Option<Vec<Wanted>>, Cloud), ExitCode> {
    let named = args.s3_bucket.iter().map(|name| format!("s3://{name}"));
    let buckets: Vec<String> = args.bucket.iter().cloned().chain(named).collect();
    if buckets.is_empty() && args.like_aws {
        let config = optional_config(global, output)?;
        // Who tails folders alone may have no AWS to ask.
        let folders = config.as_ref().filter(|config| config.trails.listed().iter().all(is_folder));
        let wanted = folders.map(of_config);
        return Ok((wanted, Cloud::new(config)));
    }
    if buckets.is_empty() {
        let config = load(global, output)?;
        return Ok((Some(of_config(&config)), Cloud::new(Some(config))));
    }
    let wanted = buckets.iter().map(|bucket| Wanted::parse(bucket, output));
    let wanted = wanted.collect::<Result<Vec<Wanted>, ExitCode>>()?;
    // Folders need neither roles nor AWS.
    let remote = wanted.iter().any(|wanted| wanted.place.s3_bucket().is_some());
    let config = if remote { optional_config(global, output)? } else { None };
    Ok((Some(wanted), Cloud::new(config)))
}

fn is_folder(trail: &Trail) -> bool {
    trail.place.folder().is_some()
}

/// The buckets of the configuration's trails.
fn of_config(config: &Config) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for trail in config.trails.listed() {
        let prefix = trail.place.prefix().to_owned();
        match wanted.iter_mut().find(|wanted| wanted.place.bucket() == trail.place.bucket()) {
            Some(wanted) => {
                wanted.prefixes.push(prefix);
                wanted.carries.push(trail.carries.clone());
            }
            None => wanted.push(Wanted {
                place: trail.place.clone(),
                prefixes: vec![prefix],
                carries: vec![trail.carries.clone()],
            }),
        }
    }
    wanted
}

impl Wanted {
    /// A bucket or folder of the command line.
    fn parse(bucket: &str, output: &mut Output) -> Result<Self, ExitCode> {
        let here = std::env::current_dir().unwrap_or_default();
        match Place::parse(bucket, &here) {
            Ok(place) => {
                let prefixes = vec![place.prefix().to_owned()];
                Ok(Self { place, prefixes, carries: Vec::new() })
            }
            Err(error) => {
                output.trouble(&format!("--bucket {bucket}: {error}"));
                Err(ExitCode::Usage)
            }
        }
    }

    /// A bucket as CloudTrail names it.
    fn bucket(name: &str, prefix: &str, output: &mut Output) -> Result<Self, ExitCode> {
        let wanted = Self::parse(&format!("s3://{name}"), output)?;
        Ok(Self { prefixes: vec![prefix.to_owned()], ..wanted })
    }
}

async fn open(
    wanted: Wanted,
    args: &Args,
    cloud: &mut Cloud,
    output: &mut Output,
) -> Result<Source, ExitCode> {
    let Wanted { place, prefixes, carries } = wanted;
    let store = cloud.open(&place, output).await?;
    let folder = place.folder().and_then(|folder| folder.file_name());
    let name = match (place.s3_bucket(), folder) {
        (Some(bucket), _) => bucket.to_owned(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => String::new(),
    };
    let copy = args.copy || place.folder().is_some();
    let (bucket, outlook) = match &args.original {
        // Whoever names the original wants to be told of digests that claim another.
        Some(original) => (original.clone(), Outlook::Live),
        None => (name, if copy { Outlook::Copy } else { Outlook::Live }),
    };
    Ok(Source { store, bucket, outlook, prefixes, carries })
}
