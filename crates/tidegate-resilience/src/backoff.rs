//! How long to wait before a repeat.

use std::time::Duration;

/// Exponential backoff with full jitter.
///
/// The wait is `random * min(max, base * 2^(attempt - 1))`: "full jitter" of Marc
/// Brooker, *Exponential Backoff and Jitter* (AWS Architecture Blog, 2015) and
/// *Timeouts, retries, and backoff with jitter* (Amazon Builders' Library). It
/// spreads callers that failed together better than adding a little noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of every wait that no `retry_after` lengthens.
    pub max: Duration,
    /// Repeats after the first try; zero means one try and no repeat.
    pub retries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(2),
            max: Duration::from_secs(120),
            retries: 3,
        }
    }
}

impl Backoff {
    /// The wait before repeat number `attempt`, counted from 1; `None` when there
    /// are no repeats left.
    ///
    /// `random` is uniform in `[0, 1)`; anything else counts as 1, the longest
    /// wait. The wait is never shorter than `retry_after`, even where that
    /// exceeds `max`: the caller's deadline decides whether it is worth it.
    pub fn delay(
        &self,
        attempt: u32,
        random: f64,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let jittered = share_of(self.bound(attempt), random);
        Some(jittered.max(retry_after.unwrap_or_default()))
    }

    fn bound(&self, attempt: u32) -> Duration {
        // After 94 doublings even a nanosecond is longer than any `Duration`.
        let doublings = attempt.saturating_sub(1).min(94);
        (0..doublings)
            .fold(self.base, |bound, _| bound.saturating_mul(2))
            .min(self.max)
    }
}

fn share_of(bound: Duration, random: f64) -> Duration {
    if !(0.0..1.0).contains(&random) {
        return bound;
    }
    // Rounding in floating point must not lift the wait above its bound.
    Duration::try_from_secs_f64(bound.as_secs_f64() * random).map_or(bound, |wait| wait.min(bound))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest wait in seconds before repeat `attempt`.
    #[track_caller]
    fn check(attempt: u32, bound_seconds: u64) {
        let backoff = Backoff {
            retries: u32::MAX,
            ..Backoff::default()
        };
        let bound = Duration::from_secs(bound_seconds);
        assert_eq!(backoff.delay(attempt, 1.0, None), Some(bound));
        assert_eq!(backoff.delay(attempt, 0.5, None), Some(bound / 2));
        assert_eq!(backoff.delay(attempt, 0.0, None), Some(Duration::ZERO));
    }

    #[test]
    fn the_bound_doubles_until_the_maximum() {
        check(1, 2);
        check(2, 4);
        check(3, 8);
        check(6, 64);
        check(7, 120);
        check(33, 120);
        check(u32::MAX, 120);
    }

    #[test]
    fn a_tiny_base_reaches_the_maximum_too() {
        let backoff = Backoff {
            base: Duration::from_nanos(1),
            max: Duration::MAX,
            retries: u32::MAX,
        };
        let nanoseconds = Some(Duration::from_nanos(1 << 40));
        assert_eq!(backoff.delay(41, 1.0, None), nanoseconds);
        assert_eq!(backoff.delay(100, 1.0, None), Some(Duration::MAX));
    }

    #[test]
    fn there_is_no_wait_after_the_last_repeat() {
        let backoff = Backoff::default();
        assert!(backoff.delay(3, 0.5, None).is_some());
        let retry_after = Some(Duration::from_secs(1));
        assert_eq!(backoff.delay(4, 0.5, retry_after), None);
    }

    #[test]
    fn retry_after_lengthens_the_wait_but_never_shortens_it() {
        let wait = |seconds| Backoff::default().delay(1, 0.5, Some(Duration::from_secs(seconds)));
        assert_eq!(wait(0), Some(Duration::from_secs(1)));
        assert_eq!(wait(500), Some(Duration::from_secs(500)));
    }

    #[test]
    fn a_random_number_out_of_range_waits_longest() {
        for random in [f64::NAN, -0.1, 1.0, f64::INFINITY] {
            let delay = Backoff::default().delay(1, random, None);
            assert_eq!(delay, Some(Duration::from_secs(2)));
        }
    }

    proptest! {
        #[test]
        fn no_configuration_panics_or_exceeds_its_maximum(
            base in any::<Duration>(),
            max in any::<Duration>(),
            attempt in any::<u32>(),
            random in any::<f64>(),
        ) {
            let backoff = Backoff { base, max, retries: u32::MAX };
            prop_assert!(backoff.delay(attempt, random, None).is_some_and(|wait| wait <= max));
        }
    }
}
