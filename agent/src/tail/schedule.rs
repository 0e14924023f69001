//! Which stream of a bucket is listed next.
//!
//! In: streams that a walk has shown, and ends of turns. Out: the stream that has been due longest and whose
//! account may have another listing. Bounded by the number of streams. A stream is either here or out on its
//! turn, never both.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use trailhaul_core::model::{AccountId, StreamKey};
use trailhaul_core::plan::DayRules;

use super::turn::Stream;

/// At most so many listings of one account at the same time.
const PER_ACCOUNT: u32 = 2;
/// A stream whose account has no room, or enough listings, is looked at again after so many seconds.
const PARKED: i64 = 1;

/// The streams of a bucket.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// `None` while the stream is out on its turn.
    streams: Vec<Option<Stream>>,
    known: BTreeSet<StreamKey>,
    /// When it is looked at, since when it is due, which: among those looked at together, the one that has been
    /// due longest comes first, however often it was parked.
    /// Last comes the entry's number: of a stream's entries the latest counts.
    due: BinaryHeap<Reverse<(i64, i64, usize, u64)>>,
    entries: Vec<u64>,
    running: BTreeMap<AccountId, u32>,
}

impl Schedule {
    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether a stream is here already.
    pub(super) fn knows(&self, key: &StreamKey) -> bool {
        self.known.contains(key)
    }

    /// Adds a stream; it is due at once.
    pub(super) fn add(&mut self, stream: Stream, now: i64) {
        if self.known.insert(stream.key.clone()) {
            self.streams.push(Some(stream));
            self.entries.push(0);
            self.enter(now, now, self.streams.len() - 1);
        }
    }

    /// Takes out the stream whose turn it is at `now`.
    pub(super) fn take_due(
        &mut self,
        now: i64,
        has_room: impl Fn(AccountId) -> bool,
    ) -> Option<(usize, Stream)> {
        while let Some(Reverse((look, since, index, entry))) = self.due.peek().copied() {
            if look > now {
                return None;
            }
            self.due.pop();
            if self.entries.get(index) != Some(&entry) {
                continue;
            }
            let Some(slot) = self.streams.get_mut(index) else { continue };
            let Some(account) = slot.as_ref().map(|stream| stream.key.account) else { continue };
            let running = self.running.entry(account).or_default();
            if *running >= PER_ACCOUNT || !has_room(account) {
                self.enter(now + PARKED, since, index);
                continue;
            }
            *running += 1;
            return slot.take().map(|stream| (index, stream));
        }
        None
    }

    /// Takes out this stream, out of its turn, if it is here and its account has room.
    pub(super) fn take(&mut self, index: usize, has_room: impl Fn(AccountId) -> bool) -> Option<Stream> {
        let slot = self.streams.get_mut(index)?;
        let account = slot.as_ref()?.key.account;
        if !has_room(account) {
            return None;
        }
        *self.running.entry(account).or_default() += 1;
        slot.take()
    }

    /// Makes these streams due at once, those that are here.
    pub(super) fn expedite(&mut self, indices: &[usize], now: i64) {
        for index in indices {
            if self.streams.get(*index).is_some_and(Option::is_some) {
                self.enter(now, now, *index);
            }
        }
        // What was entered before lies there until it would have been due.
        if self.due.len() > 2 * self.streams.len() {
            let entries = &self.entries;
            self.due.retain(|Reverse((_, _, index, entry))| entries.get(*index) == Some(entry));
        }
    }

    fn enter(&mut self, look: i64, since: i64, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            *entry += 1;
            self.due.push(Reverse((look, since, index, *entry)));
        }
    }

    /// Takes out all streams, for a single pass.
    pub(super) fn take_all(&mut self) -> Vec<(usize, Stream)> {
        self.due.clear();
        let streams = self.streams.iter_mut().enumerate();
        streams.filter_map(|(index, stream)| Some((index, stream.take()?))).collect()
    }

    /// Puts a stream back after its turn: due when its plan says, but not before `earliest`.
    pub(super) fn put_back(&mut self, index: usize, stream: Stream, rules: &DayRules, earliest: i64) {
        if let Some(running) = self.running.get_mut(&stream.key.account) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&stream.key.account);
            }
        }
        let due = stream.plan.due(rules).max(earliest);
        if let Some(slot) = self.streams.get_mut(index) {
            *slot = Some(stream);
            self.enter(due, due, index);
        }
    }

    /// When the next stream is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((look, ..))| *look)
    }
}
