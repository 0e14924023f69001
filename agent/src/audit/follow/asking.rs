//! Asking buckets whether log files are there that digests name.
//!
//! In: a bucket and a key. Out: what a HEAD tells, or that nobody knows. Invariant: a bucket that does not answer is
//! asked for one object and not for all of them, so that in one look the others wait for it no longer than for one
//! request. Made anew for each look; bounded by the buckets. On failure: unknown, and the next look asks again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::runtime::{Reason, RetryPolicy};
use crate::store::{ObjectMeta, ObjectStore, StoreError};

/// One look's questions.
#[derive(Debug)]
pub(super) struct Asking {
    retry: RetryPolicy,
    stop: CancellationToken,
    /// URLs of buckets that did not answer.
    silent: BTreeSet<Arc<str>>,
}

/// What is known of an object.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is there.
    There(ObjectMeta),
    /// It is not.
    Gone,
    /// Nobody knows; the error, where this was asked.
    Unknown(Option<StoreError>),
}

impl Asking {
    /// Questions that are asked as often as the policy says.
    pub(super) fn new(retry: RetryPolicy, stop: CancellationToken) -> Self {
        Self { retry, stop, silent: BTreeSet::new() }
    }

    /// Whether an object is in the bucket with this URL.
    pub(super) async fn head(&mut self, store: &dyn ObjectStore, url: &Arc<str>, key: &str) -> Answer {
        if self.silent.contains(url) {
            return Answer::Unknown(None);
        }
        match self.retry.run(&self.stop, || store.head(key)).await {
            Ok(Some(meta)) => Answer::There(meta),
            Ok(None) => Answer::Gone,
            Err(gave_up) => {
                // A refusal is an answer, and may concern this object alone.
                if gave_up.reason != Reason::NotRetryable {
                    self.silent.insert(Arc::clone(url));
                }
                Answer::Unknown(Some(gave_up.error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::store::{Faults, FaultyStore, MemoryStore, Steps};

    /// A bucket that hangs, with two hundred log files that are asked for, holds up another for one request.
    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_does_not_answer_holds_up_the_others_once() {
        let minute = Duration::from_secs(60)..Duration::from_secs(61);
        let faults = Faults { unavailable: 1_000, delay: Some(minute), ..Faults::default() };
        let hanging = FaultyStore::new(Arc::new(MemoryStore::new("hanging")), Steps::new(), faults);
        let quick = MemoryStore::new("quick");
        let (down, up): (Arc<str>, Arc<str>) = ("memory://hanging".into(), "memory://quick".into());
        let mut asking = Asking::new(RetryPolicy::never(), CancellationToken::new());
        let began = Instant::now();
        let mut told = 0;
        for number in 0..200 {
            let answer = asking.head(&hanging, &down, &format!("log-{number}")).await;
            let Answer::Unknown(error) = answer else { panic!("{answer:?}") };
            told += usize::from(error.is_some());
            assert!(matches!(asking.head(&quick, &up, "log").await, Answer::Gone));
        }
        assert_eq!(told, 1);
        assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    }

    /// A refusal of one object says nothing of the next.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_concerns_one_object() {
        let (store, url): (_, Arc<str>) = (MemoryStore::new("b"), "memory://b".into());
        let mut asking = Asking::new(RetryPolicy::requests(), CancellationToken::new());
        let too_long = "k".repeat(2_000);
        let refused = asking.head(&store, &url, &too_long).await;
        assert!(matches!(refused, Answer::Unknown(Some(_))), "{refused:?}");
        assert!(matches!(asking.head(&store, &url, "log").await, Answer::Gone));
    }
}
