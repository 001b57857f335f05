//! `tidegate mock`: a scripted upstream in OpenAI's dialect.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidegate_engine::mock::{Limit, Script, parse_faults, serve};

use super::signals::Signals;
use super::{Exit, runtime};

/// Arguments of `mock`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct MockArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9100")]
    bind: SocketAddr,
    /// Faults with their shares, `throttle:0.1,status-500:0.05`
    #[arg(long, default_value = "")]
    faults: String,
    /// Which requests the faults hit
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Time before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Time between two events of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    gap_ms: u64,
    /// Content events of a stream
    #[arg(long, default_value_t = 20)]
    events: usize,
    /// Requests that are answered in any window; 429 beyond
    #[arg(long, value_name = "REQUESTS")]
    limit: Option<u64>,
    /// Length of that window
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    window_ms: u64,
    /// Append one JSON line per request to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

const HELP: &str = "A request whose model is named like a fault gets it: throttle, throttle-N, overloaded, \
unavailable, status-NNN, hang, reset, reset-mid, truncate, drip, garbage, html, error-in-stream, \
error-after-content, error-in-answer, huge-line, slow-N, no-done, empty.";

pub(super) fn run(args: &MockArgs) -> Exit {
    let script = match script(args) {
        Ok(script) => script,
        Err(message) => {
            eprintln!("error: {message}");
            return Exit::Usage;
        }
    };
    let served = runtime(Some(1)).and_then(|runtime| {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(args.bind).await?;
            let mut signals = Signals::catch()?;
            eprintln!("mock upstream on http://{}/v1", listener.local_addr()?);
            let stopped = async {
                signals.next().await;
            };
            serve(listener, script, args.journal.clone(), stopped).await
        })
    });
    match served {
        Ok(()) => Exit::Clean,
        Err(error) => {
            eprintln!("error: the mock on {} failed: {error}", args.bind);
            Exit::Usage
        }
    }
}

fn script(args: &MockArgs) -> Result<Script, String> {
    Ok(Script {
        latency: Duration::from_millis(args.latency_ms),
        event_gap: Duration::from_millis(args.gap_ms),
        events: args.events,
        faults: parse_faults(&args.faults).map_err(|error| error.to_string())?,
        seed: args.seed,
        limit: args.limit.map(|requests| Limit {
            requests,
            tokens: None,
            window: Duration::from_millis(args.window_ms),
            retry_after: true,
        }),
        ..Script::default()
    })
}
