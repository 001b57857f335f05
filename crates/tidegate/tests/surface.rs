//! What an operator and a client find at each path: the description, the
//! models, the health of every entry, limits for calls made elsewhere, metrics.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "surface/conform.rs"]
mod conform;
mod gateway;
#[path = "surface/openmetrics.rs"]
mod openmetrics;

use std::time::Duration;

use conform::differences;
use gateway::{
    Call, House, Plan, Reply, chat, entry_stats, get, post, request, stream, until, with,
};
use openmetrics::Exposition;
use serde_json::{Value, json};
use tidegate_engine::ChainConfig;
use tokio::net::TcpStream;

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

async fn house() -> House {
    let mut plan = Plan::serving(&[
        ("m", &["up/answer"]),
        ("n", &["up/status-500", "up/html"]),
        ("*", &["up/*"]),
    ]);
    plan.resilience.breaker.failure_threshold = 1;
    plan.settings.deadline = Duration::from_secs(2);
    House::open(plan).await
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let served = format!("{:#}\n", tidegate::openapi_json());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DESCRIPTION, &served).unwrap();
    }
    let committed = std::fs::read_to_string(DESCRIPTION).unwrap_or_default();
    assert!(
        committed == served,
        "docs/openapi.json is out of date; write it with\n  \
         UPDATE_DOCS=1 cargo test -p tidegate --test surface the_committed_description"
    );
}

/// A request that the operation answers with a success.
fn sample_request(method: &str, path: &str, session: &str) -> Vec<u8> {
    let name = if path.starts_with("/v1/prompts/") {
        "chat"
    } else {
        "m"
    };
    let path = path.replace("{name}", name).replace("{id}", session);
    let body = match path.as_str() {
        "/v1/chat/completions" => chat("m"),
        "/v1/completions" => json!({"model": "m", "prompt": "hello"}),
        "/v1/messages" => {
            let message = json!({"role": "user", "content": "hello"});
            json!({"model": "m", "max_tokens": 64, "messages": [message]})
        }
        "/v1/scan" => json!({"text": "hello"}),
        "/v1/prompts/chat/render" => json!({"parameters": {"question": "Why?"}}),
        "/v1/toon/encode" => json!({"value": {"boats": [{"id": 1}, {"id": 2}]}, "dialect": "auto"}),
        "/v1/toon/decode" => json!({"text": "boats[2]{id}:\n  1\n  2"}),
        "/v1/embeddings" => json!({"model": "m", "input": ["a", "b"]}),
        "/v1/cache/invalidate" => json!({"tag": "model:m"}),
        "/v1/cache/warm" => json!({"entries": [{"request": chat("m")}, {"request": {}}]}),
        "/v1/limits/m/reserve" => json!({"tokens": 1}),
        "/v1/limits/settle" => json!({"reservation": "none", "tokens": 1, "success": true}),
        "/v1/tasks" => json!({"kind": "monitor_health", "input": {}}),
        _ if path.ends_with("/feedback") => json!({"label": "confirmed"}),
        _ => json!({}),
    };
    match method {
        "get" if path == "/v1/sessions" => get("/v1/sessions?user_id=ada"),
        "get" => get(&path),
        other => {
            let post = String::from_utf8(post(&path, &body)).unwrap();
            post.replacen("POST", &other.to_uppercase(), 1).into_bytes()
        }
    }
}

/// A task that has ended, in a house where nobody works.
async fn cancelled_task(house: &House) -> Value {
    let asked = json!({"kind": "monitor_health", "input": {}, "tags": ["a"]});
    let task = house.ask(&post("/v1/tasks", &asked)).await.json();
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    let cancel = request(&format!("DELETE {path}"), "", b"");
    house.ask(&cancel).await.json()
}

