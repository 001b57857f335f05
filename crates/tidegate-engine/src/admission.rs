//! What a request holds while it is being answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_resilience::{Outcome, Permit, Sample, Slot, TripCause};
use tidegate_store::{Cooling, Dimension, Grantor, Limits, Refused, Reservation, Used};
use tokio::time::Instant;

use crate::entry::Entry;
use crate::standing::Counters;

/// A breaker permit, a slot and a reservation, given back together.
///
/// Dropping it means that the caller has left: the entry's health is not
/// touched, and the tokens are given back only if nothing was sent yet.
#[derive(Debug)]
pub(crate) struct Admission {
    entry: Arc<Entry>,
    held: Option<Box<Hold>>,
    limits: Arc<dyn Limits>,
    /// When the limits were asked: what they granted is not younger.
    asked_at: Instant,
    sent_at: Option<Instant>,
}

#[derive(Debug)]
struct Hold {
    permit: Permit,
    _slot: Slot,
    reservation: Reservation,
}

/// Why an entry has no room, and when that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// When there will be room, if that is known.
    pub(crate) retry_after: Option<Duration>,
    /// Whether a call that ends may make room earlier than that.
    pub(crate) may_ring: bool,
    pub(crate) cause: NoRoomCause,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoomCause {
    /// The entry failed too often, or is being probed after that.
    Unhealthy,
    /// The entry throttled us, or a limit of ours is reached.
    Limited,
    /// Whoever counts cannot be asked.
    Unreachable,
    /// The request is larger than the whole limit; waiting cannot help.
    TooLarge {
        /// The limit, in tokens.
        limit: u64,
    },
}

/// What an answer is marked with whose limits only this node has counted.
pub(crate) const STORE_LOCAL: &str = "store:local";

impl Entry {
    /// Breaker, slot, reservation: all of them, or none.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        limits: &Arc<dyn Limits>,
        tokens: u64,
    ) -> Result<Admission, NoRoom> {
        self.hear_of_recovery(&**limits).await;
        let permit = self
            .standing
            .breaker
            .permit(Instant::now().into_std())
            .map_err(|refusal| {
                let probing = matches!(refusal.cause, TripCause::Probing | TripCause::Ramp);
                let cause = match refusal.cause {
                    TripCause::Failures | TripCause::Probing => NoRoomCause::Unhealthy,
                    TripCause::Throttled | TripCause::Ramp => NoRoomCause::Limited,
                };
                NoRoom {
                    retry_after: Some(refusal.retry_after),
                    may_ring: probing,
                    cause,
                }
            })?;
        let slot = self.standing.slots.try_acquire().ok_or(NoRoom {
            retry_after: None,
            may_ring: true,
            cause: NoRoomCause::Limited,
        })?;
        let limit = &self.standing.limit;
        let asked_at = Instant::now();
        let reservation = limits.reserve(&limit.key, &limit.quota(), tokens).await;
        let reservation = reservation.map_err(|refused| self.no_room(&refused))?;
        let held = Some(Box::new(Hold {
            permit,
            _slot: slot,
            reservation,
        }));
        Ok(Admission {
            entry: self.clone(),
            held,
            limits: limits.clone(),
            asked_at,
            sent_at: None,
        })
    }

    fn no_room(&self, refused: &Refused) -> NoRoom {
        match refused {
            Refused::TooLarge { limit, .. } => NoRoom {
                retry_after: None,
                may_ring: false,
                cause: NoRoomCause::TooLarge { limit: *limit },
            },
            Refused::Cooling {
                retry_after,
                cooling,
            } => {
                self.leave_alone(*retry_after, *cooling);
                NoRoom {
                    retry_after: Some(*retry_after),
                    may_ring: false,
                    cause: match cooling {
                        Cooling::Failures => NoRoomCause::Unhealthy,
                        Cooling::Throttled => NoRoomCause::Limited,
                    },
                }
            }
            Refused::Unreachable { retry_after } => NoRoom {
                retry_after: Some(*retry_after),
                may_ring: false,
                cause: NoRoomCause::Unreachable,
            },
            Refused::Throttled {
                dimension,
                retry_after,
            } => NoRoom {
                retry_after: *retry_after,
                may_ring: match dimension {
                    // Never given back once sent.
                    Dimension::Requests => false,
                    // Given back when a call used less than it reserved.
                    Dimension::Tokens => self.standing.slots.in_use() > 1,
                    Dimension::Concurrency => true,
                },
                cause: NoRoomCause::Limited,
            },
        }
    }
}

