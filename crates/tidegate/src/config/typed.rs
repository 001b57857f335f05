//! The typed configuration that the rest of the program reads.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tidegate_engine::{
    CandidateModel, ClassifierTerms, Mode, OnUnreachable, Policy, SecondConfig, StoreUrl,
};

use super::secret::Secret;
use super::tasks::Tasks;

/// All settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Listening and request deadlines.
    pub server: Server,
    /// Log output.
    pub log: Log,
    /// Where things are kept.
    pub store: Store,
    /// Kept answers.
    pub cache: Cache,
    /// Kept conversations.
    pub sessions: Sessions,
    /// What is scanned.
    pub guard: Guard,
    /// Prompts of one's own.
    pub prompts: Prompts,
    /// Meeting upstream failures.
    pub resilience: Resilience,
    /// Never empty; names are unique.
    pub providers: Vec<Provider>,
    /// Never empty; names are unique and every entry's provider exists.
    pub models: Vec<Model>,
    /// Empty: everybody who reaches the address may do everything. Else no
    /// secret is in here twice, and all keys of a tenant have the same limits.
    pub keys: Vec<ClientKey>,
    /// Work in the background.
    pub tasks: Tasks,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Longest time for one request.
    pub deadline: Duration,
    /// Time for running requests at shutdown.
    pub drain: Duration,
    /// Whether `bind` may be reachable from other machines.
    pub allow_public: bool,
    /// Names that clients may reach the gate by, in lower case.
    pub hosts: Vec<String>,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Longest silence inside a streamed answer.
    pub stream_idle: Duration,
    /// Worker threads; `None` is one per core.
    pub workers: Option<usize>,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe messages written.
    pub level: Level,
    /// Form of the messages.
    pub format: LogFormat,
    /// Whether each request gets a line.
    pub access: bool,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The home.
    pub url: StoreUrl,
    /// Database of the cache and the limits; `None` is the one of `url`.
    pub cache_db: Option<u16>,
    /// Database of the records; `None` is the one of `url`.
    pub sessions_db: Option<u16>,
    /// Longest time for one question.
    pub timeout: Duration,
    /// What is granted while it cannot be asked.
    pub on_unreachable: OnUnreachable,
}

/// `[cache]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// Whether answers are kept.
    pub answers: bool,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// Memory for kept answers.
    pub max_bytes: u64,
    /// What the cache is filled from at start.
    pub warm: Option<PathBuf>,
    /// Last share of `ttl` in which an answer is made anew ahead of time.
    pub refresh_ahead: f64,
}

/// `[sessions]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// How long one is kept after it was last used.
    pub ttl: Duration,
    /// Bytes of one, before compression.
    pub max_bytes: u64,
    /// Estimated tokens of what was said before that a request is given.
    pub history_tokens: u64,
}

/// An environment variable that is set without any effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedVariable {
    /// Its name.
    pub name: String,
    /// Why, as the end of the sentence "… is set, and …".
    pub why: &'static str,
}

impl fmt::Display for UnusedVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is set, and {}", self.name, self.why)
    }
}

/// `[guard]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Whether prompts and answers are scanned on their way through.
    pub enabled: bool,
    /// How thorough they are.
    pub mode: Mode,
    /// How the word of the classifier of this build counts; nothing where there is
    /// to be none.
    pub classifier: Option<ClassifierTerms>,
    /// A model of one's own in its place.
    pub second: Option<SecondConfig>,
    /// How one would be asked, also where there is none.
    pub second_terms: SecondConfig,
    /// What decides.
    pub policy: Policy,
    /// Whether somebody chose it; else it is the default.
    pub is_chosen: bool,
    /// What keys and requests may name besides.
    pub policies: Vec<Policy>,
    /// A second policy for a share of the traffic.
    pub rollout: Rollout,
    /// A folder of packs that a team shares.
    pub team_packs: Option<PathBuf>,
    /// A folder of packs of this installation.
    pub custom_packs: Option<PathBuf>,
}

/// `[guard.rollout]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// The second policy.
    pub policy: Policy,
    /// For how much of the traffic, 0 to 1.
    pub share: f64,
    /// Whether it decides there.
    pub decides: bool,
    /// What classifies there, where that is not the same as elsewhere.
    pub model: Option<CandidateModel>,
}

/// `[prompts]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    /// A folder of prompts of this installation.
    pub packs: Option<PathBuf>,
    /// A folder of frameworks of this installation.
    pub frameworks: Option<PathBuf>,
}

/// `[resilience]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resilience {
    /// When circuits open and close.
    pub breaker: Breaker,
    /// Waiting between tries of one entry.
    pub backoff: Backoff,
    /// Time of one attempt until its first content, while another entry is left.
    pub attempt: Duration,
    /// Waiting before the next entry of a chain.
    pub switch_delay: Duration,
    /// Largest share of retries among all calls, 0 to 1.
    pub retry_budget: f64,
    /// Whether limits follow the provider's throttling.
    pub adaptive: bool,
    /// Length of every rate window, for limits and for the breaker's rates.
    pub window: Duration,
    /// Requests that may queue for one model's room.
    pub max_waiting: usize,
}