#[tokio::test]
async fn every_operation_of_the_description_answers_in_its_shape() {
    let house = house().await;
    let document = house.ask(&get("/openapi.json")).await.json();
    assert_eq!(document, tidegate::openapi_json());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let session = json!({"user_id": "ada", "messages": [{"role": "user", "content": "x"}]});
            let session = house.ask(&post("/v1/sessions", &session)).await.json();
            let scanned = post("/v1/scan", &json!({"text": "hello"}));
            let scanned = house.ask(&scanned).await.json();
            let task = cancelled_task(&house).await;
            let id = match path.split('/').nth(2) {
                Some("verdicts") => &scanned["id"],
                Some("tasks") => &task["id"],
                _ => &session["id"],
            };
            let id = id.as_str().unwrap();
            let reply = house.ask(&sample_request(method, path, id)).await;
            let expected = match (method.as_str(), path.as_str()) {
                (_, "/v1/limits/settle") => (404, "default"),
                ("post", "/v1/tasks") => (202, "202"),
                // One that is cancelled is not taken up again.
                (_, "/v1/tasks/{id}/retry") => (409, "default"),
                _ => (200, "200"),
            };
            assert_eq!(
                reply.status,
                expected.0,
                "{method} {path}: {}",
                reply.text()
            );
            let content = &operation["responses"][expected.1]["content"];
            let kind = reply.header("content-type").unwrap_or_default();
            let kind = kind.split(';').next().unwrap();
            assert!(
                content.get(kind).is_some(),
                "{method} {path} answers {kind}"
            );
            if kind == "application/json" {
                let found = differences(&document, &content[kind]["schema"], &reply.json());
                assert!(found.is_empty(), "{method} {path}: {found:#?}");
            }
        }
    }
}

