//! The `trailhaul` program.

use std::process::ExitCode;

use trailhaul::{cli, runtime};

fn main() -> ExitCode {
    runtime::settle_allocator(std::env::args_os());
    cli::run(std::env::args_os()).into()
}
