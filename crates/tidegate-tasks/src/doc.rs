//! What a task remembers from step to step: the state of its entry.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_resilience::Backoff;

use crate::new_task::{NewTask, OnFailed};
use crate::queue::Settings;
use crate::task::Failure;

/// The state of an entry, as JSON with short names: it is written with every
/// step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doc {
    #[serde(rename = "r")]
    pub(crate) max_retries: u32,
    #[serde(rename = "b")]
    pub(crate) backoff_ms: u64,
    #[serde(rename = "t")]
    pub(crate) timeout_ms: u64,
    #[serde(rename = "k")]
    pub(crate) keep_s: u64,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Whether it runs although one failed that it depends on.
    #[serde(rename = "a", default, skip_serializing_if = "is_no")]
    runs_anyway: bool,
    /// Attempts that failed since it was submitted, or retried by hand.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub(crate) failures: u32,
    /// Losses of its worker that a retry by hand has forgiven.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub(crate) forgiven: u32,
    /// Times that it was taken and not begun, because its kind had run as often
    /// as it may.
    #[serde(rename = "h", default, skip_serializing_if = "is_zero")]
    pub(crate) held_back: u32,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf: Option<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_no(yes: &bool) -> bool {
    !*yes
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Doc {
    pub(crate) fn new(task: &NewTask, settings: &Settings) -> Self {
        let backoff = task.retries.backoff.unwrap_or(settings.backoff);
        let timeout = task.retries.timeout.unwrap_or(settings.timeout);
        Self {
            max_retries: task.retries.max.unwrap_or(settings.max_retries),
            backoff_ms: millis(backoff),
            timeout_ms: millis(timeout),
            keep_s: task
                .at_end
                .result_ttl
                .unwrap_or(settings.result_ttl)
                .as_secs(),
            tags: task.tags.clone(),
            runs_anyway: task.on_failed == OnFailed::Run,
            failures: 0,
            forgiven: 0,
            held_back: 0,
            on_behalf: task.on_behalf.clone(),
            error: None,
        }
    }

    /// What is left of one that cannot be read.
    pub(crate) fn lost() -> Self {
        Self {
            max_retries: 0,
            backoff_ms: 0,
            timeout_ms: 0,
            keep_s: 0,
            tags: Vec::new(),
            runs_anyway: false,
            failures: 0,
            forgiven: 0,
            held_back: 0,
            on_behalf: None,
            error: None,
        }
    }

    /// `None` where another version wrote it, or nobody.
    pub(crate) fn read(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }

    pub(crate) fn write(&self) -> Bytes {
        // Numbers and strings always are JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(crate) fn on_failed(&self) -> OnFailed {
        if self.runs_anyway {
            OnFailed::Run
        } else {
            OnFailed::Fail
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_s)
    }

    /// The waits between its attempts. A wait that somebody asked for may be
    /// longer than the usual bound.
    pub(crate) fn backoff(&self, cap: Duration) -> Backoff {
        let base = Duration::from_millis(self.backoff_ms);
        Backoff {
            base,
            max: cap.max(base),
            retries: self.max_retries,
        }
    }
}
