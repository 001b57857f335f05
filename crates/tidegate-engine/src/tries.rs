//! What one request has tried so far, and what it may try next.

use std::time::Duration;

use tidegate_provider::{ErrorBody, ProviderError, Unavailability};
use tidegate_resilience::Backoff;
use tokio::time::Instant;

/// The tries of one request, one slot per entry of its chain.
#[derive(Debug)]
pub(crate) struct Tries {
    entries: Vec<Try>,
    attempts: u32,
    last: Option<ProviderError>,
    largest_limit: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Try {
    failures: u32,
    not_before: Option<Instant>,
    spent: bool,
}

/// Whether an entry may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was not tried yet.
    First,
    /// It failed before, and its pause is over.
    Repeat,
    /// It failed before and pauses until then.
    PausesUntil(Instant),
    /// Not again for this request.
    Spent,
}

impl Tries {
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            entries: vec![Try::default(); entries],
            attempts: 0,
            last: None,
            largest_limit: None,
        }
    }

    /// Calls that were sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn count_attempt(&mut self) {
        self.attempts += 1;
    }

    pub(crate) fn next(&self, index: usize, now: Instant) -> Next {
        let entry = &self.entries[index];
        match entry.not_before {
            _ if entry.spent => Next::Spent,
            Some(at) if at > now => Next::PausesUntil(at),
            Some(_) => Next::Repeat,
            None => Next::First,
        }
    }

    /// True when an entry other than this one may still be tried.
    pub(crate) fn others_left(&self, index: usize) -> bool {
        self.entries
            .iter()
            .enumerate()
            .any(|(other, entry)| other != index && !entry.spent)
    }

    /// This entry is not tried again for this request.
    pub(crate) fn spend(&mut self, index: usize) {
        self.entries[index].spent = true;
    }

    /// The request does not fit this entry's limit.
    pub(crate) fn too_large(&mut self, index: usize, limit: u64) {
        self.spend(index);
        self.largest_limit = self.largest_limit.max(Some(limit));
    }

    /// The largest limit that the request did not fit.
    pub(crate) fn largest_limit(&self) -> Option<u64> {
        self.largest_limit
    }

    /// Notes a failed call and decides when the entry may be tried again.
    pub(crate) fn failed(&mut self, index: usize, error: ProviderError, backoff: &Backoff) {
        let entry = &mut self.entries[index];
        entry.failures += 1;
        let asked = match &error {
            ProviderError::Throttled { retry_after } => *retry_after,
            ProviderError::Unavailable(_) => None,
            ProviderError::NotServed(_) | ProviderError::Rejected(_) => {
                entry.spent = true;
                None
            }
        };
        match backoff.delay(entry.failures, fastrand::f64(), asked) {
            Some(delay) => entry.not_before = Some(Instant::now() + delay),
            None => entry.spent = true,
        }
        self.last = Some(error);
    }

    /// How the last call failed; what to tell the caller when nothing is left.
    pub(crate) fn last(&self) -> Option<&ProviderError> {
        self.last.as_ref()
    }
}

/// What the last failure means to the caller when nothing is left to try.
pub(crate) enum Verdict {
    /// Every entry throttled us.
    Throttled(Duration),
    /// No entry serves the model.
    NotServed(ErrorBody),
    /// The last one failed.
    Unavailable(Unavailability),
}

/// A throttle without a Retry-After: the cooldown's default is an upper bound
/// that a later look replaces.
const UNKNOWN_WAIT: Duration = Duration::from_secs(1);

impl Verdict {
    pub(crate) fn of(error: &ProviderError) -> Self {
        match error {
            ProviderError::Throttled { retry_after } => {
                Self::Throttled(retry_after.unwrap_or(UNKNOWN_WAIT))
            }
            ProviderError::NotServed(body) | ProviderError::Rejected(body) => {
                Self::NotServed(body.clone())
            }
            ProviderError::Unavailable(reason) => Self::Unavailable(reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(2),
        max: Duration::from_secs(120),
        retries: 1,
    };

    #[tokio::test(start_paused = true)]
    async fn an_entry_pauses_then_repeats_then_is_spent() {
        let mut tries = Tries::new(2);
        assert_eq!(tries.next(0, Instant::now()), Next::First);
        tries.failed(0, Unavailability::Reset.into(), &BACKOFF);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(tries.next(0, Instant::now()), Next::Repeat);
        tries.failed(0, Unavailability::Reset.into(), &BACKOFF);
        assert_eq!(tries.next(0, Instant::now()), Next::Spent);
        assert!(tries.others_left(0) && !tries.others_left(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_entry_pauses_at_least_as_long_as_it_asked() {
        let mut tries = Tries::new(1);
        let asked = Duration::from_secs(9);
        tries.failed(
            0,
            ProviderError::Throttled {
                retry_after: Some(asked),
            },
            &BACKOFF,
        );
        let Next::PausesUntil(at) = tries.next(0, Instant::now()) else {
            panic!("no pause")
        };
        assert!(at >= Instant::now() + asked);
    }
}
