//! Circuit breaker: closed lets traffic through, open stops it, half-open probes.
//!
//! The states are those of Nygard, *Release It!* (2007); thresholds, rates and
//! slow calls are named as in resilience4j. Two things are added: an upstream
//! that throttles is left alone for as long as it asked, and a healed one gets
//! its traffic back in steps.
//!
//! The breaker does not know what failed: the caller sorts every result into an
//! [`Outcome`]. It reads no clock and takes no lock; [`SharedBreaker`] does the
//! latter.

mod rate;
mod shared;

use std::time::{Duration, Instant};

pub use rate::RateTrip;
use rate::RecentCalls;
pub use shared::{Permit, SharedBreaker};

/// How long a caller that met a full half-open or ramping breaker should wait.
/// A hint: the place becomes free when a call ends, which no timer knows.
const PLACE_HINT: Duration = Duration::from_millis(50);

/// Calls in flight that a breaker allows right after it has closed again.
const RAMP_START: u32 = 2;

/// The last step of the ramp; the next success after it ends the ramp.
const RAMP_END: u32 = 64;

/// When the breaker opens, for how long, and what closes it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerConfig {
    /// Consecutive failures that open the breaker; zero counts as one.
    pub failure_threshold: u32,
    /// Successful probes that close it again; zero counts as one.
    pub success_threshold: u32,
    /// How long the first trip keeps it open; the n-th in a row lasts n times that.
    pub cooldown: Duration,
    /// The longest time that anything keeps it open.
    pub max_cooldown: Duration,
    /// Calls in flight while half-open; zero counts as one.
    pub probes: u32,
    /// Opens on a share of bad calls as well, if present.
    pub rate: Option<RateTrip>,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            success_threshold: 2,
            cooldown: Duration::from_secs(60),
            max_cooldown: Duration::from_secs(600),
            probes: 1,
            rate: None,
        }
    }
}

/// How an admitted call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Success {
        /// From admission to the end of the call.
        latency: Duration,
    },
    /// The upstream failed: connection, time-out, server error.
    Failure {
        /// From admission to the end of the call.
        latency: Duration,
    },
    /// The upstream asked to be left alone.
    Throttled {
        /// For how long, if it said so.
        retry_after: Option<Duration>,
    },
    /// The caller's own error, or a cancelled call: says nothing about health.
    Ignored,
}

/// What the breaker thinks of its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Closed: traffic passes.
    Healthy,
    /// Open: nothing passes.
    CircuitOpen,
    /// Half-open: probes pass.
    HalfOpen,
}

impl Health {
    /// The stable name for clients and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::CircuitOpen => "circuit_open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What made the breaker refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TripCause {
    /// Open, because calls failed or were too slow.
    Failures,
    /// Open, because the upstream throttled.
    Throttled,
    /// Half-open, and all probes are out.
    Probing,
    /// Closed again, and the ramp allows no more calls in flight yet.
    Ramp,
}

/// The breaker let a call not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker refused ({cause:?}), retry in {retry_after:?}")]
pub struct Refusal {
    /// Exact while open; a hint of 50 ms for [`TripCause::Probing`] and
    /// [`TripCause::Ramp`], where a place is free as soon as a call ends.
    pub retry_after: Duration,
    /// What stands in the way.
    pub cause: TripCause,
}

/// The right to make one call, to be handed back through [`Breaker::record`].
///
/// A lost pass keeps its place for as long as its generation lasts; a [`Permit`]
/// cannot be lost.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a pass keeps its place until it is recorded or abandoned"]
pub struct Pass {
    generation: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// Consecutive failures.
        failures: u32,
        /// Cap on calls in flight while the traffic comes back.
        ramp: Option<u32>,
        /// Kept only if a rate trip is configured.
        recent: Option<RecentCalls>,
    },
    Open {
        since: Instant,
        cooldown: Duration,
        cause: TripCause,
    },
    HalfOpen {
        successes: u32,
    },
}

impl State {
    fn closed(config: &BreakerConfig, ramp: Option<u32>) -> Self {
        Self::Closed {
            failures: 0,
            ramp,
            recent: config.rate.map(RecentCalls::new),
        }
    }
}

/// Passes that are out.
#[derive(Debug, Default)]
struct InFlight {
    all: u32,
    /// Those of the current generation; the others ask an older state of the
    /// upstream and take no place from probes or the ramp.
    current: u32,
}

