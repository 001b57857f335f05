//! What workers promise, with the store's home in memory and in virtual time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_store::{MemoryLimits, MemoryQueue};
use tidegate_tasks::{
    CancelOutcome, Handlers, Isolation, Job, KindLimits, ListTasks, NewTask, Priority, Rate,
    RetryError, Settings, SubmitError, Task, TaskError, TaskQueue, TaskState, Worker, WorkerConfig,
};
use tidegate_work::CancelToken;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

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

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_leaves_its_result() {
    let mut shop = Shop::new(double());
    shop.worker(config());
    let id = shop.submit(NewTask::new("double", "21")).await;
    let task = shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(task.result.as_deref(), Some(b"42".as_slice()));
    assert_eq!(task.input.as_deref(), Some(b"21".as_slice()));
    assert_eq!((task.tries.attempt, task.tries.max_retries), (1, 3));
    assert!(task.times.started.is_some() && task.times.finished.is_some());
    shop.close().await;
}

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
async fn what_is_refused_is_refused_before_it_is_kept() {
    let shop = Shop::with(
        double(),
        Settings {
            max_input_bytes: 100,
            ..Settings::default()
        },
    );
    let refused = async |task: NewTask| shop.queue.submit(OWNER, vec![task]).await.unwrap_err();
    let kind = refused(NewTask::new("treble", "1")).await;
    assert_eq!(
        kind.to_string(),
        "kind: there is no \"treble\"; there are double"
    );
    let input = refused(NewTask::new("double", "\"x\"")).await;
    assert!(
        input.to_string().starts_with("input: invalid type: string"),
        "{input}"
    );
    let large = refused(NewTask::new("double", "1".repeat(101))).await;
    assert_eq!(
        large,
        SubmitError::TooLarge {
            bytes: 101,
            limit: 100
        }
    );
    let mut alone = NewTask::new("double", "1");
    alone.depends_on = vec!["nobody".to_owned()];
    let missing = refused(alone).await;
    assert_eq!(
        missing,
        SubmitError::Missing {
            after: "nobody".to_owned()
        }
    );
    assert_eq!(shop.queue.stats().await.unwrap().depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_tasks_is_refused_and_a_graph_in_any_order_runs() {
    let mut shop = Shop::new(double());
    let task = |id: &str, after: &[&str]| {
        let mut task = NewTask::new("double", "1");
        task.id = Some(id.to_owned());
        task.depends_on = after.iter().map(|id| (*id).to_owned()).collect();
        task
    };
    let circle = vec![task("a", &["b"]), task("b", &["a"])];
    let refused = shop.queue.submit(OWNER, circle).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "depends_on: a -> b -> a depend on each other in a circle"
    );

    let graph = vec![task("c", &["a", "b"]), task("b", &["a"]), task("a", &[])];
    let submitted = shop.queue.submit(OWNER, graph).await.unwrap();
    let ids: Vec<&str> = submitted.iter().map(|task| &*task.id).collect();
    assert_eq!(ids, ["c", "b", "a"]);
    assert_eq!(shop.task("c").await.state, TaskState::Waiting);
    shop.worker(config());
    let last = shop.until("c", TaskState::Succeeded).await;
    let before = shop.task("b").await;
    assert!(before.times.finished <= last.times.started);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_the_same_task_and_another_input_is_a_conflict() {
    let shop = Shop::new(double());
    let task = |input: &'static str| {
        let mut task = NewTask::new("double", input);
        task.idempotency_key = Some("order-7".to_owned());
        task
    };
    let first = shop
        .queue
        .submit(OWNER, vec![task("1")])
        .await
        .unwrap()
        .remove(0);
    let again = shop
        .queue
        .submit(OWNER, vec![task("1")])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (first.was_there, again.was_there, &again.id),
        (false, true, &first.id)
    );
    let other = shop.queue.submit(OWNER, vec![task("2")]).await.unwrap_err();
    assert_eq!(other.code(), "task_conflict");
    let elsewhere = shop
        .queue
        .submit("other", vec![task("2")])
        .await
        .unwrap()
        .remove(0);
    assert!(!elsewhere.was_there);
    assert_eq!(shop.queue.get("other", &first.id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_refused() {
    let shop = Shop::with(
        double(),
        Settings {
            max_waiting: 2,
            ..Settings::default()
        },
    );
    let task = || NewTask::new("double", "1");
    shop.queue
        .submit(OWNER, vec![task(), task()])
        .await
        .unwrap();
    let full = shop.queue.submit(OWNER, vec![task()]).await.unwrap_err();
    assert_eq!(
        full.to_string(),
        "2 tasks have not ended, and no more are taken (tasks.max_waiting)"
    );
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

#[tokio::test(start_paused = true)]
async fn lists_hold_the_newest_tasks_of_one_owner_page_by_page() {
    let shop = Shop::new(double().on("other", |_: Job<u64>| async { Ok(()) }));
    for number in 0..10 {
        let mut task = NewTask::new(if number % 2 == 0 { "double" } else { "other" }, "1");
        task.id = Some(format!("t{number}"));
        task.tags = vec![format!("third-{}", number % 3)];
        shop.submit(task).await;
        advance(Duration::from_millis(5)).await;
    }
    shop.queue.cancel(OWNER, "t9").await.unwrap();
    let pages = async |list: ListTasks| {
        let (mut ids, mut list) = (Vec::new(), list);
        loop {
            let page = shop.queue.list(OWNER, &list).await.unwrap();
            ids.extend(page.tasks.into_iter().map(|task| task.id));
            match page.next {
                Some(next) => list.next = Some(next),
                None => return ids.join(" "),
            }
        }
    };
    let list = || ListTasks {
        limit: 3,
        ..ListTasks::default()
    };
    assert_eq!(pages(list()).await, "t9 t8 t7 t6 t5 t4 t3 t2 t1 t0");
    let queued = ListTasks {
        state: Some(TaskState::Queued),
        ..list()
    };
    assert_eq!(pages(queued).await, "t8 t7 t6 t5 t4 t3 t2 t1 t0");
    let kind = ListTasks {
        kind: Some("other".to_owned()),
        ..list()
    };
    assert_eq!(pages(kind).await, "t9 t7 t5 t3 t1");
    let tag = ListTasks {
        tag: Some("third-0".to_owned()),
        ..list()
    };
    assert_eq!(pages(tag).await, "t9 t6 t3 t0");
    let page = shop.queue.list("nobody", &list()).await.unwrap();
    assert_eq!((page.tasks.len(), page.next), (0, None));
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
