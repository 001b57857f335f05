//! A bound on repeats, relative to the traffic that they come on top of.

use std::time::{Duration, Instant};

use crate::segments::{SEGMENTS_PER_LENGTH, Segments};

/// Allows repeats as a share of the requests of a sliding window.
///
/// Backoff bounds what one request does; the budget bounds what all of them do
/// together, so that an upstream that fails everything sees `1 + ratio` times
/// the traffic, not `1 + retries` times. After Finagle's `RetryBudget` (ratio,
/// reserve, expiry after 10 s) and gRPC's retry throttling (proposal A6).
///
/// In the window that ends with a granted repeat there are at most
/// `ratio * requests + min_per_window` repeats. A window of 10 s to 60 s reacts
/// fast enough and still holds enough requests for a share to mean something.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    ratio: f64,
    min_per_window: u32,
    requests: Segments<u64>,
    repeats: Segments<u64>,
}

impl RetryBudget {
    /// Makes a budget of `ratio` repeats per request, plus `min_per_window` that
    /// keep repeats possible when there is little traffic. A negative `ratio`
    /// counts as zero.
    pub fn new(ratio: f64, min_per_window: u32, window: Duration) -> Self {
        Self {
            ratio: ratio.max(0.0),
            min_per_window,
            // Segments leave late by up to one grain: right for repeats, but a
            // request that has left must not earn one, so these leave early.
            requests: Segments::new(window - window / SEGMENTS_PER_LENGTH),
            repeats: Segments::new(window),
        }
    }

    /// Earns at another ratio from now on; what the window holds stays counted.
    pub fn set_ratio(&mut self, ratio: f64) {
        self.ratio = ratio.max(0.0);
    }

    /// Counts a request; its repeats are none.
    pub fn request(&mut self, now: Instant) {
        self.requests.add(1, now);
    }

    /// Takes one repeat out of the budget; false, and nothing taken, when there is
    /// none left.
    pub fn try_repeat(&mut self, now: Instant) -> bool {
        self.requests.advance(now);
        self.repeats.advance(now);
        let earned = self.ratio * self.requests.total() as f64;
        let allowed = earned + f64::from(self.min_per_window);
        let granted = (self.repeats.total() + 1) as f64 <= allowed;
        if granted {
            self.repeats.add(1, now);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn repeats(budget: &mut RetryBudget, now: Instant) -> usize {
        (0..1_000).take_while(|_| budget.try_repeat(now)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 0, WINDOW);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(repeats(&mut budget, now), 20);
    }

    #[test]
    fn the_reserve_allows_repeats_without_traffic_and_comes_back() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 3, WINDOW);
        assert_eq!(repeats(&mut budget, now), 3);
        assert_eq!(
            repeats(&mut budget, now + WINDOW - Duration::from_nanos(1)),
            0
        );
        assert_eq!(repeats(&mut budget, now + WINDOW), 3);
    }

    #[test]
    fn requests_that_left_the_window_earn_nothing() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 0, WINDOW);
        (0..100).for_each(|_| budget.request(now));
        assert!(budget.try_repeat(now + WINDOW * 9 / 10));
        assert!(!budget.try_repeat(now + WINDOW));
    }

    #[test]
    fn another_ratio_counts_the_repeats_that_were_made_before() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 0, WINDOW);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(repeats(&mut budget, now), 20);
        budget.set_ratio(0.5);
        assert_eq!(repeats(&mut budget, now), 30);
        budget.set_ratio(-1.0);
        assert_eq!(repeats(&mut budget, now), 0);
    }

    #[test]
    fn a_negative_ratio_leaves_the_reserve() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(-1.0, 2, WINDOW);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(repeats(&mut budget, now), 2);
    }

    proptest! {
        #[test]
        fn the_window_before_a_repeat_never_holds_more_than_its_share(
            calls in prop::collection::vec((0_u64..800, any::<bool>()), 1..400),
            percent in 0_u32..100,
            min_per_window in 0_u32..5,
        ) {
            let ratio = f64::from(percent) / 100.0;
            let length = 10_000;
            let start = Instant::now();
            let mut budget =
                RetryBudget::new(ratio, min_per_window, Duration::from_nanos(length));
            let (mut requests, mut repeats) = (Vec::new(), Vec::new());
            let mut clock = length;
            for (step, is_repeat) in calls {
                // Half of the calls come at once, to make requests outnumber repeats.
                clock += step.saturating_sub(400);
                let now = start + Duration::from_nanos(clock);
                let live = |times: &[u64]| times.iter().filter(|at| **at + length > clock).count();
                if !is_repeat {
                    budget.request(now);
                    requests.push(clock);
                } else if budget.try_repeat(now) {
                    repeats.push(clock);
                    let allowed = ratio * live(&requests) as f64 + f64::from(min_per_window);
                    prop_assert!(live(&repeats) as f64 <= allowed);
                }
            }
        }
    }
}
