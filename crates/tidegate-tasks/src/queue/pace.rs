//! How many tasks end here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Seconds over which it is counted.
const SECONDS: u64 = 60;

/// How many tasks of each kind ended in this process, second by second.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    ends: Mutex<BTreeMap<String, BTreeMap<u64, u64>>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            ends: Mutex::default(),
        }
    }
}

impl Pace {
    pub(crate) fn ended(&self, kind: &str) {
        let second = self.since.elapsed().as_secs();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if !ends.contains_key(kind) {
            ends.insert(kind.to_owned(), BTreeMap::new());
        }
        if let Some(seconds) = ends.get_mut(kind) {
            *seconds.entry(second).or_default() += 1;
            forget(seconds, second);
        }
    }

    /// Tasks that ended a second, over the last minute or since the start.
    pub(crate) fn per_second(&self) -> Vec<(String, f64)> {
        let second = self.since.elapsed().as_secs();
        let over = (second + 1).min(SECONDS) as f64;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let paces = ends.iter_mut().map(|(kind, seconds)| {
            forget(seconds, second);
            let all: u64 = seconds.values().sum();
            (kind.clone(), all as f64 / over)
        });
        paces.collect()
    }
}

fn forget(seconds: &mut BTreeMap<u64, u64>, now: u64) {
    while let Some(first) = seconds.first_entry() {
        if first.key() + SECONDS > now {
            return;
        }
        first.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_of_the_last_minute_count() {
        let pace = Pace::default();
        for _ in 0..120 {
            pace.ended("chat");
        }
        assert_eq!(pace.per_second(), [("chat".to_owned(), 120.0)]);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pace.per_second(), [("chat".to_owned(), 2.0)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pace.per_second(), [("chat".to_owned(), 0.0)]);
    }
}
