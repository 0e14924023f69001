//! How a caller repeats calls to a store: with a policy, until the agent stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{ErrorKind, StoreError};
use crate::runtime::{Reason, RetryPolicy, Retryable};

/// A retry policy and what ends it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Patience {
    policy: RetryPolicy,
    stop: CancellationToken,
    waits_for_mending: bool,
}

/// An error that a patient caller looks at: worth another try also where somebody must mend something first.
struct Judged {
    error: StoreError,
    again: bool,
}

impl Retryable for Judged {
    fn is_retryable(&self) -> bool {
        self.again
    }
}

impl Patience {
    /// Repeats what may succeed in a moment, as long as the policy says.
    pub fn brief(policy: RetryPolicy, stop: CancellationToken) -> Self {
        Self { policy, stop, waits_for_mending: false }
    }

    /// Repeats until `stop`, also what a full disk or a missing permission refuses: for steps that must be
    /// known to have happened before anything else does.
    pub fn lasting(stop: CancellationToken) -> Self {
        /// Ten years: longer than any process runs.
        const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);
        let policy =
            RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(30), 2.0, u32::MAX, FOR_EVER);
        Self { policy: policy.unwrap_or(RetryPolicy::requests()), stop, waits_for_mending: true }
    }

    /// What ends the repeating.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Calls `operation` until it succeeds, fails for good, or the policy or the stop ends it: then its last error.
    pub async fn run<T, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries: u32 = 0;
        let outcome = self
            .policy
            .run(&self.stop, || {
                let attempt = operation();
                tries += 1;
                let tries = tries;
                async move { attempt.await.map_err(|error| self.judge(error, tries)) }
            })
            .await;
        outcome.map_err(|gave_up| {
            if gave_up.reason != Reason::NotRetryable {
                tracing::debug!(attempts = gave_up.attempts, reason = %gave_up.reason, "give up a call");
            }
            gave_up.error.error
        })
    }

    fn judge(&self, error: StoreError, tries: u32) -> Judged {
        let mendable = matches!(error.kind(), ErrorKind::Denied | ErrorKind::Full);
        let again = error.is_retryable() || (self.waits_for_mending && mendable);
        // The first failure, and then ever more rarely: a store that is down for an hour is one story.
        if again && tries.is_power_of_two() {
            tracing::warn!(%error, tries, "repeat a call that failed");
        }
        Judged { error, again }
    }
}
