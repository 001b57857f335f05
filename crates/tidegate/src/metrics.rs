//! Metrics in Prometheus' words: base units, `_seconds`, `_total`.

mod guard;
mod prompts;
mod scans;
mod tasks;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::http::Tally;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_engine::{
    AnswerHead, CacheStats, Cached, EngineHealth, EntryHealth, Health, Mode, Scanned, StoreState,
    TaskStats,
};

use crate::traces::SpanCounts;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// What the HTTP edge observes itself. How the engine is doing is asked at
/// scrape time.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    overhead_seconds: Histogram,
    upstream_seconds: Family<ModelLabels, Histogram, fn() -> Histogram>,
    wait_seconds: Histogram,
    cache: Family<CacheLabels, Counter>,
    denied: Family<DeniedLabels, Counter>,
    active: Gauge,
    scans: scans::Scans,
    prompts: prompts::Prompts,
    tasks: tasks::TaskEnds,
}

/// Routes come from the table of routes, so their number is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct ModelLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct CacheLabels {
    namespace: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct DeniedLabels {
    reason: &'static str,
}

/// What is kept, in the words of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    Answer,
    Scan,
}

impl Namespace {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Scan => "scan",
        }
    }
}

/// What is asked of a model, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Completion,
    /// A chat, in Anthropic's dialect.
    Messages,
    Embeddings,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "chat",
            Self::Completion => "text_completion",
            Self::Embeddings => "embeddings",
        }
    }
}

/// From 50 µs, where a gateway's own time lies, to beyond a minute.
const SECONDS: [f64; 20] = [
    50e-6, 100e-6, 200e-6, 400e-6, 800e-6, 1.6e-3, 3.2e-3, 6.4e-3, 12.5e-3, 25e-3, 50e-3, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0,
];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = seconds;
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(histogram),
            overhead_seconds: seconds(),
            upstream_seconds: Family::new_with_constructor(histogram),
            wait_seconds: seconds(),
            cache: Family::default(),
            denied: Family::default(),
            active: Gauge::default(),
            scans: scans::Scans::default(),
            prompts: prompts::Prompts::default(),
            tasks: tasks::TaskEnds::default(),
        };
        metrics.register();
        metrics
    }
}

