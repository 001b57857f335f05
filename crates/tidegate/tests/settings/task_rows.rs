//! The rows of `[tasks]`, and of the variable by which Celery is left out.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tidegate_engine::parse_rfc3339;

use crate::gateway::{PATIENCE, Reply, Scene, ask, get, post, until, with};
use crate::observe::Observed;
use crate::rows::row;
use crate::trial::{Row, Trial};

/// The gate's own task would be counted as well.
pub(crate) const QUIET: (&str, &str) = ("tasks.health_every_s", "0");
const ALONE: (&str, &str) = ("tasks.concurrency", "1");
const NOBODY: (&str, &str) = ("tasks.concurrency", "0");
const NEVER_AGAIN: (&str, &str) = ("tasks.max_retries", "0");
const AT_ONCE: (&str, &str) = ("tasks.backoff_ms", "0");
const GONE: (&str, &str) = ("tasks.result_ttl_s", "0");
const FILE: (&str, &str) = ("store.url", "\"sqlite:data\"");

pub(crate) fn task_rows() -> Vec<Row> {
    let mut rows = worker_rows();
    rows.extend(bound_rows());
    rows.extend(end_rows());
    rows
}

/// How tasks are worked at.
fn worker_rows() -> Vec<Row> {
    let most = [("1", "1 at once"), ("2", "2 at once")];
    let held = [("0", "left"), ("4", "held")];
    let leases = [("100", "begun again"), ("3600000", "kept")];
    let inline = [("false", "202 queued"), ("true", "200 succeeded")];
    let health = [("1", "looked"), ("0", "never")];
    vec![
        row("tasks.concurrency", most, chats_at_once)
            .given(&[QUIET])
            .played(vec![slow(300)]),
        row("tasks.prefetch", held, second_beside_a_slow_one)
            .given(&[QUIET, ALONE])
            .played(vec![slow(1_500)]),
        row("tasks.lease_ms", leases, task_of_a_dead_gate)
            .given(&[QUIET, FILE])
            .played(vec![slow(60_000), slow(4_000)]),
        row("tasks.inline", inline, how_submitted).given(&[QUIET, NOBODY]),
        row("tasks.health_every_s", health, looks_at_health).given(&[
            ("schedules.name", "\"tick\""),
            ("schedules.kind", "\"scan_batch\""),
            ("schedules.input", "'{\"texts\":[]}'"),
            ("schedules.every", "\"1s\""),
        ]),
    ]
}

/// What is taken, and how often it is tried.
fn bound_rows() -> Vec<Row> {
    let waiting = [("1", "503 queue_full"), ("2", "202")];
    let bytes = [("1024", "413 input_too_large"), ("100000", "202")];
    let retries = [("0", "dead after 1"), ("1", "dead after 2")];
    let backoff = [("0", "soon"), ("86400000", "late")];
    let patience = [("200", "dead timeout"), ("60000", "succeeded")];
    vec![
        row("tasks.max_waiting", waiting, second_submission).given(&[QUIET, NOBODY]),
        row("tasks.max_input_bytes", bytes, two_kilobytes).given(&[QUIET, NOBODY]),
        row("tasks.max_retries", retries, attempts_in_vain)
            .given(&[QUIET, AT_ONCE])
            .played(vec![Scene::status(500)]),
        row("tasks.backoff_ms", backoff, second_attempt)
            .given(&[QUIET, ("tasks.max_retries", "1")])
            .played(vec![Scene::status(500)]),
        row("tasks.timeout_ms", patience, slow_chat)
            .given(&[QUIET, NEVER_AGAIN])
            .played(vec![slow(1_000)]),
    ]
}

/// How long tasks are kept after their end.
fn end_rows() -> Vec<Row> {
    let ages = [("0", "gone"), ("3600", "kept")];
    let most = [("1", "gone"), ("100", "kept")];
    vec![
        row("tasks.result_ttl_s", ages, after_its_end).given(&[QUIET]),
        row("tasks.dead_ttl_s", ages, after_its_death)
            .given(&[QUIET, GONE, NEVER_AGAIN])
            .played(vec![Scene::status(500)]),
        row("tasks.max_ended", most, after_many_ends).given(&[QUIET]),
    ]
}

