//! `simorg`: writes a simulated organization, and compares an archive with it.
//!
//! Exit codes: 0 good; 1 the archive differs; 70 anything else went wrong.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

#[expect(clippy::print_stderr, reason = "a command line program reports its errors there")]
fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simorg: {error:#}");
            ExitCode::from(70)
        }
    }
}
