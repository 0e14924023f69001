//! The time that requests are signed with: our clock, put right when AWS refuses its signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use jiff::{SignedDuration, Timestamp};

use super::error::Failure;
use crate::runtime::Clock;

/// The clock of all clients. AWS refuses signatures that are some minutes off; the refusal carries the
/// server's time, and from then on requests are signed with ours plus the difference. The machine's clock is
/// one, so the difference is one for all accounts.
#[derive(Debug, Clone)]
pub struct AwsTime {
    clock: Arc<dyn Clock>,
    offset: Arc<AtomicI64>,
}

impl AwsTime {
    /// No difference known yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, offset: Arc::new(AtomicI64::new(0)) }
    }

    /// The present moment as AWS sees it.
    pub fn timestamp(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.skew()).unwrap_or(now)
    }

    /// How far AWS is ahead of our clock; zero until a signature was refused.
    pub fn skew(&self) -> SignedDuration {
        SignedDuration::from_millis(self.offset.load(Ordering::Relaxed))
    }

    /// Takes over the server's time; whether that changed ours by more than a second, so that the refused
    /// call is worth repeating once.
    pub(crate) fn learn(&self, server: Timestamp) -> bool {
        let offset = server.duration_since(self.clock.now());
        let offset = i64::try_from(offset.as_millis()).unwrap_or(0);
        let before = self.offset.swap(offset, Ordering::Relaxed);
        offset.abs_diff(before) > 1_000
    }

    /// The same, if the refusal came with a time that is further off than AWS tolerates at its strictest
    /// (signatures of STS end after five minutes): then the clock is the cause, whatever the code says.
    pub(crate) fn learn_if_far(&self, failure: &Failure) -> bool {
        let Some(server) = failure.server_time() else { return false };
        let off = server.duration_since(self.timestamp()).abs();
        off > SignedDuration::from_mins(4) && self.learn(server)
    }
}

impl TimeSource for AwsTime {
    fn now(&self) -> SystemTime {
        let millis = self.timestamp().as_millisecond();
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ManualClock;

    #[test]
    fn a_skew_is_learnt_once() {
        let ours: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let theirs: Timestamp = "2026-11-22T08:20:00Z".parse().unwrap();
        let time = AwsTime::new(Arc::new(ManualClock::new(ours)));
        assert!(time.learn(theirs));
        assert_eq!((time.timestamp(), time.skew()), (theirs, SignedDuration::from_mins(20)));
        assert!(!time.learn(theirs), "the second refusal has another reason");
    }
}
