//! What the program's exit code says; scripts and service managers rely on it.

use std::process;

/// The exit codes, after `sysexits.h` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, and nothing was found to be wrong.
    Good = 0,
    /// Done, and an integrity finding stands.
    Finding = 1,
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// Something outside could not be reached, so the answer is unknown (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// The program's own fault, or books that do not balance (`EX_SOFTWARE`).
    Internal = 70,
    /// The configuration is wrong, or another archive, owner or state folder than it says (`EX_CONFIG`).
    Configuration = 78,
    /// `verify --like-aws` only: what the AWS CLI exits with when it cannot go on.
    LikeAwsFailure = 255,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
