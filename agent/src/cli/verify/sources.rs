//! From options and configuration to sources and keys.

use std::path::PathBuf;
use std::sync::Arc;

use trailhaul_core::verify::KeyRing;

use super::super::{ExitCode, Global, Output, check};
use super::Args;
use crate::audit::{Outlook, Source, Sources, load_key_file};
use crate::config::Place;
use crate::store::FolderStore;

/// What is to be verified, and with which keys.
pub(super) struct Prepared {
    pub(super) sources: Sources,
    pub(super) keys: KeyRing,
    /// Look below this prefix only.
    pub(super) prefix: String,
    /// The name of the bucket that was given first.
    pub(super) first: String,
    /// Whether all sources are copies.
    pub(super) copies: bool,
}

/// Opens every bucket and reads every key file; on failure everything has been said.
pub(super) fn prepare(
    args: &Args,
    global: &Global,
    mut sources: Sources,
    output: &mut Output,
) -> Result<Prepared, ExitCode> {
    let (places, key_files) = places(args, global, output)?;
    if args.original.is_some() && places.len() != 1 {
        output.trouble("--as names the original of one folder: give exactly one --bucket");
        return Err(ExitCode::Usage);
    }
    let mut first = String::new();
    for place in &places {
        let source = open(place, args, output)?;
        if first.is_empty() {
            first.clone_from(&source.bucket);
        }
        sources.add(source);
    }
    let mut keys = KeyRing::default();
    for path in key_files {
        match load_key_file(&path, &mut keys) {
            Ok(warnings) => warnings.iter().for_each(|warning| output.trouble(warning)),
            Err(error) => {
                output.trouble(&error.to_string());
                return Err(ExitCode::Usage);
            }
        }
    }
    let prefix = match places.as_slice() {
        [one] => one.prefix().to_owned(),
        _ => String::new(),
    };
    let copies = sources.iter().all(|source| source.outlook == Outlook::Copy);
    Ok(Prepared { sources, keys, prefix, first, copies })
}

/// The buckets and key files: of the command line, else of the configuration.
fn places(args: &Args, global: &Global, output: &mut Output) -> Result<(Vec<Place>, Vec<PathBuf>), ExitCode> {
    if args.bucket.is_empty() {
        let config = super::super::load(global).map_err(|problems| {
            check::report(&problems, output);
            ExitCode::Configuration
        })?;
        let mut places: Vec<Place> = Vec::new();
        for trail in config.trails.listed() {
            if !places.iter().any(|place| place.bucket() == trail.place.bucket()) {
                places.push(trail.place.clone());
            }
        }
        let keys =
            if args.public_keys.is_empty() { config.integrity.public_keys } else { args.public_keys.clone() };
        return Ok((places, keys));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let mut places = Vec::new();
    for bucket in &args.bucket {
        match Place::parse(bucket, &here) {
            Ok(place) => places.push(place),
            Err(error) => {
                output.trouble(&format!("--bucket {bucket}: {error}"));
                return Err(ExitCode::Usage);
            }
        }
    }
    Ok((places, args.public_keys.clone()))
}

fn open(place: &Place, args: &Args, output: &mut Output) -> Result<Source, ExitCode> {
    let Some(folder) = place.folder() else {
        output
            .trouble(&format!("{place}: verify reads folders only; copy the bucket with its metadata first"));
        return Err(ExitCode::Usage);
    };
    let store = FolderStore::open(folder).map_err(|error| {
        output.trouble(&error.to_string());
        ExitCode::Unreachable
    })?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (bucket, outlook) = match &args.original {
        Some(original) => (original.clone(), Outlook::Live),
        None => (name, Outlook::Copy),
    };
    Ok(Source { store: Arc::new(store), bucket, outlook })
}