/// Its key is the name of a variable.
pub(crate) fn task_variable_rows() -> Vec<Row> {
    let celery = [("true", "202 queued"), ("false", "200 succeeded")];
    vec![row("USE_CELERY", celery, how_submitted).given(&[QUIET, NOBODY])]
}

fn slow(ms: u64) -> Scene {
    Scene::answer().after(Duration::from_millis(ms))
}

pub(crate) async fn submit(trial: &Trial, task: &Value) -> Reply {
    ask(trial.addr(), &post("/v1/tasks", task)).await
}

/// Submits a task that is taken, and gives its path.
pub(crate) async fn submitted(trial: &Trial, task: &Value) -> String {
    let reply = submit(trial, task).await;
    // One that has ended by then is answered with 200.
    assert!(matches!(reply.status, 200 | 202), "{}", reply.text());
    path_of(&reply.json())
}

pub(crate) fn path_of(task: &Value) -> String {
    format!("/v1/tasks/{}", task["id"].as_str().unwrap())
}

pub(crate) fn question() -> Value {
    json!({"kind": "chat", "input": {"query": "hello"}})
}

/// Something that is soon done.
pub(crate) fn look() -> Value {
    json!({"kind": "monitor_health", "input": {}})
}

pub(crate) fn has_ended(task: &Value) -> bool {
    matches!(
        task["state"].as_str(),
        Some("succeeded" | "failed" | "cancelled" | "dead")
    )
}

fn is_gone(reply: &Value) -> bool {
    reply["error"]["code"] == "task_not_found"
}

async fn ended(trial: &Trial, path: &str) -> Value {
    until(trial.addr(), path, has_ended).await
}

/// Waits until everything whose time was over has been removed.
async fn tidied(trial: &Trial) {
    let fence = submitted(trial, &with(look(), "result_ttl_s", 0)).await;
    until(trial.addr(), &fence, |task| is_gone(task)).await;
}

async fn whether_kept(trial: &Trial, path: &str) -> String {
    let status = ask(trial.addr(), &get(path)).await.status;
    if status == 404 { "gone" } else { "kept" }.to_owned()
}

/// How many of two tasks are with the model at once.
pub(crate) fn chats_at_once(trial: Trial) -> Observed {
    async move {
        let first = submitted(&trial, &question()).await;
        let second = submitted(&trial, &question()).await;
        ended(&trial, &first).await;
        ended(&trial, &second).await;
        format!("{} at once", trial.stage().most_in_flight())
    }
    .boxed()
}

/// Whether a worker takes a second task in hand while it is busy with one.
fn second_beside_a_slow_one(trial: Trial) -> Observed {
    async move {
        let first = submitted(&trial, &question()).await;
        let second = submitted(&trial, &look()).await;
        let stats = until(trial.addr(), "/v1/tasks/stats", |stats| {
            stats["states"]["running"] == 2 || stats["states"]["succeeded"] != 0
        });
        let stats = stats.await;
        let held = stats["states"]["running"] == 2;
        ended(&trial, &first).await;
        ended(&trial, &second).await;
        if held { "held" } else { "left" }.to_owned()
    }
    .boxed()
}