/// Counts a request as active while it lives.
pub(crate) struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "tidegate_http_requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        registry.register(
            "tidegate_http_request_duration_seconds",
            "Time from the head of a request to the end of its answer",
            self.request_seconds.clone(),
        );
        registry.register(
            "tidegate_overhead_seconds",
            "Time that tidegate added: total less waiting for upstreams and for room",
            self.overhead_seconds.clone(),
        );
        registry.register(
            "gen_ai_client_operation_duration_seconds",
            "Time spent waiting for upstreams, by the chain entry that answered",
            self.upstream_seconds.clone(),
        );
        registry.register(
            "tidegate_wait_seconds",
            "Time spent waiting for room",
            self.wait_seconds.clone(),
        );
        registry.register(
            "tidegate_cache_requests",
            "Answers and scans by what the cache did for them",
            self.cache.clone(),
        );
        registry.register(
            "tidegate_denied",
            "Requests that were not let in, by reason",
            self.denied.clone(),
        );
        registry.register(
            "tidegate_active_requests",
            "Requests under way",
            self.active.clone(),
        );
        self.scans.register(registry);
        self.prompts.register(registry);
        self.tasks.register(registry);
    }

    /// Shows what became of spans, where there are any.
    pub(crate) fn watch_spans(&mut self, counts: SpanCounts) {
        self.registry.register(
            "tidegate_trace_spans",
            "Spans by what became of them",
            counts,
        );
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn active(&self) -> Active {
        self.active.inc();
        Active(self.active.clone())
    }

    /// Notes a request that was not let in.
    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.get_or_create(&DeniedLabels { reason }).inc();
    }

    /// Notes a finished request.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels {
                route: route.to_owned(),
                status,
            })
            .inc();
        let labels = RouteLabels {
            route: route.to_owned(),
        };
        self.request_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Notes an answer when its head is known.
    pub(crate) fn answered(&self, operation: Operation, head: &AnswerHead, overhead: Duration) {
        self.overhead_seconds.observe(overhead.as_secs_f64());
        self.wait_seconds.observe(head.waited.as_secs_f64());
        if operation != Operation::Embeddings {
            self.cached(Namespace::Answer, head.cached);
        }
        if head.attempts > 0 {
            let (provider, model) = head.model.split_once('/').unwrap_or_default();
            let labels = ModelLabels {
                gen_ai_operation_name: operation.as_str(),
                gen_ai_provider_name: provider.to_owned(),
                gen_ai_request_model: model.to_owned(),
            };
            self.upstream_seconds
                .get_or_create(&labels)
                .observe(head.upstream.as_secs_f64());
        }
    }

    /// Notes what the cache did for a request.
    pub(crate) fn cached(&self, namespace: Namespace, cached: Cached) {
        let labels = CacheLabels {
            namespace: namespace.as_str(),
            result: cached.as_str(),
        };
        self.cache.get_or_create(&labels).inc();
    }

    /// Notes a text that was scanned on request.
    pub(crate) fn scanned(&self, mode: Mode, scanned: &Scanned) {
        self.scans.note(mode, scanned);
    }

    /// Everything as OpenMetrics text; of tasks nothing where the store cannot
    /// say.
    pub(crate) fn render(
        &self,
        health: &EngineHealth,
        tasks: Option<&TaskStats>,
        (revision, reloads): (u64, &Tally),
    ) -> String {
        let engine = engine_registry(health);
        let config = config_registry(revision, reloads);
        let tasks = tasks.map_or_else(Registry::default, tasks::queue);
        let mut text = String::new();
        for registry in [&self.registry, &engine, &tasks, &config] {
            encode_registry(&mut text, registry).expect("writing to a string cannot fail");
        }
        encode_eof(&mut text).expect("writing to a string cannot fail");
        text
    }
}

/// The engine's state as metrics of this moment.
fn engine_registry(health: &EngineHealth) -> Registry {
    let mut registry = Registry::default();
    let attempts: Family<Labels, Counter> = Family::default();
    let retries: Family<Labels, Counter> = Family::default();
    let (states, headroom, active) = (Gauges::default(), Gauges::default(), Gauges::default());
    for entry in &health.entries {
        let model = || vec![("model", entry.name.clone())];
        for (outcome, count) in outcomes(entry) {
            attempts
                .get_or_create(&with(model(), "outcome", outcome))
                .inc_by(count);
        }
        retries.get_or_create(&model()).inc_by(entry.counts.retried);
        for state in [Health::Healthy, Health::HalfOpen, Health::CircuitOpen] {
            let is = if entry.breaker.state == state {
                1.0
            } else {
                0.0
            };
            states
                .get_or_create(&with(model(), "state", state.as_str()))
                .set(is);
        }
        for (kind, ratio) in entry.headroom() {
            let labels = with(with(model(), "kind", kind), "scope", "entry");
            headroom.get_or_create(&labels).set(ratio);
        }
        active
            .get_or_create(&model())
            .set(f64::from(entry.active_requests));
    }
    registry.register(
        "tidegate_upstream_attempts",
        "Calls to upstreams by outcome",
        attempts,
    );
    registry.register(
        "tidegate_upstream_retries",
        "Repeats on the same chain entry",
        retries,
    );
    registry.register(
        "tidegate_breaker_state",
        "1 for the state that a breaker is in",
        states,
    );
    registry.register(
        "tidegate_limiter_headroom_ratio",
        "Share of a limit that is free",
        headroom,
    );
    registry.register(
        "tidegate_upstream_active_requests",
        "Calls under way",
        active,
    );
    whole_engine(&mut registry, health);
    registry
}

