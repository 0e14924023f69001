//! `trailhaul completions SHELL`: the completion script of a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, ExitCode, Output};

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &Args, output: &mut Output) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trailhaul", &mut script);
    output.text(&String::from_utf8_lossy(&script));
    ExitCode::Good
}
