//! `tidegate serve`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;
use tidegate_engine::{CancelToken, Deadline, Store};

use super::signals::{HangUps, Signals};
use super::{ConfigSource, Exit, runtime, store};
use crate::config::{Config, Loaded};
use crate::http::Gate;
use crate::server::{Server, Shutdown};
use crate::traces::Traces;
use crate::{logging, wiring};

pub(super) const SIGNALS: &str = "\
Signals: SIGTERM and SIGINT drain and stop, the second one stops at once; SIGHUP reads the whole \
configuration again and applies it, or says in the log what is wrong with it and changes nothing.";

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    source: ConfigSource,
    /// Address to listen on; the same as `--set server.bind=…`
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<SocketAddr>,
}

pub(super) fn run(args: &ServeArgs) -> Exit {
    let mut source = args.source.clone();
    source.overrides.extend(
        args.bind
            .map(|bind| ("server.bind".to_owned(), bind.to_string())),
    );
    let source = source.pinned();
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let config = &loaded.config;
    let _log = match logging::init(&config.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: the log does not start: {error}");
            return Exit::Usage;
        }
    };
    match runtime(config.server.workers) {
        Ok(runtime) => {
            let exit = runtime.block_on(with_store(&loaded, source));
            // A file that never ends reading must not keep the process.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

/// Opens the store, serves, and closes the store when nobody needs it any more.
async fn with_store(loaded: &Loaded, source: ConfigSource) -> Exit {
    let store = match Store::open(&wiring::store_config(&loaded.config)).await {
        Ok(store) => store,
        Err(error) => return store::refused(&error),
    };
    store::log(loaded, &store.state());
    let mut draft = wiring::draft(loaded);
    draft.engine.store = Some(store.clone());
    let exit = match Gate::assemble(draft, Box::new(source)) {
        Ok(gate) => match gate.check_schedules() {
            Ok(()) => serve(loaded, gate).await,
            Err(error) => {
                eprintln!("error: {error}");
                Exit::Usage
            }
        },
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Usage
        }
    };
    if exit == Exit::Interrupted {
        // Whoever cannot wait for requests does not wait for the store.
        return exit;
    }
    let closed = Deadline::after(LONGEST_CLOSE).run(store.close()).await;
    if closed.is_err() {
        tracing::warn!("the store did not close in time");
    }
    exit
}

/// What a store still has to write fits into a fraction of this.
const LONGEST_CLOSE: Duration = Duration::from_secs(5);

async fn serve(loaded: &Loaded, gate: Gate) -> Exit {
    let config = &loaded.config;
    let gate = Arc::new(gate.traced(Traces::from_env()));
    let server = match Server::bind(config.server.bind, gate.clone()).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!(
                "error: {} cannot be listened on: {error}",
                config.server.bind
            );
            return Exit::Usage;
        }
    };
    let caught = Signals::catch().and_then(|signals| Ok((signals, HangUps::catch()?)));
    let (mut signals, hang_ups) = match caught {
        Ok(caught) => caught,
        Err(error) => {
            eprintln!("error: signals cannot be caught: {error}");
            return Exit::Usage;
        }
    };
    greet(loaded, server.local_addr().unwrap_or(config.server.bind));
    let stop = CancelToken::new();
    let serving = async {
        let exit = tokio::select! {
            exit = run_until_stopped(server, &mut signals, (&gate, &stop)) => exit,
            never = reload_when_asked(hang_ups, &gate) => match never {},
            never = warm(config, &gate) => match never {},
        };
        stop.cancel();
        exit
    };
    let working = async {
        if config.tasks.concurrency > 0 {
            gate.tasks.work(stop.clone()).await;
        }
    };
    both(serving, working).await
}

