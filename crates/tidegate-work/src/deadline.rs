//! One point in time that travels with a request.
//!
//! A deadline is a value: it starts no timer and cancels nothing until
//! something is run under it.

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Stands in for "never" where adding a duration to the clock would overflow.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The deadline passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline passed")]
pub struct Elapsed;

/// The moment after which nobody waits for an answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Sets the deadline `wait` from now; what the clock cannot hold becomes 30
    /// years.
    pub fn after(wait: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(wait).unwrap_or_else(|| now + FAR))
    }

    /// Sets the deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Returns the moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns the time left, zero once the deadline is past.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// True from the moment of the deadline on, exactly when nothing remains.
    pub fn is_past(self) -> bool {
        self.remaining().is_zero()
    }

    /// This deadline brought forward by `lead`.
    pub fn earlier(self, lead: Duration) -> Self {
        Self(self.0.checked_sub(lead).unwrap_or(self.0))
    }

    /// Returns the earlier of this deadline and `wait` from now.
    #[must_use]
    pub fn sooner(self, wait: Duration) -> Self {
        self.min(Self::after(wait))
    }

    /// Runs `work` until it is done or the deadline is there.
    ///
    /// A deadline that is already past does not start `work`; work that is done
    /// at the very moment of the deadline counts as done. Unfinished work is
    /// dropped, and so it is when this future is dropped.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline came first.
    pub async fn run<F: Future>(self, work: F) -> Result<F::Output, Elapsed> {
        if self.is_past() {
            return Err(Elapsed);
        }
        timeout_at(self.0, work).await.map_err(|_| Elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn remaining_time_shrinks_to_zero_and_stays_there() {
        let deadline = Deadline::after(SECOND);
        assert_eq!(deadline.remaining(), SECOND);
        assert!(!deadline.is_past());
        advance(SECOND).await;
        assert!(deadline.is_past());
        advance(SECOND).await;
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn work_within_the_deadline_gives_its_output() {
        let done = async {
            sleep(SECOND).await;
            7
        };
        assert_eq!(Deadline::after(2 * SECOND).run(done).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_beyond_the_deadline_is_cut_off_at_the_deadline() {
        let start = Instant::now();
        let outcome = Deadline::after(SECOND).run(sleep(5 * SECOND)).await;
        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(start.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn work_done_at_the_moment_of_the_deadline_counts() {
        assert_eq!(Deadline::after(SECOND).run(sleep(SECOND)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_past_deadline_does_not_start_the_work() {
        let mut started = false;
        let work = async { started = true };
        assert_eq!(Deadline::at(Instant::now()).run(work).await, Err(Elapsed));
        assert!(!started);
    }

    #[tokio::test(start_paused = true)]
    async fn sooner_only_ever_shortens() {
        let deadline = Deadline::after(2 * SECOND);
        assert_eq!(deadline.sooner(SECOND).remaining(), SECOND);
        assert_eq!(deadline.sooner(5 * SECOND), deadline);
        assert_eq!(deadline.sooner(Duration::MAX), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_the_clock_cannot_hold_lies_far_ahead() {
        assert_eq!(Deadline::after(Duration::MAX).remaining(), FAR);
    }
}
