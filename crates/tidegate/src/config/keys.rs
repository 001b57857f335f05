//! The table of all settings: the one place where a key, its kind, its default
//! and its meaning are written down.

pub use super::kinds::Kind;
use super::typed::{Level, LogFormat};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Such as `server.deadline_ms`, or `providers.name` in an array table.
    pub path: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Fallback,
    /// What it does, for the default file, the schema and the reference.
    pub doc: &'static str,
}

/// What holds when a key is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This value, written as in an environment variable.
    Value(&'static str),
    /// Nothing does: the key must be set. Holds an example in TOML.
    Required(&'static str),
    /// The setting is absent. Holds an example in TOML.
    Absent(&'static str),
}

impl Key {
    /// The table that the key stands in, such as `resilience.backoff_ms`.
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The key without its table.
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const YEAR_S: u64 = 31_536_000;
const GIB: u64 = 1 << 30;

/// Largest rate or concurrency; far above any provider's, far below overflow.
pub(super) const MAX_LIMIT: u64 = 1_000_000_000_000;

pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        path,
        kind,
        default: Fallback::Value(default),
        doc,
    }
}

pub(super) const fn required(
    path: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        default: Fallback::Required(example),
        ..key(path, kind, "", doc)
    }
}

pub(super) const fn optional(
    path: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        default: Fallback::Absent(example),
        ..key(path, kind, "", doc)
    }
}

pub(super) const fn integer(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

pub(super) const fn word(allowed: &'static [&'static str]) -> Kind {
    Kind::Word {
        allowed,
        later: &[],
    }
}

/// A folder, where there is to be one.
const fn folder(path: &'static str, doc: &'static str) -> Key {
    key(path, Kind::Text, NO_FILE, doc)
}

/// Stands for no file where one could be named.
pub(super) const NO_FILE: &str = "none";
/// Words of the store; a test holds them equal.
pub(super) const ON_UNREACHABLE: &[&str] = &["local_share", "fail_open", "fail_closed"];
/// The word for the database that stands in the address.
pub(super) const DATABASE_OF_URL: &str = "url";
const SHARE: Kind = Kind::Share { min: 0.0 };

/// The threshold that the classifier was measured with.
pub(super) const MEASURED: &str = "model";
/// The threshold that nothing reaches.
pub(super) const NEVER: &str = "never";

const fn flag(path: &'static str) -> Key {
    let doc = "From which score on the classifier's word is a finding, of medium severity.";
    key(path, Kind::Threshold, MEASURED, doc)
}

const fn block(path: &'static str) -> Key {
    let doc = "From which score on it is a critical one; at least the flag threshold.";
    key(path, Kind::Threshold, NEVER, doc)
}

