//! What an engine is assembled from: typed and checked by whoever read it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::guard::GuardConfig;
#[cfg(feature = "bedrock")]
use tidegate_provider::BedrockConfig;
use tidegate_provider::mock::Script;
use tidegate_provider::{AnthropicConfig, OpenAiConfig, Provider};
use tidegate_resilience::{Backoff, BreakerConfig};
use tidegate_store::{Quota, Store};
use tidegate_text::template::PromptFolders;

/// Everything that an engine needs to know.
#[derive(Clone, Default)]
pub struct EngineConfig {
    /// Where models are served.
    pub providers: Vec<ProviderConfig>,
    /// What clients ask for.
    pub chains: Vec<ChainConfig>,
    /// How failures are met.
    pub resilience: ResilienceConfig,
    /// What is remembered.
    pub cache: CacheConfig,
    /// What is scanned.
    pub guard: GuardConfig,
    /// Conversations that are kept.
    pub sessions: SessionsConfig,
    /// Where prompts and frameworks are read beside those of this build.
    pub prompts: PromptFolders,
    /// Where everything is kept that outlives a request; `None` for the memory
    /// of this process, or whatever an engine that is reassembled uses already.
    pub store: Option<Store>,
}

/// Conversations that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsConfig {
    /// How long one is kept after it was last used.
    pub ttl: Duration,
    /// Bytes of one, before compression.
    pub max_bytes: u64,
    /// Estimated tokens of what was said before that a request is given.
    pub history_tokens: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3_600),
            max_bytes: 1 << 20,
            history_tokens: 8_000,
        }
    }
}

/// A named place where models are served.
#[derive(Clone, PartialEq)]
pub struct ProviderConfig {
    /// The part before the slash in a chain entry.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
}

/// The name alone: the rest holds keys.
impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The kinds of providers.
#[derive(Clone)]
pub enum ProviderKind {
    /// A server in OpenAI's dialect.
    OpenAi(OpenAiConfig),
    /// A server in Anthropic's dialect.
    Anthropic(AnthropicConfig),
    /// AWS Bedrock.
    #[cfg(feature = "bedrock")]
    Bedrock(BedrockConfig),
    /// The built-in model that answers from the shipped documents.
    Extractive,
    /// A scripted upstream in this process.
    Mock(Script),
    /// One of the caller's own, which answers every dialect that it is asked in.
    Custom(Arc<dyn Provider>),
}

/// Whether both would make the same provider; one of the caller's own is the
/// same as itself only.
impl PartialEq for ProviderKind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OpenAi(one), Self::OpenAi(other)) => one == other,
            (Self::Extractive, Self::Extractive) => true,
            (Self::Mock(one), Self::Mock(other)) => one == other,
            (Self::Custom(one), Self::Custom(other)) => Arc::ptr_eq(one, other),
            (Self::Anthropic(own), Self::Anthropic(other)) => own == other,
            #[cfg(feature = "bedrock")]
            (Self::Bedrock(own), Self::Bedrock(other)) => own == other,
            #[cfg(feature = "bedrock")]
            (Self::Bedrock(_), _) => false,
            (
                Self::OpenAi(_)
                | Self::Anthropic(_)
                | Self::Extractive
                | Self::Mock(_)
                | Self::Custom(_),
                _,
            ) => false,
        }
    }
}

impl ProviderKind {
    /// Where it is and what of its configuration changes its answers, without
    /// secrets: answers from two origins do not stand for each other.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::OpenAi(config) => format!("openai {}", config.base_url),
            Self::Anthropic(config) => {
                format!(
                    "anthropic {} {}",
                    config.base_url, config.default_max_tokens
                )
            }
            #[cfg(feature = "bedrock")]
            Self::Bedrock(config) => format!(
                "bedrock {:?} {:?} {:?}",
                config.region, config.endpoint_url, config.default_max_tokens
            ),
            Self::Extractive => "extractive".to_owned(),
            Self::Mock(_) => "mock".to_owned(),
            Self::Custom(_) => "custom".to_owned(),
        }
    }
}

/// A model name and the entries that serve it, best first.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// What clients ask for; `*` at the end stands for any rest, the longest
    /// such name that fits counts.
    pub name: String,
    /// Tried in this order.
    pub entries: Vec<EntryConfig>,
}

/// One `provider/model` with its limits.
#[derive(Debug, Clone)]
pub struct EntryConfig {
    /// A provider's name.
    pub provider: String,
    /// The provider's own name of the model; `*` is the name asked for.
    pub model: String,
    /// What may be used of it.
    pub quota: Quota,
    /// Tokens to reserve for an answer whose request sets no maximum.
    pub default_output_tokens: u64,
}

impl EntryConfig {
    /// An entry with AI-Prism's limits: 30 requests and 120,000 tokens a
    /// minute, 5 at once.
    pub fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            quota: Quota {
                requests: Some(30),
                tokens: Some(120_000),
                concurrent: Some(5),
                ..Quota::unlimited()
            },
            default_output_tokens: 1_024,
        }
    }

    /// `provider/model`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// How failures are met, for every entry.
#[derive(Debug, Clone)]
pub struct ResilienceConfig {
    /// When an entry is left alone, and for how long.
    pub breaker: BreakerConfig,
    /// Waits before the same entry is tried again.
    pub backoff: Backoff,
    /// Repeats on the same entry as a share of requests.
    pub retry_budget: f64,
    /// Whether concurrency follows what the upstream bears (AIMD).
    pub adaptive: Adaptivity,
    /// Time limits of one attempt.
    pub attempt: AttemptConfig,
    /// Requests that may wait for room, per model name.
    pub max_waiting: usize,
}

/// Whether concurrency adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adaptivity {
    /// The configured concurrency is used.
    Fixed,
    /// The configured concurrency is a maximum.
    Adaptive,
}

/// Time limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct AttemptConfig {
    /// Until the first content, while another entry is left to try.
    pub first_content: Duration,
    /// Between two events of a stream.
    pub stream_idle: Duration,
    /// Pause before the next entry of a chain is tried.
    pub switch_delay: Duration,
}

impl Default for ResilienceConfig {
    fn default() -> Self {
        Self {
            breaker: BreakerConfig::default(),
            backoff: Backoff::default(),
            retry_budget: 0.2,
            adaptive: Adaptivity::Fixed,
            attempt: AttemptConfig {
                first_content: Duration::from_secs(30),
                stream_idle: Duration::from_secs(60),
                switch_delay: Duration::ZERO,
            },
            max_waiting: 1_024,
        }
    }
}

/// What is remembered.
#[derive(Debug, Clone, Copy)]
pub struct CacheConfig {
    /// Whether chat answers are cached unless a request says otherwise.
    pub answers: CacheAnswers,
    /// How long.
    pub ttl: Duration,
    /// How much, in this process.
    pub max_bytes: u64,
    /// The last part of the time that something is kept in which one caller
    /// makes it anew while the others go on with it; 0 to 1.
    pub refresh_ahead: f64,
}

/// Whether chat answers are cached unless a request says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheAnswers {
    /// Only when a request asks for it.
    OnRequest,
    /// Unless a request forbids it.
    Always,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            answers: CacheAnswers::OnRequest,
            ttl: Duration::from_secs(3_600),
            max_bytes: 256 << 20,
            refresh_ahead: 0.1,
        }
    }
}
