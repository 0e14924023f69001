//! From options and configuration to sources and keys.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::cloud::{Cloud, optional_config};
use super::super::load::load;
use super::super::{ExitCode, Global, Output};
use super::Args;
use crate::audit::{Keys, Outlook, Source, Sources, TrailOracle};
use crate::config::{Carries, Place};

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
    let (wanted, mut cloud) = wanted(args, global, output)?;
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
    Ok(Prepared { sources, keys, oracle: cloud.oracle(), prefix, first, copies, remote })
}

/// The saved keys: of the command line, else of the configuration.
fn key_files(args: &Args, cloud: &Cloud) -> Vec<PathBuf> {
    match cloud.config() {
        Some(config) if args.public_keys.is_empty() => config.integrity.public_keys.clone(),
        _ => args.public_keys.clone(),
    }
}

/// The buckets of the command line, else those of the configuration's trails.
fn wanted(args: &Args, global: &Global, output: &mut Output) -> Result<(Vec<Wanted>, Cloud), ExitCode> {
    let mut wanted: Vec<Wanted> = Vec::new();
    if args.bucket.is_empty() {
        let config = load(global, output)?;
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
        return Ok((wanted, Cloud::new(Some(config))));
    }
    let here = std::env::current_dir().unwrap_or_default();
    for bucket in &args.bucket {
        match Place::parse(bucket, &here) {
            Ok(place) => {
                let prefixes = vec![place.prefix().to_owned()];
                wanted.push(Wanted { place, prefixes, carries: Vec::new() });
            }
            Err(error) => {
                output.trouble(&format!("--bucket {bucket}: {error}"));
                return Err(ExitCode::Usage);
            }
        }
    }
    // Folders need neither roles nor AWS.
    let remote = wanted.iter().any(|wanted| wanted.place.s3_bucket().is_some());
    let config = if remote { optional_config(global, output)? } else { None };
    Ok((wanted, Cloud::new(config)))
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
