//! Whether a whole trail is in trouble, and which stream is tried to find out that it is over.
//!
//! In: ends of turns. Out: now and then a stream to be tried out of its turn; and when one works again, all that were
//! in trouble. A stream that fails is left alone for longer and longer, up to a quarter of an hour, which is right
//! for its own trouble. A role or policy that somebody mends is the trouble of all at once, and is to be noticed
//! within a minute: so when several streams failed and none worked in between, one of them is tried every
//! [`EVERY`] seconds. Bounded by the number of streams.

use std::collections::{BTreeMap, BTreeSet};

/// Seconds between two tries of a trail that is in trouble. With the longest pause of `aws::credentials`, less than a
/// minute.
pub(super) const EVERY: i64 = 25;
/// So many streams that failed with none working in between (or all, of a trail with fewer) are the trail's trouble.
const SEVERAL: usize = 4;

/// What is known of a trail's streams in trouble, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// When each was tried last.
    failing: BTreeMap<usize, i64>,
    /// Those that failed since one worked, up to [`SEVERAL`].
    in_a_row: BTreeSet<usize>,
    next: i64,
}

impl Probe {
    /// A stream failed.
    pub(super) fn failed(&mut self, stream: usize, now: i64) {
        if self.in_a_row.is_empty() {
            self.next = now.saturating_add(EVERY);
        }
        self.failing.insert(stream, now);
        if self.in_a_row.len() < SEVERAL {
            self.in_a_row.insert(stream);
        }
    }

    /// A stream worked; those that are to be tried at once, if the whole trail (of so many streams) was in trouble.
    pub(super) fn worked(&mut self, stream: usize, streams: usize) -> Vec<usize> {
        let was_all = self.is_all(streams);
        self.failing.remove(&stream);
        self.in_a_row.clear();
        if was_all { self.failing.keys().copied().collect() } else { Vec::new() }
    }

    /// The stream that is to be tried now, if any.
    pub(super) fn due(&mut self, now: i64, streams: usize) -> Option<usize> {
        if !self.is_all(streams) || now < self.next {
            return None;
        }
        self.next = now.saturating_add(EVERY);
        self.failing.iter().min_by_key(|(_, tried)| **tried).map(|(stream, _)| *stream)
    }

    /// When to ask again.
    pub(super) fn wake(&self, streams: usize) -> Option<i64> {
        self.is_all(streams).then_some(self.next)
    }

    fn is_all(&self, streams: usize) -> bool {
        !self.in_a_row.is_empty() && self.in_a_row.len() >= SEVERAL.min(streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_in_trouble_is_tried_again_and_again_and_comes_back_whole() {
        let mut probe = Probe::default();
        for stream in 0..6 {
            probe.failed(stream, stream as i64);
        }
        assert_eq!((probe.due(10, 6), probe.wake(6)), (None, Some(25)));
        let mut tried = Vec::new();
        for now in 25..200 {
            if let Some(stream) = probe.due(now, 6) {
                tried.push((now, stream));
                probe.failed(stream, now);
            }
        }
        assert_eq!(tried, [(25, 0), (50, 1), (75, 2), (100, 3), (125, 4), (150, 5), (175, 0)]);
        assert_eq!(probe.worked(3, 6), [0, 1, 2, 4, 5]);
        assert_eq!((probe.due(1_000, 6), probe.wake(6)), (None, None));
    }

    #[test]
    fn trouble_of_some_is_their_own() {
        let mut probe = Probe::default();
        for now in 0..1_000 {
            probe.failed(0, now);
            probe.failed(1, now);
            assert_eq!(probe.due(now, 9), None);
            assert!(probe.worked(2, 9).is_empty());
        }
        // The only stream of a trail is all of it.
        let mut one = Probe::default();
        one.failed(0, 0);
        assert_eq!(one.due(25, 1), Some(0));
    }
}
