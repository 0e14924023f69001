//! The queue of one lane: objects that were found become batches.
//!
//! In: found objects, in any order, and the time. Out: [`PlannedBatch`]es: objects of one archive partition,
//! closed by bytes, count or age, the account served least going first. An object that failed is
//! deferred: it comes back alone, at growing intervals.
//!
//! Bounded: [`Batcher::has_room`] says no before the queue is full, earlier to an account that fills it alone,
//! later to one that has hardly anything in it, so that no account keeps the others out. What does not fit is
//! handed back, never dropped. Objects whose bucket must wait stay where they are, and hold up nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::AccountId;

use super::fair::Turns;
use super::found::{FoundObject, Partition, PartitionBy};

/// How batches are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatcherConfig {
    /// What the archive is partitioned by.
    pub partition: PartitionBy,
    /// A batch is closed when its objects have so many stored bytes; one object alone may have more.
    pub max_bytes: u64,
    /// A batch is closed with so many objects: its journal entry has at most 4 MiB.
    pub max_objects: usize,
    /// A batch is closed when its oldest object has waited so many seconds.
    pub max_age: u32,
    /// So many objects wait in memory, about 600 bytes each; twice as many at the very most.
    pub queue: usize,
    /// Seconds until a deferred object is tried for the second time; doubled each time after.
    pub retry_first: u32,
    /// The most seconds between two tries.
    pub retry_longest: u32,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self {
            partition: PartitionBy::default(),
            max_bytes: 64 << 20,
            max_objects: 2_000,
            max_age: 60,
            queue: 8_192,
            retry_first: 60,
            retry_longest: 6 * 3_600,
        }
    }
}

/// Why a batch was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// It has enough bytes.
    Bytes,
    /// It has enough objects.
    Count,
    /// Its oldest object has waited long enough.
    Age,
    /// The queue is full and nothing else is ready.
    Pressure,
    /// Everything is to go out.
    Drain,
    /// It is one deferred object.
    Retry,
}

/// An object on its way through the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedObject {
    /// The object.
    pub found: FoundObject,
    /// How often it was deferred.
    pub attempts: u32,
}

/// What the next batch is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBatch {
    /// Where its records go.
    pub partition: Partition,
    /// Its objects, in the order of turns: a batch that is cut short has served its accounts alike.
    pub objects: Vec<QueuedObject>,
    /// Why it was closed.
    pub closed: Closed,
}

/// What one object costs besides its bytes: a request, its share of a listing and of a commit.
const COST_OF_ONE: u64 = 16 * 1024;
/// A deferred object is likely to fail again, and takes a whole batch for that.
const COST_OF_RETRY: u64 = 1 << 20;
/// An account with fewer waiting objects than this finds room when others have filled the queue.
const RESERVED: usize = 16;

/// So many objects of an account are looked at for one that may go: an account's logs come from a few buckets.
const SCANNED: usize = 64;

/// The queue of one lane.
#[derive(Debug)]
pub struct Batcher {
    config: BatcherConfig,
    turns: Turns,
    accounts: BTreeMap<AccountId, Account>,
    groups: BTreeMap<Partition, Group>,
    len: usize,
    sequence: u64,
}

#[derive(Debug, Default)]
struct Account {
    waiting: BTreeMap<Partition, VecDeque<Waiting>>,
    /// By due time and a sequence number.
    deferred: BTreeMap<(i64, u64), QueuedObject>,
    len: usize,
    /// The last batch that this account's turn gave was a deferred object.
    last_was_retry: bool,
}

#[derive(Debug)]
struct Waiting {
    found: FoundObject,
    since: i64,
}

#[derive(Debug, Default)]
struct Group {
    bytes: u64,
    count: usize,
    accounts: BTreeSet<AccountId>,
    /// When the object that has waited longest came; kept exact.
    oldest: i64,
}

impl Batcher {
    /// An empty queue.
    pub fn new(config: BatcherConfig) -> Self {
        Self {
            config,
            turns: Turns::default(),
            accounts: BTreeMap::new(),
            groups: BTreeMap::new(),
            len: 0,
            sequence: 0,
        }
    }

    /// How many objects wait, deferred ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether an object of this account would be taken.
    pub fn has_room(&self, account: AccountId) -> bool {
        self.room(account) > 0
    }

