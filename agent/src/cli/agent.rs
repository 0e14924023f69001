//! Asks the agent: the one that runs, over its control socket, or the state folder where none runs.
//!
//! In: the configuration (for the state folder) and a request. Out: the answer, the same either way. Failure: what
//! is wrong is printed, and the exit code is given back: 69 where nobody can answer.

use std::sync::Arc;
use std::time::Duration;

use super::{ExitCode, Output};
use crate::admin::{Answer, Desk, Request, ask};
use crate::config::Config;
use crate::haul;
use crate::ledger::{Ledger, LedgerError, LedgerOptions};
use crate::runtime::SystemClock;

/// A look at the ledger needs little cache.
const CACHE: usize = 8 << 20;

/// An agent that has just been started, or is ending, holds the state folder without a socket: so often and so
/// long it is waited for.
const TRIES: u32 = 20;
/// See [`TRIES`].
const PAUSE: Duration = Duration::from_millis(500);

/// The answer to a request; when there is none, why is printed.
pub(super) fn answer(config: &Config, request: &Request, output: &mut Output) -> Result<Answer, ExitCode> {
    let folder = &config.state.path;
    if !folder.join("ledger.redb").exists() {
        output.trouble(&format!("{} holds no ledger: nothing was hauled yet", folder.display()));
        return Err(ExitCode::Unreachable);
    }
    for attempt in 1.. {
        match ask(folder, request) {
            Ok(None) => {}
            Ok(Some(Answer::Failed { reason })) => return Err(failed(output, &reason)),
            Ok(Some(answer)) => return Ok(answer),
            Err(error) => return Err(failed(output, &error.to_string())),
        }
        let options = LedgerOptions { cache_bytes: CACHE, rebuild: false, gate: None };
        match Ledger::open(folder, &options) {
            Ok(ledger) => {
                let desk = Desk::new(ledger, haul::buckets(config), Arc::new(SystemClock), false)
                    .holding(haul::longest_hold(config));
                return match desk.answer(request) {
                    Answer::Failed { reason } => Err(failed(output, &reason)),
                    answer => Ok(answer),
                };
            }
            Err(LedgerError::InUse { .. }) if attempt < TRIES => std::thread::sleep(PAUSE),
            Err(error) => return Err(failed(output, &error.to_string())),
        }
    }
    Err(ExitCode::Internal)
}

fn failed(output: &mut Output, reason: &str) -> ExitCode {
    output.trouble(&format!("cannot answer: {reason}"));
    ExitCode::Unreachable
}

/// An answer to another question than was asked.
pub(super) fn odd(output: &mut Output) -> ExitCode {
    output.trouble("the running agent answers something else than was asked; is it of another version?");
    ExitCode::Unreachable
}
