//! `trailhaul run`: haul continuously, or once.
//!
//! In: the configuration. Out: the archive; at the end a summary on standard output. Exit codes: 0 good; 1 an
//! integrity finding; 69 something could not be reached or read; 70 doubt about our own work; 78 a
//! configuration, state folder or lane owner that does not fit.

use std::net::SocketAddr;
use std::sync::Arc;

use super::load::load;
use super::{ExitCode, Global, Output};
use crate::admin::{Endpoint, ListenError, Vitals};
use crate::config::Config;
use crate::haul::{self, Ended, RunError, RunOptions, StartError};
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
    let code = runtime.block_on(serve(config, options, global, output));
    // What hangs in a blocking call must not keep a process alive that has been told to stop.
    runtime.shutdown_background();
    code
}

/// Threads for waiting on I/O and for the ledger's short transactions; the mill has its own.
const RUNTIME_THREADS: usize = 4;
/// Threads for blocking file calls, each with a stack and at most one piece of a file.
const BLOCKING_THREADS: usize = 16;

/// Runs, and runs again with each new configuration that a SIGHUP brings.
async fn serve(mut config: Config, options: RunOptions, global: &Global, output: &mut Output) -> ExitCode {
    let vitals = Arc::new(Vitals::default());
    // From before the first start until after the last end: a probe has an answer while lanes are recovered.
    let mut endpoint = match listen(&config, options, &vitals) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            output.trouble(&format!("cannot run: {error}"));
            return ExitCode::Configuration;
        }
    };
    loop {
        let shutdown = Shutdown::new(config.limits.shutdown_grace);
        let signals = match Signals::install() {
            Ok(signals) => signals,
            Err(error) => {
                output.trouble(&format!("cannot listen to signals: {error}"));
                return ExitCode::Internal;
            }
        };
        let mut reloads = signals.reloads();
        let result = {
            let hauling = haul::run(&config, options, Arc::new(SystemClock), shutdown.clone(), &vitals);
            let mut hauling = std::pin::pin!(hauling);
            let mut obeying = std::pin::pin!(signals.obey(shutdown.clone()));
            let mut next = None;
            let result = loop {
                tokio::select! {
                    result = &mut hauling => break result,
                    () = &mut obeying => {}
                    () = reloads.next(), if !options.once && next.is_none() => {
                        next = reload(global, options, &vitals, &mut endpoint);
                        if next.is_some() {
                            shutdown.stop();
                        }
                    }
                }
            };
            (result, next)
        };
        match result {
            (Ok(summary), _) if shutdown.aborting().is_cancelled() => {
                // Whatever did not end may still hold standard output.
                output.cut_short(&format!(
                    "{summary}stopped before everything was finished; what was begun is settled by the next start"
                ));
                return ExitCode::Unreachable;
            }
            (Ok(summary), Some(next)) if summary.ended < Ended::Unreachable => {
                tracing::info!(objects = summary.counts.total().objects, "go on with the new configuration");
                config = next;
            }
            (result, _) => return conclude(result, output),
        }
    }
}

/// Serves health and metrics where the configuration says so. A single pass has its summary instead.
fn listen(
    config: &Config,
    options: RunOptions,
    vitals: &Arc<Vitals>,
) -> Result<Option<Endpoint>, ListenError> {
    let Some(address) = config.admin.listen.filter(|_| !options.once) else { return Ok(None) };
    serve_at(address, vitals).map(Some)
}

fn serve_at(address: SocketAddr, vitals: &Arc<Vitals>) -> Result<Endpoint, ListenError> {
    let endpoint = Endpoint::serve(address, Arc::clone(vitals))?;
    tracing::info!(address = %endpoint.address(), "serve health and metrics");
    Ok(endpoint)
}

/// The configuration as it stands in the file now; a bad one is logged, and the old one stays in force.
fn reload(
    global: &Global,
    options: RunOptions,
    vitals: &Arc<Vitals>,
    endpoint: &mut Option<Endpoint>,
) -> Option<Config> {
    match super::load::read(global) {
        Ok(config) => {
            let old = endpoint.as_ref().map(Endpoint::asked);
            if old == config.admin.listen {
                // Whoever asks is answered during the change.
                return Some(config);
            }
            // The new address may be the old one's port on other interfaces.
            *endpoint = None;
            match listen(&config, options, vitals) {
                Ok(new) => *endpoint = new,
                Err(error) => {
                    tracing::error!(%error, "refuse the new configuration and keep the old one");
                    *endpoint = old.and_then(|address| serve_at(address, vitals).ok());
                    return None;
                }
            }
            Some(config)
        }
        Err(problems) => {
            for problem in problems.list() {
                tracing::error!(key = problem.key, problem = problem.message, "refuse the new configuration");
            }
            tracing::error!("keep the old configuration");
            None
        }
    }
}

fn conclude(result: Result<haul::Summary, RunError>, output: &mut Output) -> ExitCode {
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
        RunError::Plan(_) | RunError::Open(_) | RunError::Keys(_) => ExitCode::Configuration,
        RunError::Ledger(error) => ledger_code(error),
        RunError::Start(error) => match error {
            StartError::Genesis(crate::archive::GenesisError::Store(_)) | StartError::Store(_) => {
                ExitCode::Unreachable
            }
            StartError::Genesis(_) | StartError::OtherArchive { .. } | StartError::Sink { .. } => {
                ExitCode::Configuration
            }
            StartError::Recover(haul::RecoverError::Owned { .. }) => ExitCode::Configuration,
            StartError::Recover(_) => ExitCode::Unreachable,
            StartError::Ledger(error) => ledger_code(error),
            _ => ExitCode::Internal,
        },
    }
}

fn ledger_code(error: &LedgerError) -> ExitCode {
    match error {
        LedgerError::InUse { .. }
        | LedgerError::Schema { .. }
        | LedgerError::Corrupt { .. }
        | LedgerError::Damaged { .. }
        | LedgerError::Row { .. } => ExitCode::Configuration,
        LedgerError::Io { .. } => ExitCode::Unreachable,
        _ => ExitCode::Internal,
    }
}
