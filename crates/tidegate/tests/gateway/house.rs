//! A gateway and its upstream in this process, both on sockets of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate::{Gate, GateSettings, KeyRing, Server, Shutdown};
use tidegate_engine::mock::{Script, serve};
use tidegate_engine::{
    CacheConfig, ChainConfig, Engine, EngineConfig, EntryConfig, GuardConfig, MaxTokensField,
    OpenAiConfig, ProviderConfig, ProviderKind, Quota, ResilienceConfig,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Reply, ask, complete, until};

/// What a house is built from. Nothing is limited and nothing is repeated
/// unless a story says so.
pub(crate) struct Plan {
    pub(crate) chains: Vec<ChainConfig>,
    pub(crate) resilience: ResilienceConfig,
    pub(crate) cache: CacheConfig,
    pub(crate) guard: GuardConfig,
    pub(crate) settings: GateSettings,
    /// Who may come in; everybody unless a story says so.
    pub(crate) keys: KeyRing,
    pub(crate) script: Script,
    pub(crate) drain: Duration,
    /// Another upstream than the mock.
    pub(crate) upstream: Option<SocketAddr>,
}

impl Plan {
    /// Model names with the entries that serve them. The provider `up` is the
    /// mock, nobody listens at `gone`.
    pub(crate) fn serving(chains: &[(&str, &[&str])]) -> Self {
        let chain = |(name, entries): &(&str, &[&str])| ChainConfig {
            name: (*name).to_owned(),
            entries: entries.iter().map(|name| entry(name)).collect(),
        };
        let mut resilience = ResilienceConfig::default();
        resilience.backoff.retries = 0;
        Self {
            chains: chains.iter().map(chain).collect(),
            resilience,
            cache: CacheConfig::default(),
            guard: GuardConfig::default(),
            settings: GateSettings::default(),
            keys: KeyRing::default(),
            script: Script::default(),
            drain: Duration::from_secs(10),
            upstream: None,
        }
    }
}

/// `provider/model` without limits.
pub(crate) fn entry(name: &str) -> EntryConfig {
    let (provider, model) = name.split_once('/').expect("provider/model");
    EntryConfig {
        quota: Quota::unlimited(),
        ..EntryConfig::new(provider, model)
    }
}

/// A gateway that serves, with its upstream. Dropping it stops both.
pub(crate) struct House {
    pub(crate) addr: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) shutdown: Shutdown,
    _tasks: JoinSet<()>,
}

impl House {
    pub(crate) async fn open(plan: Plan) -> Self {
        let mut tasks = JoinSet::new();
        let upstream = match plan.upstream {
            Some(upstream) => upstream,
            None => start_mock(plan.script, &mut tasks).await,
        };
        let config = EngineConfig {
            guard: plan.guard,
            providers: vec![
                provider("up", &format!("http://{upstream}/v1")),
                provider("gone", "http://127.0.0.1:1/v1"),
            ],
            chains: plan.chains,
            resilience: plan.resilience,
            cache: plan.cache,
            ..EngineConfig::default()
        };
        let engine = Engine::assemble(config).expect("the plan fits together");
        let gate = Arc::new(Gate::with_keys(engine, plan.settings, plan.keys));
        let server = Server::bind(([127, 0, 0, 1], 0).into(), gate)
            .await
            .unwrap();
        let addr = server.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let (stop, drain) = (shutdown.clone(), plan.drain);
        tasks.spawn(async move {
            server.run(stop, drain).await;
        });
        Self {
            addr,
            upstream,
            shutdown,
            _tasks: tasks,
        }
    }

    /// Sends a request as it is.
    pub(crate) async fn ask(&self, raw: &[u8]) -> Reply {
        ask(self.addr, raw).await
    }

    /// Sends a chat request and reads its whole answer.
    pub(crate) async fn complete(&self, request: &Value) -> Reply {
        complete(self.addr, request).await
    }

    /// Waits until the mock's own count is as wanted.
    pub(crate) async fn until_upstream(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        until(self.upstream, "/__mock/stats", wanted).await
    }
}

/// Starts a mock upstream; it stops with the tasks.
pub(crate) async fn start_mock(script: Script, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let served = serve(listener, script, None, std::future::pending()).await;
        served.expect("the mock serves");
    });
    addr
}

fn provider(name: &str, base_url: &str) -> ProviderConfig {
    let openai = OpenAiConfig {
        base_url: base_url.parse().unwrap(),
        api_key: Some("sk-of-the-operator".to_owned()),
        headers: Vec::new(),
        stream_usage: true,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
    };
    ProviderConfig {
        name: name.to_owned(),
        kind: ProviderKind::OpenAi(openai),
    }
}