    /// How many objects of this account would be taken.
    pub fn room(&self, account: AccountId) -> usize {
        let own = self.accounts.get(&account).map_or(0, |account| account.len);
        let open = self.config.queue.saturating_sub(self.len).min(self.share().saturating_sub(own));
        let beyond = self.config.queue.saturating_mul(2).saturating_sub(self.len);
        open.max(RESERVED.saturating_sub(own).min(beyond))
    }

    /// Takes an object in at `now` (seconds since the Unix epoch), or hands it back when there is no room.
    pub fn push(&mut self, found: FoundObject, now: i64) -> Result<(), Box<FoundObject>> {
        if !self.has_room(found.account) {
            return Err(Box::new(found));
        }
        self.admit(found, now);
        Ok(())
    }

    /// The same for an object that had room a moment ago, when others came between: taken unless the queue holds
    /// twice what it should.
    pub fn push_late(&mut self, found: FoundObject, now: i64) -> Result<(), Box<FoundObject>> {
        if !self.has_room(found.account) && self.len >= self.config.queue.saturating_mul(2) {
            return Err(Box::new(found));
        }
        self.admit(found, now);
        Ok(())
    }

    /// Sets an object of a batch aside, to be tried again later and alone. Handed back when there is no room:
    /// it stays in the inventory as found, and is offered again from there.
    pub fn defer(&mut self, mut object: QueuedObject, now: i64) -> Result<(), Box<QueuedObject>> {
        if !self.has_room(object.found.account) {
            return Err(Box::new(object));
        }
        let doublings = object.attempts.min(20);
        let wait =
            (u64::from(self.config.retry_first) << doublings).min(u64::from(self.config.retry_longest));
        object.attempts = object.attempts.saturating_add(1);
        self.defer_until(object, now.saturating_add_unsigned(wait));
        Ok(())
    }

    /// Takes back the objects of a batch that came to nothing through no fault of theirs. They fit always:
    /// they had their places before, and the batches in flight are few.
    pub fn put_back(&mut self, objects: Vec<QueuedObject>, now: i64) {
        for object in objects {
            if object.attempts > 0 {
                self.defer_until(object, now);
            } else {
                self.admit(object.found, now);
            }
        }
    }

    /// The next batch, if one is ready at `now`; with `drain`, everything that waits is ready.
    pub fn next_batch(&mut self, now: i64, drain: bool) -> Option<PlannedBatch> {
        self.next_admitted(now, drain, &mut |_| true)
    }

    /// The same of those objects that `admits` lets go, which is asked once for each object that would be taken.
    /// The others keep their places.
    pub fn next_admitted(
        &mut self,
        now: i64,
        drain: bool,
        admits: &mut dyn FnMut(&FoundObject) -> bool,
    ) -> Option<PlannedBatch> {
        let mut ready = self.ready(now, drain);
        if ready.is_empty() {
            ready.extend(self.pressed());
        }
        let early = drain && ready.is_empty();
        let mut held = BTreeSet::new();
        // Each turn that gives nothing takes something out of the choice, so this ends.
        loop {
            let turns = self.turns.in_order();
            let turn = { turns }.find_map(|id| Some((id, self.turn_of(id, &ready, &held, now, early)?)));
            let (id, turn) = turn?;
            let is_retry = matches!(turn, Turn::Retry);
            let batch = match turn {
                Turn::Retry => self.take_retry(id, now, early, admits),
                Turn::Group(partition) => {
                    let closed = ready.remove(&partition)?;
                    self.fill(partition, closed, admits)
                }
            };
            if let Some(account) = self.accounts.get_mut(&id).filter(|_| batch.is_some()) {
                account.last_was_retry = is_retry;
            }
            match batch {
                None if is_retry => held.insert(id),
                None => continue,
                batch => return batch,
            };
        }
    }

    /// Counts what an account's objects have cost beyond their stored bytes (a small object may inflate to
    /// gigabytes) against its share.
    pub fn charge(&mut self, account: AccountId, cost: u64) {
        self.turns.serve(account, cost);
    }

