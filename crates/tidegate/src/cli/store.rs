//! Opening the store, and saying which one it is and why.

use std::path::Path;
use std::time::Duration;

use tidegate_engine::{
    Deadline, Engine, OpenError, Reach, Remark, Store, StoreState, StoreUrl, Weight,
};

use super::Exit;
use super::doctor::row;
use crate::config::{Config, Loaded};
use crate::wiring;

/// The engine of a configuration over its store, for a command that works at
/// `what` without a server. Says why where there is none.
pub(super) async fn open_engine(config: &Config, what: &str) -> Result<(Engine, Store), Exit> {
    let given = wiring::store_config(config);
    // It would be this process's own.
    if given.url == StoreUrl::Memory {
        eprintln!(
            "error: store.url is memory:, which no other process can see; {what} are shared \
             through store.url = \"sqlite:DIR\" or \"redis://…\""
        );
        return Err(Exit::Usage);
    }
    let store = Store::open(&given).await.map_err(|error| refused(&error))?;
    let mut engine = wiring::engine_config(config);
    engine.store = Some(store.clone());
    match Engine::assemble(engine) {
        Ok(engine) => Ok((engine, store)),
        Err(error) => {
            eprintln!("error: {error}");
            Err(Exit::Usage)
        }
    }
}

/// Says why there is no store to work with.
pub(super) fn refused(error: &OpenError) -> Exit {
    eprintln!("error: {}", explained(error));
    exit_of(error)
}

fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Url(_) => Exit::Usage,
        OpenError::File { .. } | OpenError::Forbidden { .. } => Exit::Unreachable,
    }
}

fn explained(error: &OpenError) -> String {
    match error {
        OpenError::File { .. } => format!(
            "the store cannot be opened: {error}; give a folder that can be written, as in \
             store.url = \"sqlite:/var/lib/tidegate\", or keep everything in memory until the \
             process ends with store.url = \"memory:\""
        ),
        OpenError::Url(_) | OpenError::Forbidden { .. } => error.to_string(),
    }
}

/// One line at the start: which home it is, and who said so.
pub(super) fn log(loaded: &Loaded, state: &StoreState) {
    let place = place(&loaded.config.store.url);
    let (home, nodes, origin) = (state.home, state.nodes, origin(loaded));
    match &state.reach {
        Reach::Live => {
            let seen = seen(state);
            tracing::info!(home, nodes, origin, "store: {place}{seen} ({origin})");
        }
        Reach::Recovering { left } => {
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                home,
                nodes,
                origin,
                left_ms,
                "store: {place} ({origin}), empty so far: for one window its word and this \
                 node's own share of the limits both count"
            );
        }
        Reach::Unreachable { reason, .. } => {
            let policy = state.on_unreachable.as_str();
            tracing::warn!(
                home,
                origin,
                policy,
                "store: {place} ({origin}) cannot be reached: {reason}; {policy} holds until it can"
            );
        }
    }
}

/// Where the address of the store was written.
fn origin(loaded: &Loaded) -> &str {
    let mut settings = loaded.origins.iter();
    let url = settings.find(|setting| setting.path == "store.url");
    url.map_or("default", |setting| setting.origin.as_str())
}

/// Where a store is, without passwords.
fn place(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Memory => "the memory of this process, lost when it ends".to_owned(),
        StoreUrl::Sqlite(folder) => format!("sqlite at {}", absolute(folder)),
        StoreUrl::Redis(redis) => {
            let hosts: Vec<_> = redis.hosts().iter().map(ToString::to_string).collect();
            format!("{} at {}", redis.topology.as_str(), hosts.join(","))
        }
    }
}

fn absolute(folder: &Path) -> String {
    let absolute = std::path::absolute(folder);
    absolute.as_deref().unwrap_or(folder).display().to_string()
}

/// Who else is there, where others can be.
fn seen(state: &StoreState) -> String {
    match (state.home, state.nodes) {
        ("memory" | "sqlite", _) => String::new(),
        (_, 1) => ", 1 node seen".to_owned(),
        (_, nodes) => format!(", {nodes} nodes seen"),
    }
}

/// What `doctor` has to say about the store.
pub(super) async fn examine(loaded: &Loaded) -> Exit {
    let config = wiring::store_config(&loaded.config);
    let (place, origin) = (place(&config.url), origin(loaded));
    match &config.url {
        StoreUrl::Memory => row(
            "ok",
            &format!("store: {place}; limits hold for this process alone ({origin})"),
        ),
        StoreUrl::Sqlite(folder) if is_new(folder) => {
            row(
                "ok",
                &format!("store: {place}, would be created at the first start ({origin})"),
            );
        }
        StoreUrl::Sqlite(_) | StoreUrl::Redis(_) => {
            let opened = Deadline::after(PATIENCE).run(Store::open(&config)).await;
            return match opened {
                Ok(Ok(store)) => {
                    let exit = describe(&store, &place, origin).await;
                    // What it leaves unwritten then is nothing of ours.
                    let _ = Deadline::after(PATIENCE).run(store.close()).await;
                    exit
                }
                Ok(Err(error)) => {
                    row("fail", &format!("store: {}", explained(&error)));
                    exit_of(&error)
                }
                Err(_) => {
                    row(
                        "fail",
                        &format!("store: {place} ({origin}) did not open in time"),
                    );
                    Exit::Unreachable
                }
            };
        }
    }
    Exit::Clean
}

/// Opening a store that is not there would make one, which is not for those
/// who only look.
fn is_new(folder: &Path) -> bool {
    match std::fs::metadata(folder) {
        Ok(found) => found.is_dir() && !folder.join(DATABASE).exists(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The file that makes a folder a store.
const DATABASE: &str = "tidegate.db";

/// How long a store may take to open, to answer or to close.
const PATIENCE: Duration = Duration::from_secs(5);

async fn describe(store: &Store, place: &str, origin: &str) -> Exit {
    let state = store.state();
    if let Reach::Unreachable { reason, .. } = &state.reach {
        let text = format!("store: {place} ({origin}) cannot be reached: {reason}");
        row("fail", &text);
        return Exit::Unreachable;
    }
    row("ok", &format!("store: {place}{} ({origin})", seen(&state)));
    let mut exit = Exit::Clean;
    let remarks = Deadline::after(PATIENCE).run(store.inspect()).await;
    for remark in remarks.unwrap_or_else(|_| vec![silent()]) {
        let word = match remark.weight {
            Weight::Note => "ok",
            Weight::Warning => "warn",
            Weight::Fault => {
                exit = Exit::Unreachable;
                "fail"
            }
        };
        row(word, &format!("store: {}", remark.text));
    }
    exit
}

fn silent() -> Remark {
    Remark {
        weight: Weight::Fault,
        text: "it did not answer in time when it was looked at".to_owned(),
    }
}
