//! The log set-up: text for people, JSON for programs, both on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line per event; in colour on a terminal, unless `NO_COLOR` is set.
    Text,
    /// A JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor a list of directives.
    #[error("expected error, warn, info, debug or trace, or directives such as info,trailhaul::tail=debug")]
    Level,
    /// A logger was installed before.
    #[error("a logger is installed already")]
    Installed,
}

/// Installs the process's logger. `level` is a level or directives (`info,trailhaul::tail=debug`).
pub fn install(format: LogFormat, level: &str) -> Result<(), LogError> {
    if !valid_level(level) {
        return Err(LogError::Level);
    }
    let filter = EnvFilter::try_new(level).map_err(|_| LogError::Level)?;
    let base = fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = match format {
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            base.with_ansi(io::stderr().is_terminal() && !plain).with_target(false).finish().try_init()
        }
        LogFormat::Json => {
            base.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        }
    };
    installed.map_err(|_| LogError::Installed)
}

/// Whether every directive ends in a level. The filter itself would take a misspelt level for a target.
pub(super) fn valid_level(text: &str) -> bool {
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| known.iter().any(|level| level.eq_ignore_ascii_case(word));
    text.split(',').all(|directive| match directive.rsplit_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(directive),
    })
}