/// What becomes of a task whose gate was killed, until another one is done that
/// takes a few seconds.
fn task_of_a_dead_gate(trial: Trial) -> Observed {
    async move {
        let orphan = submitted(&trial, &question()).await;
        let seen = async {
            while trial.stage().seen().is_empty() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(PATIENCE, seen)
            .await
            .expect("it is begun");
        let trial = trial.again().await;
        let fence = submitted(&trial, &question()).await;
        ended(&trial, &fence).await;
        let task = ask(trial.addr(), &get(&orphan)).await.json();
        match task["attempt"].as_u64() {
            Some(1) => "kept".to_owned(),
            _ => "begun again".to_owned(),
        }
    }
    .boxed()
}

/// Seconds from when a task was made until it may run.
pub(crate) fn waits_for(task: &Value) -> Duration {
    let time = |name: &str| parse_rfc3339(task[name].as_str().unwrap_or_default());
    let (made, due) = (time("created_at"), time("run_at"));
    let waits = made
        .zip(due)
        .and_then(|(made, due)| due.duration_since(made).ok());
    waits.unwrap_or_default()
}

/// How a submission is answered.
fn how_submitted(trial: Trial) -> Observed {
    async move {
        let reply = submit(&trial, &look()).await;
        format!(
            "{} {}",
            reply.status,
            reply.json()["state"].as_str().unwrap()
        )
    }
    .boxed()
}

/// Whether the gate's own task has run by the second tick of another schedule.
fn looks_at_health(trial: Trial) -> Observed {
    async move {
        until(trial.addr(), "/v1/tasks?tag=schedule:tick", |list| {
            list["tasks"]
                .as_array()
                .is_some_and(|tasks| tasks.len() > 1)
        })
        .await;
        let stats = ask(trial.addr(), &get("/v1/tasks/stats")).await.json();
        let looked = !stats["kinds"]["monitor_health"].is_null();
        if looked { "looked" } else { "never" }.to_owned()
    }
    .boxed()
}

/// How a second task is taken while the first one waits.
fn second_submission(trial: Trial) -> Observed {
    async move {
        submitted(&trial, &look()).await;
        crate::observe::shown(&submit(&trial, &look()).await)
    }
    .boxed()
}

/// How an input of two kilobytes is taken.
fn two_kilobytes(trial: Trial) -> Observed {
    async move {
        let long = "x".repeat(2_048);
        let task = json!({"kind": "chat", "input": {"query": long}});
        crate::observe::shown(&submit(&trial, &task).await)
    }
    .boxed()
}

/// How a task ends that never succeeds.
fn attempts_in_vain(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &question()).await;
        let task = ended(&trial, &path).await;
        format!(
            "{} after {}",
            task["state"].as_str().unwrap(),
            task["attempt"]
        )
    }
    .boxed()
}

/// Whether the second attempt follows the first one soon.
fn second_attempt(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &question()).await;
        // A random part of a day is more than some seconds.
        let late = Duration::from_secs(5);
        let is_late = |task: &Value| task["state"] == "retrying" && waits_for(task) > late;
        let task = until(trial.addr(), &path, |task| has_ended(task) || is_late(task)).await;
        if is_late(&task) { "late" } else { "soon" }.to_owned()
    }
    .boxed()
}

/// How a task ends whose answer takes a second.
fn slow_chat(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &question()).await;
        let task = ended(&trial, &path).await;
        let state = task["state"].as_str().unwrap();
        match task["error"]["code"].as_str() {
            Some(code) => format!("{state} {code}"),
            None => state.to_owned(),
        }
    }
    .boxed()
}

/// Whether a task is kept after its end.
fn after_its_end(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &look()).await;
        until(trial.addr(), &path, |task| has_ended(task) || is_gone(task)).await;
        tidied(&trial).await;
        whether_kept(&trial, &path).await
    }
    .boxed()
}

/// Whether a dead letter is kept longer than results are.
fn after_its_death(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &question()).await;
        until(trial.addr(), &path, |task| has_ended(task) || is_gone(task)).await;
        tidied(&trial).await;
        whether_kept(&trial, &path).await
    }
    .boxed()
}

/// Whether the first of two tasks is kept after both have ended.
fn after_many_ends(trial: Trial) -> Observed {
    async move {
        let first = submitted(&trial, &look()).await;
        ended(&trial, &first).await;
        let second = submitted(&trial, &look()).await;
        until(trial.addr(), &second, |task| {
            has_ended(task) || is_gone(task)
        })
        .await;
        tidied(&trial).await;
        tidied(&trial).await;
        whether_kept(&trial, &first).await
    }
    .boxed()
}
