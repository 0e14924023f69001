//! `trailhaul run`: haul continuously, or once.
//!
//! In: the configuration. Out: the archive; at the end a summary on standard output. Exit codes: 0 good; 1 an
//! integrity finding; 69 something could not be reached or read; 70 doubt about our own work; 78 a
//! configuration, state folder or lane owner that does not fit.

use std::sync::Arc;

use super::load::load;
use super::{ExitCode, Global, Output};
use crate::config::Config;
use crate::haul::{self, Ended, FolderOpener, RunError, RunOptions, StartError};
use crate::ledger::LedgerError;
use crate::runtime::{Shutdown, Signals, SystemClock};

/// Haul what the trails deliver.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Make one pass over what is there, print a summary and exit.
    #[arg(long)]
    once: bool,
    /// Take lanes that another agent owns. That agent stops with its next write; make sure that it is meant to.
    #[arg(long)]
    take_lanes: bool,
    /// Put a ledger that cannot be read aside, and rebuild it from the journal.
    #[arg(long)]
    rebuild_ledger: bool,
}

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let config = match load(global, output) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let options =
        RunOptions { once: args.once, take_lanes: args.take_lanes, rebuild_ledger: args.rebuild_ledger };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output.trouble(&format!("cannot start threads: {error}"));
            return ExitCode::Internal;
        }
    };
    let code = runtime.block_on(haul(&config, options, output));
    // What hangs in a blocking call must not keep a process alive that has been told to stop.
    runtime.shutdown_background();
    code
}

/// Threads for waiting on I/O and for the ledger's short transactions; the mill has its own.
const RUNTIME_THREADS: usize = 4;
/// Threads for blocking file calls, each with a stack and at most one piece of a file.
const BLOCKING_THREADS: usize = 16;

async fn haul(config: &Config, options: RunOptions, output: &mut Output) -> ExitCode {
    let shutdown = Shutdown::new(config.limits.shutdown_grace);
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            output.trouble(&format!("cannot listen to signals: {error}"));
            return ExitCode::Internal;
        }
    };
    let obeying = signals.obey(shutdown.clone());
    let opener = Box::new(FolderOpener::new(config));
    let hauling = haul::run(config, options, opener, Arc::new(SystemClock), shutdown);
    let result = tokio::select! {
        result = hauling => result,
        () = obeying => {
            output.trouble("stopped at once, by a second signal; what was begun is settled by the next start");
            return ExitCode::Unreachable;
        }
    };
    match result {
        Ok(summary) => {
            if output.is_json() {
                output.json(&summary.to_json());
            } else {
                output.text(&summary.to_string());
            }
            match summary.ended {
                Ended::Well => ExitCode::Good,
                Ended::Finding => ExitCode::Finding,
                Ended::Unreachable => ExitCode::Unreachable,
                Ended::Doubt => ExitCode::Internal,
            }
        }
        Err(error) => {
            output.trouble(&format!("cannot run: {}", error_text(&error)));
            code_of(&error)
        }
    }
}

/// The whole chain of causes in one line.
fn error_text(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

fn code_of(error: &RunError) -> ExitCode {
    match error {
        RunError::Plan(_) => ExitCode::Configuration,
        RunError::Ledger(error) => ledger_code(error),
        RunError::Trail { .. } => ExitCode::Unreachable,
        RunError::Start(error) => match error {
            StartError::Genesis(crate::archive::GenesisError::Store(_)) | StartError::Store(_) => {
                ExitCode::Unreachable
            }
            StartError::Genesis(_) | StartError::OtherArchive { .. } => ExitCode::Configuration,
            StartError::Recover(haul::RecoverError::Owned { .. }) => ExitCode::Configuration,
            StartError::Recover(_) => ExitCode::Unreachable,
            StartError::Ledger(error) => ledger_code(error),
            _ => ExitCode::Internal,
        },
    }
}

fn ledger_code(error: &LedgerError) -> ExitCode {
    match error {
        LedgerError::InUse { .. } | LedgerError::Schema { .. } | LedgerError::Corrupt { .. } => {
            ExitCode::Configuration
        }
        LedgerError::Io { .. } => ExitCode::Unreachable,
        _ => ExitCode::Internal,
    }
}
