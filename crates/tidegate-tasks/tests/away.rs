//! What a worker does while its store is away.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_store::{
    Change, Changed, Counts, Entry, EntryName, Head, Held, Holding, MemoryLimits, MemoryQueue,
    Part, Placed, Put, PutError, Queue, Shelf, StoreError, Take, Taken,
};
use tidegate_tasks::{
    Handlers, Isolation, Job, NewTask, Settings, TaskQueue, TaskState, Worker, WorkerConfig,
};
use tidegate_work::CancelToken;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A queue that answers nothing while it is away.
#[derive(Debug, Default)]
struct Away {
    home: MemoryQueue,
    is_away: AtomicBool,
}

impl Away {
    fn reach(&self) -> Result<&MemoryQueue, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            let reason = "it is away".to_owned();
            return Err(StoreError::Unreachable { reason });
        }
        Ok(&self.home)
    }

    fn leave(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    fn come_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
    }
}

#[async_trait]
impl Queue for Away {
    async fn put(&self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError> {
        self.reach()?.put(entries, most).await
    }
    async fn take(&self, take: Take<'_>) -> Result<Taken, StoreError> {
        self.reach()?.take(take).await
    }
    async fn hold(&self, held: &[Holding], hold: Duration) -> Result<Vec<Held>, StoreError> {
        self.reach()?.hold(held, hold).await
    }
    async fn note(&self, held: &Holding, note: Bytes) -> Result<bool, StoreError> {
        self.reach()?.note(held, note).await
    }
    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        self.reach()?.change(changes).await
    }
    async fn stop(&self, name: &EntryName) -> Result<bool, StoreError> {
        self.reach()?.stop(name).await
    }
    async fn get(&self, name: &EntryName) -> Result<Option<Entry>, StoreError> {
        self.reach()?.get(name).await
    }
    async fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Result<Vec<Head>, StoreError> {
        self.reach()?.list(owner, shelf, part).await
    }
    async fn counts(&self) -> Result<Counts, StoreError> {
        self.reach()?.counts().await
    }
    async fn sweep(&self, most: u64) -> Result<u64, StoreError> {
        self.reach()?.sweep(most).await
    }
    fn bell(&self) -> watch::Receiver<u64> {
        self.home.bell()
    }
    async fn now_ms(&self) -> Result<u64, StoreError> {
        self.reach()?.now_ms().await
    }
}

const OWNER: &str = "tenant";

/// A queue with one task that takes five seconds, and a worker at it.
struct Scene {
    store: Arc<Away>,
    queue: TaskQueue,
    stop: CancelToken,
    id: String,
}

impl Scene {
    async fn new() -> (Self, tokio::task::JoinSet<()>) {
        let store = Arc::new(Away::default());
        let handlers = Handlers::new().on("sleep", |job: Job<u64>| async move {
            sleep(Duration::from_secs(job.input)).await;
            Ok(())
        });
        let queue = TaskQueue::new(store.clone(), Arc::new(handlers), Settings::default());
        let stop = CancelToken::new();
        let config = WorkerConfig {
            isolation: Isolation::Task,
            ..WorkerConfig::default()
        };
        let limits = Arc::new(MemoryLimits::default());
        let worker = Worker::new(queue.clone(), limits, config, |_| {});
        let mut workers = tokio::task::JoinSet::new();
        workers.spawn(worker.run(stop.clone()));
        let task = vec![NewTask::new("sleep", "5")];
        let id = queue.submit(OWNER, task).await.unwrap().remove(0).id;
        sleep(Duration::from_secs(1)).await;
        let scene = Self {
            store,
            queue,
            stop,
            id,
        };
        assert_eq!(scene.state().await, TaskState::Running);
        (scene, workers)
    }

    async fn state(&self) -> TaskState {
        self.queue
            .get(OWNER, &self.id)
            .await
            .unwrap()
            .unwrap()
            .state
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_when_the_store_is_back() {
    let (scene, mut workers) = Scene::new().await;
    scene.store.leave();
    sleep(Duration::from_secs(8)).await;
    scene.store.come_back();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.state().await, TaskState::Succeeded);
    scene.stop.cancel();
    workers.join_next().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_tell_an_end_ends_all_the_same() {
    let (scene, mut workers) = Scene::new().await;
    scene.store.leave();
    sleep(Duration::from_secs(8)).await;
    let told = Instant::now();
    scene.stop.cancel();
    workers.join_next().await;
    assert!(
        told.elapsed() <= Duration::from_secs(45),
        "{:?}",
        told.elapsed()
    );
    // Nobody has heard of its end: it is begun again elsewhere.
    scene.store.come_back();
    assert_eq!(scene.state().await, TaskState::Running);
}