/// When an entry's circuit opens and closes.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// Successful probes in a row that close it.
    pub success_threshold: u32,
    /// Wait before a probe; the n-th time in a row, n times that.
    pub cooldown: Duration,
    /// Longest wait before a probe, at least `cooldown`.
    pub max_cooldown: Duration,
    /// Share of failures that opens it, above 0 to 1; `None` is off.
    pub failure_rate: Option<f64>,
    /// Calls in the window before rates count.
    pub minimum_calls: u32,
    /// What counts as slow; `None` is off.
    pub slow_call: Option<Duration>,
    /// Share of slow calls that opens it.
    pub slow_call_rate: f64,
}

/// Waiting between tries of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first retry.
    pub base: Duration,
    /// At most, never below `base`.
    pub max: Duration,
    /// Retries of one entry.
    pub retries: u32,
}

/// One `[[providers]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Unique name that chains use.
    pub name: String,
    /// What runs the models, with what only that kind needs.
    pub kind: ProviderKind,
}

/// What runs a provider's models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// A server that speaks OpenAI's API.
    OpenAi(OpenAi),
    /// Anthropic's Messages API.
    Anthropic(Anthropic),
    /// AWS Bedrock.
    Bedrock(Bedrock),
    /// The built-in model that answers from given text.
    Extractive,
    /// Scripted answers for tests.
    Mock,
}

impl ProviderKind {
    /// The words for the kinds in the configuration.
    pub(super) const WORDS: &'static [&'static str] =
        &["openai", "anthropic", "bedrock", "extractive", "mock"];
}

/// How to reach a server that speaks OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAi {
    /// Start of the API without a trailing slash, http or https.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Further headers for every request.
    pub headers: Vec<Header>,
    /// Whether streamed answers are asked for token counts.
    pub stream_usage: bool,
    /// Where converted requests say their bound.
    pub max_tokens_field: MaxTokensField,
}

/// How to reach Anthropic's Messages API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anthropic {
    /// Start of the API without a trailing slash, http or https.
    pub base_url: String,
    /// Sent as `x-api-key`.
    pub api_key: Option<Secret>,
    /// Further headers for every request.
    pub headers: Vec<Header>,
    /// Bound on answers where a request sets none.
    pub default_max_tokens: u64,
}

/// How to reach AWS Bedrock; what is absent is found as AWS tools find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bedrock {
    /// Region.
    pub region: Option<String>,
    /// Profile of the shared configuration files.
    pub profile: Option<String>,
    /// Role to assume.
    pub role_arn: Option<String>,
    /// Endpoint other than the region's own.
    pub endpoint_url: Option<String>,
}

/// One further header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Lower-case name.
    pub name: String,
    /// Value; hidden, because it often is a credential.
    pub value: Secret,
}

/// One `[[models]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What clients ask for; `*` at the end stands for any rest of a name.
    pub name: String,
    /// Entries in the order they are tried; never empty.
    pub chain: Vec<ChainEntry>,
    /// Output tokens set aside when a request does not limit them.
    pub default_output_tokens: u64,
}

/// One upstream model of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEntry {
    /// Name of the provider.
    pub provider: String,
    /// The provider's model; `None` passes on the name the client asked for.
    pub model: Option<String>,
    /// Budget of the entry; the same wherever the entry appears.
    pub limits: Limits,
}

/// One `[[keys]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// Who has it.
    pub tenant: String,
    /// What is presented.
    pub key: Secret,
    /// What it opens.
    pub role: Role,
    /// From then on it opens nothing; `None` is never.
    pub expires_at: Option<SystemTime>,
    /// Budget of the tenant; the same in all its keys.
    pub limits: Limits,
    /// What judges its texts.
    pub policy: Option<Policy>,
}

/// Budget of a chain entry or of a tenant; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens per minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests at the same time.
    pub max_concurrent: Option<u64>,
}

/// Defines an enum and the words for it, so that the two cannot drift apart.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The words in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value for `word`.
            pub(super) fn from_word(word: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|value| value.as_str() == word)
            }
        }
    };
}

words! {
    /// Least severe messages that are written.
    Level {
        /// Failures only.
        Error = "error",
        /// And what should be looked at.
        Warn = "warn",
        /// And what happens normally.
        Info = "info",
        /// And why.
        Debug = "debug",
        /// And every step.
        Trace = "trace",
    }
}

words! {
    /// What a client key opens.
    Role {
        /// What concerns its own tenant.
        User = "user",
        /// And what concerns all tenants.
        Admin = "admin",
    }
}

words! {
    /// Form of log messages.
    LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

words! {
    /// Where a request from another dialect says its bound on output tokens.
    MaxTokensField {
        /// As the host of the server suggests.
        Auto = "auto",
        /// What many compatible servers know.
        MaxTokens = "max_tokens",
        /// What OpenAI's newer models take.
        MaxCompletionTokens = "max_completion_tokens",
    }
}
