//! UTC days, as numbers: what day folders are named by. Nothing here fails.

use std::fmt;

use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// A UTC day, in days since the Unix epoch; between the years -9999 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(i32);

impl Day {
    /// The day of CloudTrail's first possible log file: the service began on 13 November 2013.
    pub const BEGINNING: Self = Self(16_022);

    /// The day of a moment in seconds since the Unix epoch.
    pub fn of(unix: i64) -> Self {
        Self::clamped(unix.div_euclid(DAY))
    }

    /// The number of days since the Unix epoch.
    pub fn number(self) -> i32 {
        self.0
    }

    /// When it begins, in seconds since the Unix epoch.
    pub fn begin(self) -> i64 {
        i64::from(self.0) * DAY
    }

    /// When it is over, in seconds since the Unix epoch.
    pub fn end(self) -> i64 {
        self.begin() + DAY
    }

    /// So many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::clamped(i64::from(self.0).saturating_add(days))
    }

    /// The folder of the day below a stream's prefix: `YYYY/MM/DD/`.
    pub fn folder(self) -> String {
        let date = self.date();
        format!("{:04}/{:02}/{:02}/", date.year(), date.month(), date.day())
    }

    /// As a calendar date.
    pub fn date(self) -> Date {
        let zero = date(1970, 1, 1);
        zero.saturating_add(jiff::Span::new().days(self.0))
    }

    fn clamped(days: i64) -> Self {
        // A little less than what a calendar date can hold.
        Self(i32::try_from(days.clamp(-4_000_000, 2_932_896)).unwrap_or(0))
    }
}

impl From<Date> for Day {
    fn from(day: Date) -> Self {
        Self::clamped(day.duration_since(date(1970, 1, 1)).as_hours() / 24)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(Day::of(1_438_395_000).folder(), "2015/08/01/");
        assert_eq!(Day::of(-1).to_string(), "1969-12-31");
        assert_eq!(Day::BEGINNING.to_string(), "2013-11-13");
        for unix in [i64::MIN, -86_400, 0, 86_399, 1_700_000_000, i64::MAX] {
            let day = Day::of(unix);
            assert_eq!(Day::from(day.date()), day);
            assert_eq!(Day::of(day.begin()), day);
            assert_eq!(Day::of(day.end() - 1), day);
        }
    }
}
