//! What became of background tasks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_engine::{TaskEnd, TaskState, TaskStats};

use super::{Gauges, Metrics, seconds};

/// Tasks that ended in this process, and attempts that failed. Cheap to clone:
/// all clones count together.
#[derive(Debug, Clone)]
pub(crate) struct TaskEnds {
    ends: Family<EndLabels, Counter>,
    wait_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    run_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
}

/// Kinds come from the registry of handlers, so their number is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    kind: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

impl Default for TaskEnds {
    fn default() -> Self {
        let histogram: fn() -> Histogram = seconds;
        Self {
            ends: Family::default(),
            wait_seconds: Family::new_with_constructor(histogram),
            run_seconds: Family::new_with_constructor(histogram),
        }
    }
}

impl TaskEnds {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_tasks",
            "Attempts at tasks that ended here, by where the task stood then",
            self.ends.clone(),
        );
        registry.register(
            "tidegate_task_wait_seconds",
            "Time from when a task might have run to the beginning of its attempt",
            self.wait_seconds.clone(),
        );
        registry.register(
            "tidegate_task_run_seconds",
            "Time that an attempt took",
            self.run_seconds.clone(),
        );
    }

    /// Notes the end of a task, or of an attempt.
    pub(crate) fn ended(&self, end: &TaskEnd) {
        let labels = EndLabels {
            kind: end.kind.clone(),
            state: end.state.as_str(),
        };
        self.ends.get_or_create(&labels).inc();
        // What was given back was not attempted.
        if end.state == TaskState::Queued {
            return;
        }
        let labels = KindLabels {
            kind: end.kind.clone(),
        };
        self.wait_seconds
            .get_or_create(&labels)
            .observe(end.wait.as_secs_f64());
        self.run_seconds
            .get_or_create(&labels)
            .observe(end.run.as_secs_f64());
    }
}

impl Metrics {
    /// Where the ends of tasks are noted.
    pub(crate) fn task_ends(&self) -> TaskEnds {
        self.tasks.clone()
    }
}

/// How many tasks there are, of all nodes together.
pub(super) fn queue(stats: &TaskStats) -> Registry {
    let mut registry = Registry::default();
    let depth = Gauges::default();
    for (priority, tasks) in &stats.priorities {
        let labels = vec![("priority", priority.to_string())];
        depth.get_or_create(&labels).set(*tasks as f64);
    }
    registry.register(
        "tidegate_queue_depth",
        "Tasks that have not ended, of all nodes, by priority",
        depth,
    );
    let states = Gauges::default();
    for (state, tasks) in &stats.states {
        let labels = vec![("state", state.to_string())];
        states.get_or_create(&labels).set(*tasks as f64);
    }
    registry.register(
        "tidegate_queue_tasks",
        "Tasks that are there, of all nodes, by state",
        states,
    );
    let oldest = Gauges::default();
    let waited = stats.oldest.unwrap_or_default();
    oldest.get_or_create(&Vec::new()).set(waited.as_secs_f64());
    registry.register(
        "tidegate_queue_oldest_seconds",
        "For how long the oldest task has waited that might run",
        oldest,
    );
    registry
}