    /// When age or a retry makes the next batch ready, if nothing else does before.
    pub fn due(&self) -> Option<i64> {
        let age =
            self.groups.values().map(|group| group.oldest.saturating_add(i64::from(self.config.max_age)));
        let retries = self.accounts.values().filter_map(|account| account.deferred.keys().next());
        age.chain(retries.map(|(due, _)| *due)).min()
    }

    /// The most objects of one account while the queue is not empty: half of it.
    fn share(&self) -> usize {
        (self.config.queue / 2).max(1)
    }

    fn admit(&mut self, found: FoundObject, since: i64) {
        let partition = found.partition(self.config.partition);
        let id = found.account;
        let group =
            self.groups.entry(partition.clone()).or_insert(Group { oldest: since, ..Group::default() });
        group.bytes = group.bytes.saturating_add(found.object.size);
        group.count += 1;
        group.accounts.insert(id);
        group.oldest = group.oldest.min(since);
        let account = self.accounts.entry(id).or_default();
        account.waiting.entry(partition).or_default().push_back(Waiting { found, since });
        account.len += 1;
        self.len += 1;
        self.turns.join(id);
    }

    fn defer_until(&mut self, object: QueuedObject, due: i64) {
        let id = object.found.account;
        self.sequence += 1;
        let account = self.accounts.entry(id).or_default();
        account.deferred.insert((due, self.sequence), object);
        account.len += 1;
        self.len += 1;
        self.turns.join(id);
    }

    /// The partitions of which a batch can be made.
    fn ready(&self, now: i64, drain: bool) -> BTreeMap<Partition, Closed> {
        let config = &self.config;
        let why = |group: &Group| {
            if group.bytes >= config.max_bytes {
                Some(Closed::Bytes)
            } else if group.count >= config.max_objects {
                Some(Closed::Count)
            } else if now.saturating_sub(group.oldest) >= i64::from(config.max_age) {
                Some(Closed::Age)
            } else if drain {
                Some(Closed::Drain)
            } else {
                None
            }
        };
        let groups = self.groups.iter();
        groups.filter_map(|(partition, group)| Some((partition.clone(), why(group)?))).collect()
    }

    /// Where room runs out and nothing is ready: the largest partition of an account that is at its share,
    /// else the largest of all.
    fn pressed(&self) -> Option<(Partition, Closed)> {
        let share = self.share();
        let partition = match self.accounts.values().find(|account| account.len >= share) {
            Some(account) => account.waiting.iter().max_by_key(|(_, queue)| queue.len()).map(|(p, _)| p),
            None if self.len >= self.config.queue => {
                self.groups.iter().max_by_key(|(_, group)| group.count).map(|(p, _)| p)
            }
            None => None,
        };
        Some((partition?.clone(), Closed::Pressure))
    }

    /// What an account would get if it were its turn: with `early`, also a retry that is not due. Accounts in `held`
    /// have no retry that may go.
    fn turn_of(
        &self,
        id: AccountId,
        ready: &BTreeMap<Partition, Closed>,
        held: &BTreeSet<AccountId>,
        now: i64,
        early: bool,
    ) -> Option<Turn> {
        let account = self.accounts.get(&id)?;
        let oldest = account
            .waiting
            .iter()
            .filter(|(partition, _)| ready.contains_key(partition))
            .min_by_key(|(_, queue)| queue.front().map(|waiting| waiting.since));
        let group = oldest.map(|(partition, _)| Turn::Group(partition.clone()));
        let due = account.deferred.keys().next().is_some_and(|(due, _)| *due <= now || early);
        let retry = (due && !held.contains(&id)).then_some(Turn::Retry);
        if account.last_was_retry { group.or(retry) } else { retry.or(group) }
    }

    /// Takes the first deferred object of an account that is due and may go.
    fn take_retry(
        &mut self,
        id: AccountId,
        now: i64,
        early: bool,
        admits: &mut dyn FnMut(&FoundObject) -> bool,
    ) -> Option<PlannedBatch> {
        let account = self.accounts.get_mut(&id)?;
        let due = account.deferred.iter().take(SCANNED).filter(|((due, _), _)| *due <= now || early);
        let (key, _) = { due }.find(|(_, object)| admits(&object.found))?;
        let key = *key;
        let object = account.deferred.remove(&key)?;
        account.len -= 1;
        self.len -= 1;
        self.turns.serve(id, object.found.object.size.saturating_add(COST_OF_RETRY));
        self.tidy(id);
        let partition = object.found.partition(self.config.partition);
        Some(PlannedBatch { partition, objects: vec![object], closed: Closed::Retry })
    }

