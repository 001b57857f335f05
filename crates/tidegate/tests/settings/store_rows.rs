//! The rows of `[store]` and `[sessions]`, and of the variables that the
//! united systems know them by.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::gateway::{Reply, ask, cached, chat, get, post, until, with};
use crate::observe::{self as see, Observed};
use crate::rows::row;
use crate::trial::{Row, Trial, UNSET};

/// A Redis of the trial's own.
const SHARED: (&str, &str) = ("store.url", "\"redis://STORE\"");
/// Nobody listens there.
const NOWHERE: (&str, &str) = ("store.url", "\"redis://127.0.0.1:1\"");
/// What is not limited is not asked about.
const LIMITED: (&str, &str) = ("models.requests_per_minute", "1000");
const CLOSED: (&str, &str) = ("store.on_unreachable", "\"fail_closed\"");

pub(crate) fn store_rows() -> Vec<Row> {
    let home = [("\"memory:\"", "memory"), ("\"sqlite:data\"", "sqlite")];
    let policy = [("\"fail_open\"", "answered"), ("\"fail_closed\"", "failed")];
    let patience = [("20", "failed"), ("5000", "answered")];
    let numbers = [("1", "db1"), ("2", "db2")];
    let ahead = [("0.0", "1 calls"), ("1.0", "2 calls")];
    let size = [("1024", "refused"), ("100000", "kept")];
    vec![
        row("store.url", home, seen_home),
        row("store.on_unreachable", policy, see::success).given(&[NOWHERE, LIMITED]),
        row("store.timeout_ms", patience, success_with_slow_store)
            .given(&[SHARED, LIMITED, CLOSED]),
        row("store.cache_db", numbers, database_of_answers).given(&[SHARED]),
        row("store.sessions_db", numbers, database_of_sessions).given(&[SHARED]),
        row("cache.refresh_ahead", ahead, calls_of_two),
        row("sessions.ttl_s", LIVES, life_of_session),
        row("sessions.max_bytes", size, large_session),
        row(
            "sessions.history_tokens",
            [("0", "cut"), ("1000", "whole")],
            told_history,
        ),
    ]
}

const LIVES: [(&str, &str); 2] = [("100", "100 s"), ("200", "200 s")];

/// Their keys are names of variables, and their values are not TOML.
pub(crate) fn variable_rows() -> Vec<Row> {
    const NO_URL: (&str, &str) = ("store.url", UNSET);
    const HERE: (&str, &str) = ("REDIS_HOST", "127.0.0.1");
    const PORT: (&str, &str) = ("REDIS_PORT", "STORE-PORT");
    let url = [("redis://STORE", "redis"), ("sqlite:data", "sqlite")];
    let host = [
        ("127.0.0.1", "redis live"),
        ("127.0.0.9", "redis unreachable"),
    ];
    let port = [("STORE-PORT", "redis live"), ("1", "redis unreachable")];
    let password = [("p@ss:word", "redis live"), ("other", "exit 3")];
    let numbers = [("1", "db1"), ("2", "db2")];
    let ages = [("1", "gone"), ("3600", "kept")];
    let sizes = [("0", "some gone"), ("1", "all kept")];
    let quiet: &[_] = &[("log.access", "false")];
    vec![
        row("REDIS_URL", url, seen_home).given(&[NO_URL]),
        row("REDIS_HOST", host, home_and_reach).given(&[NO_URL, PORT]),
        row("REDIS_PORT", port, home_and_reach).given(&[NO_URL, HERE]),
        row("REDIS_PASSWORD", password, home_and_reach).given(&[NO_URL, HERE, PORT]),
        row("REDIS_CACHE_DB", numbers, database_of_answers).given(&[SHARED]),
        row("REDIS_SESSION_DB", numbers, database_of_sessions).given(&[SHARED]),
        row("REDIS_CACHE_TTL_SECONDS", ages, see::age_of_cache).given(quiet),
        row("REDIS_CACHE_MAX_SIZE_MB", sizes, see::room_in_cache).given(quiet),
        row("SESSION_TTL_SECONDS", LIVES, life_of_session),
    ]
}

async fn store_of(trial: &Trial) -> Value {
    let stats = ask(trial.addr(), &get("/v1/stats")).await.json();
    stats["store"].clone()
}

/// The home of the store.
fn seen_home(trial: Trial) -> Observed {
    async move {
        let store = store_of(&trial).await;
        store["home"].as_str().unwrap().to_owned()
    }
    .boxed()
}

