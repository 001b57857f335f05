//! What a request cost beside its answer, in headers.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_engine::{AnswerHead, Spent};

const ATTEMPTS: HeaderName = HeaderName::from_static("x-tidegate-attempts");
const OVERHEAD: HeaderName = HeaderName::from_static("x-tidegate-overhead-ms");

/// The calls, and the time that tidegate added to them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    attempts: u32,
    pub(super) overhead: Duration,
}

/// An answer's head and its cost, for whoever logs or traces the request.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) head: AnswerHead,
    pub(super) cost: Cost,
}

impl Cost {
    /// Of an answer to a request that began at `started`.
    pub(super) fn of_answer(head: &AnswerHead, started: Instant) -> Self {
        Self {
            attempts: head.attempts,
            overhead: own(started.elapsed(), head.upstream, head.waited),
        }
    }

    /// Of a request that failed; nothing where no call was made.
    pub(super) fn of_failure(spent: &Spent, started: Instant) -> Option<Self> {
        let attempts = spent.calls();
        (attempts > 0).then(|| Self {
            attempts,
            overhead: own(started.elapsed(), spent.upstream(), spent.waited()),
        })
    }

    /// As the header and the `tidegate` object say it.
    pub(super) fn overhead_ms(self) -> f64 {
        self.overhead.as_secs_f64() * 1e3
    }

    pub(super) fn describe(self, headers: &mut HeaderMap) {
        headers.insert(ATTEMPTS, HeaderValue::from(self.attempts));
        if let Ok(overhead) = HeaderValue::from_str(&format!("{:.3}", self.overhead_ms())) {
            headers.insert(OVERHEAD, overhead);
        }
    }
}

fn own(total: Duration, upstream: Duration, waited: Duration) -> Duration {
    total.saturating_sub(upstream).saturating_sub(waited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_an_upstream_or_for_room_is_not_ours() {
        let ms = Duration::from_millis;
        assert_eq!(own(ms(70), ms(50), ms(15)), ms(5));
        // A caller who joined a call under way has waited less than it took.
        assert_eq!(own(ms(10), ms(50), ms(0)), ms(0));
    }
}
