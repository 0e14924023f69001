//! How far the digests of one bucket were listed: what absence is concluded from.
//!
//! In: ends of listings and walks. Out: for a stream and a day, when it was last listed to its end. Bounded by
//! the streams of the bucket, about 150 bytes each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use trailhaul_core::model::{Family, StreamKey};
use trailhaul_core::plan::{Day, DayPlan};

use crate::tail::Listed;

/// Days of which a time is kept: the open ones.
const DAYS: i64 = 4;

/// The listings of one bucket; the tail reports to it.
#[derive(Debug, Default)]
pub struct Listings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Per prefix: everything before the first of these days was listed through; then day by day.
    streams: BTreeMap<String, Vec<(Day, Option<i64>)>>,
    /// When the last walk began that left nothing out.
    walked: Option<i64>,
    /// The streams that walks have shown.
    shown: usize,
}

impl Listings {
    /// When the last complete listing began of the folder of this day (Unix seconds). A stream that a whole walk
    /// does not show was listed by that walk, and there is nothing in it.
    pub(super) fn listed(&self, prefix: &str, day: Day) -> Option<i64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(days) = state.streams.get(prefix) else { return state.walked };
        let (first, _) = days.first()?;
        if day < *first {
            // The caller asks for no day before the first that counts.
            return Some(i64::MAX);
        }
        days.iter().find(|(listed, _)| *listed == day).and_then(|(_, at)| *at)
    }
}

impl Listings {
    /// Whether a walk has left nothing out, and all streams that it has shown were listed by this process up to the
    /// present.
    pub(super) fn is_caught_up(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_listed =
            |days: &Vec<(Day, Option<i64>)>| days.first().is_some_and(|(day, _)| *day != Day::BEGINNING);
        state.walked.is_some() && state.streams.len() >= state.shown && state.streams.values().all(is_listed)
    }

    /// Whether a walk has left nothing out.
    pub(super) fn is_walked(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).walked.is_some()
    }
}

impl Listed for Listings {
    fn listed(&self, stream: &StreamKey, plan: &DayPlan) {
        if stream.family != Family::Digest {
            return;
        }
        let Some(last) = plan.frontier() else { return };
        // While history is open, no day before it counts as listed, nor any after it.
        let days = if plan.is_in_history() || last < plan.first() {
            vec![(Day::BEGINNING, None)]
        } else {
            (0..DAYS).rev().map(|back| last.plus(-back)).map(|day| (day, plan.listed(day))).collect()
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.streams.insert(stream.prefix.clone(), days);
    }

    fn walked(&self, began: i64, whole: bool, streams: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shown = streams;
        if whole {
            state.walked = Some(began);
        }
    }
}
