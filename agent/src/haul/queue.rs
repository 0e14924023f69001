//! A lane's queue: what the tail has found, until it is committed.
//!
//! In: found objects. Out: plans, one at a time; the lane says what became of each object. Invariant: an
//! object is in the queue or in the running batch once, however often it is offered. Failure: an object that
//! cannot be read is set aside; a lane that ended refuses everything.
//!
//! Bounded by [`QueueRules::batcher`]`.queue` objects; whoever offers more waits.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use trailhaul_core::model::{AccountId, ObjectRef};
use trailhaul_core::plan::{Batcher, BatcherConfig, FoundObject, Partition, QueuedObject};

use crate::runtime::Clock;
use crate::store::{Allowance, ErrorKind};

/// How a queue forms batches, and when it gives up.
#[derive(Debug, Clone)]
pub struct QueueRules {
    /// How batches are formed.
    pub batcher: BatcherConfig,
    /// In a single pass: after so many attempts an object is left behind, and after so many failed batches in
    /// a row everything is. `None`: never.
    pub attempts: Option<u32>,
}

/// Says what may be read of a bucket.
pub trait Gate: Send + Sync + std::fmt::Debug {
    /// What its store takes just now.
    fn allowance(&self, bucket: &str) -> Allowance;
}

/// What became of an offered object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is in the queue.
    Taken,
    /// It was there already, waiting or in work.
    Known,
    /// There is no room now.
    Full,
    /// Nobody takes objects of this lane in this process.
    Refused,
}

/// A batch to be made.
#[derive(Debug)]
pub struct Plan {
    /// The archive prefix, such as `date=2026-11-22/`.
    pub partition: String,
    /// The objects, in order.
    pub objects: Vec<ObjectRef>,
}

/// What a lane does next.
#[derive(Debug)]
pub enum Work {
    /// Haul a batch.
    Plan(Plan),
    /// Write notes that were posted for its journal.
    Notes,
    /// No more objects come: write the notes that are left, and end.
    Rest,
}

/// The queue of one lane.
#[derive(Debug)]
pub struct LaneQueue {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    gate: Arc<dyn Gate>,
    hashers: [RandomState; 2],
    attempts: Option<u32>,
    /// There may be something to do.
    work: Notify,
    /// There may be room.
    room: Notify,
}

#[derive(Debug)]
struct Inner {
    batcher: Batcher,
    /// The objects that wait or are in work, by 128 bits of their names.
    known: HashSet<u128>,
    running: HashMap<u128, QueuedObject>,
    abandoned: Vec<(ObjectRef, String)>,
    failures: u32,
    /// Notes may wait in the lane's outbox.
    notes: bool,
    /// The last turn went to notes: a batch that is due comes first.
    noted: bool,
    closed: bool,
    /// What waits goes out at once, although more may come.
    hurry: bool,
    refused: bool,
}

/// The most abandoned objects that are named; the rest is only counted by being absent from the archive.
const MAX_NAMED: usize = 1_000;

