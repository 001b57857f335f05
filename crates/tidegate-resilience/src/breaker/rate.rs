//! Shares of failed and slow calls in a sliding window.

use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

use crate::segments::Segments;

/// Opens a breaker when too large a share of the recent calls was bad.
///
/// These are resilience4j's time-based sliding window, `minimumNumberOfCalls`,
/// `failureRateThreshold`, `slowCallDurationThreshold` and
/// `slowCallRateThreshold`, with rates as shares between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateTrip {
    /// How far back calls count, by the time they ended.
    pub window: Duration,
    /// Calls in the window below which no share is looked at.
    pub minimum_calls: u32,
    /// Share of failures that opens the breaker.
    pub failure_rate: f64,
    /// Calls that take at least this long are slow, whether they fail or not.
    pub slow_call: Option<Duration>,
    /// Share of slow calls that opens the breaker.
    pub slow_call_rate: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    ended: u64,
    failed: u64,
    slow: u64,
}

impl AddAssign for Calls {
    fn add_assign(&mut self, other: Self) {
        self.ended += other.ended;
        self.failed += other.failed;
        self.slow += other.slow;
    }
}

impl SubAssign for Calls {
    fn sub_assign(&mut self, other: Self) {
        self.ended -= other.ended;
        self.failed -= other.failed;
        self.slow -= other.slow;
    }
}

/// The calls that ended within the window.
#[derive(Debug)]
pub(super) struct RecentCalls {
    trip: RateTrip,
    calls: Segments<Calls>,
}

impl RecentCalls {
    pub(super) fn new(trip: RateTrip) -> Self {
        Self {
            trip,
            calls: Segments::new(trip.window),
        }
    }

    /// Counts a success; true when the shares now open the breaker.
    pub(super) fn succeeded(&mut self, latency: Duration, now: Instant) -> bool {
        self.ended(0, latency, now)
    }

    /// Counts a failure; true when the shares now open the breaker.
    pub(super) fn failed(&mut self, latency: Duration, now: Instant) -> bool {
        self.ended(1, latency, now)
    }

    fn ended(&mut self, failed: u64, latency: Duration, now: Instant) -> bool {
        let slow = self.trip.slow_call.is_some_and(|slow| latency >= slow);
        let call = Calls {
            ended: 1,
            failed,
            slow: u64::from(slow),
        };
        self.calls.add(call, now);
        self.reached()
    }

    fn reached(&self) -> bool {
        let Calls {
            ended,
            failed,
            slow,
        } = self.calls.total();
        // A rate of zero means "any", not "none".
        let share_reached = |part: u64, rate: f64| part > 0 && part as f64 >= rate * ended as f64;
        ended >= u64::from(self.trip.minimum_calls)
            && (share_reached(failed, self.trip.failure_rate)
                || share_reached(slow, self.trip.slow_call_rate))
    }
}
