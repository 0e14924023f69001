//! What this build cannot do yet, in one place: a configuration that asks for it is refused with a clear word
//! instead of being half obeyed. Switching a feature on is one line here, then
//! `TRAILHAUL_BLESS=1 cargo test -p trailhaul config::` writes the messages under `config/invalid/` anew.

use super::agent::IntegrityMode;

/// Whether a feature is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// It works.
    Yes,
    /// It does not; what to do instead.
    No(&'static str),
}

use Support::{No, Yes};

/// `organization.accounts: {discover: organizations}`.
pub(super) fn discover_accounts() -> Support {
    No("list the account ids")
}

/// `trails: {discover: true}`.
pub(super) fn discover_trails() -> Support {
    No("list the trails")
}

/// `integrity.mode`.
pub(super) fn integrity(mode: IntegrityMode) -> Support {
    match mode {
        IntegrityMode::Attest | IntegrityMode::Hold | IntegrityMode::Off => Yes,
    }
}

/// `required: false`.
pub(super) fn optional_sinks() -> Support {
    No("every sink is required for now, and batches wait for it; remove required: false")
}

/// `findings: true`.
pub(super) fn findings_in_sinks() -> Support {
    Yes
}

/// `originals: true`.
pub(super) fn originals() -> Support {
    No("no copies of the source objects are kept; remove originals: true")
}

/// `lifecycle`.
pub(super) fn lifecycle() -> Support {
    No("set the bucket's lifecycle by other means and remove lifecycle")
}
