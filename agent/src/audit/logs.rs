//! Log files against the hashes that proven digests name.

use trailhaul_core::verify::{DigestLog, LogOutcome};

use super::report::Problem;
use super::source::{ReadFailure, Source, Sources};

/// What became of one log file.
pub(super) struct CheckedLog {
    pub(super) outcome: LogOutcome,
    pub(super) problem: Option<Problem>,
    /// Stored bytes read.
    pub(super) bytes: u64,
}

/// Reads and hashes one log file. `key` is where it lies in the source; `cap` bounds its inflated size.
pub(super) async fn check_log(
    sources: &Sources,
    from: &Source,
    log: DigestLog,
    key: String,
    named_by: &str,
    cap: u64,
) -> CheckedLog {
    let (outcome, why, bytes) = match sources.resolve(from, &log.bucket) {
        Err(error) => (LogOutcome::Unreadable, Some(error.to_string()), 0),
        Ok(source) => match sources.hash(source, &key, cap).await {
            Ok((content, bytes)) => (LogOutcome::of(&content, log.sha256), None, bytes),
            Err(ReadFailure::Missing) => (LogOutcome::Missing, None, 0),
            Err(ReadFailure::Denied) => (LogOutcome::AccessDenied, None, 0),
            Err(ReadFailure::Archived) => (LogOutcome::Archived, None, 0),
            Err(ReadFailure::Other(why)) => (LogOutcome::Unreadable, Some(why), 0),
        },
    };
    let problem = (outcome != LogOutcome::Valid).then(|| {
        let object = format!("s3://{}/{}", log.bucket, log.key);
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let message = format!("{outcome}{why}; named by {named_by}");
        Problem::object(outcome.class(), "log", outcome.label(), object, message)
    });
    CheckedLog { outcome, problem, bytes }
}
