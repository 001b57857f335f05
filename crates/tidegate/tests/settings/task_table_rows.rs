//! The rows of `[[task_kinds]]`, `[[schedules]]` and `[[webhooks]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use crate::gateway::{Scene, ask, get, request, until, with};
use crate::observe::{Observed, shown};
use crate::rows::row;
use crate::task_rows::{
    QUIET, chats_at_once, has_ended, look, path_of, submit, submitted, waits_for,
};
use crate::trial::{CLIENT_KEY, Row, Trial};

pub(crate) fn task_table_rows() -> Vec<Row> {
    let mut rows = kind_rows();
    rows.extend(schedule_rows());
    rows.extend(webhook_rows());
    rows
}

fn kind_rows() -> Vec<Row> {
    const CHAT: (&str, &str) = ("task_kinds.name", "\"chat\"");
    let slow = || vec![Scene::answer().after(Duration::from_millis(300))];
    let names = [("\"chat\"", "1 at once"), ("\"scan_batch\"", "2 at once")];
    let most = [("1", "1 at once"), ("2", "2 at once")];
    let rates = [("1", "one has to wait"), ("1000", "both began")];
    vec![
        row("task_kinds.name", names, chats_at_once)
            .given(&[QUIET, ("task_kinds.concurrency", "1")])
            .played(slow()),
        row("task_kinds.concurrency", most, chats_at_once)
            .given(&[QUIET, CHAT])
            .played(slow()),
        row("task_kinds.per_minute", rates, two_of_a_kind)
            .given(&[QUIET, ("task_kinds.name", "\"monitor_health\"")]),
    ]
}

const NAME: (&str, &str) = ("schedules.name", "\"tick\"");
const CHATS: (&str, &str) = ("schedules.kind", "\"chat\"");
const ASKS: (&str, &str) = ("schedules.input", "'{\"query\":\"?\"}'");
const SECOND: (&str, &str) = ("schedules.every", "\"1s\"");
/// A schedule that is there anyway, to count seconds by.
const CLOCK: (&str, &str) = ("tasks.health_every_s", "1");
const LEFT: (&str, &str) = ("tasks.max_retries", "0");

fn schedule_rows() -> Vec<Row> {
    let names = [("\"a\"", "schedule:a"), ("\"b\"", "schedule:b")];
    // Each kind wants its own input.
    let kinds = [
        ("\"chat\"\ninput = '{\"query\":\"?\"}'", "chat"),
        ("\"monitor_health\"", "monitor_health"),
    ];
    let crons = [("\"* * * * * *\"", "ticks"), ("\"0 0 29 2 *\"", "waits")];
    let intervals = [("\"1s\"", "ticks"), ("\"365d\"", "waits")];
    let inputs = [("'{\"query\":\"a\"}'", "a"), ("'{\"query\":\"b\"}'", "b")];
    let priorities = [("\"high\"", "high"), ("\"low\"", "low")];
    let missed = [("\"once\"", "left out"), ("\"all\"", "made up for")];
    let tenants = [("\"a\"", "mine"), ("\"b\"", "not mine")];
    vec![
        row("schedules.name", names, |trial| first_tick(trial, tag))
            .given(&[QUIET, CHATS, ASKS, SECOND]),
        row("schedules.kind", kinds, |trial| first_tick(trial, kind)).given(&[QUIET, NAME, SECOND]),
        row("schedules.cron", crons, whether_it_ticks).given(&[CLOCK, NAME, CHATS, ASKS]),
        row("schedules.every", intervals, whether_it_ticks).given(&[CLOCK, NAME, CHATS, ASKS]),
        row("schedules.input", inputs, |trial| first_tick(trial, query))
            .given(&[QUIET, NAME, CHATS, SECOND]),
        row("schedules.priority", priorities, |trial| {
            first_tick(trial, priority)
        })
        .given(&[QUIET, NAME, CHATS, ASKS, SECOND]),
        row("schedules.missed", missed, ticks_while_it_was_down).given(&[
            QUIET,
            NAME,
            SECOND,
            LEFT,
            ("schedules.kind", "\"monitor_health\""),
            ("store.url", "\"sqlite:data\""),
        ]),
        row("schedules.tenant", tenants, whose_ticks).given(&[
            QUIET,
            NAME,
            CHATS,
            ASKS,
            SECOND,
            ("keys.tenant", "\"a\""),
            ("keys.key", "\"env:CLIENT_KEY\""),
            ("keys.role", "\"admin\""),
        ]),
    ]
}

fn webhook_rows() -> Vec<Row> {
    let hosts = [
        ("\"UPSTREAM\"", "202"),
        ("\"hooks.example\"", "400 invalid_task"),
    ];
    let secrets = [
        ("\"env:CLIENT_KEY\"", "the first"),
        ("\"env:LONG_KEY\"", "the second"),
    ];
    vec![
        row("webhooks.host", hosts, asks_for_a_webhook)
            .given(&[QUIET, ("webhooks.secret", "\"env:CLIENT_KEY\"")]),
        row("webhooks.secret", secrets, signed_with)
            .given(&[QUIET, ("webhooks.host", "\"UPSTREAM\"")])
            .played(vec![Scene::answer()]),
    ]
}

