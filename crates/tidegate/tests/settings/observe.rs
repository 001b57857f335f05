//! What can be seen of a gateway from outside, in a few words.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::gateway::{Call, Reply, ask, cached, chat, get, post, stream, until, with};
use crate::trial::Trial;

/// Something to see.
pub(crate) type Observed = BoxFuture<'static, String>;

/// How a request ended.
pub(crate) fn shown(reply: &Reply) -> String {
    match reply.outcome() {
        (status, code) if code.is_empty() => status.to_string(),
        (status, code) => format!("{status} {code}"),
    }
}

/// How one request ends.
pub(crate) fn outcome(trial: Trial) -> Observed {
    async move { shown(&trial.chat().await) }.boxed()
}

/// Whether one request is answered.
pub(crate) fn success(trial: Trial) -> Observed {
    async move {
        let answered = trial.chat().await.status == 200;
        if answered { "answered" } else { "failed" }.to_owned()
    }
    .boxed()
}

/// How the second of two requests ends.
pub(crate) fn second_outcome(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        shown(&trial.chat().await)
    }
    .boxed()
}

/// How two requests at once end, the worse one last.
pub(crate) fn both_outcomes(trial: Trial) -> Observed {
    async move {
        let mut seen = join_all([trial.chat(), trial.chat()]).await;
        seen.sort_by_key(|reply| reply.status);
        seen.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
    .boxed()
}

/// Whether it starts at all.
pub(crate) fn start(trial: Trial) -> Observed {
    async move { trial.refusal().unwrap_or_else(|| "listens".to_owned()) }.boxed()
}

/// The address that it listens on, without the port.
pub(crate) fn address(trial: Trial) -> Observed {
    async move { trial.addr().ip().to_string() }.boxed()
}

/// The entry that answers.
pub(crate) fn answered_by(trial: Trial) -> Observed {
    async move {
        let reply = trial.chat().await;
        reply
            .header("x-tidegate-model")
            .unwrap_or("nobody")
            .to_owned()
    }
    .boxed()
}

/// How a request of about two kilobytes ends.
pub(crate) fn outcome_of_two_kilobytes(trial: Trial) -> Observed {
    async move {
        let request = with(chat("m"), "user", "x".repeat(2_000));
        shown(&trial.complete(&request).await)
    }
    .boxed()
}

/// How a request ends that calls the gate by a name of its own.
pub(crate) fn outcome_under_another_name(trial: Trial) -> Observed {
    async move {
        let named = b"GET /health/live HTTP/1.1\r\nhost: gate.example\r\nconnection: close\r\n\r\n";
        shown(&ask(trial.addr(), named).await)
    }
    .boxed()
}

/// How a request for 2000 tokens ends.
pub(crate) fn outcome_of_many_tokens(trial: Trial) -> Observed {
    async move {
        let request = with(chat("m"), "max_tokens", 2_000);
        shown(&trial.complete(&request).await)
    }
    .boxed()
}

/// Whether a stream gets to its end.
pub(crate) fn end_of_stream(trial: Trial) -> Observed {
    async move {
        let events = trial.complete(&stream("m")).await.events();
        let last = events.last().map_or("nothing", String::as_str);
        match serde_json::from_str::<Value>(last) {
            Ok(error) => error["error"]["code"].as_str().unwrap_or("?").to_owned(),
            Err(_) => last.to_owned(),
        }
    }
    .boxed()
}

/// What becomes of a request under way when the program is told to end.
pub(crate) fn request_at_the_end(trial: Trial) -> Observed {
    async move {
        let request = post("/v1/chat/completions", &chat("m"));
        let call = Call::open(trial.addr(), &request).await;
        until(trial.upstream, "/__mock/stats", |stats| {
            stats["in_flight"] == 1
        })
        .await;
        let (rest, _) = tokio::join!(call.rest(), trial.end());
        if rest.contains(" 200 ") {
            "answered"
        } else {
            "cut"
        }
        .to_owned()
    }
    .boxed()
}

/// Worker threads of the runtime. They name themselves a moment after they
/// have begun, so they are looked for until there are three, or for a while.
pub(crate) fn workers(trial: Trial) -> Observed {
    async move {
        let mut count = 0;
        let looking = async {
            while count < 3 {
                trial.chat().await;
                count = named_threads(trial.program().id());
            }
        };
        let _ = timeout(Duration::from_millis(500), looking).await;
        format!("{count} workers")
    }
    .boxed()
}

fn named_threads(process: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("tokio")).count()
}

/// Whether the log says at the start that it listens.
pub(crate) fn greeting(trial: Trial) -> Observed {
    async move {
        let listening = trial.end().await.contains("listening on http://");
        if listening { "said" } else { "not said" }.to_owned()
    }
    .boxed()
}

/// The form of the log.
pub(crate) fn form_of_log(trial: Trial) -> Observed {
    async move {
        let said = trial.end().await;
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("listening on http://"));
        let json = serde_json::from_str::<Value>(line.expect("it says so")).is_ok();
        if json { "json" } else { "text" }.to_owned()
    }
    .boxed()
}

/// Lines of the log about one request.
pub(crate) fn lines_of_a_request(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        let said = trial.end().await;
        let lines = said
            .lines()
            .filter(|line| line.contains("POST /v1/chat/completions 200"));
        format!("{} lines", lines.count())
    }
    .boxed()
}

