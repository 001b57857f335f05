//! Tasks that do nothing, for `bench/tasks.py`: what the queue itself costs.
//!
//! ```text
//! noop worker STORE CONCURRENCY PREFETCH thread|task    until SIGTERM
//! noop submit STORE TASKS RATE TOGETHER                 a rate of 0 is a flood
//! noop fill   STORE TASKS                               and nobody takes them
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_store::{Store, StoreConfig, StoreUrl};
use tidegate_tasks::{
    Handlers, Isolation, Job, NewTask, Settings, TaskQueue, Worker, WorkerConfig,
};
use tidegate_work::CancelToken;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

type Failed = Box<dyn std::error::Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["worker", url, concurrency, prefetch, isolation] => {
            let config = WorkerConfig {
                concurrency: concurrency.parse()?,
                prefetch: prefetch.parse()?,
                isolation: match *isolation {
                    "task" => Isolation::Task,
                    _ => Isolation::Thread,
                },
                ..WorkerConfig::default()
            };
            work(open(url).await?, config).await
        }
        ["submit", url, tasks, rate, together] => {
            submit(
                open(url).await?,
                tasks.parse()?,
                (rate.parse()?, together.parse()?),
            )
            .await
        }
        ["fill", url, tasks] => submit(open(url).await?, tasks.parse()?, (0, 1_000)).await,
        _ => Err("see the first lines of examples/noop.rs".into()),
    }
}

async fn open(url: &str) -> Result<Store, Failed> {
    let config = StoreConfig {
        url: url.parse::<StoreUrl>()?,
        timeout: Duration::from_secs(2),
        ..StoreConfig::default()
    };
    Ok(Store::open(&config).await?)
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn queue(store: &Store, handlers: Handlers) -> TaskQueue {
    let settings = Settings {
        max_waiting: 10_000_000,
        // As the peers do, nothing is kept of what has ended.
        result_ttl: Duration::ZERO,
        ..Settings::default()
    };
    TaskQueue::new(store.queue.clone(), Arc::new(handlers), settings)
}

/// Works until SIGTERM, and says then how many there were and how long they
/// waited.
async fn work(store: Store, config: WorkerConfig) -> Result<(), Failed> {
    let runs: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let noted = runs.clone();
    let handlers = Handlers::new().on("noop", move |job: Job<u64>| {
        let mut runs = noted.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push((job.input, now_us()));
        async { Ok(()) }
    });
    let queue = queue(&store, handlers);
    let worker = Worker::new(queue.clone(), store.limits.clone(), config, |_| {});
    let stop = CancelToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let stopped = async {
        term.recv().await;
        stop.cancel();
    };
    tokio::join!(worker.run(stop.clone()), queue.tidy(&stop), stopped);
    store.close().await;
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waits: Vec<u64> = runs
        .iter()
        .map(|(put, run)| run.saturating_sub(*put))
        .collect();
    waits.sort_unstable();
    let at = |share: f64| {
        let place = (waits.len() as f64 * share) as usize;
        waits
            .get(place.min(waits.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    let first = runs.iter().map(|(put, _)| *put).min().unwrap_or(0);
    let last = runs.iter().map(|(_, run)| *run).max().unwrap_or(0);
    println!(
        "{{\"done\": {}, \"p50_us\": {}, \"p99_us\": {}, \"took_us\": {}}}",
        waits.len(),
        at(0.5),
        at(0.99),
        last - first
    );
    Ok(())
}

async fn submit(store: Store, tasks: u64, (rate, together): (u64, u64)) -> Result<(), Failed> {
    let queue = queue(
        &store,
        Handlers::new().on("noop", async |_: Job<u64>| Ok(())),
    );
    let began = Instant::now();
    let mut sent = 0;
    while sent < tasks {
        if rate > 0 {
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            tokio::time::sleep_until(began + due).await;
        }
        let some = together.min(tasks - sent);
        let new = (0..some).map(|_| NewTask::new("noop", now_us().to_string()));
        queue.submit("bench", new.collect()).await?;
        sent += some;
    }
    let took = began.elapsed().as_secs_f64();
    println!("{{\"submitted\": {sent}, \"seconds\": {took}}}");
    store.close().await;
    Ok(())
}
