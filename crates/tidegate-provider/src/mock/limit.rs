//! An honest upstream's own rate limit: a sliding window that tells the truth.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What the upstream grants in any interval of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Requests per window.
    pub requests: u64,
    /// Tokens of prompts and answers per window.
    pub tokens: Option<u64>,
    /// Length of the window.
    pub window: Duration,
    /// Whether a refusal says how long to wait.
    pub retry_after: bool,
}

/// What was granted within the last window.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    calls: VecDeque<(Instant, u64)>,
    tokens: u64,
}

impl Granted {
    /// Grants a call of `tokens`, or says when there will be room for it. A
    /// refused call counts for nothing; a call granted exactly one window ago
    /// has left it.
    pub(crate) fn admit(
        &mut self,
        limit: &Limit,
        tokens: u64,
        now: Instant,
    ) -> Result<(), Duration> {
        self.forget(limit.window, now);
        let most = limit.tokens.unwrap_or(u64::MAX);
        let fits = |calls: usize, used: u64| {
            (calls as u64) < limit.requests && used.saturating_add(tokens) <= most
        };
        let (mut calls, mut used) = (self.calls.len(), self.tokens);
        if fits(calls, used) {
            self.calls.push_back((now, tokens));
            self.tokens = used.saturating_add(tokens);
            return Ok(());
        }
        let room = self.calls.iter().find_map(|(at, cost)| {
            calls -= 1;
            used -= cost;
            fits(calls, used).then(|| (*at + limit.window).saturating_duration_since(now))
        });
        Err(room.unwrap_or(limit.window))
    }

    fn forget(&mut self, window: Duration, now: Instant) {
        while let Some((at, cost)) = self.calls.front()
            && *at + window <= now
        {
            self.tokens -= cost;
            self.calls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(requests: u64, tokens: Option<u64>) -> Limit {
        Limit {
            requests,
            tokens,
            window: 10 * SECOND,
            retry_after: true,
        }
    }

    #[test]
    fn a_refusal_says_when_the_oldest_call_leaves_the_window() {
        let (mut granted, limit, start) = (Granted::default(), limit(2, None), Instant::now());
        assert_eq!(granted.admit(&limit, 1, start), Ok(()));
        assert_eq!(granted.admit(&limit, 1, start + 4 * SECOND), Ok(()));
        assert_eq!(
            granted.admit(&limit, 1, start + 5 * SECOND),
            Err(5 * SECOND)
        );
        assert_eq!(granted.admit(&limit, 1, start + 10 * SECOND), Ok(()));
        assert_eq!(
            granted.admit(&limit, 1, start + 10 * SECOND),
            Err(4 * SECOND)
        );
    }

    #[test]
    fn tokens_wait_for_as_many_calls_as_it_takes() {
        let (mut granted, limit, start) = (Granted::default(), limit(9, Some(10)), Instant::now());
        assert_eq!(granted.admit(&limit, 3, start), Ok(()));
        assert_eq!(granted.admit(&limit, 7, start + SECOND), Ok(()));
        assert_eq!(
            granted.admit(&limit, 3, start + 2 * SECOND),
            Err(8 * SECOND)
        );
        assert_eq!(
            granted.admit(&limit, 4, start + 2 * SECOND),
            Err(9 * SECOND)
        );
        assert_eq!(
            granted.admit(&limit, 11, start + 2 * SECOND),
            Err(10 * SECOND)
        );
    }
}