fn whole_engine(registry: &mut Registry, health: &EngineHealth) {
    guard::guard(registry, &health.guard);
    guard::l2(registry, &health.guard);
    guard::rollout(registry, health.agreement.as_ref());
    let waiting: Gauge<f64, AtomicU64> = Gauge::default();
    waiting.set(health.waiting as f64);
    registry.register(
        "tidegate_waiting_requests",
        "Requests that wait for room",
        waiting,
    );
    cache(registry, &health.cache);
    let overshoot: Counter = Counter::default();
    overshoot.inc_by(
        health
            .entries
            .iter()
            .map(|entry| entry.level.overshot_tokens)
            .sum(),
    );
    registry.register(
        "tidegate_limiter_overshot_tokens",
        "Tokens used beyond their reservations",
        overshoot,
    );
    store(registry, &health.store);
}

fn cache(registry: &mut Registry, stats: &CacheStats) {
    let gauges = [
        (
            "tidegate_cache_bytes",
            "Bytes in this node's cache",
            stats.bytes,
        ),
        (
            "tidegate_cache_entries",
            "Values in this node's cache",
            stats.entries,
        ),
    ];
    for (name, help, value) in gauges {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(value as f64);
        registry.register(name, help, gauge);
    }
    let operations: Family<Labels, Counter> = Family::default();
    for (operation, count) in [
        ("hit", stats.hits.saturating_sub(stats.shared_hits)),
        ("shared_hit", stats.shared_hits),
        ("miss", stats.misses),
        ("set", stats.sets),
        ("eviction", stats.evictions),
        ("invalidation", stats.invalidations),
        ("error", stats.errors),
    ] {
        operations
            .get_or_create(&vec![("operation", operation.to_owned())])
            .inc_by(count);
    }
    registry.register(
        "tidegate_cache_operations",
        "What the cache was asked for, and what came of it",
        operations,
    );
}

/// All words, so that an alert on one of them always has something to look at.
const REACHES: [&str; 3] = ["live", "recovering", "unreachable"];

fn store(registry: &mut Registry, state: &StoreState) {
    let mode = Gauges::default();
    for reach in REACHES {
        let labels = vec![("home", state.home.to_owned())];
        let is = if reach == state.reach.as_str() {
            1.0
        } else {
            0.0
        };
        mode.get_or_create(&with(labels, "reach", reach)).set(is);
    }
    registry.register(
        "tidegate_store_mode",
        "1 for the home of shared state and whether it can be reached",
        mode,
    );
    let nodes: Gauge<f64, AtomicU64> = Gauge::default();
    nodes.set(f64::from(state.nodes));
    registry.register(
        "tidegate_store_nodes",
        "Gateways that were last seen at the store, this one included",
        nodes,
    );
}

/// Which configuration holds, and what became of those that were to follow it.
fn config_registry(revision: u64, reloads: &Tally) -> Registry {
    let mut registry = Registry::default();
    let holds: Gauge<f64, AtomicU64> = Gauge::default();
    holds.set(revision as f64);
    registry.register(
        "tidegate_config_revision",
        "Number of the configuration that holds, from 1",
        holds,
    );
    let outcomes: Family<Labels, Counter> = Family::default();
    for (outcome, count) in [("applied", reloads.applied), ("refused", reloads.refused)] {
        outcomes
            .get_or_create(&vec![("outcome", outcome.to_owned())])
            .inc_by(count);
    }
    registry.register(
        "tidegate_config_reloads",
        "Reloads of the configuration by outcome",
        outcomes,
    );
    registry
}

fn with(mut labels: Labels, name: &'static str, value: &str) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

fn outcomes(entry: &EntryHealth) -> [(&'static str, u64); 4] {
    let counts = &entry.counts;
    [
        ("success", counts.successful),
        ("failure", counts.failed),
        ("throttled", counts.throttled),
        ("abandoned", counts.abandoned),
    ]
}

#[cfg(test)]
mod tests;
