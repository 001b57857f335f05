//! A concurrency limit that learns what the upstream bears.

use std::time::Duration;

/// How far and how fast an [`Adaptive`] limit moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveConfig {
    /// The limit never falls below this; zero counts as one, or it could not rise again.
    pub min: u32,
    /// The limit never rises above this; less than `min` counts as `min`.
    pub max: u32,
    /// What an overload multiplies the limit by, between 0 and 1; 0.9 is gentle,
    /// 0.5 is TCP's.
    pub backoff_ratio: f64,
    /// A success that took longer than this counts as an overload.
    pub slow_call: Duration,
}

/// What one call showed about the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The call succeeded.
    Success {
        /// From start to end of the call.
        latency: Duration,
        /// Calls in flight when it started, itself included.
        in_flight: u32,
    },
    /// The call was throttled, shed or timed out.
    Overload,
}

/// Additive increase, multiplicative decrease (AIMD) of a concurrency limit.
///
/// One round of `limit` successes raises the limit by one, an overload multiplies
/// it by `backoff_ratio`. Among the linear rules only this kind converges to a
/// share that is efficient and fair: Chiu and Jain, *Analysis of the Increase and
/// Decrease Algorithms for Congestion Avoidance in Computer Networks* (1989).
/// Successes count only while at least half of the limit is in use: calls that a
/// limit does not hold back prove nothing about a higher one.
#[derive(Debug, Clone)]
pub struct Adaptive {
    config: AdaptiveConfig,
    limit: u32,
    /// Successes of the current round.
    successes: u32,
}

impl Adaptive {
    /// Starts at `initial`, moved into the configured bounds.
    pub fn new(config: AdaptiveConfig, initial: u32) -> Self {
        let min = config.min.max(1);
        let max = config.max.max(min);
        Self {
            config: AdaptiveConfig { min, max, ..config },
            limit: initial.clamp(min, max),
            successes: 0,
        }
    }

    /// Goes on under another configuration; what was learned stays, moved into
    /// its bounds.
    pub fn adopt(&mut self, config: AdaptiveConfig) {
        let learned = Self::new(config, self.limit);
        *self = Self {
            successes: self.successes,
            ..learned
        };
    }

    /// Calls that may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Learns from one call and returns the new limit.
    pub fn observe(&mut self, sample: Sample) -> u32 {
        match sample {
            Sample::Overload => self.decrease(),
            Sample::Success { latency, .. } if latency > self.config.slow_call => self.decrease(),
            // Half of an odd limit is rounded up.
            Sample::Success { in_flight, .. } if in_flight >= self.limit.div_ceil(2) => {
                self.count_success();
            }
            Sample::Success { .. } => {}
        }
        self.limit
    }

    fn count_success(&mut self) {
        self.successes += 1;
        if self.successes >= self.limit {
            self.move_to(self.limit.saturating_add(1));
        }
    }

    fn decrease(&mut self) {
        // The cast saturates, and a ratio that is not a number ends at `min`.
        self.move_to((f64::from(self.limit) * self.config.backoff_ratio) as u32);
    }

    fn move_to(&mut self, limit: u32) {
        self.limit = limit.clamp(self.config.min, self.config.max);
        self.successes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: AdaptiveConfig = AdaptiveConfig {
        min: 2,
        max: 20,
        backoff_ratio: 0.5,
        slow_call: Duration::from_secs(5),
    };

    fn success(in_flight: u32) -> Sample {
        let latency = Duration::from_secs(5);
        Sample::Success { latency, in_flight }
    }

    fn observe(adaptive: &mut Adaptive, sample: Sample, count: u32) -> u32 {
        (0..count).for_each(|_| {
            adaptive.observe(sample);
        });
        adaptive.limit()
    }

    #[test]
    fn a_round_of_successes_raises_the_limit_by_one() {
        let mut adaptive = Adaptive::new(CONFIG, 10);
        assert_eq!(observe(&mut adaptive, success(10), 9), 10);
        assert_eq!(observe(&mut adaptive, success(10), 1), 11);
        assert_eq!(observe(&mut adaptive, success(10), 10), 11);
        assert_eq!(observe(&mut adaptive, success(10), 1), 12);
    }

    #[test]
    fn successes_count_only_while_half_of_the_limit_is_in_use() {
        let mut adaptive = Adaptive::new(CONFIG, 9);
        assert_eq!(observe(&mut adaptive, success(4), 100), 9);
        assert_eq!(observe(&mut adaptive, success(5), 9), 10);
    }

    #[test]
    fn an_overload_halves_the_limit_and_ends_the_round() {
        let mut adaptive = Adaptive::new(CONFIG, 10);
        observe(&mut adaptive, success(10), 9);
        assert_eq!(adaptive.observe(Sample::Overload), 5);
        assert_eq!(observe(&mut adaptive, success(10), 4), 5);
    }

    #[test]
    fn a_slow_success_is_an_overload() {
        let latency = CONFIG.slow_call + Duration::from_nanos(1);
        let in_flight = 10;
        let mut adaptive = Adaptive::new(CONFIG, 10);
        assert_eq!(adaptive.observe(Sample::Success { latency, in_flight }), 5);
    }

    #[test]
    fn the_limit_stays_within_its_bounds() {
        let mut adaptive = Adaptive::new(CONFIG, 100);
        assert_eq!(adaptive.limit(), 20);
        assert_eq!(observe(&mut adaptive, success(20), 1_000), 20);
        assert_eq!(observe(&mut adaptive, Sample::Overload, 100), 2);
    }

    #[test]
    fn another_configuration_keeps_what_was_learned_within_its_bounds() {
        let mut adaptive = Adaptive::new(CONFIG, 10);
        adaptive.adopt(AdaptiveConfig { max: 30, ..CONFIG });
        assert_eq!(adaptive.limit(), 10);
        assert_eq!(observe(&mut adaptive, success(30), 1_000), 30);
        adaptive.adopt(AdaptiveConfig { max: 7, ..CONFIG });
        assert_eq!(adaptive.limit(), 7);
    }

    #[test]
    fn a_limit_of_one_can_rise_again() {
        let mut adaptive = Adaptive::new(AdaptiveConfig { min: 0, ..CONFIG }, 0);
        assert_eq!(observe(&mut adaptive, Sample::Overload, 3), 1);
        assert_eq!(adaptive.observe(success(1)), 2);
    }

    proptest! {
        #[test]
        fn no_configuration_leaves_its_bounds(
            (min, max, initial) in any::<(u32, u32, u32)>(),
            backoff_ratio in any::<f64>(),
            samples in prop::collection::vec(prop::option::of(any::<u32>()), 1..50),
        ) {
            let config = AdaptiveConfig { min, max, backoff_ratio, ..CONFIG };
            let mut adaptive = Adaptive::new(config, initial);
            for in_flight in samples {
                let limit = adaptive.observe(in_flight.map_or(Sample::Overload, success));
                prop_assert!(limit >= min.max(1) && limit <= max.max(min).max(1));
            }
        }
    }
}
