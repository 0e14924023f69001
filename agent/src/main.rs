//! The `trailhaul` program.

use std::process::ExitCode;

use trailhaul::cli;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
