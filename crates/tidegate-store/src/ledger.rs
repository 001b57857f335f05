//! What one process granted of one limit, in its own memory.

use std::time::Duration;

use tidegate_resilience::{Refused as WindowRefused, Stamp, Window};
use tokio::time::Instant;

use crate::limits::{Dimension, Quota, Refused, Used};

/// The windows of a quota and who holds a part of it now.
#[derive(Debug)]
pub(crate) struct Ledger {
    quota: Quota,
    /// Grows when the windows start anew, so that an older stamp is known.
    generation: u64,
    requests: Window,
    tokens: Window,
    concurrent: u64,
    overshot_tokens: u64,
}

/// The most that may be in use; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) requests: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) concurrent: Option<u64>,
}

impl From<&Quota> for Caps {
    fn from(quota: &Quota) -> Self {
        Self {
            requests: quota.requests,
            tokens: quota.tokens,
            concurrent: quota.concurrent,
        }
    }
}

/// What is in use now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) concurrent: u64,
}

/// Where a reservation stands in each window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamps {
    generation: u64,
    requests: Stamp,
    tokens: Stamp,
}

/// A request is counted when it is admitted and reaches the upstream a little
/// later; windows that are 1 % longer keep the upstream's own count below the
/// limit as long as that delay varies by less.
pub(crate) fn guarded(window: Duration) -> Duration {
    window + window / 100
}

/// What is not limited is counted all the same; nobody asks this window for
/// room.
fn window(length: Duration) -> Window {
    Window::new(u64::MAX, guarded(length))
}

impl Ledger {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            generation: 0,
            requests: window(quota.window),
            tokens: window(quota.window),
            concurrent: 0,
            overshot_tokens: 0,
        }
    }

    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Whether forgetting it would forget a grant.
    pub(crate) fn is_in_use(&mut self, now: Instant) -> bool {
        self.in_use(now) != InUse::default()
    }

    pub(crate) fn in_use(&mut self, now: Instant) -> InUse {
        let now = now.into_std();
        InUse {
            requests: self.requests.used(now),
            tokens: self.tokens.used(now),
            concurrent: self.concurrent,
        }
    }

    /// Tokens used beyond their reservations, since the start.
    pub(crate) fn overshot_tokens(&self) -> u64 {
        self.overshot_tokens
    }

    /// A changed quota counts what was granted under the old one, unless its
    /// windows have another length: those start empty.
    pub(crate) fn adopt(&mut self, quota: &Quota) {
        if self.quota.window != quota.window {
            self.generation += 1;
            self.requests = window(quota.window);
            self.tokens = window(quota.window);
        }
        self.quota = *quota;
    }

    /// Takes one request, `tokens` and a lease within `caps`, or nothing.
    pub(crate) fn reserve(
        &mut self,
        caps: &Caps,
        tokens: u64,
        now: Instant,
    ) -> Result<Stamps, Refused> {
        self.check_windows(caps, tokens, now.into_std())?;
        if caps.concurrent.is_some_and(|most| self.concurrent >= most) {
            return Err(Refused::Throttled {
                dimension: Dimension::Concurrency,
                retry_after: None,
            });
        }
        Ok(self.charge(tokens, now))
    }

    /// Takes it whatever the limits: it was granted elsewhere.
    pub(crate) fn charge(&mut self, tokens: u64, now: Instant) -> Stamps {
        self.concurrent += 1;
        let now = now.into_std();
        Stamps {
            generation: self.generation,
            requests: self.requests.charge(1, now),
            tokens: self.tokens.charge(tokens, now),
        }
    }

    /// Where both windows are full, the wait is the longer one: whoever waits
    /// that long is admitted, not sent to wait again.
    fn check_windows(
        &mut self,
        caps: &Caps,
        tokens: u64,
        now: std::time::Instant,
    ) -> Result<(), Refused> {
        let by_tokens = caps.tokens.map_or(Ok(()), |most| {
            self.tokens.set_limit(most);
            check(&mut self.tokens, Dimension::Tokens, tokens, now)
        });
        let by_requests = caps.requests.map_or(Ok(()), |most| {
            self.requests.set_limit(most);
            check(&mut self.requests, Dimension::Requests, 1, now)
        });
        match (by_tokens, by_requests) {
            (Err(one), Err(other)) => Err(longer(one, other)),
            (one, other) => one.and(other),
        }
    }

    pub(crate) fn settle(&mut self, stamps: Stamps, reserved: u64, used: Used) {
        self.settle_at(stamps, reserved, used, Instant::now());
    }

    /// Ends a reservation at this time.
    pub(crate) fn settle_at(&mut self, stamps: Stamps, reserved: u64, used: Used, now: Instant) {
        self.concurrent = self.concurrent.saturating_sub(1);
        if let Used::Tokens(used) = used {
            self.overshoot(used.saturating_sub(reserved));
        }
        // Stamps of windows that are gone would correct somebody else's.
        if stamps.generation != self.generation {
            return;
        }
        let now = now.into_std();
        match used {
            Used::Unknown => {}
            Used::Nothing => {
                self.requests.cancel(stamps.requests, now);
                self.tokens.cancel(stamps.tokens, now);
            }
            Used::Tokens(used) => self.tokens.settle(stamps.tokens, used, now),
        }
    }

    /// Counts tokens beyond a reservation.
    pub(crate) fn overshoot(&mut self, tokens: u64) {
        self.overshot_tokens = self.overshot_tokens.saturating_add(tokens);
    }
}

fn check(
    window: &mut Window,
    dimension: Dimension,
    cost: u64,
    now: std::time::Instant,
) -> Result<(), Refused> {
    window.check(cost, now).map_err(|refused| match refused {
        WindowRefused::Throttled { retry_after } => Refused::Throttled {
            dimension,
            retry_after: Some(retry_after),
        },
        WindowRefused::TooLarge { cost, limit } => Refused::TooLarge {
            tokens: cost,
            limit,
        },
    })
}

/// The refusal that holds for longer; one that waiting does not end is for ever.
fn longer(one: Refused, other: Refused) -> Refused {
    match (&one, &other) {
        (Refused::TooLarge { .. }, _) => one,
        (_, Refused::TooLarge { .. }) => other,
        (
            Refused::Throttled { retry_after, .. },
            Refused::Throttled {
                retry_after: later, ..
            },
        ) if later > retry_after => other,
        _ => one,
    }
}
