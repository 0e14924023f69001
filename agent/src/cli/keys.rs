//! `trailhaul keys`: CloudTrail's public keys, to be saved for work without AWS.
//!
//! In: regions, and a range of time. Out: for each region what `aws cloudtrail list-public-keys` prints, on
//! standard output or in a folder as `REGION.json`; `integrity.public_keys` and `verify --public-keys` read it.
//! Exit code 69 when a region could not be asked; the others are written all the same.

use std::fs;
use std::path::{Path, PathBuf};

use trailhaul_core::verify::write_public_keys;

use super::cloud::{Cloud, optional_config};
use super::{ExitCode, Global, Output};
use crate::audit::Keys;
use crate::config::Start;
use crate::runtime::{Clock as _, SystemClock};

/// Print CloudTrail's public keys in the form of `aws cloudtrail list-public-keys`, to be saved.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The region whose keys are asked for; may be repeated. Without it: the region of the configuration or the
    /// environment.
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Keys that were valid at this time or later: a time, a date, -90d, or beginning.
    #[arg(
        long,
        alias = "start-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = "-90d"
    )]
    from: Start,
    /// Write FOLDER/REGION.json for each region instead of printing.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.trouble(&format!("cannot start: {error}"));
            return ExitCode::Internal;
        }
    };
    runtime.block_on(async { ask(args, global, output).await.unwrap_or_else(|code| code) })
}

async fn ask(args: &Args, global: &Global, output: &mut Output) -> Result<ExitCode, ExitCode> {
    let mut cloud = Cloud::new(optional_config(global, output)?);
    let aws = cloud.aws(output).await?;
    let regions = if args.region.is_empty() { vec![aws.region().to_owned()] } else { args.region.clone() };
    if args.save.is_none() && regions.len() > 1 {
        output.trouble("one answer cannot say of several regions which key is whose: give --save FOLDER");
        return Err(ExitCode::Usage);
    }
    let keys = cloud.keys(&[], output)?;
    let now = SystemClock.now();
    // November 2013: CloudTrail did not exist before.
    let from = args.from.resolve(now).map_or(1_383_264_000, jiff::Timestamp::as_second);
    let mut code = ExitCode::Good;
    for region in &regions {
        if let Err(error) = keys.for_range(region, from.min(now.as_second()), now.as_second()).await {
            output.trouble(&error.to_string());
            code = ExitCode::Unreachable;
            continue;
        }
        code = code.max(show(region, &keys, args.save.as_deref(), output));
    }
    Ok(code)
}

fn show(region: &str, keys: &Keys, save: Option<&Path>, output: &mut Output) -> ExitCode {
    let ring = keys.ring();
    let of_region: Vec<_> = ring.iter().filter(|(of, _)| *of == Some(region)).map(|(_, key)| key).collect();
    let text = write_public_keys(of_region.iter().copied());
    let Some(folder) = save else {
        output.text(&text);
        return ExitCode::Good;
    };
    let path = folder.join(format!("{region}.json"));
    // Beside it first, so that a file of keys is whole or not there.
    let beside = folder.join(format!("{region}.json.part"));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, text))
        .and_then(|()| fs::rename(&beside, &path));
    match written {
        Ok(()) => {
            output.text(&format!("{}: {} keys\n", path.display(), of_region.len()));
            ExitCode::Good
        }
        Err(error) => {
            output.trouble(&format!("cannot write {}: {error}", path.display()));
            ExitCode::Unreachable
        }
    }
}
