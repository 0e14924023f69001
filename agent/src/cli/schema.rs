//! `trailhaul schema`: the JSON Schema of the configuration, for editors and pipelines.

use crate::config;

use super::{ExitCode, Output};

/// Print the JSON Schema of the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, output: &mut Output) -> ExitCode {
    output.text(&config::schema::text());
    ExitCode::Good
}
