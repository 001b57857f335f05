//! Times as policies write them: RFC 3339.

use std::time::{Duration, SystemTime};

use toml::value::{Datetime, Offset};

/// Reads a time of RFC 3339: a date, a time and an offset from UTC; what has none
/// of these could be read in two ways. Fractions of a second are left out, and a
/// time before 1970 is 1970.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let read: Datetime = text.parse().ok()?;
    let (date, time) = (read.date?, read.time?);
    let offset = match read.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or_default());
    // Whatever was before 1970 is over.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Counts in years that begin in March, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year_of_era / 4 - year_of_era / 100;
    era * 146_097 + year_of_era * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(parse_rfc3339(text).map(since), expected, "{text}");
    }

    #[test]
    fn a_time_counts_from_1970_in_utc() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:34:56Z", Some(951_827_696));
        check("2027-01-31T00:00:00Z", Some(1_801_353_600));
        check("2027-01-31T02:00:00+02:00", Some(1_801_353_600));
        check("2027-01-30T18:30:00.5-05:30", Some(1_801_353_600));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400));
        check("1960-01-01T00:00:00Z", Some(0));
    }

    #[test]
    fn what_is_no_time_or_can_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "2027-02-30T00:00:00Z",
            "soon",
        ] {
            check(text, None);
        }
    }
}
