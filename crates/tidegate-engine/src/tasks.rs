//! Background tasks: what the tasks' room runs, and on whose behalf.
//!
//! A task outlives the revision of the configuration that it was submitted
//! under: its handler asks for the one that is in force when it runs.

mod chat;
mod health;
mod scan_batch;
mod tenant;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_store::{Limits, Queue, Records, Store, StoreError};
use tidegate_tasks::{
    BadTask, CancelOutcome, Handlers, KindLimits, ListTasks, NewTask, RetryError, Schedule,
    Scheduler, Settings, Stats, SubmitError, Submitted, Task, TaskEnd, TaskPage, TaskQueue, Worker,
    WorkerConfig,
};
use tidegate_work::CancelToken;

use crate::assemble::Engine;
use crate::caller::Caller;
pub use webhook::Webhooks;

/// The revision in force: what a task runs on, and on whose behalf.
pub trait InForce: fmt::Debug + Send + Sync {
    /// The engine.
    fn engine(&self) -> Engine;

    /// A tenant as a task of it calls: under the policy that the key demanded
    /// which submitted it, where there was one. `None` where the tenant, or
    /// that policy, is not configured any more.
    fn caller(&self, tenant: &str, policy: Option<&str>) -> Option<Caller>;
}

/// How background tasks are run.
#[derive(Debug, Clone, Default)]
pub struct TasksConfig {
    /// What holds for each task unless it says otherwise.
    pub settings: Settings,
    /// How this process works at them.
    pub worker: WorkerConfig,
    /// Bounds of kinds.
    pub kinds: BTreeMap<String, KindLimits>,
    /// Tasks that are submitted again and again.
    pub schedules: Vec<Schedule>,
    /// Who may be told the end of a task.
    pub webhooks: Webhooks,
    /// Who runs what is submitted.
    pub runs: Runs,
}

/// Who runs what is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runs {
    /// Workers, here or elsewhere, when there is room.
    #[default]
    Queued,
    /// Whoever submits it, at once, before the submission is answered.
    Inline,
}

type OnEnd = Arc<dyn Fn(&TaskEnd) + Send + Sync>;

/// Background tasks of one process. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    queue: TaskQueue,
    config: Arc<TasksConfig>,
    limits: Arc<dyn Limits>,
    records: Arc<dyn Records>,
    on_end: OnEnd,
}

impl Tasks {
    fn new(
        config: TasksConfig,
        store: &Store,
        in_force: Arc<dyn InForce>,
        on_end: impl Fn(&TaskEnd) + Send + Sync + 'static,
    ) -> Self {
        let entries = store.queue.clone();
        let handlers = handlers(&config, &in_force, &entries);
        let queue = TaskQueue::new(entries, Arc::new(handlers), config.settings.clone());
        Self {
            queue,
            config: Arc::new(config),
            limits: store.limits.clone(),
            records: store.records.clone(),
            on_end: Arc::new(on_end),
        }
    }

    /// Looks at what the schedules would submit, before the first of it is due.
    ///
    /// # Errors
    /// [`BadTask`] names the first whose tasks would be refused.
    pub fn check_schedules(&self) -> Result<(), BadTask> {
        self.queue.check(&self.config.schedules)
    }

