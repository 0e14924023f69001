//! Where an id lives in the index, and where its twin may live.
//!
//! In: a record's event time and its object's stamp and day. Out: the segment that the id is written to
//! ([`Place::home`]) and the few that it is looked up in ([`Place::segments`]).
//!
//! Copies of one event have the same event time, so they meet in the same ten-minute segment of their account.
//! CloudTrail delivers for at most 30 days, so an event time far from its object's stamp is not believed:
//! such ids share one outlier segment per delivery day, and cannot open segments at will. Twins that fall on
//! different sides of that line are still found when their stamps differ by less than a day (an hour, for
//! event times in the future), twins without a believable time when their days are neighbours.
//! Nothing here fails.

use std::fmt;

use crate::model::AccountId;

/// Seconds of event time in one segment.
const SEGMENT_SECONDS: i64 = 600;
/// Event times more than this before the object's stamp are not believed: CloudTrail retries a delivery for
/// 30 days (User Guide, "Getting and viewing your CloudTrail log files"), plus a day.
const BEHIND: i64 = 31 * DAY;
/// Event times more than this after the object's stamp are not believed.
const AHEAD: i64 = HOUR;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// The length of an encoded [`SegmentKey`] in bytes.
pub const SEGMENT_KEY_LEN: usize = 17;

/// One segment of the index: an account's ids of ten minutes, or of one day's outliers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentKey {
    /// The account in the key of the object.
    pub account: AccountId,
    /// Which of its segments.
    pub slot: Slot,
}

/// Which segment of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Events of these ten minutes: seconds since the Unix epoch divided by 600.
    Event(i64),
    /// Records without a believable event time, by the day of the object that brought them (days since the
    /// Unix epoch).
    Outlier(i32),
}

impl SegmentKey {
    /// Fixed-width bytes in the order of the keys: for the ledger and for `index/`.
    pub fn to_bytes(self) -> [u8; SEGMENT_KEY_LEN] {
        let (tag, number) = match self.slot {
            Slot::Event(number) => (0, number),
            Slot::Outlier(day) => (1, i64::from(day)),
        };
        let mut bytes = [0; SEGMENT_KEY_LEN];
        let (account, rest) = bytes.split_at_mut(8);
        account.copy_from_slice(&self.account.as_u64().to_be_bytes());
        if let Some((first, rest)) = rest.split_first_mut() {
            *first = tag;
            // The flipped sign bit sorts negative numbers first.
            rest.copy_from_slice(&(number ^ i64::MIN).to_be_bytes());
        }
        bytes
    }

    /// The key of these bytes; `None` when they are not one.
    pub fn from_bytes(bytes: &[u8; SEGMENT_KEY_LEN]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk::<8>()?;
        let (tag, number) = rest.split_first()?;
        let number = i64::from_be_bytes(number.try_into().ok()?) ^ i64::MIN;
        let account = AccountId::from_u64(u64::from_be_bytes(*account)).ok()?;
        let slot = match tag {
            0 => Slot::Event(number),
            1 => Slot::Outlier(i32::try_from(number).ok()?),
            _ => return None,
        };
        Some(Self { account, slot })
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Slot::Event(number) => {
                write!(
                    f,
                    "account {} from unix time {}",
                    self.account,
                    number.saturating_mul(SEGMENT_SECONDS)
                )
            }
            Slot::Outlier(day) => write!(f, "account {} outliers of unix day {day}", self.account),
        }
    }
}

/// What decides where a record's id lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The account in the key of the object.
    pub account: AccountId,
    /// The record's event time in seconds since the Unix epoch (`timeWindow.windowStart` in aggregated
    /// events); `None` where it has none that can be read.
    pub event_time: Option<i64>,
    /// The stamp of the object, in seconds since the Unix epoch.
    pub stamp: i64,
    /// The day folder of the object, in days since the Unix epoch.
    pub day: i32,
}

impl Place {
    /// The segment that the id is written to.
    pub fn home(&self) -> SegmentKey {
        match self.event_time.filter(|time| self.believes(*time)) {
            Some(time) => self.event(time),
            None => self.outlier(self.day),
        }
    }

    /// The segments in which a twin may live, the home first; at most four.
    pub fn segments(&self) -> impl Iterator<Item = SegmentKey> {
        let home = self.home();
        let neighbours = [-1_i32, 1].map(|step| Some(self.outlier(self.day.saturating_add(step))));
        let others = match (home.slot, self.event_time) {
            (Slot::Event(_), Some(time)) if self.is_near_the_line(time) => {
                let [before, after] = neighbours;
                [before, Some(self.outlier(self.day)), after]
            }
            (Slot::Event(_), _) => [None; 3],
            (Slot::Outlier(_), time) => {
                let [before, after] = neighbours;
                [before, after, time.filter(|time| self.is_near_the_line(*time)).map(|time| self.event(time))]
            }
        };
        std::iter::once(home).chain(others.into_iter().flatten().filter(move |segment| *segment != home))
    }

