//! Exact sliding window over one abstract cost unit.
//!
//! In every interval `(t, t + length]` the granted costs sum up to at most
//! `limit`. This is the sliding window log of the literature with one change:
//! neighbors in time share a segment, which bounds memory. A token bucket is
//! smaller still, but grants two bursts in one window: the one that was stored
//! and the one that refilled.

use std::time::{Duration, Instant};

use crate::segments::Segments;

/// Why a reservation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The units are in use; enough of them leave the window after `retry_after`.
    #[error("limit reached, retry in {retry_after:?}")]
    Throttled {
        /// The wait after which the same reservation succeeds if nothing else
        /// happens meanwhile.
        retry_after: Duration,
    },
    /// `cost` exceeds the limit itself; waiting cannot help.
    #[error("cost {cost} exceeds limit {limit}")]
    TooLarge {
        /// Units that were asked for.
        cost: u64,
        /// Units that the window grants in all.
        limit: u64,
    },
}

/// Names one reservation: its place in the window and the cost reserved there.
///
/// A stamp is good for one [`Window::settle`] or [`Window::cancel`] of the
/// window that issued it. The window keeps no list of reservations, so a second
/// one would correct the same cost twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    segment: u64,
    cost: u64,
}

/// Grants at most `limit` units in any interval of `length`.
///
/// Memory is at most about 257 segments, whatever the traffic. Units may come
/// free up to `length / 256` late under dense traffic, never early.
#[derive(Debug, Clone)]
pub struct Window {
    limit: u64,
    // Wider than a cost, so that no settlement can overflow the sum.
    costs: Segments<u128>,
}

impl Window {
    /// Makes an empty window; a `length` of zero forgets every cost at once.
    pub fn new(limit: u64, length: Duration) -> Self {
        Self {
            limit,
            costs: Segments::new(length),
        }
    }

    /// Units granted in any interval of [`length`](Self::length).
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How long a granted unit counts.
    pub fn length(&self) -> Duration {
        self.costs.length()
    }

    /// Units in the window that ends now; above the limit after an upward settlement.
    pub fn used(&mut self, now: Instant) -> u64 {
        self.costs.advance(now);
        u64::try_from(self.costs.total()).unwrap_or(u64::MAX)
    }

    /// The largest cost that a reservation would be granted now.
    pub fn headroom(&mut self, now: Instant) -> u64 {
        self.limit.saturating_sub(self.used(now))
    }

    /// Says what [`reserve`](Self::reserve) would say, and takes nothing.
    ///
    /// # Errors
    /// The same as those of `reserve`.
    pub fn check(&mut self, cost: u64, now: Instant) -> Result<(), Refused> {
        self.costs.advance(now);
        let limit = self.limit;
        if cost > limit {
            return Err(Refused::TooLarge { cost, limit });
        }
        let wanted = self.costs.total() + u128::from(cost);
        match wanted.saturating_sub(u128::from(limit)) {
            0 => Ok(()),
            excess => Err(Refused::Throttled {
                retry_after: self.time_to_free(excess, now),
            }),
        }
    }

    /// Takes `cost` units, or takes nothing and says why.
    ///
    /// A `now` older than the newest one seen counts as that one.
    ///
    /// # Errors
    /// [`Refused::Throttled`] while the units are in use, [`Refused::TooLarge`]
    /// when they can never be granted together.
    pub fn reserve(&mut self, cost: u64, now: Instant) -> Result<Stamp, Refused> {
        self.check(cost, now)?;
        Ok(self.charge(cost, now))
    }

    /// Takes `cost` units whatever the limit: for what was admitted elsewhere,
    /// or is counted and not limited.
    pub fn charge(&mut self, cost: u64, now: Instant) -> Stamp {
        let segment = self.costs.add(u128::from(cost), now);
        Stamp { segment, cost }
    }

    /// Changes the limit and keeps what was granted.
    ///
    /// Under a lower limit nothing is granted until enough of it has left.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Replaces a reserved cost by the real one, at the time of the reservation.
    ///
    /// The sum may exceed the limit afterwards: an estimate that was too low is
    /// paid by later callers, who wait until it has left. Once the reservation
    /// itself has left the window, this does nothing.
    pub fn settle(&mut self, stamp: Stamp, used: u64, now: Instant) {
        self.costs.advance(now);
        self.costs.update(stamp.segment, |amount| {
            amount.saturating_sub(u128::from(stamp.cost)) + u128::from(used)
        });
    }

    /// Gives a reservation back in full, for work that never started.
    pub fn cancel(&mut self, stamp: Stamp, now: Instant) {
        self.settle(stamp, 0, now);
    }

    fn time_to_free(&self, excess: u128, now: Instant) -> Duration {
        let mut freed = 0;
        self.costs
            .departures(now)
            .find_map(|(leaves_in, amount)| {
                freed += amount;
                (freed >= excess).then_some(leaves_in)
            })
            // The excess never exceeds the sum, because no cost exceeds the limit.
            .unwrap_or(self.length())
    }
}

#[cfg(test)]
mod tests;