/// Events since the breaker was made.
#[derive(Debug, Default)]
struct Totals {
    trips: u64,
    recoveries: u64,
    throttles: u64,
}

/// Decides whether an upstream is called, from how its last calls ended.
///
/// - *Closed* until enough failures in a row, or a [`RateTrip`], open it.
/// - *Open* for `cooldown` times the number of trips since the last recovery, or
///   for as long as a throttling upstream asked, at most `max_cooldown`.
/// - *Half-open* from the first admission after that: a few probes at a time. A
///   failed one opens it again, enough successful ones close it.
/// - *Closed with a ramp*: two calls in flight, doubled by every success up to
///   64, then unlimited, so that a healed upstream is not stampeded.
///
/// What happened to calls that were admitted before it opened, or before a reset,
/// says nothing about now: their outcomes are dropped.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    /// Grows whenever outstanding passes lose their say.
    generation: u64,
    in_flight: InFlight,
    /// Trips since the last recovery.
    trips_in_a_row: u32,
    /// Throttles since the last success.
    throttles_in_a_row: u32,
    totals: Totals,
}

impl Breaker {
    /// Makes a closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            state: State::closed(&config, None),
            config,
            generation: 0,
            in_flight: InFlight::default(),
            trips_in_a_row: 0,
            throttles_in_a_row: 0,
            totals: Totals::default(),
        }
    }

    /// Lets one call pass, or says why not and when to come back.
    ///
    /// # Errors
    /// [`Refusal`] while open, while all probes are out, and while the ramp is full.
    pub fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        self.would_admit(now)?;
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen { successes: 0 };
        }
        self.in_flight.all += 1;
        self.in_flight.current += 1;
        Ok(Pass {
            generation: self.generation,
        })
    }

    /// Says what [`admit`](Self::admit) would say, and takes nothing.
    ///
    /// # Errors
    /// The same as those of `admit`.
    pub fn would_admit(&self, now: Instant) -> Result<(), Refusal> {
        let (retry_after, cause) = match self.state {
            State::Open { cause, .. } => (self.cooldown_remaining(now), cause),
            State::HalfOpen { .. } => (self.wait_for_place(self.config.probes), TripCause::Probing),
            State::Closed {
                ramp: Some(cap), ..
            } => (self.wait_for_place(cap), TripCause::Ramp),
            State::Closed { ramp: None, .. } => return Ok(()),
        };
        if retry_after.is_zero() {
            return Ok(());
        }
        Err(Refusal { retry_after, cause })
    }

    /// Takes a pass back and learns from how its call ended.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, now: Instant) {
        let has_a_say = pass.generation == self.generation;
        self.abandon(pass);
        if !has_a_say {
            return;
        }
        match outcome {
            Outcome::Success { latency } => self.succeed(latency, now),
            Outcome::Failure { latency } => self.fail(latency, now),
            Outcome::Throttled { retry_after } => self.throttle(retry_after, now),
            Outcome::Ignored => {}
        }
    }

    /// Takes a pass back from a call that says nothing about health; the same as
    /// recording [`Outcome::Ignored`], without a clock.
    pub fn abandon(&mut self, pass: Pass) {
        self.in_flight.all = self.in_flight.all.saturating_sub(1);
        if pass.generation == self.generation {
            self.in_flight.current = self.in_flight.current.saturating_sub(1);
        }
    }

    /// Closes the breaker without a ramp and forgets every run of failures,
    /// trips and throttles; calls in flight lose their say. Totals stay.
    ///
    /// `_now` is there because every transition takes the time; closing needs none.
    pub fn reset(&mut self, _now: Instant) {
        self.enter(State::closed(&self.config, None));
        self.trips_in_a_row = 0;
        self.throttles_in_a_row = 0;
    }

    /// Opens it on somebody else's word, who saw the upstream fail or throttle;
    /// one that is open for longer stays so. Counts as no trip of this breaker.
    pub fn open_for(&mut self, cause: TripCause, cooldown: Duration, now: Instant) {
        let cooldown = cooldown.min(self.config.max_cooldown);
        if cooldown > self.cooldown_remaining(now) {
            self.open(cooldown, cause, now);
        }
    }

    /// Goes on under another configuration: the state stays, a cooldown that
    /// has begun keeps its length, and runs of failures go on being counted.
    /// Where the rates changed, their window starts empty.
    pub fn adopt(&mut self, config: BreakerConfig) {
        let rates_changed = self.config.rate != config.rate;
        self.config = config;
        if let State::Closed { recent, .. } = &mut self.state
            && rates_changed
        {
            *recent = config.rate.map(RecentCalls::new);
        }
    }

    /// What the breaker thinks of its upstream; half-open as soon as the cooldown
    /// is over, even before the first probe.
    pub fn health(&self, now: Instant) -> Health {
        match self.state {
            State::Closed { .. } => Health::Healthy,
            State::HalfOpen { .. } => Health::HalfOpen,
            State::Open { .. } if self.cooldown_remaining(now).is_zero() => Health::HalfOpen,
            State::Open { .. } => Health::CircuitOpen,
        }
    }

    /// How long the breaker stays open; zero when it is not.
    pub fn cooldown_remaining(&self, now: Instant) -> Duration {
        match self.state {
            State::Open {
                since, cooldown, ..
            } => cooldown.saturating_sub(now.saturating_duration_since(since)),
            State::Closed { .. } | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// Passes that are out, whatever their generation.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.all
    }

    /// How often failures or slow calls opened it.
    pub fn trips(&self) -> u64 {
        self.totals.trips
    }

    /// How often probes closed it.
    pub fn recoveries(&self) -> u64 {
        self.totals.recoveries
    }

    /// How often a throttling upstream opened it.
    pub fn throttles(&self) -> u64 {
        self.totals.throttles
    }

    fn wait_for_place(&self, places: u32) -> Duration {
        if self.in_flight.current < places.max(1) {
            Duration::ZERO
        } else {
            PLACE_HINT
        }
    }

    fn succeed(&mut self, latency: Duration, now: Instant) {
        self.throttles_in_a_row = 0;
        match &mut self.state {
            State::Closed {
                failures,
                ramp,
                recent,
            } => {
                *failures = 0;
                *ramp = ramp.and_then(next_ramp_step);
                if recent
                    .as_mut()
                    .is_some_and(|calls| calls.succeeded(latency, now))
                {
                    self.trip(now);
                }
            }
            State::HalfOpen { successes } => {
                *successes += 1;
                if *successes >= self.config.success_threshold {
                    self.recover();
                }
            }
            // Opening starts a generation, so no pass with a say is out.
            State::Open { .. } => {}
        }
    }

    fn fail(&mut self, latency: Duration, now: Instant) {
        match &mut self.state {
            State::Closed {
                failures, recent, ..
            } => {
                *failures += 1;
                let by_rate = recent
                    .as_mut()
                    .is_some_and(|calls| calls.failed(latency, now));
                if by_rate || *failures >= self.config.failure_threshold {
                    self.trip(now);
                }
            }
            State::HalfOpen { .. } => self.trip(now),
            // Opening starts a generation, so no pass with a say is out.
            State::Open { .. } => {}
        }
    }

    fn throttle(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.totals.throttles += 1;
        self.throttles_in_a_row = self.throttles_in_a_row.saturating_add(1);
        let cooldown = match retry_after {
            Some(asked) => asked.min(self.config.max_cooldown),
            None => self.nth_cooldown(self.throttles_in_a_row),
        };
        self.open(cooldown, TripCause::Throttled, now);
    }

    fn trip(&mut self, now: Instant) {
        self.totals.trips += 1;
        self.trips_in_a_row = self.trips_in_a_row.saturating_add(1);
        let cooldown = self.nth_cooldown(self.trips_in_a_row);
        self.open(cooldown, TripCause::Failures, now);
    }

    fn nth_cooldown(&self, n: u32) -> Duration {
        let cooldown = self.config.cooldown.saturating_mul(n);
        cooldown.min(self.config.max_cooldown)
    }

    fn open(&mut self, cooldown: Duration, cause: TripCause, now: Instant) {
        self.enter(State::Open {
            since: now,
            cooldown,
            cause,
        });
    }

    /// Probes that are still out keep their say: they ask the same upstream.
    fn recover(&mut self) {
        self.totals.recoveries += 1;
        self.trips_in_a_row = 0;
        self.state = State::closed(&self.config, Some(RAMP_START));
    }

    /// Changes the state and starts a generation.
    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.in_flight.current = 0;
    }
}

fn next_ramp_step(cap: u32) -> Option<u32> {
    (cap < RAMP_END).then_some(cap * 2)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