#[tokio::test]
async fn every_operation_has_a_request_id_and_takes_head_where_it_takes_get() {
    let house = house().await;
    for path in [
        "/",
        "/docs",
        "/v1/models",
        "/v1/stats",
        "/health/live",
        "/metrics",
    ] {
        let reply = house.ask(&get(path)).await;
        assert!(reply.header("x-request-id").is_some(), "{path}");
        let head = house.ask(&request(&format!("HEAD {path}"), "", b"")).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_in_the_order_of_the_configuration_without_the_wildcard() {
    let house = house().await;
    let list = house.ask(&get("/v1/models")).await.json();
    let names: Vec<&Value> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, ["m", "n"]);
    let one = house.ask(&get("/v1/models/m")).await.json();
    assert_eq!(
        one,
        json!({"id": "m", "object": "model", "created": 0, "owned_by": "tidegate"})
    );
}

#[tokio::test]
async fn an_answer_says_how_it_came_about() {
    let house = house().await;
    for asked in [chat("m"), stream("m")] {
        let reply = house.complete(&asked).await;
        assert_eq!(reply.header("x-tidegate-model"), Some("up/answer"));
        assert_eq!(reply.header("x-tidegate-cache"), Some("bypass"));
        assert_eq!(reply.header("x-tidegate-attempts"), Some("1"));
        let overhead: f64 = reply
            .header("x-tidegate-overhead-ms")
            .unwrap()
            .parse()
            .unwrap();
        assert!((0.0..1_000.0).contains(&overhead), "{overhead}");
    }
}

#[tokio::test]
async fn unknown_fields_travel_on_and_our_own_do_not() {
    let stage = gateway::Stage::open(vec![gateway::Scene::answer()]).await;
    let mut plan = Plan::serving(&[("m", &["up/real-name"])]);
    plan.upstream = Some(stage.addr);
    let house = House::open(plan).await;
    let asked = with(chat("m"), "future_field", json!({"deep": [1, 2.50]}));
    house
        .complete(&with(asked, "tidegate", json!({"cache": "skip"})))
        .await;
    let seen = stage.seen().remove(0);
    let expected = with(
        chat("real-name"),
        "future_field",
        json!({"deep": [1, 2.50]}),
    );
    assert_eq!(seen.body, expected);
    assert_eq!(
        seen.header("authorization").as_deref(),
        Some("Bearer sk-of-the-operator")
    );
}

#[tokio::test]
async fn stats_count_what_happened_to_each_entry() {
    let house = house().await;
    house.complete(&chat("m")).await;
    house.complete(&chat("n")).await;
    let counts = |row: &Value| {
        [
            "total",
            "successful",
            "failed",
            "throttled",
            "fallback_used",
        ]
        .map(|name| row[name].as_u64().unwrap())
    };
    let good = entry_stats(house.addr, "up/answer").await;
    assert_eq!(
        (counts(&good), &good["state"]),
        ([1, 1, 0, 0, 0], &json!("healthy"))
    );
    assert!(good["avg_response_ms"].as_f64().unwrap() > 0.0);
    let bad = entry_stats(house.addr, "up/status-500").await;
    assert_eq!(
        (counts(&bad), &bad["state"]),
        ([1, 0, 1, 0, 0], &json!("circuit_open"))
    );
    assert_eq!((&bad["trips"], &bad["recoveries"]), (&json!(1), &json!(0)));
    assert!(bad["cooldown_remaining_ms"].as_u64().unwrap() > 50_000);
    let next = entry_stats(house.addr, "up/html").await;
    assert_eq!(counts(&next), [1, 0, 1, 0, 1]);
}

#[tokio::test]
async fn stats_show_what_is_left_of_each_limit() {
    let mut plan = Plan::serving(&[("m", &["up/answer"])]);
    let quota = &mut plan.chains[0].entries[0].quota;
    (quota.requests, quota.tokens, quota.concurrent) = (Some(10), Some(10_000), Some(5));
    let house = House::open(plan).await;
    house.complete(&chat("m")).await;
    let row = entry_stats(house.addr, "up/answer").await;
    assert_eq!(row["requests_last_minute"], 1);
    let used = row["tokens_last_minute"].as_u64().unwrap();
    assert!((1..200).contains(&used), "{used}");
    let left =
        json!({"requests": 9, "tokens": 10_000 - used, "concurrent": 5, "window_ms": 60_000});
    assert_eq!(row["headroom"], left);
}

#[tokio::test]
async fn an_entry_without_limits_counts_its_last_minute_too() {
    let house = house().await;
    house.complete(&chat("m")).await;
    let row = entry_stats(house.addr, "up/answer").await;
    assert_eq!(row["requests_last_minute"], 1);
    assert!(row["tokens_last_minute"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn model_stats_have_the_shape_of_ai_prism() {
    let house = house().await;
    house.complete(&chat("m")).await;
    house.complete(&chat("n")).await;
    let stats = house.ask(&get("/model_stats")).await.json();
    assert_eq!(
        (&stats["success"], &stats["version"]),
        (&json!(true), &json!("V2"))
    );
    assert_eq!(
        (
            &stats["stats"]["total_models"],
            &stats["stats"]["active_cooldowns"]
        ),
        (&json!(3), &json!(2))
    );
    let models = stats["stats"]["models"].as_array().unwrap();
    let status = |name: &str| {
        let row = models.iter().find(|row| row["id"] == name).unwrap();
        (
            row["status"].as_str().unwrap(),
            row["success_rate"].as_f64().unwrap(),
        )
    };
    assert_eq!(status("up/answer"), ("available", 100.0));
    assert_eq!(status("up/html"), ("in_cooldown", 0.0));
}

#[tokio::test]
async fn a_reset_closes_the_breakers_that_it_names() {
    for (name, reset) in [
        ("n", json!(["up/html", "up/status-500"])),
        ("up%2Fhtml", json!(["up/html"])),
        ("all", json!(["up/answer", "up/html", "up/status-500"])),
    ] {
        let house = house().await;
        house.complete(&chat("n")).await;
        let reply = house
            .ask(&post(&format!("/v1/models/{name}/reset"), &json!({})))
            .await;
        assert_eq!(
            (reply.status, &reply.json()["reset"]),
            (200, &reset),
            "{name}"
        );
        assert_eq!(entry_stats(house.addr, "up/html").await["state"], "healthy");
    }
}

/// One place, a thousand tokens, for calls that are made elsewhere.
async fn limited() -> House {
    let mut plan = Plan::serving(&[("m", &["up/answer"])]);
    let quota = &mut plan.chains[0].entries[0].quota;
    (quota.tokens, quota.concurrent) = (Some(1_000), Some(1));
    plan.resilience.breaker.failure_threshold = 1;
    House::open(plan).await
}

async fn reserve(house: &House, body: Value) -> Reply {
    house.ask(&post("/v1/limits/m/reserve", &body)).await
}

async fn settle(house: &House, held: &Reply, tokens: u64) -> Reply {
    settle_as(house, held, json!({"tokens": tokens, "success": true})).await
}

async fn settle_as(house: &House, held: &Reply, body: Value) -> Reply {
    let body = with(body, "reservation", held.json()["reservation"].clone());
    house.ask(&post("/v1/limits/settle", &body)).await
}

#[tokio::test]
async fn a_reservation_holds_its_place_until_it_is_settled() {
    let house = limited().await;
    let held = reserve(&house, json!({"tokens": 10})).await;
    assert_eq!(
        (held.status, &held.json()["model"]),
        (200, &json!("up/answer"))
    );
    let refused = reserve(&house, json!({"tokens": 10})).await;
    assert_eq!(refused.outcome(), (429, "rate_limit_exceeded".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        settle(&house, &held, 10).await.json(),
        json!({"settled": true})
    );
    assert_eq!(reserve(&house, json!({"tokens": 10})).await.status, 200);
    let again = settle(&house, &held, 10).await;
    assert_eq!(again.outcome(), (404, "reservation_not_found".to_owned()));
    assert_eq!(again.json()["error"]["param"], "reservation");
}

#[tokio::test]
async fn settling_gives_back_the_tokens_that_were_not_used() {
    let house = limited().await;
    let held = reserve(&house, json!({"tokens": 1_000})).await;
    settle(&house, &held, 400).await;
    let refused = reserve(&house, json!({"tokens": 601})).await;
    assert_eq!(refused.outcome(), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(reserve(&house, json!({"tokens": 600})).await.status, 200);
    let never = reserve(&house, json!({"tokens": 1_001})).await;
    assert_eq!(never.outcome(), (413, "request_too_large".to_owned()));
}

#[tokio::test]
async fn a_reservation_waits_for_its_place_as_long_as_it_is_told() {
    let house = limited().await;
    let held = reserve(&house, json!({"tokens": 1})).await;
    let body = json!({"tokens": 1, "wait_ms": 20_000});
    let waiting = Call::open(house.addr, &post("/v1/limits/m/reserve", &body)).await;
    until(house.addr, "/v1/stats", |stats| {
        stats["waiting_requests"] == 1
    })
    .await;
    settle(&house, &held, 1).await;
    let second = waiting.reply().await;
    assert_eq!(second.status, 200, "{}", second.text());
    let in_vain = reserve(&house, json!({"tokens": 1, "wait_ms": 50})).await;
    assert_eq!(in_vain.outcome(), (429, "rate_limit_exceeded".to_owned()));
}

#[tokio::test]
async fn a_reservation_and_a_request_share_one_limit() {
    let mut plan = Plan::serving(&[("m", &["up/answer"])]);
    plan.chains[0].entries[0].quota.concurrent = Some(1);
    plan.settings.deadline = Duration::from_millis(100);
    let house = House::open(plan).await;
    let held = reserve(&house, json!({"tokens": 1})).await;
    let refused = house.complete(&chat("m")).await;
    assert_eq!(refused.outcome(), (429, "rate_limit_exceeded".to_owned()));
    settle(&house, &held, 1).await;
    assert_eq!(house.complete(&chat("m")).await.status, 200);
}

#[tokio::test]
async fn a_reservation_that_does_not_wait_learns_when_there_will_be_room() {
    let house = limited().await;
    let held = reserve(&house, json!({"tokens": 1_000})).await;
    settle(&house, &held, 1_000).await;
    for wait_ms in [0, 1] {
        let refused = reserve(&house, json!({"tokens": 1, "wait_ms": wait_ms})).await;
        assert_eq!(refused.outcome(), (429, "rate_limit_exceeded".to_owned()));
        let wait: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
        assert!(wait > 50_000, "wait_ms {wait_ms}: retry after {wait} ms");
    }
}

#[tokio::test]
async fn a_call_that_failed_elsewhere_opens_the_breaker_here() {
    let house = limited().await;
    let held = reserve(&house, json!({"tokens": 1})).await;
    settle_as(&house, &held, json!({"tokens": 0, "success": false})).await;
    assert_eq!(
        entry_stats(house.addr, "up/answer").await["state"],
        "circuit_open"
    );
    let refused = reserve(&house, json!({"tokens": 1})).await;
    assert_eq!(refused.outcome(), (503, "no_healthy_model".to_owned()));
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let house = house().await;
    house.complete(&chat("m")).await;
    house.complete(&chat("n")).await;
    house.complete(&chat("a \"quoted\" \\ name\n{x}")).await;
    house.ask(&get("/nowhere")).await;
    let reply = house.ask(&get("/metrics")).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(kind));
    let metrics = Exposition::parse(&reply.text());
    let chats = ["route=\"/v1/chat/completions\"", "status=\"200\""];
    assert_eq!(
        metrics.value("tidegate_http_requests_total", &chats),
        Some(2.0)
    );
    let lost = ["route=\"unknown\"", "status=\"404\""];
    assert_eq!(
        metrics.value("tidegate_http_requests_total", &lost),
        Some(1.0)
    );
    assert_eq!(metrics.value("tidegate_active_requests", &[]), Some(1.0));
    let counters = metrics.types.iter().filter(|(_, kind)| *kind == "counter");
    assert!(counters.count() >= 3);
    let operation = "gen_ai_client_operation_duration_seconds_count";
    let labels = ["gen_ai_request_model=\"answer\""];
    assert_eq!(metrics.value(operation, &labels), Some(1.0));
}

#[tokio::test]
async fn readiness_says_no_while_requests_are_let_out() {
    let house = house().await;
    let ready = house.ask(&get("/health/ready")).await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &json!("ready"))
    );
    let mut late = Call::open(
        house.addr,
        b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n",
    )
    .await;
    // Connections are accepted in order: after this answer the gateway has it.
    house.ask(&get("/health/live")).await;
    house.shutdown.begin();
    while TcpStream::connect(house.addr).await.is_ok() {}
    late.send(b"connection: close\r\n\r\n").await;
    let reply = late.reply().await;
    assert_eq!(
        (reply.status, &reply.json()["status"]),
        (503, &json!("draining"))
    );
}

#[tokio::test]
async fn a_wildcard_serves_names_as_they_are() {
    let house = house().await;
    let reply = house.complete(&chat("anything/at:all")).await;
    assert_eq!(reply.header("x-tidegate-model"), Some("up/anything/at:all"));
    assert_eq!(reply.json()["model"], "anything/at:all");
}

#[tokio::test]
async fn names_that_share_an_entry_share_its_health() {
    let mut plan = Plan::serving(&[("a", &["up/status-500"])]);
    plan.resilience.breaker.failure_threshold = 1;
    plan.settings.deadline = Duration::from_millis(100);
    let shared = ChainConfig {
        name: "b".to_owned(),
        ..plan.chains[0].clone()
    };
    plan.chains.push(shared);
    let house = House::open(plan).await;
    assert_eq!(house.complete(&chat("a")).await.status, 502);
    let outcome = house.complete(&chat("b")).await.outcome();
    assert_eq!(outcome, (503, "no_healthy_model".to_owned()));
}
