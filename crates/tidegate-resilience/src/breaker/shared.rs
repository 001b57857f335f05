//! One breaker for many threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Breaker, BreakerConfig, Health, Outcome, Pass, Refusal, TripCause};

/// A [`Breaker`] behind a lock that is held for a few instructions; clones share it.
#[derive(Debug, Clone)]
pub struct SharedBreaker {
    breaker: Arc<Mutex<Breaker>>,
}

impl SharedBreaker {
    /// Makes a closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            breaker: Arc::new(Mutex::new(Breaker::new(config))),
        }
    }

    /// Lets one call pass, or says why not and when to come back.
    ///
    /// # Errors
    /// The same as those of [`Breaker::admit`].
    pub fn permit(&self, now: Instant) -> Result<Permit, Refusal> {
        let pass = self.lock().admit(now)?;
        Ok(Permit {
            breaker: self.clone(),
            pass: Some(pass),
        })
    }

    /// See [`Breaker::would_admit`]; another thread may take the place meanwhile.
    ///
    /// # Errors
    /// The same as those of [`Breaker::admit`].
    pub fn would_admit(&self, now: Instant) -> Result<(), Refusal> {
        self.lock().would_admit(now)
    }

    /// See [`Breaker::health`].
    pub fn health(&self, now: Instant) -> Health {
        self.lock().health(now)
    }

    /// See [`Breaker::cooldown_remaining`].
    pub fn cooldown_remaining(&self, now: Instant) -> Duration {
        self.lock().cooldown_remaining(now)
    }

    /// See [`Breaker::in_flight`].
    pub fn in_flight(&self) -> u32 {
        self.lock().in_flight()
    }

    /// See [`Breaker::trips`].
    pub fn trips(&self) -> u64 {
        self.lock().trips()
    }

    /// See [`Breaker::recoveries`].
    pub fn recoveries(&self) -> u64 {
        self.lock().recoveries()
    }

    /// See [`Breaker::throttles`].
    pub fn throttles(&self) -> u64 {
        self.lock().throttles()
    }

    /// See [`Breaker::adopt`].
    pub fn adopt(&self, config: BreakerConfig) {
        self.lock().adopt(config);
    }

    /// See [`Breaker::open_for`].
    pub fn open_for(&self, cause: TripCause, cooldown: Duration, now: Instant) {
        self.lock().open_for(cause, cooldown, now);
    }

    /// See [`Breaker::reset`].
    pub fn reset(&self, now: Instant) {
        self.lock().reset(now);
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // No transition can panic half-way, so a poisoned breaker is a sound one.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call through a [`SharedBreaker`].
///
/// Dropping it without [`record`](Self::record) counts as [`Outcome::Ignored`]: a
/// cancelled caller gives its place back and cannot leave the breaker half-open
/// for ever.
#[derive(Debug)]
#[must_use = "dropping a permit gives its place back at once"]
pub struct Permit {
    breaker: SharedBreaker,
    pass: Option<Pass>,
}

impl Permit {
    /// Tells the breaker how the call ended.
    pub fn record(mut self, outcome: Outcome, now: Instant) {
        if let Some(pass) = self.pass.take() {
            self.breaker.lock().record(pass, outcome, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.lock().abandon(pass);
        }
    }
}
