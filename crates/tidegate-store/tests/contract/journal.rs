//! A plain list of what was granted, and the check that knows nothing of how
//! limits are kept.

use std::time::Duration;

use tidegate_store::Quota;
use tokio::time::Instant;

/// What was granted, and when.
#[derive(Debug)]
pub(crate) struct Journal {
    start: Instant,
    lines: Vec<Line>,
}

/// One grant: it happened at some time from `from` until `until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) tokens: u64,
}

impl Journal {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn of(lines: Vec<Line>) -> Self {
        Self {
            lines,
            ..Self::start()
        }
    }

    /// Notes a grant of now that counts after `delay`.
    pub(crate) fn count(&mut self, delay: Duration, tokens: u64) {
        let at = self.start.elapsed() + delay;
        self.lines.push(Line {
            from: at,
            until: at,
            tokens,
        });
    }

    pub(crate) fn requests(&self) -> usize {
        self.lines.len()
    }

    /// Fails if any window holds more than the quota for certain.
    #[track_caller]
    pub(crate) fn check(&self, quota: &Quota) {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|line| line.from);
        for (index, first) in lines.iter().enumerate() {
            let end = first.from + quota.window;
            let inside = lines[index..]
                .iter()
                .take_while(|line| line.from < end)
                .filter(|line| line.until < end);
            let (requests, tokens) = inside.fold((0, 0), |(requests, tokens), line| {
                (requests + 1, tokens + line.tokens)
            });
            let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
            assert!(
                requests <= most(quota.requests) && tokens <= most(quota.tokens),
                "{requests} requests and {tokens} tokens in the window from {:?}",
                first.from
            );
        }
    }
}

#[test]
#[should_panic = "11 requests"]
fn the_check_finds_one_request_too_many() {
    let line = |n: u64| Line {
        from: Duration::from_millis(n),
        until: Duration::from_millis(n),
        tokens: 1,
    };
    let quota = Quota {
        requests: Some(10),
        window: Duration::from_millis(11),
        ..Quota::unlimited()
    };
    Journal::of((0..20).map(line).collect()).check(&quota);
}

#[test]
#[should_panic = "101 tokens"]
fn the_check_finds_one_token_too_many() {
    let line = |tokens| Line {
        from: Duration::ZERO,
        until: Duration::ZERO,
        tokens,
    };
    let quota = Quota {
        tokens: Some(100),
        ..Quota::unlimited()
    };
    Journal::of(vec![line(60), line(41)]).check(&quota);
}
