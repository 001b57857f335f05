//! `tidegate serve`.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;
use tidegate_engine::Engine;

use super::signals::Signals;
use super::{ConfigSource, Exit, runtime};
use crate::config::Config;
use crate::http::{AccessLog, Gate, GateSettings};
use crate::server::{Server, Shutdown};
use crate::traces::Traces;
use crate::{logging, wiring};

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
    let config = match source.load() {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let _log = match logging::init(&config.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: the log does not start: {error}");
            return Exit::Usage;
        }
    };
    let engine = match Engine::assemble(wiring::engine_config(&config)) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    match runtime(config.server.workers) {
        Ok(runtime) => runtime.block_on(serve(config, engine)),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

async fn serve(config: Config, engine: Engine) -> Exit {
    let settings = GateSettings {
        deadline: config.server.deadline,
        max_body_bytes: config.server.max_body_bytes,
        access_log: if config.log.access {
            AccessLog::On
        } else {
            AccessLog::Off
        },
        upstreams: Arc::new(wiring::upstreams(&config)),
    };
    let gate = Arc::new(Gate::new(engine, settings).traced(Traces::from_env()));
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
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: signals cannot be caught: {error}");
            return Exit::Usage;
        }
    };
    greet(&config, server.local_addr().unwrap_or(config.server.bind));
    run_until_stopped(server, &gate, &mut signals, config.server.drain).await
}

/// Serves until the first signal, drains, and gives up at the second one.
async fn run_until_stopped(
    server: Server,
    gate: &Gate,
    signals: &mut Signals,
    drain: Duration,
) -> Exit {
    let shutdown = Shutdown::default();
    let stopped_at = OnceLock::new();
    let stop = async {
        let reason = signals.next().await;
        let drain_ms = drain.as_millis() as u64;
        tracing::info!(drain_ms, "{reason}: draining");
        let _ = stopped_at.set(Instant::now());
        shutdown.begin();
        signals.next().await
    };
    let exit = tokio::select! {
        cut = server.run(shutdown.clone(), drain) => {
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
                drain.saturating_sub(drained).max(SHORTEST_FLUSH)
            }
            Exit::Usage | Exit::Unreachable | Exit::Interrupted => Duration::ZERO,
        };
        traces.finish(patience).await;
    }
    exit
}

/// Requests that were cut when the drain time ended have spans as well.
const SHORTEST_FLUSH: Duration = Duration::from_secs(1);

/// What a person wants to see first; machines read the log.
fn greet(config: &Config, addr: SocketAddr) {
    tracing::info!(%addr, version = env!("CARGO_PKG_VERSION"), "listening on http://{addr}");
    for name in &config.unsupported_env {
        tracing::warn!(variable = %name, "{name} is set, and this version makes no use of it");
    }
    let model = config
        .models
        .first()
        .map_or("extractive", |model| model.name.as_str());
    let model = if model == "*" { "gpt-4o-mini" } else { model };
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
    eprintln!(
        "\nTry it:\n  curl http://{addr}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \
         \"When does the breaker open?\"}}]}}'\n"
    );
}