    /// Takes objects of a partition, always from the account that was served least; `None` if none may go.
    fn fill(
        &mut self,
        partition: Partition,
        closed: Closed,
        admits: &mut dyn FnMut(&FoundObject) -> bool,
    ) -> Option<PlannedBatch> {
        let members = self.groups.get(&partition).map(|group| group.accounts.clone()).unwrap_or_default();
        let mut order: BTreeSet<(u64, AccountId)> =
            members.into_iter().map(|id| (self.turns.served(id), id)).collect();
        let (mut objects, mut bytes) = (Vec::new(), 0_u64);
        while objects.len() < self.config.max_objects && bytes < self.config.max_bytes {
            let Some((_, id)) = order.pop_first() else { break };
            let room = if objects.is_empty() { u64::MAX } else { self.config.max_bytes - bytes };
            let found = match self.take(id, &partition, room, admits) {
                Taken::Object(found) => *found,
                Taken::Held => continue,
                Taken::TooLarge => break,
            };
            bytes = bytes.saturating_add(found.object.size);
            self.turns.serve(id, found.object.size.saturating_add(COST_OF_ONE));
            if self.accounts.get(&id).is_some_and(|account| account.waiting.contains_key(&partition)) {
                order.insert((self.turns.served(id), id));
            }
            objects.push(QueuedObject { found, attempts: 0 });
        }
        self.age(&partition);
        for object in &objects {
            self.tidy(object.found.account);
        }
        (!objects.is_empty()).then_some(PlannedBatch { partition, objects, closed })
    }

    /// Takes the next object of an account that may go, unless it has more than `room` bytes.
    fn take(
        &mut self,
        id: AccountId,
        partition: &Partition,
        room: u64,
        admits: &mut dyn FnMut(&FoundObject) -> bool,
    ) -> Taken {
        let Some(account) = self.accounts.get_mut(&id) else { return Taken::Held };
        let Some(queue) = account.waiting.get_mut(partition) else { return Taken::Held };
        // Asked only for what fits: who admits counts.
        let mut too_large = false;
        let place = queue.iter().take(SCANNED).position(|waiting| {
            too_large = waiting.found.object.size > room;
            too_large || admits(&waiting.found)
        });
        if too_large {
            return Taken::TooLarge;
        }
        let Some(waiting) = place.and_then(|place| queue.remove(place)) else { return Taken::Held };
        let found = waiting.found;
        let is_empty = queue.is_empty();
        if is_empty {
            account.waiting.remove(partition);
        }
        account.len -= 1;
        self.len -= 1;
        if let Some(group) = self.groups.get_mut(partition) {
            group.bytes = group.bytes.saturating_sub(found.object.size);
            group.count -= 1;
            if is_empty {
                group.accounts.remove(&id);
            }
        }
        Taken::Object(Box::new(found))
    }

    /// Finds out what has waited longest in a partition; removes it when it is empty.
    fn age(&mut self, partition: &Partition) {
        let Some(group) = self.groups.get_mut(partition) else { return };
        let fronts = group.accounts.iter().filter_map(|id| {
            let queue = self.accounts.get(id)?.waiting.get(partition)?;
            queue.front().map(|waiting| waiting.since)
        });
        match fronts.min() {
            Some(oldest) => group.oldest = oldest,
            None => {
                self.groups.remove(partition);
            }
        }
    }

    /// Forgets an account that has nothing waiting.
    fn tidy(&mut self, id: AccountId) {
        if self.accounts.get(&id).is_some_and(|account| account.len == 0) {
            self.accounts.remove(&id);
            self.turns.leave(id);
        }
    }
}

/// What an account's turn gives.
#[derive(Debug)]
enum Turn {
    Retry,
    Group(Partition),
}

/// What came of looking for an account's next object.
enum Taken {
    Object(Box<FoundObject>),
    /// None of the first ones may go.
    Held,
    /// It would make the batch too large.
    TooLarge,
}
