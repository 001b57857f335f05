//! The only place that builds rooms: one function per room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_provider::mock::Mock;
use tidegate_provider::{
    Anthropic, AnthropicConfigError, Dialect, OpenAi, OpenAiConfigError, Provider, ProviderError,
    Translated, Unavailability,
};
#[cfg(feature = "bedrock")]
use tidegate_provider::{Bedrock, BedrockConfigError};
use tidegate_store::{SingleFlight, Store};
use tidegate_text::template::{Library, PromptPackError};
use tidegate_work::{Deadline, Pool};

use crate::answer::WholeAnswer;
use crate::chain::{ANY, Chain, Chains};
use crate::config::{CacheConfig, EngineConfig, EntryConfig, ProviderConfig, ProviderKind};
use crate::entry::Entry;
use crate::error::EngineError;
use crate::extractive::Extractive;
use crate::generate::Generator;
use crate::guard::Guard;
use crate::sessions::Sessions;
use crate::stream_cache::Ended;
use tidegate_guard::PackError;
use tidegate_model::onnx::OnnxError;

/// The request paths over assembled rooms. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) rooms: Arc<Rooms>,
}

/// What the request paths use.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) chains: Chains,
    pub(crate) generator: Generator,
    pub(crate) store: Store,
    pub(crate) cache_config: CacheConfig,
    pub(crate) sessions: Sessions,
    pub(crate) guard: Arc<Guard>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) flights: SingleFlight<Result<WholeAnswer, EngineError>>,
    pub(crate) stream_flights: SingleFlight<Ended>,
    /// What prompts are made from.
    pub(crate) library: Arc<Library>,
    upstreams: Upstreams,
}

/// The providers, and what they were made from.
#[derive(Debug)]
struct Upstreams {
    /// Where each provider is, by name.
    origins: HashMap<String, Arc<str>>,
    providers: NamedProviders,
    configs: Vec<ProviderConfig>,
}

/// Providers in the order of the configuration.
type NamedProviders = Vec<(String, Arc<dyn Provider>)>;

