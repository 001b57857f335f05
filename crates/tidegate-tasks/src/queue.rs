//! The queue as those see it who submit tasks and look at them.

mod listing;
mod pace;
mod submitting;

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Changed, Entry, EntryName, Queue, Shelf, StoreError};
use tidegate_work::CancelToken;
use tokio::sync::watch;

use crate::doc::Doc;
use crate::error::RetryError;
use crate::handlers::Handlers;
use crate::state::TaskState;
use crate::stats::Stats;
use crate::task::Task;
use crate::transition::{self, Rules};
pub use listing::{ListTasks, TaskPage};
pub(crate) use pace::Pace;
pub use submitting::Submitted;

/// What is true of every task unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Tasks that may be there that have not ended.
    pub max_waiting: u64,
    /// The largest input, in bytes.
    pub max_input_bytes: usize,
    /// Repeats after the first attempt.
    pub max_retries: u32,
    /// Bound of the wait before the first repeat; it doubles with each.
    pub backoff: Duration,
    /// Bound of all these waits.
    pub backoff_cap: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long a task is kept after its end.
    pub result_ttl: Duration,
    /// How long dead letters are kept.
    pub dead_ttl: Duration,
    /// Tasks that are kept after their end, of all owners.
    pub max_ended: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            max_waiting: 1_000_000,
            max_input_bytes: 8 << 20,
            max_retries: 3,
            backoff: Duration::from_secs(2),
            backoff_cap: Duration::from_secs(120),
            timeout: Duration::from_secs(300),
            result_ttl: day,
            dead_ttl: 30 * day,
            max_ended: 1_000_000,
        }
    }
}

/// Background tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskQueue {
    store: Arc<dyn Queue>,
    handlers: Arc<Handlers>,
    settings: Arc<Settings>,
    pace: Arc<Pace>,
}

/// What came of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It will never start (again).
    Cancelled,
    /// Its worker was told to stop.
    Stopping,
    /// It had ended before.
    Ended(TaskState),
    /// There is none.
    Missing,
}

/// How often it is looked whether the time of a task is over.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Between two steps while there are more.
const TIDY_ON: Duration = Duration::from_millis(10);

/// Tries to change a task that others change at the same time.
const MOST_TRIES: usize = 16;

impl TaskQueue {
    /// Tasks in a store, of the kinds that handlers know.
    pub fn new(store: Arc<dyn Queue>, handlers: Arc<Handlers>, settings: Settings) -> Self {
        Self {
            store,
            handlers,
            settings: Arc::new(settings),
            pace: Arc::default(),
        }
    }

    /// The kinds that can be submitted.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.handlers.kinds()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Queue> {
        &self.store
    }

    pub(crate) fn handlers(&self) -> &Arc<Handlers> {
        &self.handlers
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// What a step may know, each time with another random number.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            cap: self.settings.backoff_cap,
            keep_dead: self.settings.dead_ttl,
            random: fastrand::f64(),
        }
    }

    /// The task.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Task>, StoreError> {
        let entry = self.store.get(&name(owner, id)).await?;
        Ok(entry.map(Task::of_entry))
    }

    /// Sees to it that a task does not start (again), or tells its worker to
    /// stop. To cancel one twice is to cancel it once.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn cancel(&self, owner: &str, id: &str) -> Result<CancelOutcome, StoreError> {
        let name = name(owner, id);
        for _ in 0..MOST_TRIES {
            let Some(entry) = self.store.get(&name).await? else {
                return Ok(CancelOutcome::Missing);
            };
            let state = TaskState::of_shelf(entry.head.shelf);
            if state.is_final() {
                return Ok(CancelOutcome::Ended(state));
            }
            if entry.head.shelf == Shelf::Held {
                if self.store.stop(&name).await? {
                    return Ok(CancelOutcome::Stopping);
                }
            } else if self.cancel_waiting(&entry).await? {
                return Ok(CancelOutcome::Cancelled);
            }
        }
        Err(busy())
    }

    async fn cancel_waiting(&self, entry: &Entry) -> Result<bool, StoreError> {
        let head = &entry.head;
        let doc = Doc::read(&head.state).unwrap_or_else(Doc::lost);
        let change = transition::cancelled(head, doc, &self.rules());
        let changed = self.store.change(vec![change]).await?;
        Ok(changed
            .first()
            .is_some_and(|changed| *changed != Changed::Lost))
    }

    /// Takes a task that ended in vain up again, with all its repeats.
    ///
    /// # Errors
    /// [`RetryError`] when it was not.
    pub async fn retry(&self, owner: &str, id: &str) -> Result<(), RetryError> {
        let name = name(owner, id);
        for _ in 0..MOST_TRIES {
            let entry = self.store.get(&name).await?.ok_or(RetryError::Missing)?;
            let state = TaskState::of_shelf(entry.head.shelf);
            let doc = Doc::read(&entry.head.state);
            let (true, Some(doc)) = (can_retry(state), doc) else {
                return Err(RetryError::State(state));
            };
            self.check_dependencies(&entry, &doc).await?;
            let change = transition::retried(&entry.head, doc);
            let changed = self.store.change(vec![change]).await?;
            if changed
                .first()
                .is_some_and(|changed| *changed != Changed::Lost)
            {
                return Ok(());
            }
        }
        Err(busy().into())
    }

    /// What failed with another task would begin before it.
    async fn check_dependencies(&self, entry: &Entry, doc: &Doc) -> Result<(), RetryError> {
        let error = doc.error.as_ref().map(|error| error.code.as_str());
        if error != Some(transition::DEPENDENCY_FAILED) {
            return Ok(());
        }
        for after in &entry.head.after {
            let before = self.store.get(&name(&entry.head.name.owner, after)).await?;
            let shelf = before.map(|before| before.head.shelf);
            if shelf != Some(TaskState::Succeeded.shelf()) {
                let after = after.clone();
                return Err(RetryError::Dependency { after });
            }
        }
        Ok(())
    }

    /// How many tasks there are, of all owners.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let mut stats = Stats::of(self.store.counts().await?);
        for (kind, per_second) in self.pace.per_second() {
            stats.kinds.entry(kind).or_default().per_second = per_second;
        }
        Ok(stats)
    }

    /// Removes tasks whose time is over, until it is told to stop. Any number of
    /// nodes may do so.
    pub async fn tidy(&self, stop: &CancelToken) {
        while !stop.is_cancelled() {
            let swept = self.store.sweep(self.settings.max_ended).await;
            let wait = match swept {
                Ok(0) | Err(_) => TIDY_EVERY,
                Ok(_) => TIDY_ON,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Changes whenever a task may have moved; a change may be missed.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.store.bell()
    }
}

fn can_retry(state: TaskState) -> bool {
    match state {
        TaskState::Dead | TaskState::Failed => true,
        TaskState::Waiting
        | TaskState::Queued
        | TaskState::Running
        | TaskState::Retrying
        | TaskState::Succeeded
        | TaskState::Cancelled => false,
    }
}

pub(crate) fn name(owner: &str, id: &str) -> EntryName {
    EntryName {
        owner: owner.to_owned(),
        id: id.to_owned(),
    }
}

fn busy() -> StoreError {
    StoreError::Refused {
        reason: "the task changes all the time: try again".to_owned(),
    }
}
