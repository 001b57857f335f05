//! Tasks that are submitted again and again.
//!
//! Every node looks at the clock of the store and submits what is due, under an
//! id that is made of the schedule and the tick: only one of them has it. There
//! is no leader, so none has to be found when one dies.

mod keeper;
mod ticks;

use std::time::Duration;

use bytes::Bytes;

use crate::error::SubmitError;
use crate::new_task::NewTask;
use crate::priority::Priority;
use crate::queue::TaskQueue;
pub use keeper::Scheduler;
pub use ticks::{BadSchedule, Ticks};

/// A task that is submitted again and again.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name, which no other has: at most 48 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Whose the tasks are.
    pub owner: String,
    /// When.
    pub ticks: Ticks,
    /// What becomes of ticks that nobody was there for.
    pub missed: Missed,
    /// What is submitted.
    pub kind: String,
    /// With this input.
    pub input: Bytes,
    /// How urgent it is.
    pub priority: Priority,
}

impl Schedule {
    /// What is submitted for a tick.
    pub(crate) fn task(&self, tick: u64) -> NewTask {
        let mut task = NewTask::new(&self.kind, self.input.clone());
        task.priority = self.priority;
        task.id = Some(format!("{}.{tick}", self.name));
        task.tags = vec![format!("schedule:{}", self.name)];
        task
    }
}

/// A schedule whose tasks would be refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("schedules.{name}: {error}")]
pub struct BadTask {
    name: String,
    error: SubmitError,
}

impl TaskQueue {
    /// Looks at what schedules would submit, before the first of it is due.
    ///
    /// # Errors
    /// [`BadTask`] names the first whose tasks would be refused.
    pub fn check(&self, schedules: &[Schedule]) -> Result<(), BadTask> {
        for schedule in schedules {
            let task = schedule.task(0);
            let checked = task.check(self.handlers(), self.settings());
            let name = &schedule.name;
            checked.map_err(|error| BadTask {
                name: name.clone(),
                error,
            })?;
        }
        Ok(())
    }
}

/// What becomes of ticks that nobody was there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out, but for one that was missed by a few seconds only.
    Skip,
    /// The last one is made up for.
    #[default]
    Once,
    /// All of them are made up for, the last hundred at most.
    All,
}

/// Ticks that are made up for at most.
const MOST_MADE_UP: usize = 100;
/// A tick that is so late is not missed.
const LATE: Duration = Duration::from_secs(5);

impl Missed {
    /// Which ticks are submitted, of those that are due.
    fn wanted(self, mut due: Vec<u64>, now_ms: u64) -> Vec<u64> {
        match self {
            Self::Skip => {
                due.retain(|tick| now_ms.saturating_sub(*tick) <= LATE.as_millis() as u64)
            }
            Self::Once => {
                due.drain(..due.len().saturating_sub(1));
            }
            Self::All => {
                due.drain(..due.len().saturating_sub(MOST_MADE_UP));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_skipped_made_up_for_once_or_all_of_it() {
        let due = vec![1_000, 61_000, 121_000];
        let now = 121_500;
        assert_eq!(Missed::Skip.wanted(due.clone(), now), [121_000]);
        assert_eq!(Missed::Skip.wanted(due.clone(), 200_000), [0_u64; 0]);
        assert_eq!(Missed::Once.wanted(due.clone(), 200_000), [121_000]);
        assert_eq!(Missed::All.wanted(due.clone(), 200_000), due);
        let many: Vec<u64> = (0..500).collect();
        assert_eq!(
            Missed::All.wanted(many, 500),
            (400..500).collect::<Vec<_>>()
        );
    }
}
