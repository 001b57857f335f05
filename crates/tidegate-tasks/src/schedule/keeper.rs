//! Who submits what is due.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Expect, Records, Row, RowKey, StoreError, WriteError};
use tidegate_work::CancelToken;
use tokio::time::sleep;

use super::{MOST_MADE_UP, Schedule};
use crate::error::SubmitError;
use crate::queue::TaskQueue;

const TABLE: &str = "schedules";
/// Rows of schedules are nobody's.
const OWNER: &str = "";
/// How long it is remembered when a schedule was due last.
const REMEMBERED: Duration = Duration::from_secs(400 * 86_400);
/// How long to wait after the store did not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest wait: a clock that is set is noticed.
const LOOK: Duration = Duration::from_secs(5);

/// Submits the tasks of schedules when they are due.
#[derive(Debug)]
pub struct Scheduler {
    queue: TaskQueue,
    records: Arc<dyn Records>,
    schedules: Vec<Schedule>,
}

impl Scheduler {
    /// A scheduler that remembers in these rows what it has submitted.
    pub fn new(queue: TaskQueue, records: Arc<dyn Records>, schedules: Vec<Schedule>) -> Self {
        Self {
            queue,
            records,
            schedules,
        }
    }

    /// Submits what is due until it is told to stop.
    pub async fn run(self, stop: CancelToken) {
        if self.schedules.is_empty() {
            return;
        }
        while !stop.is_cancelled() {
            let wait = match self.look().await {
                Ok(wait) => wait.min(LOOK),
                Err(error) => {
                    tracing::debug!(%error, "schedules wait for the store");
                    AGAIN
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Submits what is due now, and says in how long to look again.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say: it is looked at again.
    pub async fn look(&self) -> Result<Duration, StoreError> {
        let now_ms = self.queue.store().now_ms().await?;
        let mut wait = LOOK;
        for schedule in &self.schedules {
            self.submit_due(schedule, now_ms).await?;
            if let Some(next) = schedule.ticks.after(now_ms) {
                wait = wait.min(Duration::from_millis(next - now_ms));
            }
        }
        Ok(wait)
    }

    async fn submit_due(&self, schedule: &Schedule, now_ms: u64) -> Result<(), StoreError> {
        let key = RowKey {
            table: TABLE,
            owner: OWNER,
            id: &schedule.name,
        };
        let row = self.records.get(key).await?;
        let last = row.as_ref().and_then(|row| read(&row.value));
        // A new schedule begins now: what was before it was not missed.
        let Some(last) = last else {
            return self.remember(key, now_ms, Expect::Absent).await;
        };
        let due = schedule.ticks.between(last, now_ms, MOST_MADE_UP);
        let Some(newest) = due.last().copied() else {
            return Ok(());
        };
        for tick in schedule.missed.wanted(due, now_ms) {
            self.submit(schedule, tick).await?;
        }
        // Only after it was submitted: a node that dies between the two leaves
        // it to the next one, which finds its key.
        let version = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
        self.remember(key, newest, version).await
    }

    async fn submit(&self, schedule: &Schedule, tick: u64) -> Result<(), StoreError> {
        let task = schedule.task(tick);
        match self.queue.submit(&schedule.owner, vec![task]).await {
            Ok(_) => Ok(()),
            Err(SubmitError::Store(error)) => Err(error),
            // Somebody must be told; the next ticks may still go through.
            Err(error) => {
                let name = &schedule.name;
                tracing::warn!(%name, %error, "a scheduled task was not submitted");
                Ok(())
            }
        }
    }

    async fn remember(&self, key: RowKey<'_>, tick: u64, expect: Expect) -> Result<(), StoreError> {
        let tick = tick.to_string();
        let row = Row {
            value: tick.as_bytes(),
            group: "",
            ttl: Some(REMEMBERED),
        };
        match self.records.put(key, row, expect).await {
            // Another node was there before.
            Ok(_) | Err(WriteError::Conflict) => Ok(()),
            Err(WriteError::Store(error)) => Err(error),
        }
    }
}

fn read(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
