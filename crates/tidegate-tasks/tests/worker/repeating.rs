//! What becomes of an attempt that goes wrong.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_tasks::{
    Handlers, Job, NewTask, RetryError, TaskError, TaskState, Worker, WorkerConfig,
};
use tokio::time::Instant;

use super::{OWNER, Shop, code, config, double, sleeper};

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_repeated_and_at_last_a_dead_letter_that_can_be_retried() {
    let well = Arc::new(AtomicU32::new(0));
    let is_well = well.clone();
    let handlers = Handlers::new().on("flaky", move |job: Job<()>| {
        let is_well = is_well.load(Ordering::SeqCst) == 1;
        async move {
            if is_well {
                return Ok(job.context.attempt);
            }
            Err(TaskError::passing("busy", "come back"))
        }
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let id = shop.submit(NewTask::new("flaky", "null")).await;
    let dead = shop.until(&id, TaskState::Dead).await;
    assert_eq!((dead.tries.attempt, code(&dead)), (4, "busy"));
    well.store(1, Ordering::SeqCst);
    shop.queue.retry(OWNER, &id).await.unwrap();
    let task = shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(
        (task.result.as_deref(), task.error),
        (Some(b"5".as_slice()), None)
    );
    let refused = shop.queue.retry(OWNER, &id).await.unwrap_err();
    assert_eq!(refused, RetryError::State(TaskState::Succeeded));
    assert_eq!(
        shop.queue.retry(OWNER, "nobody").await,
        Err(RetryError::Missing)
    );
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttle_says_when_to_come_back() {
    let handlers = Handlers::new().on("busy", |job: Job<()>| async move {
        if job.context.attempt == 1 {
            return Err(TaskError::busy(
                "throttled",
                "later",
                Duration::from_secs(500),
            ));
        }
        Ok(())
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let began = Instant::now();
    let id = shop.submit(NewTask::new("busy", "null")).await;
    shop.until(&id, TaskState::Succeeded).await;
    assert!(began.elapsed() >= Duration::from_secs(500));
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lasting_failure_is_not_repeated_and_takes_its_dependants_along() {
    let handlers = Handlers::new().on("fail", |_: Job<()>| async move {
        Err::<(), _>(TaskError::lasting("no_such_model", "there is none"))
    });
    let mut shop = Shop::new(handlers);
    let first = shop.submit(NewTask::new("fail", "null")).await;
    let mut after = NewTask::new("fail", "null");
    after.depends_on = vec![first.clone()];
    let second = shop.submit(after.clone()).await;
    after.depends_on = vec![second.clone()];
    let third = shop.submit(after).await;
    shop.worker(config());
    assert_eq!(
        code(&shop.until(&first, TaskState::Failed).await),
        "no_such_model"
    );
    for id in [second.clone(), third] {
        let failed = shop.until(&id, TaskState::Failed).await;
        assert_eq!(
            (code(&failed), failed.tries.attempt),
            ("dependency_failed", 1)
        );
    }
    let refused = shop.queue.retry(OWNER, &second).await.unwrap_err();
    assert_eq!(refused, RetryError::Dependency { after: first });
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_dropped_and_repeated() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    shop.worker(config());
    let mut task = NewTask::new("sleep", "60000");
    task.retries.timeout = Some(Duration::from_secs(1));
    task.retries.max = Some(1);
    let id = shop.submit(task).await;
    let dead = shop.until(&id, TaskState::Dead).await;
    assert_eq!((code(&dead), starts.load(Ordering::SeqCst)), ("timeout", 2));
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_leaves_a_dead_letter_and_the_queue_goes_on() {
    let handlers = double().on("panic", |job: Job<u32>| async move {
        assert!(job.input != 7, "seven is not wanted");
        Ok(())
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let mut task = NewTask::new("panic", "7");
    task.retries.max = Some(0);
    let id = shop.submit(task).await;
    let dead = shop.until(&id, TaskState::Dead).await;
    assert_eq!(code(&dead), "panic");
    assert!(dead.error.unwrap().message.contains("seven is not wanted"));
    let next = shop.submit(NewTask::new("double", "2")).await;
    shop.until(&next, TaskState::Succeeded).await;
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_inline_with_its_repeats_where_nobody_else_works() {
    let handlers = Handlers::new().on("flaky", |job: Job<()>| async move {
        if job.context.attempt < 3 {
            return Err(TaskError::passing("busy", "come back"));
        }
        Ok("well")
    });
    let shop = Shop::new(handlers);
    let worker = Worker::new(shop.queue.clone(), shop.limits.clone(), config(), |_| {});
    let done = worker
        .run_inline(OWNER, NewTask::new("flaky", "null"))
        .await
        .unwrap();
    let task = shop.task(&done.id).await;
    assert_eq!((task.state, task.tries.attempt), (TaskState::Succeeded, 3));
}

/// In real time: it is about threads that do not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_awaits_is_given_up_and_the_queue_goes_on() {
    let stop = Arc::new(AtomicU32::new(0));
    let stopped = stop.clone();
    let handlers = double().on("spin", move |_: Job<()>| {
        let stopped = stopped.clone();
        async move {
            while stopped.load(Ordering::SeqCst) == 0 {
                std::hint::spin_loop();
            }
            Ok(())
        }
    });
    let mut shop = Shop::new(handlers);
    shop.worker(WorkerConfig {
        concurrency: 2,
        ..WorkerConfig::default()
    });
    let mut task = NewTask::new("spin", "null");
    task.retries.max = Some(0);
    task.retries.timeout = Some(Duration::from_millis(100));
    let id = shop.submit(task).await;
    let dead = shop.until(&id, TaskState::Dead).await;
    assert_eq!(code(&dead), "timeout");
    assert!(dead.error.unwrap().message.contains("never awaits"));
    let next = shop.submit(NewTask::new("double", "2")).await;
    shop.until(&next, TaskState::Succeeded).await;
    stop.store(1, Ordering::SeqCst);
    shop.close().await;
}
