//! From `[tasks]` and its tables to how background tasks are run.

use std::time::Duration;

use bytes::Bytes;
use tidegate_engine::{
    Isolation, KindLimits, Missed, Priority, Rate, Runs, Schedule, Task, TaskSettings, TasksConfig,
    Ticks, Webhooks, WorkerConfig,
};

use crate::config::{self, Config};
use crate::task_report::task_json;

/// Bound of the waits between attempts.
const BACKOFF_CAP: Duration = Duration::from_secs(120);
/// How long a handler may go on after it was told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Whose the tasks of the gate itself are: no tenant can have this name.
const NOBODY: &str = "@gate";

/// How background tasks are run.
pub(crate) fn tasks_config(config: &Config) -> TasksConfig {
    let tasks = &config.tasks;
    TasksConfig {
        settings: settings(&tasks.bounds),
        worker: WorkerConfig {
            concurrency: tasks.concurrency,
            prefetch: tasks.prefetch,
            lease: tasks.lease,
            drain: config.server.drain,
            grace: GRACE,
            isolation: Isolation::Thread,
            kinds: None,
        },
        kinds: tasks
            .kinds
            .iter()
            .map(|(kind, limits)| (kind.clone(), limits_of(*limits)))
            .collect(),
        schedules: schedules(tasks),
        webhooks: Webhooks {
            hosts: tasks.webhooks.iter().map(webhook).collect(),
            show: Some(shown),
        },
        runs: if tasks.inline {
            Runs::Inline
        } else {
            Runs::Queued
        },
    }
}

fn settings(bounds: &config::Bounds) -> TaskSettings {
    TaskSettings {
        max_waiting: bounds.max_waiting,
        max_input_bytes: bounds.max_input_bytes,
        max_retries: bounds.max_retries,
        backoff: bounds.backoff,
        backoff_cap: BACKOFF_CAP.max(bounds.backoff),
        timeout: bounds.timeout,
        result_ttl: bounds.result_ttl,
        dead_ttl: bounds.dead_ttl,
        max_ended: bounds.max_ended,
    }
}

fn limits_of((concurrency, per_minute): (Option<u64>, Option<u64>)) -> KindLimits {
    KindLimits {
        concurrency: concurrency.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        rate: per_minute.map(|tasks| Rate {
            tasks,
            window: Duration::from_secs(60),
        }),
    }
}

fn schedules(tasks: &config::Tasks) -> Vec<Schedule> {
    let rows = tasks.schedules.iter().filter_map(schedule);
    let health = tasks
        .health_every
        .and_then(|every| Ticks::every(every).ok());
    let health = health.map(|ticks| Schedule {
        name: "monitor-health".to_owned(),
        owner: NOBODY.to_owned(),
        ticks,
        missed: Missed::Skip,
        kind: "monitor_health".to_owned(),
        input: Bytes::from_static(b"{}"),
        priority: Priority::Normal,
    });
    rows.chain(health).collect()
}

fn schedule(row: &config::ScheduleRow) -> Option<Schedule> {
    Some(Schedule {
        name: row.name.clone(),
        owner: row.tenant.clone(),
        // The check of the configuration has built it as well.
        ticks: row.when.ticks().ok()?,
        missed: row.missed,
        kind: row.kind.clone(),
        input: row.input.clone().into(),
        priority: row.priority,
    })
}

fn webhook((host, secret): &(String, config::Secret)) -> (String, std::sync::Arc<[u8]>) {
    (host.clone(), secret.expose().as_bytes().into())
}

fn shown(task: &Task) -> Bytes {
    let body = serde_json::json!({ "task": task_json(task) });
    body.to_string().into()
}
