//! Tasks and workers that are told to stop.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_tasks::{CancelOutcome, Handlers, Job, NewTask, TaskError, TaskState, WorkerConfig};
use tidegate_work::CancelToken;
use tokio::time::{Instant, sleep};

use super::{OWNER, Shop, config, sleeper};

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_never_begins_and_one_that_runs_is_stopped() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    let id = shop.submit(NewTask::new("sleep", "1")).await;
    assert_eq!(
        shop.queue.cancel(OWNER, &id).await.unwrap(),
        CancelOutcome::Cancelled
    );
    let again = shop.queue.cancel(OWNER, &id).await.unwrap();
    assert_eq!(again, CancelOutcome::Ended(TaskState::Cancelled));
    assert_eq!(
        shop.queue.cancel(OWNER, "nobody").await.unwrap(),
        CancelOutcome::Missing
    );
    shop.worker(config());
    let long = shop.submit(NewTask::new("sleep", "600000")).await;
    shop.until(&long, TaskState::Running).await;
    let told = Instant::now();
    assert_eq!(
        shop.queue.cancel(OWNER, &long).await.unwrap(),
        CancelOutcome::Stopping
    );
    shop.until(&long, TaskState::Cancelled).await;
    assert!(
        told.elapsed() <= Duration::from_secs(6),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    shop.close().await;
}

/// The worker has not heard yet when its attempt fails, and would try again.
#[tokio::test(start_paused = true)]
async fn a_task_that_fails_while_it_is_cancelled_is_not_tried_again() {
    let starts: Arc<AtomicU32> = Arc::default();
    let counts = starts.clone();
    let handlers = Handlers::new().on("fail", move |_: Job<()>| {
        counts.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_millis(100)).await;
            Err::<(), _>(TaskError::passing("busy", "come back"))
        }
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let id = shop.submit(NewTask::new("fail", "null")).await;
    shop.until(&id, TaskState::Running).await;
    assert_eq!(
        shop.queue.cancel(OWNER, &id).await.unwrap(),
        CancelOutcome::Stopping
    );
    let told = Instant::now();
    shop.until(&id, TaskState::Cancelled).await;
    assert!(told.elapsed() < Duration::from_secs(1));
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_hears_within_a_second_that_its_task_was_cancelled() {
    let heard = Arc::new(Mutex::new(None));
    let hears = heard.clone();
    let handlers = Handlers::new().on("listen", move |job: Job<()>| {
        let hears = hears.clone();
        async move {
            job.context.cancel.cancelled().await;
            *hears.lock().unwrap() = Some(Instant::now());
            Err::<(), _>(TaskError::passing("stopped", "as it was told"))
        }
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let id = shop.submit(NewTask::new("listen", "null")).await;
    shop.until(&id, TaskState::Running).await;
    let told = Instant::now();
    shop.queue.cancel(OWNER, &id).await.unwrap();
    let task = shop.until(&id, TaskState::Cancelled).await;
    let heard = heard.lock().unwrap().unwrap();
    assert!(heard - told <= Duration::from_secs(1));
    assert_eq!(task.error, None);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_end_finishes_what_runs_and_gives_back_the_rest() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    shop.worker(WorkerConfig {
        concurrency: 1,
        prefetch: 2,
        ..config()
    });
    let first = shop.submit(NewTask::new("sleep", "5000")).await;
    shop.until(&first, TaskState::Running).await;
    let second = shop.submit(NewTask::new("sleep", "5000")).await;
    shop.until(&second, TaskState::Running).await;
    shop.close().await;
    assert_eq!(shop.task(&first).await.state, TaskState::Succeeded);
    assert_eq!(shop.task(&second).await.state, TaskState::Queued);
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_runs_longer_than_a_worker_may_take_to_end_is_begun_again_elsewhere() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    shop.worker(config());
    let id = shop.submit(NewTask::new("sleep", "100000")).await;
    shop.until(&id, TaskState::Running).await;
    shop.close().await;
    let task = shop.task(&id).await;
    assert_eq!((task.state, task.error), (TaskState::Retrying, None));
    shop.stop = CancelToken::new();
    shop.worker(config());
    shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    shop.close().await;
}
