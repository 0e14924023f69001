//! Log files against the hashes that proven digests name.

use std::sync::Arc;

use trailhaul_core::verify::{DigestLog, LogContent, LogOutcome};

use super::report::Problem;
use super::source::{ReadFailure, Source, Sources};

/// What became of one log file.
pub(super) struct CheckedLog {
    pub(super) outcome: LogOutcome,
    pub(super) problem: Option<Problem>,
    /// Stored bytes read.
    pub(super) bytes: u64,
}

/// A log file to check.
pub(super) struct LogJob {
    /// What the digest says of it.
    pub(super) log: DigestLog,
    /// Where it lies in the source.
    pub(super) key: String,
    /// The digest.
    pub(super) named_by: Arc<str>,
}

/// Reads and hashes log files named by digests of `from`, those in folders in one go. `cap` bounds the inflated
/// size of each.
pub(super) async fn check_logs(
    sources: &Sources,
    from: &Source,
    jobs: Vec<LogJob>,
    cap: u64,
) -> Vec<CheckedLog> {
    let mut hashed = Vec::new();
    if from.is_local() {
        let file = |job: &LogJob| {
            let source = sources.resolve(from, &job.log.bucket).unwrap_or(from);
            (Arc::clone(&source.store), job.key.clone())
        };
        hashed = Sources::hash_here(jobs.iter().map(file).collect(), cap).await;
    }
    let mut hashed = hashed.into_iter();
    let mut checked = Vec::with_capacity(jobs.len());
    for job in jobs {
        checked.push(check_log(sources, from, job, hashed.next().flatten(), cap).await);
    }
    checked
}

/// Checks one log file, which may have been hashed already.
async fn check_log(
    sources: &Sources,
    from: &Source,
    job: LogJob,
    hashed: Option<(LogContent, u64)>,
    cap: u64,
) -> CheckedLog {
    let LogJob { log, key, named_by } = job;
    let (outcome, why, bytes) = match sources.resolve(from, &log.bucket) {
        Err(error) => (LogOutcome::Unreadable, Some(error.to_string()), 0),
        Ok(source) => {
            let read = match hashed {
                Some(hashed) => Ok(hashed),
                None => sources.hash(source, &key, cap).await,
            };
            match read {
                Ok((content, bytes)) => (LogOutcome::of(&content, log.sha256), None, bytes),
                Err(ReadFailure::Missing) => (LogOutcome::Missing, None, 0),
                Err(ReadFailure::Denied) => (LogOutcome::AccessDenied, None, 0),
                Err(ReadFailure::Archived) => (LogOutcome::Archived, None, 0),
                Err(ReadFailure::Other(why)) => (LogOutcome::Unreadable, Some(why), 0),
            }
        }
    };
    let problem = (outcome != LogOutcome::Valid).then(|| {
        let object = format!("s3://{}/{}", log.bucket, log.key);
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let message = format!("{outcome}{why}; named by {named_by}");
        Problem::object(outcome.class(), "log", outcome.label(), object, message)
    });
    CheckedLog { outcome, problem, bytes }
}