/// What the cache does for the second of two equal requests.
pub(crate) fn cache_of_second(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        cache(&trial.chat().await)
    }
    .boxed()
}

fn cache(reply: &Reply) -> String {
    reply.header("x-tidegate-cache").unwrap_or("?").to_owned()
}

/// Whether an answer is gone from the cache soon.
pub(crate) fn age_of_cache(trial: Trial) -> Observed {
    async move {
        let request = cached(chat("m"), "use");
        trial.complete(&request).await;
        let gone = async { while cache(&trial.complete(&request).await) == "hit" {} };
        let gone = timeout(Duration::from_millis(1_500), gone).await;
        if gone.is_ok() { "gone" } else { "kept" }.to_owned()
    }
    .boxed()
}

/// Whether an answer stays in the cache when more come in.
pub(crate) fn room_in_cache(trial: Trial) -> Observed {
    async move {
        let request = |seed: u64| cached(with(chat("m"), "seed", seed), "use");
        for seed in 0..100 {
            trial.complete(&request(seed)).await;
        }
        let mut kept = 0;
        for seed in 0..100 {
            kept += u64::from(cache(&trial.complete(&request(seed)).await) == "hit");
        }
        if kept == 100 { "all kept" } else { "some gone" }.to_owned()
    }
    .boxed()
}

/// Whether a file is read to fill the cache.
pub(crate) fn warming(trial: Trial) -> Observed {
    async move {
        for _ in 0..100 {
            trial.chat().await;
            if trial.program().said().contains("cache.warm: ") {
                return "read".to_owned();
            }
        }
        "nothing".to_owned()
    }
    .boxed()
}

/// State of the first entry after two requests.
pub(crate) fn state_after_two(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        trial.chat().await;
        first_entry(&trial).await["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }
    .boxed()
}

/// How long the first entry is left alone after one request.
pub(crate) fn cooldown(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        let entry = first_entry(&trial).await;
        let long = entry["cooldown_remaining_ms"].as_u64().unwrap() > 5_000;
        if long { "long" } else { "short" }.to_owned()
    }
    .boxed()
}

async fn first_entry(trial: &Trial) -> Value {
    let stats = ask(trial.addr(), &get("/v1/stats")).await.json();
    stats["models"][0].clone()
}

/// Whether one request takes at least 300 ms.
pub(crate) fn duration(trial: Trial) -> Observed {
    async move {
        let start = Instant::now();
        let outcome = shown(&trial.chat().await);
        let long = start.elapsed() >= Duration::from_millis(300);
        format!("{outcome} {}", if long { "late" } else { "soon" })
    }
    .boxed()
}

/// Calls that the upstream sees of one request.
pub(crate) fn calls_of_one(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        let stats = ask(trial.upstream, &get("/__mock/stats")).await.json();
        format!("{} calls", stats["requests"])
    }
    .boxed()
}

/// Most calls at once of two requests, after one that failed.
pub(crate) fn calls_at_once(trial: Trial) -> Observed {
    async move {
        trial.chat().await;
        join_all([trial.chat(), trial.chat()]).await;
        format!("{} at once", trial.stage().most_in_flight())
    }
    .boxed()
}

/// What the first entry's answer says.
pub(crate) fn content(trial: Trial) -> Observed {
    async move {
        let answer = trial.chat().await.json();
        let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
        content.split(' ').next().unwrap().to_owned()
    }
    .boxed()
}

/// A header as the upstream gets it.
fn header(trial: Trial, name: &'static str) -> Observed {
    async move {
        trial.chat().await;
        let seen = trial.stage().seen().remove(0);
        seen.header(name).unwrap_or_else(|| "absent".to_owned())
    }
    .boxed()
}

pub(crate) fn authorization(trial: Trial) -> Observed {
    header(trial, "authorization")
}

pub(crate) fn team(trial: Trial) -> Observed {
    header(trial, "x-team")
}

/// Whether the upstream is asked for the usage of a stream.
pub(crate) fn usage_of_stream(trial: Trial) -> Observed {
    async move {
        trial.complete(&stream("m")).await;
        let body = trial.stage().seen().remove(0).body;
        let asked = body["stream_options"] == json!({"include_usage": true});
        if asked { "asked for" } else { "not asked for" }.to_owned()
    }
    .boxed()
}

/// Where the upstream finds the bound of a request in Anthropic's dialect.
pub(crate) fn field_of_bound(trial: Trial) -> Observed {
    async move {
        let request = with(chat("m"), "max_tokens", 9);
        ask(trial.addr(), &post("/v1/messages", &request)).await;
        let body = trial.stage().seen().remove(0).body;
        let fields = ["max_tokens", "max_completion_tokens"];
        let found = fields.into_iter().filter(|field| body[*field] == 9);
        found.collect::<Vec<_>>().join(" and ")
    }
    .boxed()
}

/// The names that clients may ask for.
pub(crate) fn names(trial: Trial) -> Observed {
    async move {
        let list = ask(trial.addr(), &get("/v1/models")).await.json();
        let names = list["data"].as_array().unwrap().iter();
        names
            .map(|model| model["id"].as_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }
    .boxed()
}
