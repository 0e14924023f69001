//! Times as CloudTrail writes them, to milliseconds since the Unix epoch and back.
//!
//! `eventTime` is `2023-07-10T11:42:40Z` in every real record; `creationDate` also comes as
//! `20131102T010628Z`, and aggregated events write `2026-08-11 11:45:00`. A text that is none of these is no
//! time (`None`); nothing is guessed.

use super::write::integer_into;

/// Milliseconds since the epoch of a time text, read as UTC where it names no offset.
pub(super) fn parse_millis(text: &str) -> Option<i64> {
    if is_canonical(text) {
        return canonical_millis(text.as_bytes());
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// Whether the text is `YYYY-MM-DDTHH:MM:SSZ` by its shape.
pub(super) fn is_canonical(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    text.len() == shape.len()
        && text.bytes().zip(shape).all(
            |(byte, &like)| {
                if like == b'0' { byte.is_ascii_digit() } else { byte == like }
            },
        )
}

fn canonical_millis(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| {
        text.get(from..to).map(|digits| {
            digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit.wrapping_sub(b'0')))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    // A leap second is the last second of its minute, as POSIX and jiff have it.
    let good = (1..=days).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    good.then(|| {
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
        seconds * 1_000
    })
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; years begin in March here, so that
/// the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Appends RFC 3339 in UTC, with milliseconds only where there are any. Years beyond four digits, which no
/// clock of ours shows, are clamped to 0000 and 9999.
pub(super) fn utc_into(millis: i64, out: &mut Vec<u8>) {
    let millis = millis.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let mut part = |number: i64, width: u32, end: u8| {
        for place in (1..width).rev() {
            if number < 10_i64.pow(place) {
                out.push(b'0');
            }
        }
        integer_into(number, out);
        out.push(end);
    };
    part(year, 4, b'-');
    part(month, 2, b'-');
    part(day, 2, b'T');
    part(in_day / 3_600_000, 2, b':');
    part(in_day / 60_000 % 60, 2, b':');
    let (second, fraction) = (in_day / 1_000 % 60, in_day % 1_000);
    if fraction == 0 {
        part(second, 2, b'Z');
    } else {
        part(second, 2, b'.');
        part(fraction, 3, b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(millis: i64) -> String {
        let mut out = Vec::new();
        utc_into(millis, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_shapes_of_cloudtrail() {
        for (text, millis) in [
            ("2023-07-10T11:42:40Z", Some(1_688_989_360_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T23:59:60Z", Some(1_709_251_199_000)),
            ("20131102T010628Z", Some(1_383_354_388_000)),
            ("2026-08-11 11:45:00", Some(1_786_448_700_000)),
            ("2023-07-10T11:42:40.125+02:00", Some(1_688_982_160_125)),
            ("2023-02-29T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-07-10T24:00:00Z", None),
            ("Feb 3, 2023 12:28:34 AM", None),
            ("", None),
        ] {
            assert_eq!(parse_millis(text), millis, "{text}");
        }
        assert_eq!(utc(1_688_982_160_125), "2023-07-10T09:42:40.125Z");
        assert_eq!(
            (utc(i64::MIN).as_str(), utc(i64::MAX).as_str()),
            ("0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z")
        );
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(seconds in -62_167_219_200_i64..=253_402_207_200) {
            let text = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(utc(seconds * 1_000), text.clone());
            prop_assert_eq!(parse_millis(&text), Some(seconds * 1_000));
        }
    }
}
