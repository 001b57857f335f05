//! Who begins when, and how far it has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_tasks::{Handlers, Job, KindLimits, NewTask, Priority, Rate, TaskState, WorkerConfig};
use tokio::time::{Instant, sleep};

use super::{Shop, config, double, noting, sleeper};

#[tokio::test(start_paused = true)]
async fn a_task_is_picked_up_at_once_though_nobody_looks_for_a_second() {
    let mut shop = Shop::new(double());
    shop.worker(config());
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let id = shop.submit(NewTask::new("double", "1")).await;
    while shop.task(&id).await.state != TaskState::Succeeded {
        tokio::task::yield_now().await;
        assert!(began.elapsed().is_zero(), "it waited for a look");
    }
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn urgent_tasks_begin_first_and_in_the_order_of_submission() {
    let order = Arc::default();
    let mut shop = Shop::new(noting(&order));
    for priority in [Priority::Background, Priority::Normal, Priority::Critical] {
        for number in 0..3 {
            let mut task = NewTask::new("note", format!("\"{priority}{number}\""));
            task.priority = priority;
            shop.submit(task).await;
        }
    }
    shop.worker(WorkerConfig {
        concurrency: 1,
        ..config()
    });
    while order.lock().unwrap().len() < 9 {
        sleep(Duration::from_millis(10)).await;
    }
    let expected = ["critical", "normal", "background"];
    let expected = expected
        .iter()
        .flat_map(|word| (0..3).map(move |number| format!("{word}{number}")));
    assert_eq!(*order.lock().unwrap(), expected.collect::<Vec<_>>());
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn background_tasks_are_not_starved_by_urgent_ones_that_never_end() {
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut shop = Shop::new(noting(&order));
    let mut background = NewTask::new("note", "\"background\"");
    background.priority = Priority::Background;
    shop.submit(background).await;
    for _ in 0..100 {
        let mut task = NewTask::new("note", "\"critical\"");
        task.priority = Priority::Critical;
        shop.submit(task).await;
    }
    shop.worker(WorkerConfig {
        concurrency: 1,
        ..config()
    });
    let begun = || {
        order
            .lock()
            .unwrap()
            .iter()
            .position(|word| word == "background")
    };
    while begun().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(begun(), Some(15));
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_seen_while_a_task_runs() {
    let handlers = Handlers::new().on("steps", |job: Job<u64>| async move {
        for step in 1..=job.input {
            sleep(Duration::from_secs(1)).await;
            job.context.progress(step, job.input, "stepping");
        }
        Ok(())
    });
    let mut shop = Shop::new(handlers);
    shop.worker(config());
    let id = shop.submit(NewTask::new("steps", "10")).await;
    shop.until(&id, TaskState::Running).await;
    sleep(Duration::from_millis(2_200)).await;
    let progress = shop.task(&id).await.progress.unwrap();
    assert_eq!(
        (progress.current, progress.total, &*progress.message),
        (2, 10, "stepping")
    );
    assert_eq!((progress.per_second, progress.eta_ms), (1.0, Some(8_000)));
    // The last word is told although the end comes right after it.
    let done = shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(done.progress.unwrap().current, 10);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_kind_run_at_once_or_begin_in_a_window_than_it_allows() {
    let starts: Arc<AtomicU32> = Arc::default();
    let limits = KindLimits {
        concurrency: Some(2),
        rate: Some(Rate {
            tasks: 5,
            window: Duration::from_secs(60),
        }),
    };
    let mut shop = Shop::new(sleeper(&starts).limit("sleep", limits));
    for _ in 0..2 {
        shop.worker(config());
    }
    for _ in 0..12 {
        shop.submit(NewTask::new("sleep", "1000")).await;
    }
    let began = Instant::now();
    let mut most = 0;
    let mut by_minute: BTreeMap<u64, u32> = BTreeMap::new();
    while starts.load(Ordering::SeqCst) < 12 {
        let stats = shop.queue.stats().await.unwrap();
        most = most.max(stats.states.get(&TaskState::Running).copied().unwrap_or(0));
        by_minute.insert(
            began.elapsed().as_secs() / 60,
            starts.load(Ordering::SeqCst),
        );
        sleep(Duration::from_millis(20)).await;
    }
    assert!(most <= 2, "{most} at once");
    assert!(by_minute[&0] <= 5 && by_minute[&1] <= 10, "{by_minute:?}");
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_held_back_has_not_been_attempted() {
    let starts: Arc<AtomicU32> = Arc::default();
    let rate = Some(Rate {
        tasks: 1,
        window: Duration::from_secs(10),
    });
    let limits = KindLimits {
        concurrency: None,
        rate,
    };
    let mut shop = Shop::new(sleeper(&starts).limit("sleep", limits));
    shop.worker(config());
    shop.submit(NewTask::new("sleep", "1")).await;
    let second = shop.submit(NewTask::new("sleep", "1")).await;
    let task = shop.until(&second, TaskState::Succeeded).await;
    assert_eq!(task.tries.attempt, 1);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_for_its_time() {
    let mut shop = Shop::new(double());
    shop.worker(config());
    let mut task = NewTask::new("double", "1");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let later = u64::try_from(now.as_millis()).unwrap() + 3_600_000;
    task.run_at_ms = Some(later);
    let id = shop.submit(task).await;
    sleep(Duration::from_secs(3_500)).await;
    assert_eq!(shop.task(&id).await.state, TaskState::Queued);
    let task = shop.until(&id, TaskState::Succeeded).await;
    assert!(task.times.started.unwrap() >= later);
    shop.close().await;
}
