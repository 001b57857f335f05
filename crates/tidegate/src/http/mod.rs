//! The HTTP edge: parse, ask the engine, answer in the caller's dialect.

mod around;
mod body;
mod cache;
mod chat;
mod cost;
mod embeddings;
mod error;
mod feedback;
mod framing;
mod health;
mod home;
mod host;
mod keyring;
mod limits;
mod live;
mod maxima;
mod models;
mod openapi;
mod prompts;
mod query;
mod reload;
mod routes;
mod scan;
mod sessions;
mod sse;
mod stats;
mod tasks;
mod toon;
mod utc;
mod visit;
mod warm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use tidegate_engine::{AssembleError, BadTask, Engine, Tasks, TasksConfig};

use crate::metrics::Metrics;
use crate::traces::{Traces, Upstreams};
use live::{Current, Live};
use reload::Reloads;
use routes::Route;
use visit::Door;

pub(crate) use around::new_request_id;
pub(crate) use error::bare_error;
pub use host::HostPolicy;
pub use keyring::{KeyRing, Pass, Role};
pub(crate) use maxima::{MOST_HEADER_BYTES, MOST_HEADERS};
pub use openapi::openapi_json;
pub(crate) use reload::Tally;
pub use reload::{Draft, Fact, Holds, Mistake, Source};
pub(crate) use sessions::{session_json, summary_json};
pub(crate) use tasks::{MOST_TASKS, Wish, submitted_json, wish};
pub(crate) use utc::utc_millis;
pub(crate) use warm::numbered;

/// What every handler shares.
#[derive(Debug)]
pub struct Gate {
    pub(crate) current: Arc<Current>,
    /// Work in the background, which outlives a revision.
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    /// Set when the server is asked to stop: readiness says no from then on.
    pub(crate) draining: AtomicBool,
    pub(crate) reloads: Reloads,
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
    /// Which names the gate answers to.
    pub hosts: HostPolicy,
    /// How long running requests have once the gate is told to stop.
    pub drain: Duration,
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
            hosts: HostPolicy::default(),
            drain: Duration::from_secs(30),
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
        let live = Live {
            engine,
            settings,
            keys,
            facts: Vec::new(),
            revision: 1,
        };
        Self::at_first(live, TasksConfig::default(), Reloads::default())
    }

    /// A gate whose first revision is made of `draft`; a reload reads the next
    /// one from `source`.
    ///
    /// # Errors
    /// [`AssembleError`] names what does not fit together.
    pub fn assemble(draft: Draft, source: Box<dyn Source>) -> Result<Self, AssembleError> {
        let live = Live {
            engine: Engine::assemble(draft.engine)?,
            settings: draft.settings,
            keys: draft.keys,
            facts: draft.facts,
            revision: 1,
        };
        Ok(Self::at_first(
            live,
            draft.tasks,
            Reloads::from_source(source),
        ))
    }

    fn at_first(live: Live, tasks: TasksConfig, reloads: Reloads) -> Self {
        let metrics = Metrics::default();
        let engine = live.engine.clone();
        let current = Arc::new(Current::new(live));
        let ends = metrics.task_ends();
        let tasks = engine.tasks(tasks, current.clone(), move |end| ends.ended(end));
        Self {
            current,
            tasks,
            metrics,
            started: Instant::now(),
            draining: AtomicBool::new(false),
            reloads,
            traces: None,
        }
    }

    /// Looks at what its schedules would submit, before the first of it is due.
    ///
    /// # Errors
    /// [`BadTask`] names the first whose tasks would be refused.
    pub fn check_schedules(&self) -> Result<(), BadTask> {
        self.tasks.check_schedules()
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
    let mut paths: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
    for route in routes::routes() {
        paths.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        router = router.route(path, doors(routes, &gate));
    }
    router
        .fallback(error::not_found)
        .layer(from_fn_with_state(gate.clone(), around::around))
        .with_state(gate)
}

/// The methods of one path, each behind the door that its row names. Whoever
/// asks for another method passes the easiest of these doors before learning
/// which methods there are.
fn doors(routes: Vec<Route>, gate: &Arc<Gate>) -> MethodRouter<Arc<Gate>> {
    let admit = |access| from_fn_with_state(Door::new(access, gate), visit::admit);
    let access = routes.iter().map(|route| route.access).min();
    let access = access.unwrap_or(visit::Access::Admin);
    let methods = routes.iter().map(|route| route.method);
    let mut doors = error::other_methods(methods).layer(admit(access));
    for route in routes {
        doors = doors.merge(route.handler.route_layer(admit(route.access)));
    }
    doors
}