    fn believes(&self, time: i64) -> bool {
        time > self.stamp.saturating_sub(BEHIND) && time < self.stamp.saturating_add(AHEAD)
    }

    /// Whether a copy under another stamp, up to a day later or an hour earlier or later, may fall on the
    /// other side of what is believed.
    fn is_near_the_line(&self, time: i64) -> bool {
        let behind = self.stamp.saturating_sub(BEHIND);
        let ahead = self.stamp.saturating_add(AHEAD);
        let near =
            |line: i64, margin: i64| time > line.saturating_sub(margin) && time < line.saturating_add(margin);
        near(behind, DAY) || near(ahead, HOUR)
    }

    fn event(&self, time: i64) -> SegmentKey {
        SegmentKey { account: self.account, slot: Slot::Event(time.div_euclid(SEGMENT_SECONDS)) }
    }

    fn outlier(&self, day: i32) -> SegmentKey {
        SegmentKey { account: self.account, slot: Slot::Outlier(day) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: i64 = 1_700_000_000;

    fn place(event_time: Option<i64>, stamp: i64) -> Place {
        let day = i32::try_from(stamp.div_euclid(DAY)).unwrap();
        Place { account: "111122223333".parse().unwrap(), event_time, stamp, day }
    }

    #[test]
    fn an_ordinary_event_is_looked_up_in_one_segment() {
        for ago in [1, 300, 86_400, 29 * DAY] {
            let place = place(Some(STAMP - ago), STAMP);
            assert_eq!(place.segments().collect::<Vec<_>>(), [place.home()]);
            assert_eq!(place.home().slot, Slot::Event((STAMP - ago).div_euclid(600)));
        }
    }

    #[test]
    fn an_unbelievable_time_goes_to_the_day_and_its_neighbours() {
        for time in [None, Some(i64::MIN), Some(i64::MAX), Some(STAMP - 40 * DAY), Some(STAMP + 3 * HOUR)] {
            let place = place(time, STAMP);
            let day = place.day;
            let slots: Vec<Slot> = place.segments().map(|s| s.slot).collect();
            assert_eq!(slots, [Slot::Outlier(day), Slot::Outlier(day - 1), Slot::Outlier(day + 1)]);
        }
    }

    #[test]
    fn the_line_is_exact() {
        let home = |time| place(Some(time), STAMP).home().slot;
        assert!(matches!(home(STAMP - BEHIND), Slot::Outlier(_)));
        assert!(matches!(home(STAMP - BEHIND + 1), Slot::Event(_)));
        assert!(matches!(home(STAMP + AHEAD), Slot::Outlier(_)));
        assert!(matches!(home(STAMP + AHEAD - 1), Slot::Event(_)));
    }

    proptest! {
        /// Whichever copy comes first, the other looks where it went.
        #[test]
        fn twins_meet_on_both_sides_of_the_line(
            late in -2 * DAY..2 * DAY, apart in 0..DAY, future in any::<bool>()
        ) {
            let stamp = STAMP;
            let (line, margin) = if future { (stamp + AHEAD, HOUR) } else { (stamp - BEHIND, DAY) };
            let other = stamp + apart.min(margin - 1);
            let time = line + late;
            let (a, b) = (place(Some(time), stamp), place(Some(time), other));
            prop_assert!(a.segments().any(|s| s == b.home()), "{a:?} {b:?}");
            prop_assert!(b.segments().any(|s| s == a.home()), "{a:?} {b:?}");
        }

        #[test]
        fn bytes_sort_like_keys(
            a in 0..1_000_000_000_000_u64, b in 0..1_000_000_000_000_u64,
            x in any::<i64>(), y in any::<i64>(), same in any::<bool>(), kinds in any::<(bool, bool)>()
        ) {
            let key = |account, number: i64, outlier| SegmentKey {
                account: AccountId::from_u64(account).unwrap(),
                slot: if outlier { Slot::Outlier(number as i32) } else { Slot::Event(number) },
            };
            let (one, two) = (key(a, x, kinds.0), key(if same { a } else { b }, y, kinds.1));
            prop_assert_eq!(one.cmp(&two), one.to_bytes().cmp(&two.to_bytes()));
            prop_assert_eq!(SegmentKey::from_bytes(&one.to_bytes()), Some(one));
        }

        #[test]
        fn any_bytes_are_a_key_or_not(bytes in any::<[u8; SEGMENT_KEY_LEN]>()) {
            if let Some(key) = SegmentKey::from_bytes(&bytes) {
                prop_assert_eq!(key.to_bytes(), bytes);
            }
        }
    }
}