/// Work ends after serving has, unless serving was broken off.
async fn both(serving: impl Future<Output = Exit>, working: impl Future<Output = ()>) -> Exit {
    let (mut serving, mut working) = (std::pin::pin!(serving), std::pin::pin!(working));
    let exit = tokio::select! {
        exit = &mut serving => exit,
        () = &mut working => return serving.await,
    };
    if exit != Exit::Interrupted {
        working.await;
    }
    exit
}

/// Fills the cache beside the first requests, where there is a file for it.
async fn warm(config: &Config, gate: &Arc<Gate>) -> Infallible {
    if let Some(file) = &config.cache.warm {
        gate.warm_from(file).await;
    }
    std::future::pending().await
}

/// Reloads at every SIGHUP. What came of it is in the log.
async fn reload_when_asked(mut hang_ups: HangUps, gate: &Arc<Gate>) -> Infallible {
    loop {
        hang_ups.next().await;
        let _ = gate.reload().await;
    }
}

/// Serves until the first signal, drains, and gives up at the second one.
async fn run_until_stopped(
    server: Server,
    signals: &mut Signals,
    (gate, work): (&Gate, &CancelToken),
) -> Exit {
    let shutdown = Shutdown::default();
    let drain = || gate.current.load().settings.drain;
    let stopped_at = OnceLock::new();
    let stop = async {
        let reason = signals.next().await;
        let drain = drain();
        let drain_ms = drain.as_millis() as u64;
        tracing::info!(drain_ms, "{reason}: draining");
        let _ = stopped_at.set(Instant::now());
        shutdown.begin_within(drain);
        // Nothing more is begun in the background either.
        work.cancel();
        signals.next().await
    };
    let exit = tokio::select! {
        cut = server.run(shutdown.clone(), drain()) => {
            if cut > 0 {
                tracing::warn!(connections = cut, "{cut} connections were cut when the drain time ended");
            }
            Exit::Clean
        }
        reason = stop => {
            tracing::warn!("{reason} again: stopping at once");
            Exit::Interrupted
        }
    };
    if let Some(traces) = &gate.traces {
        let patience = match exit {
            Exit::Clean => {
                let drained = stopped_at.get().map_or(Duration::ZERO, Instant::elapsed);
                drain().saturating_sub(drained).max(SHORTEST_FLUSH)
            }
            Exit::Findings
            | Exit::Usage
            | Exit::Unreachable
            | Exit::Partial
            | Exit::Interrupted => Duration::ZERO,
        };
        traces.finish(patience).await;
    }
    exit
}

/// Requests that were cut when the drain time ended have spans as well.
const SHORTEST_FLUSH: Duration = Duration::from_secs(1);

/// What a person wants to see first; machines read the log.
fn greet(loaded: &Loaded, addr: SocketAddr) {
    let config = &loaded.config;
    tracing::info!(%addr, version = env!("CARGO_PKG_VERSION"), "listening on http://{addr}");
    for unused in &loaded.unused_env {
        tracing::warn!(variable = %unused.name, "{unused}");
    }
    let model = config
        .models
        .first()
        .map_or("extractive", |model| model.name.as_str());
    let model = if model.ends_with('*') {
        "gpt-4o-mini"
    } else {
        model
    };
    if config
        .providers
        .iter()
        .all(|provider| provider.kind == crate::config::ProviderKind::Extractive)
    {
        tracing::warn!(
            "no provider is configured: the built-in extractive model answers from the shipped \
             documents; set OPENAI_API_KEY or OPENAI_BASE_URL, or write a tidegate.toml"
        );
    }
    let key = if config.keys.is_empty() {
        tracing::info!("no keys are configured: whoever reaches the address may do everything");
        ""
    } else {
        tracing::info!(
            keys = config.keys.len(),
            "callers need one of the configured keys"
        );
        " -H \"authorization: Bearer $KEY\""
    };
    eprintln!(
        "\nTry it:\n  curl http://{addr}/v1/chat/completions{key} -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \
         \"When does the breaker open?\"}}]}}'\n"
    );
}