/// Whether both of two tasks begin at once.
fn two_of_a_kind(trial: Trial) -> Observed {
    async move {
        let paths = [
            submitted(&trial, &look()).await,
            submitted(&trial, &look()).await,
        ];
        let mut waits = false;
        for path in paths {
            let long = Duration::from_secs(10);
            let held_back = |task: &Value| task["state"] == "queued" && waits_for(task) > long;
            let task = until(trial.addr(), &path, |task| {
                has_ended(task) || held_back(task)
            });
            waits |= held_back(&task.await);
        }
        if waits {
            "one has to wait"
        } else {
            "both began"
        }
        .to_owned()
    }
    .boxed()
}

fn tag(task: &Value) -> &Value {
    &task["tags"][0]
}

fn kind(task: &Value) -> &Value {
    &task["kind"]
}

fn query(task: &Value) -> &Value {
    &task["input"]["query"]
}

fn priority(task: &Value) -> &Value {
    &task["priority"]
}

fn some(list: &Value) -> bool {
    list["tasks"]
        .as_array()
        .is_some_and(|tasks| !tasks.is_empty())
}

/// Something about the first task of a schedule.
fn first_tick(trial: Trial, seen: fn(&Value) -> &Value) -> Observed {
    async move {
        let list = until(trial.addr(), "/v1/tasks", some).await;
        let task = ask(trial.addr(), &get(&path_of(&list["tasks"][0])))
            .await
            .json();
        seen(&task).as_str().unwrap().to_owned()
    }
    .boxed()
}

/// Whether a schedule has ticked by the second tick of another one.
fn whether_it_ticks(trial: Trial) -> Observed {
    async move {
        let stats = until(trial.addr(), "/v1/tasks/stats", |stats| {
            let looks = &stats["kinds"]["monitor_health"]["states"]["succeeded"];
            looks.as_u64().is_some_and(|looks| looks > 1)
        });
        let ticks = !stats.await["kinds"]["chat"].is_null();
        if ticks { "ticks" } else { "waits" }.to_owned()
    }
    .boxed()
}

/// What becomes of the ticks of some seconds in which nobody is there.
fn ticks_while_it_was_down(trial: Trial) -> Observed {
    async move {
        until(trial.addr(), "/v1/tasks", some).await;
        trial.program().signal("STOP").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let trial = trial.again().await;
        let before = by_second(&ask(trial.addr(), &get("/v1/tasks")).await.json()).len();
        // What is made up for comes in one second, and the next tick after it.
        let list = until(trial.addr(), "/v1/tasks", |list| {
            by_second(list).len() > before + 2
        });
        let most = by_second(&list.await).into_values().max();
        let made_up = most.is_some_and(|most| most >= 3);
        if made_up { "made up for" } else { "left out" }.to_owned()
    }
    .boxed()
}

/// How many tasks of a list were made in each second.
fn by_second(list: &Value) -> BTreeMap<String, usize> {
    let mut seconds = BTreeMap::new();
    for task in list["tasks"].as_array().into_iter().flatten() {
        let second = task["created_at"].as_str().unwrap()[..19].to_owned();
        *seconds.entry(second).or_default() += 1;
    }
    seconds
}

/// Whether the tasks of a schedule are those of the key's tenant.
fn whose_ticks(trial: Trial) -> Observed {
    async move {
        let key = format!("x-api-key: {CLIENT_KEY}\r\n");
        let ask_for = async |path: &str| {
            let raw = request(&format!("GET {path}"), &key, b"");
            ask(trial.addr(), &raw).await.json()
        };
        while ask_for("/v1/tasks/stats").await["kinds"]["chat"].is_null() {
            tokio::task::yield_now().await;
        }
        let mine = some(&ask_for("/v1/tasks").await);
        if mine { "mine" } else { "not mine" }.to_owned()
    }
    .boxed()
}

/// A task whose end is told to the upstream.
fn told_upstream(trial: &Trial) -> Value {
    with(look(), "webhook", format!("http://{}/hook", trial.upstream))
}

/// How a webhook at the upstream is taken.
fn asks_for_a_webhook(trial: Trial) -> Observed {
    async move { shown(&submit(&trial, &told_upstream(&trial)).await) }.boxed()
}

/// Which secret a message is signed with.
fn signed_with(trial: Trial) -> Observed {
    async move {
        let path = submitted(&trial, &told_upstream(&trial)).await;
        until(trial.addr(), &format!("{path}.webhook"), has_ended).await;
        let seen = trial.stage().seen().remove(0);
        let is_of = |secret: &str| crate::signed::is_signed(&seen, secret.as_bytes());
        match (is_of(CLIENT_KEY), is_of("another-key-of-16-or-more")) {
            (true, false) => "the first",
            (false, true) => "the second",
            _ => "nobody knows",
        }
        .to_owned()
    }
    .boxed()
}
