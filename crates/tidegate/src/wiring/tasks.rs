//! From `[tasks]` and its tables to how background tasks are run.

use std::time::Duration;

use bytes::Bytes;
use tidegate_engine::{
    Caller, Engine, InForce, Isolation, KindLimits, Missed, Priority, Quota, Rate, Runs, Schedule,
    Task, TaskSettings, TasksConfig, Ticks, Webhooks, WorkerConfig,
};

use super::keys::key_ring;
use crate::config::{self, Config};
use crate::http::KeyRing;
use crate::task_report::task_json;

/// Bound of the waits between attempts.
const BACKOFF_CAP: Duration = Duration::from_secs(120);
/// How long a handler may go on after it was told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Whose the tasks of the gate itself are: no tenant can have this name.
const NOBODY: &str = "@gate";

/// What tasks run on where there is no gate: one engine, which stays.
#[derive(Debug)]
pub(crate) struct Alone {
    engine: Engine,
    keys: KeyRing,
}

impl Alone {
    /// The engine of a configuration, with its keys.
    pub(crate) fn new(engine: Engine, config: &Config) -> Self {
        let keys = key_ring(config);
        Self { engine, keys }
    }
}

impl InForce for Alone {
    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    fn caller(&self, tenant: &str, policy: Option<&str>) -> Option<Caller> {
        self.keys.on_behalf(tenant, policy)
    }
}

/// A tenant as a command calls on its behalf, under the policy that its keys
/// demand. `None` where no key names it.
pub(crate) fn tenant(config: &Config, tenant: &str) -> Option<Caller> {
    let caller = key_ring(config).tenant(tenant)?;
    let unlimited = Caller::new(tenant, Quota::unlimited());
    Some(match caller.policy() {
        Some(policy) => unlimited.under(policy.clone()),
        None => unlimited,
    })
}

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

fn limits_of(kind: config::KindRow) -> KindLimits {
    let most = |most| u32::try_from(most).unwrap_or(u32::MAX);
    KindLimits {
        concurrency: kind.concurrency.map(most),
        rate: kind.per_minute.map(|tasks| Rate {
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