/// The same, and whether it can be reached, unless it does not start at all.
fn home_and_reach(trial: Trial) -> Observed {
    async move {
        if let Some(refusal) = trial.refusal() {
            return refusal;
        }
        let store = store_of(&trial).await;
        let word = |name: &str| store[name].as_str().unwrap().to_owned();
        format!("{} {}", word("home"), word("reach"))
    }
    .boxed()
}

/// Whether a request is answered while the store takes longer than a moment.
fn success_with_slow_store(trial: Trial) -> Observed {
    async move {
        until(trial.addr(), "/v1/stats", |stats| {
            stats["store"]["reach"] == "live"
        })
        .await;
        trial.store().cli(&["CLIENT", "PAUSE", "1000", "ALL"]);
        see::success(trial).await
    }
    .boxed()
}

/// The numbered database that an answer is kept in.
fn database_of_answers(trial: Trial) -> Observed {
    async move {
        trial.complete(&cached(chat("m"), "use")).await;
        numbered_databases(&trial).await
    }
    .boxed()
}

/// The numbered database that a session is kept in.
fn database_of_sessions(trial: Trial) -> Observed {
    async move {
        new_session(&trial, json!({})).await;
        numbered_databases(&trial).await
    }
    .boxed()
}

/// What lies in another database than the first one; an answer may be written
/// after it was given.
async fn numbered_databases(trial: &Trial) -> String {
    let mut found = String::new();
    let looking = async {
        while found.is_empty() {
            let said = trial.store().cli(&["INFO", "keyspace"]);
            let names = said.lines().filter_map(|line| line.split_once(':'));
            let names = names.map(|(name, _)| name);
            let names: Vec<_> = names.filter(|name| *name != "db0").collect();
            found = names.join(" ");
            tokio::task::yield_now().await;
        }
    };
    let _ = timeout(Duration::from_secs(5), looking).await;
    found
}

/// Calls that the upstream sees of two equal requests; the second one may come
/// after its answer.
fn calls_of_two(trial: Trial) -> Observed {
    async move {
        let request = cached(chat("m"), "use");
        trial.complete(&request).await;
        trial.complete(&request).await;
        let mut calls = Value::Null;
        let looking = async {
            while calls != 2 {
                let stats = ask(trial.upstream, &get("/__mock/stats")).await.json();
                calls = stats["requests"].clone();
            }
        };
        let _ = timeout(Duration::from_millis(500), looking).await;
        format!("{calls} calls")
    }
    .boxed()
}

async fn new_session(trial: &Trial, data: Value) -> Reply {
    let session = json!({"user_id": "u", "data": data});
    ask(trial.addr(), &post("/v1/sessions", &session)).await
}

/// From the last use of a session to its end.
fn life_of_session(trial: Trial) -> Observed {
    async move {
        let session = new_session(&trial, json!({})).await.json();
        let second = |field: &str| second_of_day(session[field].as_str().unwrap());
        let life = second("expires_at") - second("last_accessed_at");
        format!("{} s", life.rem_euclid(86_400))
    }
    .boxed()
}

/// `2027-01-31T12:34:56.789Z` is in second 45 296 of its day.
fn second_of_day(time: &str) -> i64 {
    let parts = time[11..19].split(':').map(|part| part.parse::<i64>());
    parts.fold(0, |sum, part| sum * 60 + part.unwrap())
}

/// Whether the second request of a session is given the first turn.
fn told_history(trial: Trial) -> Observed {
    async move {
        let session = new_session(&trial, json!({})).await.json();
        let within = json!({"session_id": session["id"]});
        let request = with(chat("m"), "tidegate", within);
        trial.complete(&request).await;
        let reply = trial.complete(&request).await;
        match reply.header("x-tidegate-degraded") {
            Some("session:history_cut") => "cut".to_owned(),
            Some(other) => other.to_owned(),
            None => "whole".to_owned(),
        }
    }
    .boxed()
}

/// Whether a session with two kilobytes of data is taken.
fn large_session(trial: Trial) -> Observed {
    async move {
        let reply = new_session(&trial, json!({"text": "x".repeat(2_000)})).await;
        match reply.status {
            200 | 201 => "kept".to_owned(),
            413 => "refused".to_owned(),
            other => other.to_string(),
        }
    }
    .boxed()
}