impl Admission {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Whether so much of the guard around a window has passed since it was
    /// granted that the upstream could count it in the next one.
    pub(crate) fn is_stale(&self) -> bool {
        let quota = self.entry.standing.limit.quota();
        let counts = quota.requests.is_some() || quota.tokens.is_some();
        counts && self.asked_at.elapsed() > quota.window / 200
    }

    /// What an answer is marked with that comes from this place of a chain.
    pub(crate) fn degraded(&self, index: usize) -> Vec<String> {
        let mut degraded = Vec::new();
        if index > 0 {
            degraded.push(format!("fallback:{}", self.entry.name));
        }
        let held = self.held.as_ref();
        if held.is_some_and(|held| held.reservation.granted_by() == Grantor::ThisNode) {
            degraded.push(STORE_LOCAL.to_owned());
        }
        degraded
    }

    /// From here on the upstream may have begun to work.
    pub(crate) fn sent(&mut self) {
        self.sent_at = Some(Instant::now());
        Counters::add(&self.entry.standing.counters.total);
    }

    /// Ends the call with what became of it and what it used.
    pub(crate) fn finish(mut self, outcome: Outcome, used: Used) {
        self.count(outcome);
        let sample = match outcome {
            Outcome::Success { latency } => Some(Sample::Success {
                latency,
                in_flight: self.entry.standing.slots.in_use(),
            }),
            Outcome::Failure { .. } | Outcome::Throttled { .. } => Some(Sample::Overload),
            Outcome::Ignored => None,
        };
        if let Some(sample) = sample {
            self.entry.standing.adapt(sample);
        }
        self.give_back(outcome, used);
    }

    fn count(&self, outcome: Outcome) {
        let counters = &self.entry.standing.counters;
        match outcome {
            Outcome::Success { .. } => {
                Counters::add(&counters.successful);
                let micros = self.elapsed().as_micros();
                let micros = u64::try_from(micros).unwrap_or(u64::MAX);
                counters
                    .response_micros
                    .fetch_add(micros, Ordering::Relaxed);
            }
            Outcome::Failure { .. } => Counters::add(&counters.failed),
            Outcome::Throttled { .. } => counters.throttle(),
            Outcome::Ignored => Counters::add(&counters.abandoned),
        }
    }

    /// The reservation alone, for a call that is made elsewhere: the breaker
    /// hears of it when it is settled, and its lease stands for its slot.
    pub(crate) fn into_reservation(mut self) -> Option<Reservation> {
        self.held.take().map(|held| held.reservation)
    }

    /// Since the call was sent.
    pub(crate) fn elapsed(&self) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    fn give_back(&mut self, outcome: Outcome, used: Used) {
        let Some(held) = self.held.take() else { return };
        let Hold {
            permit,
            _slot: slot,
            reservation,
        } = *held;
        self.entry.record(permit, outcome, &*self.limits);
        reservation.settle(used);
        drop(slot);
        self.entry.standing.ring();
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.held.is_none() {
            return;
        }
        if self.sent_at.is_some() {
            Counters::add(&self.entry.standing.counters.abandoned);
            self.give_back(Outcome::Ignored, Used::Unknown);
        } else {
            self.give_back(Outcome::Ignored, Used::Nothing);
        }
    }
}
