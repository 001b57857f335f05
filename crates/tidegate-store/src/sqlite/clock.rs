//! Points in time that a file can keep.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, read once from the wall and counted from there on:
/// a clock that is set later does not end sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall_ms: i64,
    since: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            wall_ms: millis(wall.unwrap_or_default()),
            since: Instant::now(),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.wall_ms.saturating_add(millis(self.since.elapsed()))
    }

    /// When something ends that lasts for `ttl` from now on.
    pub(super) fn after_ms(&self, ttl: Duration) -> i64 {
        self.now_ms().saturating_add(millis(ttl))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_end_does_not_overflow() {
        let clock = Clock::start();
        assert_eq!(clock.after_ms(Duration::MAX), i64::MAX);
        assert!(clock.after_ms(Duration::from_secs(1)) >= clock.now_ms() + 999);
    }
}
