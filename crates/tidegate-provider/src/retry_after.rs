//! How long an upstream asks us to wait, from the three headers in use.

use std::time::{Duration, SystemTime};

use ::http::HeaderMap;

/// What a header may ask for at most: more is no throttle, and would run past
/// the end of the clock.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Reads `retry-after-ms`, then `retry-after` in seconds or as an HTTP date
/// (RFC 9110 §10.2.3). A date in the past is zero, more than a day is a day,
/// nonsense is `None`.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let ms = number(headers, "retry-after-ms").map(|ms| ms / 1e3);
    if let Some(seconds) = ms.or_else(|| number(headers, "retry-after")) {
        return Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())));
    }
    let date = httpdate::parse_http_date(headers.get("retry-after")?.to_str().ok()?).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(LONGEST))
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    let value: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], expected: Option<u64>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(retry_after(&map, now), expected.map(Duration::from_millis));
    }

    #[test]
    fn the_three_headers_are_read_and_milliseconds_win() {
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", "0.5")], Some(500));
        check(
            &[("retry-after", "Sat, 21 Nov 2026 10:00:07 GMT")],
            Some(7_000),
        );
        check(
            &[("retry-after-ms", "250"), ("retry-after", "9")],
            Some(250),
        );
    }

    #[test]
    fn no_header_asks_for_more_than_a_day() {
        for value in ["1e19", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            check(&[("retry-after", value)], Some(86_400_000));
        }
    }

    #[test]
    fn a_date_in_the_past_is_now_and_nonsense_is_nothing() {
        check(&[("retry-after", "Sat, 21 Nov 2026 09:00:00 GMT")], Some(0));
        for value in ["soon", "-1", "NaN", "inf", ""] {
            check(&[("retry-after", value)], None);
        }
        check(&[], None);
    }
}
