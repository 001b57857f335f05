//! Times as the configuration writes them.

use std::time::SystemTime;

use tidegate_engine::parse_rfc3339;

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
    // No time before 1970, and no leap second.
    let (year, second) = (&text[..4], &text[17..19]);
    (year >= "1970" && second < "60").then(|| parse_rfc3339(text))?
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
