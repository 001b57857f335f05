//! `tidegate doctor`: what works, what does not, and why.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use clap::Args;
use tidegate_engine::Engine;

use super::{ConfigSource, Exit, runtime, store};
use crate::config::{ClientKey, Config, Role};
use crate::wiring;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    source: ConfigSource,
    /// Only ask whether a gateway is alive at the configured address
    #[arg(long)]
    live: bool,
}

const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &DoctorArgs) -> Exit {
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let config = &loaded.config;
    if args.live {
        return alive(config.server.bind);
    }
    let file = args
        .source
        .file()
        .map_or("none, defaults".to_owned(), |path| {
            path.display().to_string()
        });
    row("ok", &format!("tidegate {}", env!("CARGO_PKG_VERSION")));
    row("ok", &format!("configuration file: {file}"));
    describe_server(config.server.bind);
    describe_keys(&config.keys, SystemTime::now());
    for unused in &loaded.unused_env {
        row("warn", &unused.to_string());
    }
    let engine = match Engine::assemble(wiring::engine_config(config)) {
        Ok(engine) => engine,
        Err(error) => {
            row("fail", &error.to_string());
            return Exit::Usage;
        }
    };
    describe_guard(config, &engine);
    describe_prompts(&engine);
    match runtime(Some(1)) {
        Ok(runtime) => runtime.block_on(async {
            let store = store::examine(&loaded).await;
            match (store, providers(&engine).await) {
                (Exit::Clean, exit) | (exit, _) => exit,
            }
        }),
        Err(error) => {
            row("fail", &format!("the runtime does not start: {error}"));
            Exit::Usage
        }
    }
}

fn describe_server(bind: SocketAddr) {
    match status_of(bind, "/health/live") {
        Some(200) => row("ok", &format!("a gateway answers at http://{bind}")),
        Some(status) => row(
            "warn",
            &format!("something answers at http://{bind} with {status}"),
        ),
        None => row("ok", &format!("http://{bind} is free to listen on")),
    }
}

fn describe_keys(keys: &[ClientKey], now: SystemTime) {
    if keys.is_empty() {
        return row(
            "ok",
            "no keys: whoever reaches the address may do everything",
        );
    }
    let tenants: BTreeSet<&str> = keys.iter().map(|key| key.tenant.as_str()).collect();
    let (keys_in_all, tenants) = (keys.len(), tenants.len());
    row("ok", &format!("keys: {keys_in_all}, of {tenants} tenants"));
    let expired = |key: &&ClientKey| key.expires_at.is_some_and(|end| end <= now);
    for key in keys.iter().filter(expired) {
        row(
            "warn",
            &format!("a key of tenant {} has expired", key.tenant),
        );
    }
    let mut valid = keys.iter().filter(|key| !expired(key));
    if !valid.any(|key| key.role == Role::Admin) {
        let text = "no valid key has the role admin: nobody can read /metrics and /v1/stats, or reset a breaker";
        row("warn", text);
    }
}

fn describe_guard(config: &Config, engine: &Engine) {
    let (policy, rules, version) = (engine.policy(), engine.rules(), engine.ruleset_version());
    let classifier = match engine.classifier() {
        Some(model) => format!("classifier {model}"),
        None => "no classifier".to_owned(),
    };
    let rules = format!("{rules} rules, {classifier}, version {version}");
    if config.guard.enabled {
        row("ok", &format!("guard: on, policy {policy}, {rules}"));
    } else {
        row(
            "warn",
            &format!("guard: off, nothing is scanned on its way through; {rules}"),
        );
    }
}

fn describe_prompts(engine: &Engine) {
    let library = engine.library();
    let (prompts, frameworks) = (library.prompts().count(), library.frameworks().count());
    let version = library.version();
    row(
        "ok",
        &format!("prompts: {prompts}, frameworks: {frameworks}, version {version}"),
    );
}

async fn providers(engine: &Engine) -> Exit {
    let mut exit = Exit::Clean;
    for (name, outcome) in engine.reach().await {
        match outcome {
            Ok(()) => row("ok", &format!("provider {name} can be reached")),
            Err(error) => {
                row(
                    "fail",
                    &format!("provider {name} cannot be reached: {error}"),
                );
                exit = Exit::Unreachable;
            }
        }
    }
    exit
}

pub(super) fn row(word: &str, text: &str) {
    let _ = writeln!(std::io::stdout(), "{word:<5}{text}");
}

fn alive(bind: SocketAddr) -> Exit {
    if status_of(bind, "/health/live") == Some(200) {
        return Exit::Clean;
    }
    eprintln!("error: no gateway answers at http://{bind}");
    Exit::Unreachable
}

/// The status of a GET, without a client: this has to work in a container
/// that has nothing else.
fn status_of(addr: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&addr, PROBE_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head)
        .ok()?
        .strip_prefix("HTTP/1.1 ")?
        .parse()
        .ok()
}
