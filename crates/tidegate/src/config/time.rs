//! Times as the configuration writes them.

use std::time::{Duration, SystemTime};

/// Reads `YYYY-MM-DDTHH:MM:SSZ`, the form of RFC 3339 in UTC and to the second,
/// and nothing else: what can be read in two ways is no good for an expiry.
pub(super) fn parse_utc(text: &str) -> Option<SystemTime> {
    let shape = text.as_bytes().iter().zip(b"0000-00-00T00:00:00Z");
    let fits = |(byte, wanted): (&u8, &u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    };
    if text.len() != 20 || !shape.into_iter().all(fits) {
        return None;
    }
    let part = |at: usize, length: usize| text[at..at + length].parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 2)?, part(8, 2)?);
    let (hour, minute, second) = (part(11, 2)?, part(14, 2)?, part(17, 2)?);
    let days = days_since_1970(year, month, day)?;
    (hour < 24 && minute < 60 && second < 60).then(|| {
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    })
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let leap_days = |before: u64| (before - 1) / 4 - (before - 1) / 100 + (before - 1) / 400;
    let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Some(years + months + day - 1)
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(parse_utc(text).map(since), expected, "{text}");
    }

    #[test]
    fn a_time_counts_from_1970_in_utc() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:34:56Z", Some(951_827_696));
        check("2026-11-21T09:30:39Z", Some(1_795_253_439));
        check("2027-01-31T00:00:00Z", Some(1_801_353_600));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400));
        check("9999-12-31T23:59:59Z", Some(253_402_300_799));
    }

    #[test]
    fn what_is_no_time_or_can_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "2027-01-31T00:00:00+00:00",
            "2027-01-31T00:00:00+02:00",
            "2027-01-31T00:00:00.5Z",
            "2027-01-31 00:00:00Z",
            "2027-01-31t00:00:00z",
            "2027-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2027-04-31T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-01-00T00:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-01-31T00:60:00Z",
            "2027-01-31T00:00:60Z",
            "1969-12-31T23:59:59Z",
            "+027-01-31T00:00:00Z",
            "2027-01-31T00:00:0\u{e4}Z",
            "\u{ff12}027-01-31T00:00:00Z",
        ] {
            check(text, None);
        }
    }
}