/// Why an engine cannot be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A provider's configuration is unusable.
    #[error("provider {name:?}: {reason}")]
    Provider {
        /// Which one.
        name: String,
        /// Why.
        reason: ProviderProblem,
    },
    /// An entry names a provider that is not there.
    #[error("model {model:?} names provider {provider:?}, which is not configured")]
    UnknownProvider {
        /// The chain.
        model: String,
        /// The provider.
        provider: String,
    },
    /// A chain has no entries.
    #[error("model {model:?} has an empty chain")]
    EmptyChain {
        /// The chain.
        model: String,
    },
    /// A pack of rules cannot be read, or says something that it may not.
    #[error("rules of the guard: {0}")]
    Rules(#[from] PackError),
    /// A pack of prompts or frameworks cannot be read, or says something that
    /// it may not.
    #[error("prompts: {0}")]
    Prompts(#[from] PromptPackError),
    /// A model of one's own cannot be used.
    #[error("guard.model: {0}")]
    Model(#[from] OnnxError),
}

/// Why a provider's configuration is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderProblem {
    /// As the provider for servers in OpenAI's dialect says.
    #[error(transparent)]
    OpenAi(#[from] OpenAiConfigError),
    /// As the provider for servers in Anthropic's dialect says.
    #[error(transparent)]
    Anthropic(#[from] AnthropicConfigError),
    /// As the provider for AWS Bedrock says.
    #[cfg(feature = "bedrock")]
    #[error(transparent)]
    Bedrock(#[from] BedrockConfigError),
}

impl Engine {
    /// Builds every room and connects to nothing.
    ///
    /// # Errors
    /// [`AssembleError`] names what does not fit together.
    pub fn assemble(config: EngineConfig) -> Result<Self, AssembleError> {
        Self::assemble_after(None, config)
    }

    /// The engine of another configuration, in which everything that did not
    /// change stands as it stands in this one.
    ///
    /// Kept are the limits and what is counted and held under them, the
    /// answers in the cache unless its size changed, the providers whose
    /// configuration is the same with their connections, and what is known of
    /// each entry of such a provider: its breaker, its counters, its slots in
    /// use, its retry budget. What is kept follows the new configuration at
    /// once, for requests that are still with this engine as well; a quota
    /// whose window has another length starts to count anew. Who waits in line
    /// here is told, and shares the line with newcomers where the chain has
    /// the same entries.
    ///
    /// # Errors
    /// [`AssembleError`] names what does not fit together; nothing has changed
    /// then.
    pub fn reassemble(&self, config: EngineConfig) -> Result<Self, AssembleError> {
        Self::assemble_after(Some(&self.rooms), config)
    }

    fn assemble_after(before: Option<&Rooms>, config: EngineConfig) -> Result<Self, AssembleError> {
        let pool = before.map_or_else(|| Arc::new(pool()), |rooms| rooms.pool.clone());
        let providers = providers(&config.providers, &pool, before)?;
        let guard = Guard::new(config.guard.clone(), before.map(|rooms| &*rooms.guard))?;
        let library = Library::with_folders(&config.prompts)?;
        // The last step that can fail; what is kept changes after it.
        let chains = chains(&config, &providers, before)?;
        let store = store(&config, before);
        let rooms = Rooms {
            chains,
            generator: Generator {
                limits: store.limits.clone(),
                resilience: config.resilience,
            },
            sessions: Sessions::new(&store, config.sessions),
            store,
            cache_config: config.cache,
            guard: Arc::new(guard),
            pool,
            flights: SingleFlight::default(),
            stream_flights: SingleFlight::default(),
            library: Arc::new(library),
            upstreams: Upstreams {
                origins: origins(&config.providers),
                providers,
                configs: config.providers,
            },
        };
        Ok(Self {
            rooms: Arc::new(rooms),
        })
    }

    /// The model names of the configuration, in its order.
    pub fn models(&self) -> Vec<&str> {
        self.rooms.chains.names().collect()
    }

    /// Whether each provider can be reached, without calling a model.
    pub async fn reach(&self) -> Vec<(String, Result<(), ProviderError>)> {
        let mut reached = Vec::new();
        for (name, provider) in &self.rooms.upstreams.providers {
            let answer = Deadline::after(REACH_TIME).run(provider.reach()).await;
            let answer = answer.unwrap_or_else(|_| Err(Unavailability::TimedOut.into()));
            reached.push((name.clone(), answer));
        }
        reached
    }
}

impl Rooms {
    /// The provider that was made from the same configuration.
    fn provider_of(&self, config: &ProviderConfig) -> Option<Arc<dyn Provider>> {
        let Upstreams {
            configs, providers, ..
        } = &self.upstreams;
        let mut known = configs.iter().zip(providers);
        known
            .find(|(known, _)| *known == config)
            .map(|(_, (_, provider))| provider.clone())
    }

    /// The entries of a chain, each with where its provider is.
    pub(crate) fn origins(&self, chain: &Chain) -> Vec<(Arc<str>, Arc<str>)> {
        let origin = |entry: &Arc<Entry>| {
            let provider = entry
                .name
                .split_once('/')
                .map_or("", |(provider, _)| provider);
            let origin = self
                .upstreams
                .origins
                .get(provider)
                .cloned()
                .unwrap_or_default();
            (entry.name.clone(), origin)
        };
        chain.entries.iter().map(origin).collect()
    }

    pub(crate) fn chain(&self, model: &str) -> Result<Arc<Chain>, EngineError> {
        self.chains
            .find(model)
            .ok_or_else(|| EngineError::UnknownModel {
                model: model.to_owned(),
            })
    }

    /// A model's chain, or one entry as a chain of its own.
    pub(crate) fn chain_or_entry(&self, name: &str) -> Result<Arc<Chain>, EngineError> {
        match self.chains.entry_alone(name) {
            Some(chain) => Ok(chain),
            None => self.chain(name),
        }
    }
}

/// How long a provider may take to say that it is there.
const REACH_TIME: Duration = Duration::from_secs(5);
/// Queue in front of the CPU pool: a few times what it works on at once.
const POOL_QUEUE: usize = 256;

fn pool() -> Pool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Pool::new(cores, POOL_QUEUE)
}

/// The store that was opened for this configuration, or the one before.
fn store(config: &EngineConfig, before: Option<&Rooms>) -> Store {
    let bytes = config.cache.max_bytes;
    let store = config.store.clone();
    let store = store.or_else(|| before.map(|rooms| rooms.store.clone()));
    let store = store.unwrap_or_else(|| Store::memory(bytes));
    match before {
        Some(rooms) if rooms.cache_config.max_bytes != bytes => store.with_cache_bytes(bytes),
        Some(_) | None => store,
    }
}

fn providers(
    configs: &[ProviderConfig],
    pool: &Arc<Pool>,
    before: Option<&Rooms>,
) -> Result<NamedProviders, AssembleError> {
    let of = |config| match before.and_then(|rooms| rooms.provider_of(config)) {
        Some(known) => Ok(known),
        None => provider(&config.kind, pool),
    };
    configs
        .iter()
        .map(|config| match of(config) {
            Ok(provider) => Ok((config.name.clone(), provider)),
            Err(reason) => Err(AssembleError::Provider {
                name: config.name.clone(),
                reason,
            }),
        })
        .collect()
}

/// Whatever an upstream speaks, it is asked and answers in the caller's words.
fn provider(kind: &ProviderKind, pool: &Arc<Pool>) -> Result<Arc<dyn Provider>, ProviderProblem> {
    let chat = |provider| Arc::new(Translated::new(provider, Dialect::Chat));
    Ok(match kind {
        ProviderKind::OpenAi(config) => {
            let provider = Arc::new(OpenAi::new(config)?);
            let translated = Translated::new(provider, Dialect::Chat);
            Arc::new(translated.with_max_tokens_field(config.max_tokens_field))
        }
        ProviderKind::Anthropic(config) => {
            let provider = Arc::new(Anthropic::new(config)?);
            let translated = Translated::new(provider, Dialect::Messages);
            Arc::new(translated.with_default_max_tokens(config.default_max_tokens))
        }
        #[cfg(feature = "bedrock")]
        ProviderKind::Bedrock(config) => Arc::new(Bedrock::new(config)?),
        ProviderKind::Extractive => chat(Arc::new(Extractive::new(pool.clone()))),
        ProviderKind::Mock(script) => chat(Arc::new(Mock::new(script.clone()))),
        ProviderKind::Custom(provider) => provider.clone(),
    })
}

fn origins(configs: &[ProviderConfig]) -> HashMap<String, Arc<str>> {
    let origin = |config: &ProviderConfig| (config.name.clone(), config.kind.origin().into());
    configs.iter().map(origin).collect()
}

fn chains(
    config: &EngineConfig,
    providers: &NamedProviders,
    before: Option<&Rooms>,
) -> Result<Chains, AssembleError> {
    let before = before.map(|rooms| &rooms.chains);
    let providers: HashMap<_, _> = providers.iter().cloned().collect();
    for chain in &config.chains {
        check_chain(&chain.name, &chain.entries, &providers)?;
    }
    let mut chains = Chains::new(providers, config.resilience.clone(), before);
    for chain in &config.chains {
        chains.add(&chain.name, chain.entries.clone(), before);
    }
    if let Some(before) = before {
        chains.take_over(before);
    }
    debug_assert!(
        config
            .chains
            .iter()
            .all(|chain| chain.name.ends_with(ANY) || chains.find(&chain.name).is_some())
    );
    Ok(chains)
}

fn check_chain(
    model: &str,
    entries: &[EntryConfig],
    providers: &HashMap<String, Arc<dyn Provider>>,
) -> Result<(), AssembleError> {
    if entries.is_empty() {
        return Err(AssembleError::EmptyChain {
            model: model.to_owned(),
        });
    }
    match entries
        .iter()
        .find(|entry| !providers.contains_key(&entry.provider))
    {
        None => Ok(()),
        Some(entry) => Err(AssembleError::UnknownProvider {
            model: model.to_owned(),
            provider: entry.provider.clone(),
        }),
    }
}