/// The settings outside array tables, but for those of tasks.
pub(super) const GATE_KEYS: &[Key] = &[
    key(
        "server.bind",
        Kind::Address,
        "127.0.0.1:8080",
        "Address and port to listen on.",
    ),
    key(
        "server.deadline_ms",
        integer(1, HOUR_MS),
        "60000",
        "Longest time until an answer begins, all attempts and waiting included; a whole answer is complete by then, a stream goes on as long as stream_idle_ms allows.",
    ),
    key(
        "server.drain_ms",
        integer(0, 600_000),
        "30000",
        "Time that running requests get to finish once tidegate is told to stop.",
    ),
    key(
        "server.allow_public",
        Kind::Flag,
        "false",
        "Allows addresses that other machines reach without any [[keys]]; whoever does can spend your money.",
    ),
    key(
        "server.hosts",
        Kind::Names,
        "[]",
        "Names that clients may reach tidegate by, besides those of the loopback interface; empty is only those on a loopback address, and any name elsewhere.",
    ),
    key(
        "server.max_body_bytes",
        integer(1024, GIB),
        "10485760",
        "Largest request body that is accepted.",
    ),
    key(
        "server.stream_idle_ms",
        integer(1, HOUR_MS),
        "60000",
        "Longest silence inside a streamed answer before it is given up.",
    ),
    key(
        "server.workers",
        integer(0, 256),
        "0",
        "Worker threads; 0 is one per core.",
    ),
    key(
        "log.level",
        word(Level::WORDS),
        "info",
        "Least severe messages that are written.",
    ),
    key(
        "log.format",
        word(LogFormat::WORDS),
        "auto",
        "Form of the messages; auto is text on a terminal and json elsewhere.",
    ),
    key(
        "log.access",
        Kind::Flag,
        "true",
        "Writes one line per request.",
    ),
    key(
        "store.url",
        Kind::Store,
        "sqlite:tidegate-data",
        "The home: memory:, sqlite:FOLDER, redis://[user:password@]host[:port][/database], redis+sentinel://host,…/primary, redis+cluster://host,…; rediss with TLS. With a password, better env:NAME or file:PATH.",
    ),
    key(
        "store.timeout_ms",
        integer(1, 5_000),
        "50",
        "Longest time for one question to the store; a request goes on without the answer then.",
    ),
    key(
        "store.on_unreachable",
        word(ON_UNREACHABLE),
        "local_share",
        "While limits cannot be asked for: local_share grants one part of each for every gateway that was last seen, fail_open everything, fail_closed nothing.",
    ),
    key(
        "store.cache_db",
        Kind::Database,
        DATABASE_OF_URL,
        "Database of the cache and the limits, where Redis is no cluster; url is the one of store.url.",
    ),
    key(
        "store.sessions_db",
        Kind::Database,
        DATABASE_OF_URL,
        "Database of sessions, tasks and what else must not be lost; url is the one of store.url.",
    ),
    key(
        "cache.answers",
        Kind::Flag,
        "false",
        "Keeps answers and serves equal requests from them.",
    ),
    key(
        "cache.ttl_s",
        integer(1, YEAR_S),
        "3600",
        "Seconds that an answer is kept.",
    ),
    key(
        "cache.max_bytes",
        integer(0, 1024 * GIB),
        "268435456",
        "Memory for kept answers; the least useful ones make room.",
    ),
    key(
        "cache.warm",
        Kind::Text,
        NO_FILE,
        "File that the cache is filled from at start, as docs/cache.md describes it; none is no file.",
    ),
    key(
        "cache.refresh_ahead",
        SHARE,
        "0.1",
        "Last part of that time, as a share, in which one caller makes an answer anew while the others still get the kept one; 0 is off.",
    ),
    key(
        "sessions.ttl_s",
        integer(1, YEAR_S),
        "3600",
        "Seconds that a session is kept after it was last used.",
    ),
    key(
        "sessions.max_bytes",
        integer(1024, GIB),
        "1048576",
        "Largest session, before compression.",
    ),
    key(
        "sessions.history_tokens",
        integer(0, 1 << 24),
        "8000",
        "Most estimated tokens of what was said before that a request is given; the newest turns win.",
    ),
    key(
        "guard.enabled",
        Kind::Flag,
        "true",
        "Scans prompts and answers on their way through; /v1/scan works either way.",
    ),
    key(
        "guard.mode",
        word(&["fast", "balanced", "thorough"]),
        "balanced",
        "How thorough texts are scanned: rules only; rules, and the classifier unless they are sure by themselves; always both. A scan of its own may ask for another mode.",
    ),
    key(
        "guard.model",
        Kind::Model,
        "builtin",
        "The classifier beside the rules: that of this build, none, or the folder of a model of one's own, relative to the configuration file; docs/onnx.md says what it holds.",
    ),
    key(
        "guard.cancel_confidence",
        SHARE,
        "0.7",
        "A balanced scan does not ask the classifier where a rule found something critical with at least this confidence, and stops a model of one's own.",
    ),
    key(
        "guard.l2_timeout_ms",
        integer(1, HOUR_MS),
        "150",
        "Milliseconds that a model of one's own may take for one text, waiting for a thread included; then it is stopped, and on_error of the policy counts.",
    ),
    key(
        "guard.l2_below_confidence",
        SHARE,
        "0.6",
        "A balanced scan asks a model of one's own where no rule is as sure of an attack as this; at 1 it nearly always does.",
    ),
    key(
        "guard.l2_from_score",
        SHARE,
        "0.1",
        "And where the classifier of this build gives the text at least this score; 0 is for a model that looks for something else than attacks.",
    ),
    key(
        "guard.l2_sample",
        SHARE,
        "0.1",
        "The share of the other texts for which a balanced scan asks it all the same; the same text is always in it or never.",
    ),
    flag("guard.flag_threshold.prompt"),
    flag("guard.flag_threshold.answer"),
    flag("guard.flag_threshold.retrieved"),
    flag("guard.flag_threshold.tool_call"),
    flag("guard.flag_threshold.tool_result"),
    block("guard.block_threshold.prompt"),
    block("guard.block_threshold.answer"),
    block("guard.block_threshold.retrieved"),
    block("guard.block_threshold.tool_call"),
    block("guard.block_threshold.tool_result"),
    key(
        "guard.policy",
        Kind::Policy,
        "default",
        "What decides unless a key or a request names another policy: monitor blocks nothing, default what is critical and sure, strict from medium on; or the id of one of guard.policies, or a file.",
    ),
    key(
        "guard.policies",
        Kind::Files,
        "[]",
        "Files of further policies, which keys and requests may name by their ids.",
    ),
    key(
        "guard.rollout.policy",
        Kind::Policy,
        "strict",
        "What judges a share of the traffic besides, or instead, that nobody has named a policy for.",
    ),
    key(
        "guard.rollout.model",
        Kind::Candidate,
        "same",
        "The classifier of that share: the one that is asked elsewhere, that of this build, none, or the folder of a model of one's own, which is held to its own thresholds.",
    ),
    key(
        "guard.rollout.share",
        SHARE,
        "0.0",
        "The share, by session, user or text; whoever is in a share is in every larger one, and 0 is off.",
    ),
    key(
        "guard.rollout.decides",
        Kind::Flag,
        "false",
        "Whether it decides there; otherwise it is only counted where the two disagree.",
    ),
    folder(
        "guard.team_packs",
        "Folder of rule packs that a team shares; docs/rules.md tells how they are written.",
    ),
    folder(
        "guard.custom_packs",
        "Folder of rule packs of this installation, which may replace rules of the others.",
    ),
    folder(
        "prompts.packs",
        "Folder of prompts beside those of this build; docs/prompts.md tells how they are written.",
    ),
    folder(
        "prompts.frameworks",
        "Folder of frameworks that prompts judge by.",
    ),
    key(
        "resilience.failure_threshold",
        integer(1, 10_000),
        "5",
        "Failures in a row that open an entry's circuit.",
    ),
    key(
        "resilience.success_threshold",
        integer(1, 10_000),
        "2",
        "Successful probes in a row that close it again.",
    ),
    key(
        "resilience.cooldown_ms",
        integer(1, HOUR_MS),
        "60000",
        "Time that an open circuit waits before a probe; the n-th time in a row, n times that.",
    ),
    key(
        "resilience.max_cooldown_ms",
        integer(1, DAY_MS),
        "600000",
        "Longest time that a circuit stays open; at least cooldown_ms.",
    ),
    key(
        "resilience.failure_rate",
        SHARE,
        "0.0",
        "Share of failed calls within the window that opens the circuit; 0 is off.",
    ),
    key(
        "resilience.minimum_calls",
        integer(1, 1_000_000),
        "20",
        "Calls within the window before failure_rate and slow_call_rate count.",
    ),
    key(
        "resilience.slow_call_ms",
        integer(0, HOUR_MS),
        "0",
        "Calls that take at least this long are slow; 0 is off.",
    ),
    key(
        "resilience.slow_call_rate",
        Kind::Share { min: 0.01 },
        "0.5",
        "Share of slow calls within the window that opens the circuit.",
    ),
    key(
        "resilience.attempt_ms",
        integer(1, HOUR_MS),
        "30000",
        "Time that an attempt may take until its first content, while another entry is left.",
    ),
    key(
        "resilience.switch_delay_ms",
        integer(0, 600_000),
        "0",
        "Waiting before the next entry of a chain is tried.",
    ),
    key(
        "resilience.retry_budget",
        SHARE,
        "0.2",
        "Retries on the same entry, at most, as a share of requests; ten in any 10 s are free.",
    ),
    key(
        "resilience.adaptive",
        Kind::Flag,
        "false",
        "Finds the concurrency that a provider bears; max_concurrent is then the most.",
    ),
    key(
        "resilience.window_ms",
        integer(1000, HOUR_MS),
        "60000",
        "Window of rates: limits are given per minute and hold in every window of this length.",
    ),
    key(
        "resilience.max_waiting",
        integer(0, 1_000_000),
        "1024",
        "Requests that may queue for a model's room; further ones are refused at once.",
    ),
    key(
        "resilience.backoff_ms.base",
        integer(0, HOUR_MS),
        "2000",
        "Longest wait before the first retry, of which a random part is waited; doubles each time.",
    ),
    key(
        "resilience.backoff_ms.max",
        integer(0, HOUR_MS),
        "120000",
        "Longest wait before any retry; at least base.",
    ),
    key(
        "resilience.backoff_ms.retries",
        integer(0, 100),
        "3",
        "Retries of one entry for one request; the next entry is tried first.",
    ),
];