    /// The kinds that can be submitted.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.queue.kinds()
    }

    /// Submits tasks on behalf of a caller, all or none. When this returns they
    /// are safe. Where they run inline, each is submitted and has ended before
    /// the next one: what comes before one that is refused has run.
    ///
    /// # Errors
    /// [`SubmitError`] says what is wrong with which field.
    pub async fn submit(
        &self,
        caller: &Caller,
        mut tasks: Vec<NewTask>,
    ) -> Result<Vec<Submitted>, SubmitError> {
        for task in &mut tasks {
            self.config.webhooks.check(task)?;
            task.on_behalf = caller.policy().map(|policy| policy.id().to_owned());
        }
        match self.config.runs {
            Runs::Queued => self.queue.submit(caller.tenant(), tasks).await,
            Runs::Inline => self.run_now(caller, tasks).await,
        }
    }

    async fn run_now(
        &self,
        caller: &Caller,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Submitted>, SubmitError> {
        let mut submitted = Vec::with_capacity(tasks.len());
        for task in tasks {
            let ran = self.worker().run_inline(caller.tenant(), task).await?;
            submitted.push(ran);
        }
        Ok(submitted)
    }

    /// A caller's task.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Option<Task>, StoreError> {
        self.queue.get(caller.tenant(), id).await
    }

    /// A caller's tasks.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn list(&self, caller: &Caller, list: &ListTasks) -> Result<TaskPage, StoreError> {
        self.queue.list(caller.tenant(), list).await
    }

    /// Cancels a caller's task.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<CancelOutcome, StoreError> {
        self.queue.cancel(caller.tenant(), id).await
    }

    /// Takes a caller's task up again that ended in vain.
    ///
    /// # Errors
    /// [`RetryError`] when it was not.
    pub async fn retry(&self, caller: &Caller, id: &str) -> Result<(), RetryError> {
        self.queue.retry(caller.tenant(), id).await
    }

    /// How many tasks there are, of all tenants.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.queue.stats().await
    }

    /// The same, worked at in another way here.
    #[must_use]
    pub fn with_worker(&self, worker: WorkerConfig) -> Self {
        let config = TasksConfig {
            worker,
            ..(*self.config).clone()
        };
        Self {
            config: Arc::new(config),
            ..self.clone()
        }
    }

    fn worker(&self) -> Worker {
        let on_end = self.on_end.clone();
        let config = self.config.worker.clone();
        Worker::new(
            self.queue.clone(),
            self.limits.clone(),
            config,
            move |end| on_end(end),
        )
    }

    /// Works at tasks, submits those that are scheduled, and removes those whose
    /// time is over, until it is told to stop. What runs then comes to its end,
    /// or is given back.
    pub async fn work(&self, stop: CancelToken) {
        let schedules = self.config.schedules.clone();
        let scheduler = Scheduler::new(self.queue.clone(), self.records.clone(), schedules);
        tokio::join!(
            self.worker().run(stop.clone()),
            scheduler.run(stop.clone()),
            self.queue.tidy(&stop),
        );
    }
}

impl Engine {
    /// Background tasks in this engine's store, which run on the engine that is
    /// in force then. Each end, and each failed attempt, is told to `on_end`.
    pub fn tasks(
        &self,
        config: TasksConfig,
        in_force: Arc<dyn InForce>,
        on_end: impl Fn(&TaskEnd) + Send + Sync + 'static,
    ) -> Tasks {
        Tasks::new(config, &self.rooms.store, in_force, on_end)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("queue", &self.queue)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Every kind of task, and what is done for it.
fn handlers(
    config: &TasksConfig,
    in_force: &Arc<dyn InForce>,
    entries: &Arc<dyn Queue>,
) -> Handlers {
    let (chats, scans, healths) = (in_force.clone(), in_force.clone(), in_force.clone());
    let webhooks = config.webhooks.clone();
    let tasks = TaskQueue::new(entries.clone(), Arc::default(), config.settings.clone());
    let handlers = Handlers::new()
        .on("chat", move |job| chat::run(chats.clone(), job))
        .alias("process_chat", "chat")
        .on("scan_batch", move |job| scan_batch::run(scans.clone(), job))
        .on("monitor_health", move |job| {
            health::run(healths.clone(), job)
        })
        .on("webhook", move |job| {
            webhook::run(webhooks.clone(), tasks.clone(), job)
        });
    let limits = config.kinds.iter();
    limits.fold(handlers, |handlers, (kind, limits)| {
        handlers.limit(kind, *limits)
    })
}
