//! How far a task has come.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How far a task has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps that are done.
    pub current: u64,
    /// Steps that there are; 0 where nobody knows.
    pub total: u64,
    /// What is being done.
    #[serde(default)]
    pub message: String,
    /// Steps a second since the attempt began.
    #[serde(default)]
    pub per_second: f64,
    /// Milliseconds until the end at this pace, where both are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
}

/// The longest message: it is written often.
const MOST_MESSAGE_BYTES: usize = 512;

impl Progress {
    /// What is known after so many steps in so much time.
    pub(crate) fn after(since: Instant, current: u64, total: u64, message: &str) -> Self {
        let mut end = message.len().min(MOST_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let took = since.elapsed();
        Self {
            current,
            total,
            message: message[..end].to_owned(),
            per_second: pace(current, took),
            eta_ms: eta_ms(current, total, took),
        }
    }
}

fn pace(current: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 {
        // Two digits are enough for people, and keep the note short.
        (current as f64 / seconds * 100.0).round() / 100.0
    } else {
        0.0
    }
}

fn eta_ms(current: u64, total: u64, took: Duration) -> Option<u64> {
    if current == 0 || total < current {
        return None;
    }
    let left = u128::from(total - current);
    let ms = took.as_millis().saturating_mul(left) / u128::from(current);
    u64::try_from(ms).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quarter_in_two_seconds_leaves_six() {
        let since = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        let progress = Progress::after(since, 25, 100, "reading");
        assert_eq!(progress.per_second, 12.5);
        assert_eq!(progress.eta_ms, Some(6_000));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_promised_before_the_first_step_or_past_the_end() {
        let since = Instant::now();
        assert_eq!(Progress::after(since, 0, 10, "").eta_ms, None);
        assert_eq!(Progress::after(since, 11, 10, "").eta_ms, None);
        assert_eq!(Progress::after(since, 3, 0, "").eta_ms, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_is_cut_between_characters() {
        let long = "ä".repeat(MOST_MESSAGE_BYTES);
        let progress = Progress::after(Instant::now(), 1, 1, &long);
        assert_eq!(progress.message.chars().count(), MOST_MESSAGE_BYTES / 2);
    }
}
