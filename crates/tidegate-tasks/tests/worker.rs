//! What workers promise, with the store's home in memory and in virtual time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "worker/dying.rs"]
mod dying;
#[path = "worker/ordering.rs"]
mod ordering;
#[path = "worker/repeating.rs"]
mod repeating;
#[path = "worker/stopping.rs"]
mod stopping;
#[path = "worker/submitting.rs"]
mod submitting;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_store::{MemoryLimits, MemoryQueue};
use tidegate_tasks::{
    Handlers, Isolation, Job, NewTask, Settings, Task, TaskQueue, TaskState, Worker, WorkerConfig,
};
use tidegate_work::CancelToken;
use tokio::task::JoinSet;
use tokio::time::sleep;

const OWNER: &str = "tenant";

/// A queue, and the workers at it.
struct Shop {
    queue: TaskQueue,
    workers: JoinSet<()>,
    stop: CancelToken,
    limits: Arc<MemoryLimits>,
}

impl Shop {
    fn new(handlers: Handlers) -> Self {
        Self::with(handlers, Settings::default())
    }

    fn with(handlers: Handlers, settings: Settings) -> Self {
        let store = Arc::new(MemoryQueue::default());
        Self {
            queue: TaskQueue::new(store, Arc::new(handlers), settings),
            workers: JoinSet::new(),
            stop: CancelToken::new(),
            limits: Arc::default(),
        }
    }

    fn worker(&mut self, config: WorkerConfig) {
        let worker = Worker::new(self.queue.clone(), self.limits.clone(), config, |_| {});
        self.workers.spawn(worker.run(self.stop.clone()));
    }

    async fn submit(&self, task: NewTask) -> String {
        self.queue
            .submit(OWNER, vec![task])
            .await
            .unwrap()
            .remove(0)
            .id
    }

    async fn task(&self, id: &str) -> Task {
        self.queue.get(OWNER, id).await.unwrap().unwrap()
    }

    /// Waits until a task is there; time passes by itself.
    async fn until(&self, id: &str, state: TaskState) -> Task {
        for _ in 0..100_000 {
            let task = self.task(id).await;
            if task.state == state {
                return task;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} is {}, not {state}", self.task(id).await.state);
    }

    /// Every worker dies without a word.
    async fn kill(&mut self) {
        self.workers.abort_all();
        while self.workers.join_next().await.is_some() {}
    }

    async fn close(&mut self) {
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
    }
}

fn config() -> WorkerConfig {
    WorkerConfig {
        isolation: Isolation::Task,
        ..WorkerConfig::default()
    }
}

fn code(task: &Task) -> &str {
    task.error.as_ref().map_or("", |error| &error.code)
}

/// A handler that doubles numbers.
fn double() -> Handlers {
    Handlers::new().on("double", |job: Job<u64>| async move { Ok(job.input * 2) })
}

/// A handler that sleeps for so many milliseconds, and counts its starts.
fn sleeper(starts: &Arc<AtomicU32>) -> Handlers {
    let starts = starts.clone();
    Handlers::new().on("sleep", move |job: Job<u64>| {
        starts.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_millis(job.input)).await;
            Ok("slept")
        }
    })
}

/// A handler that notes in which order tasks are begun.
fn noting(order: &Arc<Mutex<Vec<String>>>) -> Handlers {
    let order = order.clone();
    Handlers::new().on("note", move |job: Job<String>| {
        order.lock().unwrap().push(job.input);
        async move { Ok(()) }
    })
}
