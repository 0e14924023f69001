//! Times as CloudTrail writes them. In: seconds since the Unix epoch, UTC. Out: text. Never fails: a time
//! that no calendar has becomes the epoch.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Five minutes, the width of a delivery window.
pub const WINDOW: i64 = 300;
/// One day in seconds.
pub const DAY: i64 = 86_400;
/// One hour in seconds.
pub const HOUR: i64 = 3_600;

fn civil(seconds: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// `2026-03-01T21:00:00Z`.
pub fn iso(seconds: i64) -> String {
    let mut out = String::with_capacity(20);
    push_iso(seconds, &mut out);
    out
}

/// Appends [`iso`].
pub fn push_iso(seconds: i64, out: &mut String) {
    let t = civil(seconds);
    let (year, month, day) = (t.year(), t.month(), t.day());
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    // Writing to a String cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
}

/// `2026-03-01 21:00:00.000`, as some aggregated events have it.
pub fn spaced(seconds: i64) -> String {
    iso(seconds).replace('T', " ").replace('Z', "")
}

/// `20260301T2100Z`: the stamp in the name of a log file.
pub fn minute_stamp(seconds: i64) -> String {
    let t = civil(seconds);
    format!("{:04}{:02}{:02}T{:02}{:02}Z", t.year(), t.month(), t.day(), t.hour(), t.minute())
}

/// `20260301T210007Z`: the stamp in the name of a digest file.
pub fn second_stamp(seconds: i64) -> String {
    let t = civil(seconds);
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    format!("{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", t.year(), t.month(), t.day())
}

/// `2026/03/01`: the day folders of a key.
pub fn day_path(seconds: i64) -> String {
    let t = civil(seconds);
    format!("{:04}/{:02}/{:02}", t.year(), t.month(), t.day())
}

/// The end of the five-minute window that holds this time: itself when it is a multiple of five minutes.
pub fn window_end(seconds: i64) -> i64 {
    seconds.saturating_add(WINDOW - 1).div_euclid(WINDOW).saturating_mul(WINDOW)
}

/// Reads `2026-03-01T21:00:00Z`.
pub fn parse(text: &str) -> Result<i64, jiff::Error> {
    Ok(text.parse::<Timestamp>()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cloudtrails() {
        let t = parse("2026-03-01T21:04:07Z").unwrap();
        assert_eq!(iso(t), "2026-03-01T21:04:07Z");
        assert_eq!(minute_stamp(t), "20260301T2104Z");
        assert_eq!(second_stamp(t), "20260301T210407Z");
        assert_eq!(day_path(t), "2026/03/01");
        assert_eq!(spaced(t), "2026-03-01 21:04:07");
    }

    #[test]
    fn a_window_ends_at_a_multiple_of_five_minutes() {
        for (at, end) in [(0, 0), (1, 300), (299, 300), (300, 300), (301, 600)] {
            assert_eq!(window_end(at), end, "{at}");
        }
    }
}
