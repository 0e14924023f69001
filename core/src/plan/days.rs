//! Which day folders of one stream to list, and when.
//!
//! In: the time, and what listings brought. Out: the next [`Listing`] that is due.
//!
//! ```text
//!  start … ──history──► │ closed days │ look-back … today │
//!  listed through once    again after   at an interval that doubles while nothing comes
//!  in key order           1 h … 31 d    and halves when something does
//! ```
//!
//! CloudTrail retries deliveries for 30 days and stamps come out of order (User Guide, "Getting and viewing
//! your CloudTrail log files"), so a day that is over is still listed whole at growing distances from its
//! close. A gap (the agent was down for weeks) is history again. The state is small (about 40 days), can be
//! serialized, and survives changed rules and a clock that jumps. Nothing here fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::day::{DAY, Day};

/// Where a new stream begins, by publish day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest object.
    Beginning,
    /// With the day of this moment, in seconds since the Unix epoch.
    At(i64),
}

/// How often folders are listed. Intervals are in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRules {
    /// How many days before today are listed like today.
    pub look_back: u16,
    /// The shortest interval: CloudTrail delivers about every five minutes, and a listing costs a request.
    pub shortest: u32,
    /// The longest interval of today's folder: how late an object of an idle stream may be seen.
    pub longest: u32,
    /// The longest interval of the folders of the look-back.
    pub longest_past: u32,
    /// When a closed day is listed whole again, after its close.
    pub again: Vec<u32>,
}

impl Default for DayRules {
    fn default() -> Self {
        const HOUR: u32 = 3_600;
        Self {
            look_back: 1,
            shortest: 60,
            longest: 15 * 60,
            longest_past: HOUR,
            again: [1, 6, 24, 3 * 24, 7 * 24, 31 * 24].map(|hours| hours * HOUR).to_vec(),
        }
    }
}

/// Something to list, below the stream's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// One day folder, whole.
    Day(Day),
    /// All day folders from `from` to `to`, in key order, beginning after the key `after` if there is one.
    History {
        /// The first day.
        from: Day,
        /// The last day.
        to: Day,
        /// The last key that was taken in.
        after: Option<String>,
    },
}

