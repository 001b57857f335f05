//! Configuration: defaults, then `tidegate.toml`, then the environment, then
//! flags, turned into one typed [`Config`] in one step.
//!
//! Everything a user can learn about a setting comes from one table,
//! [`KEYS`] and its companions for the array tables: the
//! checks, the environment variable, the default file, the JSON Schema and the
//! reference. The module opens no file and reads no environment itself; the
//! caller hands in [`Sources`], so tests need neither.

mod automatic;
mod build;
mod client_keys;
mod env;
mod file;
mod fingerprint;
mod guard;
mod inherited;
mod keys;
mod kinds;
mod layers;
mod models;
mod node;
mod problems;
mod providers;
mod render;
mod rows;
mod schema;
mod secret;
mod sections;
mod store;
mod tasks;
mod time;
mod typed;
mod unknown;
mod value;

#[cfg(test)]
mod tests;

pub use client_keys::CLIENT_KEYS;
pub use env::env_name;
pub use fingerprint::Fingerprint;
pub use keys::{Fallback, Key, Kind};
pub use models::MODEL_KEYS;
pub use problems::{Problem, Problems};
pub use providers::PROVIDER_KEYS;
pub use render::{default_toml, reference_markdown};
pub use schema::schema_json;
pub use secret::Secret;
pub use sections::KEYS;
pub use tasks::{
    Bounds, KIND_KEYS, KindRow, SCHEDULE_KEYS, ScheduleRow, Tasks, WEBHOOK_KEYS, When,
};
pub use typed::{
    Anthropic, Backoff, Bedrock, Breaker, Cache, ChainEntry, ClientKey, Config, Guard, Header,
    Level, Limits, Log, LogFormat, MaxTokensField, Model, OpenAi, Prompts, Provider, ProviderKind,
    Resilience, Role, Rollout, Server, Sessions, Store, UnusedVariable,
};

use layers::Layers;
use problems::Report;

/// Where settings come from, weakest first: file, environment, flags.
pub struct Sources<'a> {
    /// Display name and text of the configuration file, if there is one.
    pub file: Option<(String, String)>,
    /// Value of an environment variable; `None` when unset or not UTF-8.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Names of all environment variables, to find misspelled ones.
    pub env_names: Vec<String>,
    /// Settings from the command line as `("server.bind", "[::1]:80")`; of two
    /// for the same path the later one counts.
    pub flags: Vec<(String, String)>,
    /// Reads a `file:PATH` secret.
    pub read_file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

/// A configuration without problems, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed settings.
    pub config: Config,
    /// Every setting in force, in the order of the reference.
    pub origins: Vec<Setting>,
    /// Environment variables that are set without any effect.
    pub unused_env: Vec<UnusedVariable>,
}

/// One setting in force, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Such as `server.bind` or `providers[0].base_url`.
    pub path: String,
    /// The value as TOML, or `<hidden>` for anything that may hold a secret.
    pub value: String,
    /// `default`, `tidegate.toml:12`, `env TIDEGATE__…` or `flag --…`.
    pub origin: String,
    /// Differs where the value does, a secret's included.
    pub fingerprint: Fingerprint,
}

/// Merges and checks all sources.
///
/// # Errors
/// Returns every problem found, not only the first, in the order of the file.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    let mut layers = Layers::read(sources, &mut report);
    inherited::read(sources, &mut layers.scalars, &mut report);
    store::find(&mut layers.scalars, sources, &mut report);
    automatic::complete(&mut layers, sources, &mut report);
    build::check_together(&layers, &mut report);
    let providers = providers::build(&layers.providers, sources, &mut report);
    let models = models::build(&layers, &mut report);
    let policies = guard::policies(&layers.scalars, sources, &mut report);
    let guard = guard::build(&layers, &policies, sources, &mut report);
    let keys = client_keys::build(&layers.keys, &policies, sources, &mut report);
    let tasks = tasks::build(&layers, sources, &mut report);
    report.into_result()?;
    let config = Config {
        server: build::server(&layers.scalars),
        log: build::log(&layers.scalars),
        store: store::build(&layers.scalars),
        cache: build::cache(&layers.scalars),
        sessions: build::sessions(&layers.scalars),
        guard,
        prompts: build::prompts(&layers.scalars),
        resilience: build::resilience(&layers.scalars),
        providers,
        models,
        keys,
        tasks,
    };
    Ok(Loaded {
        config,
        unused_env: [
            env::unsupported(&sources.env_names),
            inherited::unused(sources),
        ]
        .concat(),
        origins: layers.settings(sources),
    })
}
