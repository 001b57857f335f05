//! The right to be the only one, for a while.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::error::StoreError;

/// What a home does with a lease that somebody holds.
pub trait Hold: Send + Sync {
    /// Whether it ran out, or was taken away, before it was given back.
    fn is_lost(&self) -> bool;

    /// Gives it back, if it is still this holder's. Called once, must not block.
    fn release(self: Box<Self>);
}

/// A lease that is extended for as long as it is held, and given back when it
/// is dropped. Whoever dies with it gives it back when its time is over.
#[must_use = "dropping a lease gives it back"]
pub struct Lease(Option<Box<dyn Hold>>);

impl Lease {
    /// Wraps what a home has granted.
    pub fn new(hold: Box<dyn Hold>) -> Self {
        Self(Some(hold))
    }

    /// Whether somebody else may hold it by now: the home could not be reached
    /// in time to extend it.
    pub fn is_lost(&self) -> bool {
        self.0.as_ref().is_none_or(|hold| hold.is_lost())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(hold) = self.0.take() {
            hold.release();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("lost", &self.is_lost())
            .finish()
    }
}

/// Why a lease was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else held it all the time.
    #[error("taken, for longer than {waited:?}")]
    Taken {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The home could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A home of leases. Keys are opaque.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Takes the lease if nobody holds it. It ends `ttl` after its holder died.
    ///
    /// Dropping the future takes nothing, or gives back what was taken within
    /// `ttl`.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn try_acquire(&self, key: &str, ttl: Duration) -> Result<Option<Lease>, StoreError>;
}

impl dyn Leases {
    /// Takes the lease, waiting until `until` for whoever holds it.
    ///
    /// # Errors
    /// [`LeaseError`] says whether it stayed taken.
    pub async fn acquire(
        &self,
        key: &str,
        ttl: Duration,
        until: Instant,
    ) -> Result<Lease, LeaseError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(lease) = self.try_acquire(key, ttl).await? {
                return Ok(lease);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waited = began.elapsed();
                return Err(LeaseError::Taken { waited });
            }
            // Waiters must not ask in step.
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
