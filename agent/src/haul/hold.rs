//! `integrity.mode: hold`: found objects wait outside batches until a proven digest vouches for them.
//!
//! In: found objects, what proven digests name, the time. Out: whether an object may be hauled. Invariants: what waits
//! stays among the found objects, so that a restart loses nothing; nothing waits longer than `integrity.max_hold` from
//! when it was first looked at, or, where the agent did not run, from the start at which it could not read the digests
//! that had come meanwhile. Failure: the ledger's. Bounded: a count per account ([`MOST`] of each in the ledger).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trailhaul_core::model::{AccountId, ObjectRef};

use super::counters::Counters;
use crate::ledger::{Ledger, LedgerError, NewFinding, Unhauled};
use crate::runtime::Clock;
use crate::telemetry::FindingKind;

/// Objects of one account that wait, at most: some hours of the busiest account, about 40 MB of the ledger. When there
/// are more, its folders are listed on when digests have come.
const MOST: u64 = 100_000;

/// How long reading the digests that had come may take at least after a start, in seconds, until objects expire that
/// none of them is known to name.
const READING: i64 = 600;

/// Whether a found object may be hauled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// A proven digest names it: its content is compared before anything is delivered.
    Vouched,
    /// It has waited for as long as objects may: it is hauled with what is known.
    Expired,
    /// It waits.
    Wait,
}

/// Decides about found objects; clones are the same.
#[derive(Debug, Clone)]
pub struct Hold {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// `integrity.max_hold`, in seconds.
    longest: i64,
    /// When this process began, in Unix seconds.
    started: i64,
    /// Whether account by account no more are taken than [`MOST`]. A single pass reads digests after it has listed.
    bounded: bool,
    digests_read: Arc<AtomicBool>,
    waiting: Arc<Mutex<HashMap<AccountId, u64>>>,
}

