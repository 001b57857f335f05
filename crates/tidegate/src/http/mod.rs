//! The HTTP edge: parse, ask the engine, answer in the caller's dialect.

mod around;
mod body;
mod chat;
mod cost;
mod embeddings;
mod error;
mod health;
mod home;
mod keyring;
mod limits;
mod live;
mod maxima;
mod models;
mod openapi;
mod routes;
mod sse;
mod stats;
mod visit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn_with_state;
use tidegate_engine::Engine;

use crate::metrics::Metrics;
use crate::traces::{Traces, Upstreams};
use live::{Current, Live};

pub(crate) use around::new_request_id;
pub(crate) use error::bare_error;
pub use keyring::KeyRing;
pub(crate) use maxima::{MOST_HEADER_BYTES, MOST_HEADERS};
pub use openapi::openapi_json;

/// What every handler shares.
#[derive(Debug)]
pub struct Gate {
    pub(crate) current: Current,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    /// Set when the server is asked to stop: readiness says no from then on.
    pub(crate) draining: AtomicBool,
    /// What traces requests, where that is asked for.
    pub(crate) traces: Option<Traces>,
}

/// Settings of the HTTP edge.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// How long a request may take until its answer begins.
    pub deadline: Duration,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Whether every request is logged.
    pub access_log: AccessLog,
    /// What traces say of the providers.
    pub upstreams: Arc<Upstreams>,
}

/// Whether every request is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// One line a request.
    On,
    /// None.
    Off,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            max_body_bytes: 10 << 20,
            access_log: AccessLog::Off,
            upstreams: Arc::default(),
        }
    }
}

impl Gate {
    /// A gate in front of an engine.
    pub fn new(engine: Engine, settings: GateSettings) -> Self {
        Self::with_keys(engine, settings, KeyRing::default())
    }

    /// A gate that lets in whoever has a key.
    pub fn with_keys(engine: Engine, settings: GateSettings, keys: KeyRing) -> Self {
        Self {
            current: Current::new(Live {
                engine,
                settings,
                keys,
                revision: 1,
            }),
            metrics: Metrics::default(),
            started: Instant::now(),
            draining: AtomicBool::new(false),
            traces: None,
        }
    }

    /// The same gate, with its requests traced where there is something that
    /// traces them.
    pub(crate) fn traced(mut self, traces: Option<Traces>) -> Self {
        if let Some(traces) = &traces {
            self.metrics.watch_spans(traces.counts());
        }
        self.traces = traces;
        self
    }
}

/// The whole HTTP surface.
pub fn app(gate: Arc<Gate>) -> Router {
    let mut router = Router::new();
    for route in routes::routes() {
        let admit = from_fn_with_state(route.access, visit::admit);
        router = router.route(route.path, route.handler.route_layer(admit));
    }
    router
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn_with_state(gate.clone(), around::around))
        .with_state(gate)
}
