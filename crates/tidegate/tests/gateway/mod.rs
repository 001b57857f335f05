//! What every story needs: a client that shows the wire, a gateway with a
//! scripted upstream in this process, and the real program.

#![allow(
    dead_code,
    unused_imports,
    reason = "each story is a crate of its own and uses a part of this"
)]

mod client;
mod collector;
mod house;
mod program;
mod refusal;
mod stage;

pub(crate) use client::{Call, Reply, ask, get, post, request};
pub(crate) use collector::{Collector, attribute, pair};
pub(crate) use house::{House, Plan, entry, start_mock};
pub(crate) use program::{Folder, Program, Running, run, run_with, run_with_input};
pub(crate) use refusal::{CANARY, check_bare_refusal, check_refusal};
pub(crate) use stage::{Scene, Seen, Stage};

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

/// Nothing in these stories takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A chat request with one message.
pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

/// The same, answered as a stream.
pub(crate) fn stream(model: &str) -> Value {
    with(chat(model), "stream", true)
}

/// The same request that uses the cache as `word` says.
pub(crate) fn cached(request: Value, word: &str) -> Value {
    with(request, "tidegate", json!({"cache": word}))
}

/// A request with one more field.
pub(crate) fn with(mut request: Value, field: &str, value: impl Into<Value>) -> Value {
    request[field] = value.into();
    request
}

/// Sends a chat request and reads its whole answer.
pub(crate) async fn complete(addr: SocketAddr, request: &Value) -> Reply {
    ask(addr, &post("/v1/chat/completions", request)).await
}

/// Asks for `path` again and again until the answer is as wanted.
pub(crate) async fn until(addr: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let seen = timeout(PATIENCE, async {
        loop {
            last = ask(addr, &get(path)).await.json();
            if wanted(&last) {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    let in_time = seen.await.is_ok();
    assert!(in_time, "{path} never became as wanted; at last: {last:#}");
    last
}

/// The row of one chain entry in `/v1/stats`.
pub(crate) async fn entry_stats(addr: SocketAddr, name: &str) -> Value {
    let stats = ask(addr, &get("/v1/stats")).await.json();
    row(&stats, name)
}

/// The row of one chain entry.
pub(crate) fn row(stats: &Value, name: &str) -> Value {
    let rows = stats["models"].as_array().expect("models is a list");
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("no row for {name} in {stats:#}"))
        .clone()
}
