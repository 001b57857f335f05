//! Workers that die.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_tasks::{NewTask, TaskState};
use tokio::time::{Instant, advance, sleep};

use super::{Shop, code, config, sleeper};

#[tokio::test(start_paused = true)]
async fn a_long_task_is_begun_once_while_its_worker_lives() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    for _ in 0..4 {
        shop.worker(config());
    }
    let id = shop.submit(NewTask::new("sleep", "150000")).await;
    shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_worker_died_is_begun_again_within_the_lease_and_a_look() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    shop.worker(config());
    let id = shop.submit(NewTask::new("sleep", "5000")).await;
    shop.until(&id, TaskState::Running).await;
    shop.kill().await;
    let died = Instant::now();
    shop.worker(config());
    while starts.load(Ordering::SeqCst) < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        died.elapsed() <= Duration::from_secs(16),
        "{:?}",
        died.elapsed()
    );
    let task = shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(task.tries.attempt, 2);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_kills_its_workers_is_put_away_and_the_queue_goes_on() {
    let starts = Arc::default();
    let mut shop = Shop::new(sleeper(&starts));
    let id = shop.submit(NewTask::new("sleep", "5000")).await;
    for _ in 0..5 {
        let before = starts.load(Ordering::SeqCst);
        shop.worker(config());
        while starts.load(Ordering::SeqCst) == before {
            sleep(Duration::from_millis(10)).await;
        }
        shop.kill().await;
        advance(Duration::from_secs(16)).await;
    }
    shop.worker(config());
    let dead = shop.until(&id, TaskState::Dead).await;
    assert_eq!(
        (code(&dead), starts.load(Ordering::SeqCst)),
        ("worker_lost", 5)
    );
    let next = shop.submit(NewTask::new("sleep", "1")).await;
    shop.until(&next, TaskState::Succeeded).await;
    shop.close().await;
}