/// The plan of one stream. Hand out a listing with [`DayPlan::next`], list, and report with
/// [`DayPlan::done`]; what was not reported is due again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayPlan {
    first: Day,
    /// The last day that was opened.
    frontier: Option<Day>,
    history: Option<History>,
    open: BTreeMap<Day, OpenDay>,
    /// Closed days that will be listed again, with the time at which they were last listed.
    closed: BTreeMap<Day, Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct History {
    from: Day,
    to: Day,
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct OpenDay {
    interval: u32,
    due: i64,
    listed: Option<i64>,
}

impl DayPlan {
    /// The plan of a stream that nobody has listed before.
    pub fn new(start: Start) -> Self {
        let first = match start {
            Start::Beginning => Day::BEGINNING,
            Start::At(unix) => Day::of(unix).max(Day::BEGINNING),
        };
        Self { first, frontier: None, history: None, open: BTreeMap::new(), closed: BTreeMap::new() }
    }

    /// The next listing that is due at `now`: open days first, the latest before the others, then closed
    /// days, then history.
    pub fn next(&mut self, rules: &DayRules, now: i64) -> Option<Listing> {
        self.advance(rules, now);
        let open = self.open.iter().rev().find(|(_, open)| open.due <= now).map(|(day, _)| *day);
        let due = open.or_else(|| {
            let mut closed = self.closed.iter();
            closed
                .find(|(day, listed)| again_at(rules, **day, **listed).is_some_and(|at| at <= now))
                .map(|(day, _)| *day)
        });
        due.map(Listing::Day).or_else(|| {
            let History { from, to, after } = self.history.clone()?;
            Some(Listing::History { from, to, after })
        })
    }

    /// Whether nothing that begins before this day will be listed any more.
    pub fn is_past(&self, day: Day) -> bool {
        let again = self.open.keys().chain(self.closed.keys());
        self.history.is_none()
            && self.frontier.is_some_and(|frontier| frontier >= day)
            && again.min().is_none_or(|first| *first >= day)
    }

    /// The first day that counts.
    pub fn first(&self) -> Day {
        self.first
    }

    /// The last day that was opened; `None` before the first listing.
    pub fn frontier(&self) -> Option<Day> {
        self.frontier
    }

    /// Whether days that were over before anybody listed them are still to be listed through.
    pub fn is_in_history(&self) -> bool {
        self.history.is_some()
    }

    /// When the listing of a day began that was the last one to come to its end, in seconds since the Unix epoch;
    /// the end of time for a day that is over and was listed through, `None` for one that is still to be listed or
    /// never is.
    pub fn listed(&self, day: Day) -> Option<i64> {
        let is_history = self.history.as_ref().is_some_and(|h| h.from <= day && day <= h.to);
        if is_history || day < self.first || self.frontier.is_none_or(|frontier| frontier < day) {
            return None;
        }
        self.open.get(&day).map_or(Some(i64::MAX), |open| open.listed)
    }

    /// When the next listing is due, in seconds since the Unix epoch; a moment that has passed means now.
    pub fn due(&self, rules: &DayRules) -> i64 {
        if self.history.is_some() {
            return i64::MIN;
        }
        let open = self.open.values().map(|open| open.due);
        let closed = self.closed.iter().filter_map(|(day, listed)| again_at(rules, *day, *listed));
        let opening = self.frontier.map_or(self.first.begin(), Day::end);
        open.chain(closed).chain([opening]).min().unwrap_or(opening)
    }

    /// A listing that began at `began` came to its end at `now` and brought `new` objects.
    pub fn done(&mut self, rules: &DayRules, listing: &Listing, began: i64, now: i64, new: u64) {
        match listing {
            Listing::History { to, .. } => {
                // Days may have joined it in the meantime.
                let is_whole = self.history.as_ref().is_some_and(|history| history.to <= *to);
                if is_whole {
                    self.history = None;
                }
            }
            Listing::Day(day) => {
                if let Some(listed) = self.closed.get_mut(day) {
                    *listed = Some(began);
                    if again_at(rules, *day, Some(began)).is_none() {
                        self.closed.remove(day);
                    }
                }
                let longest = if self.frontier == Some(*day) { rules.longest } else { rules.longest_past };
                if let Some(open) = self.open.get_mut(day) {
                    let next = if new > 0 { open.interval / 2 } else { open.interval.saturating_mul(2) };
                    open.interval = next.min(longest).max(rules.shortest);
                    open.due = now.saturating_add(i64::from(open.interval));
                    open.listed = Some(began);
                }
            }
        }
    }

    /// The history up to and with `key` was taken in: a listing that is broken off goes on from there.
    pub fn reached(&mut self, key: &str) {
        if let Some(history) = &mut self.history {
            history.after = Some(key.to_owned());
        }
    }

    /// Makes the open days due now: for a single pass, or when something was heard of new objects.
    pub fn expedite(&mut self, now: i64) {
        for open in self.open.values_mut() {
            open.due = open.due.min(now);
        }
    }

    /// Opens the days that have begun, and closes those that have left the look-back.
    fn advance(&mut self, rules: &DayRules, now: i64) {
        let today = Day::of(now);
        let from = self.frontier.map_or(self.first, |day| day.plus(1));
        if from > today {
            return;
        }
        let oldest_open = today.plus(-i64::from(rules.look_back));
        self.add_history(rules, from, oldest_open.plus(-1), now);

        let interval = self.open.values().next_back().map_or(rules.shortest, |open| open.interval);
        let mut day = from.max(oldest_open);
        while day <= today {
            self.open.insert(day, OpenDay { interval, due: now, listed: None });
            day = day.plus(1);
        }
        let still_open = self.open.split_off(&oldest_open);
        for (day, open) in std::mem::replace(&mut self.open, still_open) {
            self.closed.insert(day, open.listed);
        }
        self.frontier = Some(today);
    }

    /// Days that were over before anybody listed them are listed through once, and those that closed lately
    /// also have their later listings before them.
    fn add_history(&mut self, rules: &DayRules, from: Day, to: Day, now: i64) {
        if from > to {
            return;
        }
        match &mut self.history {
            Some(history) => history.to = to,
            None => self.history = Some(History { from, to, after: None }),
        }
        let horizon = rules.again.iter().max().map_or(0, |seconds| i64::from(*seconds) / DAY);
        let mut day = from.max(to.plus(-horizon - 1));
        while day <= to {
            if again_at(rules, day, Some(now)).is_some() {
                self.closed.insert(day, Some(now));
            }
            day = day.plus(1);
        }
    }
}

/// When a closed day is to be listed next; `None` when it was listed often enough.
fn again_at(rules: &DayRules, day: Day, listed: Option<i64>) -> Option<i64> {
    let closed = day.end() + i64::from(rules.look_back) * DAY;
    let times = rules.again.iter().map(|after| closed + i64::from(*after));
    times.filter(|at| listed.is_none_or(|listed| *at > listed)).min()
}
