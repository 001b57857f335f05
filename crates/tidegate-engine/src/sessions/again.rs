//! Questions to the store that are asked again while nobody answers.
//!
//! A store has a short time for each question, so that what does not need it is
//! never kept waiting. A session needs it: one answer that was late, or one lost
//! connection, is not a reason to give a turn up.

use std::time::Duration;

use tidegate_resilience::Backoff;
use tidegate_store::{STORE_HINT, StoreError};
use tokio::time::{Instant, sleep};

/// For how long. By then the store was looked for anew, and callers who are told
/// to come back would come.
const PATIENCE: Duration = STORE_HINT;

/// The store is asked by many when it comes back.
const PAUSES: Backoff = Backoff {
    base: Duration::from_millis(20),
    max: Duration::from_millis(200),
    retries: u32::MAX,
};

/// Tells when to ask again.
pub(super) struct Again {
    until: Instant,
    asked: u32,
}

impl Again {
    /// From now on, and not beyond `limit`.
    pub(super) fn within(limit: Option<Instant>) -> Self {
        let patience = Instant::now() + PATIENCE;
        Self {
            until: limit.map_or(patience, |limit| patience.min(limit)),
            asked: 0,
        }
    }

    /// Waits before the next question; an error that asking again does not help
    /// against, or for which there is no time, comes back.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        let StoreError::Unreachable { .. } = error else {
            return Err(error);
        };
        self.asked = self.asked.saturating_add(1);
        let pause = PAUSES.delay(self.asked, fastrand::f64(), None);
        match pause.filter(|pause| Instant::now() + *pause < self.until) {
            Some(pause) => {
                sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Whether an earlier question was not answered: it may have been heard.
    pub(super) fn is_repeat(&self) -> bool {
        self.asked > 0
    }
}

/// Asks a question that may be heard twice.
pub(super) async fn ask<T, F>(question: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut again = Again::within(None);
    loop {
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(error) => again.after(error).await?,
        }
    }
}
