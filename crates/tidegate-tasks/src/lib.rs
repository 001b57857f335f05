#![doc = include_str!("../README.md")]

mod doc;
mod error;
mod handlers;
mod id;
mod new_task;
mod order;
mod priority;
mod progress;
mod queue;
mod schedule;
mod state;
mod stats;
mod task;
mod transition;
mod worker;

pub use error::{RetryError, SubmitError};
pub use handlers::{BadInput, Context, Handlers, Job, KindLimits, Rate, TaskError};
pub use new_task::{AtEnd, MOST_ID_BYTES, MOST_TAGS, NewTask, OnFailed, Retries};
pub use priority::{BadPriority, Priority};
pub use progress::Progress;
pub use queue::{CancelOutcome, ListTasks, Settings, Submitted, TaskPage, TaskQueue};
pub use schedule::{BadSchedule, BadTask, Missed, Schedule, Scheduler, Ticks};
pub use state::{BadState, TaskState};
pub use stats::{KindStats, Stats};
pub use task::{Failure, Task, Times, TryCount};
pub use transition::{MOST_LOST, Outcome, Repeat};
pub use worker::{Isolation, TaskEnd, Worker, WorkerConfig};