impl Hold {
    /// Objects wait for `longest` seconds at most. With `bounded`, listings wait when too many objects do.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        longest: i64,
        bounded: bool,
    ) -> Self {
        let started = clock.now().as_second();
        Self {
            ledger,
            clock,
            counters,
            longest,
            started,
            bounded,
            digests_read: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// Whether this object may be hauled now.
    pub fn gate(&self, waiting: &Unhauled) -> Gate {
        let is_over = |since: i64| since.saturating_add(self.longest) <= self.now();
        if waiting.vouched {
            return Gate::Vouched;
        }
        // The agent may not have run when the digest came. A single pass reads all digests before it ends.
        let in_vain = self.bounded && is_over(self.started) && self.now() - self.started >= READING;
        let may_expire = self.digests_read.load(Ordering::Relaxed) || in_vain;
        if may_expire && waiting.held.is_some_and(is_over) { Gate::Expired } else { Gate::Wait }
    }

    /// Whether a proven digest names an object. One that none names waits, and counts as waiting.
    pub fn is_vouched(&self, object: &ObjectRef, account: AccountId) -> Result<bool, LedgerError> {
        let vouched = self.ledger.expected(object)?.is_some();
        if !vouched {
            *self.counts().entry(account).or_default() += 1;
        }
        Ok(vouched)
    }

    /// Whether the digests that lie in the buckets were read since the process began, so that an object that none of
    /// them names has waited in vain.
    pub fn digests_are_read(&self, read: bool) {
        self.digests_read.store(read, Ordering::Relaxed);
    }

    /// How many more objects of an account may wait.
    pub fn room(&self, account: AccountId) -> usize {
        if !self.bounded {
            return usize::MAX;
        }
        let waiting = self.counts().get(&account).copied().unwrap_or(0);
        usize::try_from(MOST.saturating_sub(waiting)).unwrap_or(usize::MAX)
    }

    /// These objects wait from now on.
    pub fn hold(&self, objects: &[ObjectRef]) -> Result<(), LedgerError> {
        self.ledger.hold(objects, self.now())
    }

    /// So many of each account wait, as was counted just now.
    pub fn counted(&self, waiting: HashMap<AccountId, u64>) {
        *self.counts() = waiting;
    }

    /// Objects of this bucket are about to be hauled because their longest wait is over. One finding per bucket: a
    /// trail without log file validation has no digests, and is nobody's fault; where there should be one, the audit
    /// says so about the digest.
    pub fn expires(&self, bucket: &str) -> Result<(), LedgerError> {
        let text = "objects were hauled without a digest that vouches for them, because they had waited for \
                    integrity.max_hold: is log file validation switched on for every trail that writes here?";
        let finding = NewFinding::new(FindingKind::HoldExpired.name(), bucket, text);
        self.ledger.find(&finding, self.clock.now()).map(|_| ())
    }

    /// So many objects of each bucket were.
    pub fn expired(&self, buckets: &BTreeMap<String, u64>) {
        for (bucket, objects) in buckets.iter().filter(|(_, objects)| **objects > 0) {
            self.counters.expired_objects(*objects);
            tracing::warn!(
                bucket,
                objects,
                "haul objects without a digest: they have waited for integrity.max_hold"
            );
        }
    }

    /// What time it is, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<AccountId, u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use trailhaul_core::plan::FoundObject;

    use super::*;
    use crate::ledger::LedgerOptions;
    use crate::runtime::SystemClock;

    fn counters() -> Arc<Counters> {
        Arc::new(Counters::new(Arc::default()))
    }

    fn waiting(vouched: bool, held: Option<i64>) -> Unhauled {
        let key = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/05/20/\
                   111122223333_CloudTrail_eu-west-1_20260520T0205Z_a.json.gz";
        let object = ObjectRef {
            bucket: "s3://logs".into(),
            key: key.into(),
            etag: "x".into(),
            version: None,
            size: 7,
        };
        Unhauled { found: FoundObject::new(object).unwrap(), held, vouched, gone: false }
    }

    #[test]
    fn an_object_expires_only_when_the_digests_that_came_meanwhile_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
        let ledger = Ledger::open(folder.path(), &options).unwrap();
        let hold = Hold::new(ledger, Arc::new(SystemClock), counters(), 3_600, true);
        let (now, cases) = (hold.now(), [None, Some(0), Some(i64::MAX)]);
        for held in cases {
            assert_eq!(hold.gate(&waiting(true, held)), Gate::Vouched);
            assert_eq!(hold.gate(&waiting(false, held)), Gate::Wait, "no digest was read yet");
        }
        hold.digests_are_read(true);
        assert_eq!(hold.gate(&waiting(false, None)), Gate::Wait);
        assert_eq!(hold.gate(&waiting(false, Some(now))), Gate::Wait);
        assert_eq!(hold.gate(&waiting(false, Some(now - 3_600))), Gate::Expired);
        // Where digests cannot be read, nothing waits longer after a start than it may.
        hold.digests_are_read(false);
        assert_eq!(hold.gate(&waiting(false, Some(now - 7_200))), Gate::Wait);
        let later = Hold { started: now - 3_600, ..hold.clone() };
        assert_eq!(later.gate(&waiting(false, Some(now - 7_200))), Gate::Expired);
        let once = Hold { bounded: false, ..later.clone() };
        assert_eq!(once.gate(&waiting(false, Some(now - 7_200))), Gate::Wait, "it reads them before it ends");
        let quick = Hold { started: now - 60, longest: 1, ..hold.clone() };
        assert_eq!(quick.gate(&waiting(false, Some(now - 7_200))), Gate::Wait, "reading takes a while");
    }

    #[test]
    fn an_account_with_too_many_waiting_objects_is_not_listed_on() {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
        let ledger = Ledger::open(folder.path(), &options).unwrap();
        let hold = Hold::new(ledger, Arc::new(SystemClock), counters(), 3_600, true);
        let found = waiting(false, None).found;
        hold.counted(HashMap::from([(found.account, MOST - 2)]));
        assert_eq!(hold.room(found.account), 2);
        for left in [1, 0, 0] {
            assert!(!hold.is_vouched(&found.object, found.account).unwrap());
            assert_eq!(hold.room(found.account), left);
        }
        assert_eq!(hold.room("444455556666".parse().unwrap()), 100_000, "the others are listed");
        let once = Hold { bounded: false, ..hold.clone() };
        assert_eq!(once.room(found.account), usize::MAX);
    }
}