impl LaneQueue {
    /// An empty queue.
    pub fn new(rules: &QueueRules, clock: Arc<dyn Clock>, gate: Arc<dyn Gate>) -> Self {
        let inner = Inner {
            batcher: Batcher::new(rules.batcher.clone()),
            known: HashSet::new(),
            running: HashMap::new(),
            abandoned: Vec::new(),
            failures: 0,
            // What an earlier process has left there.
            notes: true,
            noted: false,
            closed: false,
            hurry: false,
            refused: false,
        };
        Self {
            inner: Mutex::new(inner),
            clock,
            gate,
            hashers: [RandomState::new(), RandomState::new()],
            attempts: rules.attempts,
            work: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Offers an object; does not wait.
    pub fn try_offer(&self, found: FoundObject) -> Offer {
        self.admit(found, Batcher::push)
    }

    /// The same for an object that was recorded because there was room for it: it is taken also where others came
    /// between, within bounds.
    pub fn offer_recorded(&self, found: FoundObject) -> Offer {
        self.admit(found, Batcher::push_late)
    }

    fn admit(
        &self,
        found: FoundObject,
        push: fn(&mut Batcher, FoundObject, i64) -> Result<(), Box<FoundObject>>,
    ) -> Offer {
        let name = self.name(&found.object);
        let now = self.now();
        let mut inner = self.lock();
        if inner.refused {
            return Offer::Refused;
        }
        if inner.known.contains(&name) {
            return Offer::Known;
        }
        if push(&mut inner.batcher, found, now).is_err() {
            return Offer::Full;
        }
        inner.known.insert(name);
        drop(inner);
        self.work.notify_one();
        Offer::Taken
    }

    /// Offers an object and waits for room. Cancel-safe: the object is taken or not.
    pub async fn offer(&self, found: FoundObject) -> Offer {
        loop {
            let room = self.room.notified();
            match self.try_offer(found.clone()) {
                Offer::Full => room.await,
                other => return other,
            }
        }
    }

    /// How many objects of this account would be taken now, or none where it are too few to be worth a listing. A
    /// lane that ended takes none, and says that it takes all so that nobody waits for it.
    pub fn room(&self, account: AccountId) -> usize {
        /// Less is not worth a page of a listing, unless that is all that an account is left with.
        const WORTH: usize = 16;
        let inner = self.lock();
        if inner.refused {
            return usize::MAX;
        }
        Some(inner.batcher.room(account)).filter(|room| *room >= WORTH).unwrap_or(0)
    }

    /// In a single pass: how often something is tried.
    pub fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// Notes wait in the lane's outbox.
    pub fn nudge(&self) {
        self.lock().notes = true;
        self.work.notify_one();
    }

    /// What waits goes out at once; more may come.
    pub fn hurry(&self) {
        self.lock().hurry = true;
        self.work.notify_one();
    }

    /// Whether nothing waits or is in work, or nobody works any more.
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.refused || inner.known.is_empty()
    }

    /// No more objects come: what waits goes out at once.
    pub fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Nobody takes objects any more.
    pub fn refuse(&self) {
        self.lock().refused = true;
        self.room.notify_waiters();
    }

    /// Whether nobody takes objects any more.
    pub fn is_refused(&self) -> bool {
        self.lock().refused
    }

    /// Objects that wait or are in work.
    pub fn len(&self) -> usize {
        self.lock().known.len()
    }

    /// Whether nothing waits and nothing is in work.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was given up in a single pass, with reasons.
    pub fn abandoned(&self) -> Vec<(ObjectRef, String)> {
        self.lock().abandoned.clone()
    }

    /// What is due next: notes and batches take turns; `None` when the queue is closed and empty.
    pub async fn next(&self) -> Option<Work> {
        /// Clocks may be set, and simulated ones jump: look again at least this often.
        const LOOK: Duration = Duration::from_millis(500);
        loop {
            let work = self.work.notified();
            {
                let now = self.now();
                let mut inner = self.lock();
                let (closed, hurry) = (inner.closed, inner.hurry);
                if inner.notes && !inner.noted {
                    (inner.notes, inner.noted) = (false, true);
                    return Some(Work::Notes);
                }
                inner.noted = false;
                let mut left = HashMap::new();
                let mut admits = |found: &FoundObject| self.admits(&mut left, &found.object.bucket);
                if let Some(batch) = inner.batcher.next_admitted(now, closed || hurry, &mut admits) {
                    let plan = self.begin(&mut inner, batch.partition, batch.objects);
                    drop(inner);
                    self.room.notify_waiters();
                    return Some(Work::Plan(plan));
                }
                if inner.notes {
                    (inner.notes, inner.noted) = (false, true);
                    return Some(Work::Notes);
                }
                if closed && inner.batcher.is_empty() {
                    return None;
                }
            }
            tokio::select! {
                () = work => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whether a batch may take one more object of this bucket; `left` has what it may still take of each.
    fn admits(&self, left: &mut HashMap<Arc<str>, usize>, bucket: &Arc<str>) -> bool {
        let left = left.entry(Arc::clone(bucket)).or_insert_with(|| {
            let Allowance { requests, probes, .. } = self.gate.allowance(bucket);
            // A single pass does not wait for somebody to mend permissions.
            if self.attempts.is_some() { requests } else { requests.min(probes) }
        });
        let admitted = *left > 0;
        *left = left.saturating_sub(1);
        admitted
    }

    /// Whether an object that could not be read waits for its bucket, and not for a better day of its own: then it
    /// goes back to its place. Not in a single pass, which must end.
    pub fn waits_for_bucket(&self, object: &ObjectRef, kind: Option<ErrorKind>) -> bool {
        self.attempts.is_none()
            && match kind {
                Some(ErrorKind::Throttled) => true,
                Some(ErrorKind::Denied) => self.gate.allowance(&object.bucket).refuses,
                _ => false,
            }
    }

    /// These objects are committed, or were before.
    pub fn done(&self, objects: &[ObjectRef]) {
        let mut inner = self.lock();
        inner.failures = 0;
        for object in objects {
            let name = self.name(object);
            inner.running.remove(&name);
            inner.known.remove(&name);
        }
    }

    /// These objects were left out through no fault of theirs. With `alone`, each gets a batch of its own.
    pub fn give_back(&self, objects: Vec<ObjectRef>, alone: bool) {
        let now = self.now();
        let mut inner = self.lock();
        let mut back = Vec::with_capacity(objects.len());
        for object in objects {
            let Some(mut queued) = inner.running.remove(&self.name(&object)) else { continue };
            if alone {
                queued.attempts = queued.attempts.max(1);
            }
            back.push(queued);
        }
        inner.batcher.put_back(back, now);
        drop(inner);
        self.work.notify_one();
    }

    /// A batch of these objects failed at a sink.
    pub fn failed(&self, objects: Vec<ObjectRef>, why: &str) {
        let give_up = {
            let mut inner = self.lock();
            inner.failures += 1;
            self.attempts.is_some_and(|most| inner.failures >= most)
        };
        if !give_up {
            return self.give_back(objects, false);
        }
        for object in objects {
            self.abandon(object, why);
        }
    }

    /// An object could not be read: it is tried again later, alone.
    pub fn defer(&self, object: ObjectRef, why: &str) {
        let now = self.now();
        let mut inner = self.lock();
        let name = self.name(&object);
        let Some(queued) = inner.running.remove(&name) else { return };
        if self.attempts.is_some_and(|most| queued.attempts + 1 >= most) {
            drop(inner);
            return self.abandon(object, why);
        }
        // Without room it leaves the queue, and the next listing finds it again.
        if inner.batcher.defer(queued, now).is_err() {
            inner.known.remove(&name);
        }
    }

    /// Another object stands under the key of one that could not be read: that one is tried instead, alone; at once,
    /// or later where that was so before.
    pub fn renew(&self, found: FoundObject, why: &str) {
        let (now, name) = (self.now(), self.name(&found.object));
        let mut inner = self.lock();
        let Some(queued) = inner.running.get_mut(&name) else { return };
        queued.found = found;
        if queued.attempts > 0 {
            let object = queued.found.object.clone();
            drop(inner);
            return self.defer(object, why);
        }
        queued.attempts = 1;
        let back = inner.running.remove(&name);
        inner.batcher.put_back(back.into_iter().collect(), now);
        drop(inner);
        self.work.notify_one();
    }

    /// What an object has really cost counts against its account's share.
    pub fn charge(&self, object: &ObjectRef, inflated: u64) {
        if let Ok(key) = trailhaul_core::model::LogKey::parse(&object.key) {
            self.lock().batcher.charge(key.account, inflated.saturating_sub(object.size));
        }
    }

    fn abandon(&self, object: ObjectRef, why: &str) {
        let name = self.name(&object);
        let mut inner = self.lock();
        inner.running.remove(&name);
        inner.known.remove(&name);
        if inner.abandoned.len() < MAX_NAMED {
            inner.abandoned.push((object, why.to_owned()));
        }
    }

    fn begin(&self, inner: &mut Inner, partition: Partition, objects: Vec<QueuedObject>) -> Plan {
        let mut plan = Plan { partition: folder(&partition), objects: Vec::with_capacity(objects.len()) };
        for queued in objects {
            plan.objects.push(queued.found.object.clone());
            inner.running.insert(self.name(&queued.found.object), queued);
        }
        plan
    }

    fn name(&self, object: &ObjectRef) -> u128 {
        let [one, two] = &self.hashers;
        let name = (object.bucket.as_ref(), object.key.as_str());
        (u128::from(one.hash_one(name)) << 64) | u128::from(two.hash_one(name))
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The archive prefix of a partition.
fn folder(partition: &Partition) -> String {
    use std::fmt::Write;
    let mut folder = format!("date={}/", partition.day);
    if let Some(account) = partition.account {
        // Writing to a string cannot fail.
        let _ = write!(folder, "account={account}/");
    }
    if let Some(region) = &partition.region {
        let _ = write!(folder, "region={region}/");
    }
    folder
}
