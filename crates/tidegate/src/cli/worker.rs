//! `tidegate worker`: works at background tasks beside gateways, in a process
//! of its own.

use std::io::Write as _;
use std::num::NonZeroUsize;

use clap::Args;
use serde_json::json;
use tidegate_engine::{CancelToken, Deadline, TaskEnd, Tasks, WorkerConfig};

use super::signals::Signals;
use super::{ConfigSource, Exit, runtime, store, tasks};
use crate::config::Loaded;
use crate::{logging, wiring};

pub(super) const HELP: &str = "\
Examples:
  tidegate worker --concurrency 16
  tidegate worker --kinds scan_batch --json >> ends.ndjson
Signals: SIGTERM and SIGINT take nothing more, wait for what runs (server.drain_ms) and give back
the rest; the second one stops at once, and others begin what ran then again.
The configuration is read at the start: to change it, start another worker and stop this one.";

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    source: ConfigSource,
    /// Tasks that run at once; tasks.concurrency unless said
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<NonZeroUsize>,
    /// Tasks that are held beside them; tasks.prefetch unless said
    #[arg(long, value_name = "NUMBER")]
    prefetch: Option<usize>,
    /// Kinds that it works at; all of them unless said
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Print each end of an attempt as a line of JSON
    #[arg(long)]
    json: bool,
}

/// What a store still has to write fits into a fraction of this.
const LONGEST_CLOSE: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) fn run(args: &WorkerArgs) -> Exit {
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let _log = match logging::init(&loaded.config.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: the log does not start: {error}");
            return Exit::Usage;
        }
    };
    match runtime(loaded.config.server.workers) {
        Ok(runtime) => {
            let exit = runtime.block_on(with_tasks(args, &loaded));
            // A handler that never awaits must not keep the process.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

async fn with_tasks(args: &WorkerArgs, loaded: &Loaded) -> Exit {
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: signals cannot be caught: {error}");
            return Exit::Usage;
        }
    };
    let tell: fn(&TaskEnd) = if args.json { told } else { |_| {} };
    let (tasks, opened) = match tasks::open(&loaded.config, tell).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    store::log(loaded, &opened.state());
    if let Err(reason) = check(&tasks, &args.kinds) {
        eprintln!("error: {reason}");
        return Exit::Usage;
    }
    let worker = args.worker(wiring::tasks_config(&loaded.config).worker);
    greet(&tasks, &worker);
    let exit = work(&tasks.with_worker(worker), &mut signals).await;
    if exit == Exit::Interrupted {
        return exit;
    }
    let closed = Deadline::after(LONGEST_CLOSE).run(opened.close()).await;
    if closed.is_err() {
        tracing::warn!("the store did not close in time");
    }
    exit
}

fn check(tasks: &Tasks, kinds: &[String]) -> Result<(), String> {
    let is_known = |kind: &String| tasks.kinds().any(|known| known == kind);
    if let Some(unknown) = kinds.iter().find(|kind| !is_known(kind)) {
        let known: Vec<&str> = tasks.kinds().collect();
        let known = known.join(", ");
        return Err(format!(
            "--kinds: there is no {unknown:?}; there are {known}"
        ));
    }
    tasks.check_schedules().map_err(|error| error.to_string())
}

impl WorkerArgs {
    /// How it works: as the configuration says, but for what is said here.
    fn worker(&self, config: WorkerConfig) -> WorkerConfig {
        let said = self.concurrency.map(NonZeroUsize::get);
        WorkerConfig {
            // What leaves all of them to workers is not meant for one.
            concurrency: said.unwrap_or(match config.concurrency {
                0 => WorkerConfig::default().concurrency,
                some => some,
            }),
            prefetch: self.prefetch.unwrap_or(config.prefetch),
            kinds: (!self.kinds.is_empty()).then(|| self.kinds.clone()),
            ..config
        }
    }
}

fn greet(tasks: &Tasks, worker: &WorkerConfig) {
    let kinds = match &worker.kinds {
        Some(kinds) => kinds.join(", "),
        None => tasks.kinds().collect::<Vec<_>>().join(", "),
    };
    let (concurrency, prefetch) = (worker.concurrency, worker.prefetch);
    let lease_ms = worker.lease.as_millis() as u64;
    tracing::info!(
        concurrency,
        prefetch,
        lease_ms,
        %kinds,
        version = env!("CARGO_PKG_VERSION"),
        "working at {kinds}"
    );
}

/// Works until the first signal, drains, and gives up at the second one.
async fn work(tasks: &Tasks, signals: &mut Signals) -> Exit {
    let stop = CancelToken::new();
    let stopping = async {
        let reason = signals.next().await;
        tracing::info!("{reason}: taking nothing more, and waiting for what runs");
        stop.cancel();
        signals.next().await
    };
    tokio::select! {
        () = tasks.work(stop.clone()) => {
            tracing::info!("nothing is left to do here");
            Exit::Clean
        }
        reason = stopping => {
            tracing::warn!("{reason} again: stopping at once");
            Exit::Interrupted
        }
    }
}

/// The end of an attempt, for whoever reads along.
fn told(end: &TaskEnd) {
    let ms = |time: std::time::Duration| time.as_millis() as u64;
    let line = json!({
        "kind": end.kind,
        "state": end.state.as_str(),
        "wait_ms": ms(end.wait),
        "run_ms": ms(end.run),
    });
    // Nobody may read any more; the work goes on.
    let _ = writeln!(std::io::stdout(), "{line}");
}
