//! A task as answers, messages and the command line show it.

use serde_json::{Map, Value, json};
use tidegate_engine::{Progress, Task, TaskPage, TaskStats};

use crate::http::utc_millis;

/// A task with everything that is known of it.
pub(crate) fn task_json(task: &Task) -> Value {
    let mut shown = summary(task);
    let parsed = |bytes: &Option<bytes::Bytes>| {
        let bytes = bytes.as_deref().unwrap_or(b"null");
        serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null)
    };
    shown.insert("input".to_owned(), parsed(&task.input));
    shown.insert("result".to_owned(), parsed(&task.result));
    Value::Object(shown)
}

/// A part of a list, without inputs and results.
pub(crate) fn page_json(page: &TaskPage) -> Value {
    let tasks = page.tasks.iter().map(|task| Value::Object(summary(task)));
    json!({ "tasks": tasks.collect::<Vec<_>>(), "next": page.next })
}

/// A task without its input and result.
pub(crate) fn summary(task: &Task) -> Map<String, Value> {
    let times = task.times;
    let error = task.error.as_ref();
    let shown = json!({
        "id": task.id,
        "kind": task.kind,
        "state": task.state.as_str(),
        "priority": task.priority.as_str(),
        "attempt": task.tries.attempt,
        "max_retries": task.tries.max_retries,
        "progress": task.progress.as_ref().map(progress_json),
        "error": error.map(|error| json!({ "code": error.code, "message": error.message })),
        "depends_on": task.depends_on,
        "tags": task.tags,
        "created_at": utc_millis(times.created),
        "run_at": utc_millis(times.run_at),
        "started_at": times.started.map(utc_millis),
        "finished_at": times.finished.map(utc_millis),
        "wait_ms": times.wait_ms,
        "run_ms": times.run_ms,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

/// How far a task has come.
pub(crate) fn progress_json(progress: &Progress) -> Value {
    json!({
        "current": progress.current,
        "total": progress.total,
        "message": progress.message,
        "per_second": progress.per_second,
        "eta_ms": progress.eta_ms,
    })
}

/// How many tasks there are of everything.
pub(crate) fn stats_json(stats: &TaskStats) -> Value {
    let kinds = stats.kinds.iter().map(|(kind, of_kind)| {
        let states = states_json(&of_kind.states);
        (
            kind.clone(),
            json!({ "states": states, "per_second": of_kind.per_second }),
        )
    });
    let priorities = stats.priorities.iter();
    let priorities = priorities.map(|(priority, tasks)| (priority.to_string(), json!(tasks)));
    json!({
        "states": states_json(&stats.states),
        "priorities": priorities.collect::<Map<_, _>>(),
        "kinds": kinds.collect::<Map<_, _>>(),
        "depth": stats.depth(),
        "oldest_waiting_ms": stats.oldest.map(|oldest| oldest.as_millis() as u64),
    })
}

fn states_json(states: &std::collections::BTreeMap<tidegate_engine::TaskState, u64>) -> Value {
    let all = tidegate_engine::TaskState::ALL.into_iter();
    let counted = all.map(|state| {
        let tasks = states.get(&state).copied().unwrap_or(0);
        (state.to_string(), json!(tasks))
    });
    Value::Object(counted.collect())
}

/// What is said of a task to one who watches it: only what is new.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    said: Option<Map<String, Value>>,
}

/// Something new about a task.
#[derive(Debug)]
pub(crate) struct News {
    /// `state`, `progress`, or `end` after which nothing follows.
    pub(crate) event: &'static str,
    /// The task; without its input and result until it has ended.
    pub(crate) task: Value,
}

impl Watched {
    /// Whether anything was said yet.
    pub(crate) fn is_new(&self) -> bool {
        self.said.is_none()
    }

    /// What has changed since it was asked last.
    pub(crate) fn news(&mut self, task: &Task) -> Option<News> {
        if task.state.is_final() {
            let task = task_json(task);
            return Some(News { event: "end", task });
        }
        let now = summary(task);
        let before = self.said.replace(now.clone());
        if before.as_ref() == Some(&now) {
            return None;
        }
        let is_same_state = before.is_some_and(|before| before["state"] == now["state"]);
        let event = if is_same_state { "progress" } else { "state" };
        let task = Value::Object(now);
        Some(News { event, task })
    }
}
