//! A client that sends something wrong learns what and where, in one shape,
//! and never reads its prompt back.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use gateway::{CANARY, House, Plan, chat, check_refusal as check, entry, post, request, with};
use serde_json::{Value, json};
use tidegate_engine::{ChainConfig, EntryConfig};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

async fn house() -> House {
    let mut plan = Plan::serving(&[("m", &["up/answer"])]);
    let mut small = entry("up/answer-small");
    small.quota.tokens = Some(1_000);
    plan.chains.push(chain("small", small));
    House::open(plan).await
}

fn chain(name: &str, entry: EntryConfig) -> ChainConfig {
    ChainConfig {
        name: name.to_owned(),
        entries: vec![entry],
    }
}

/// A body that is given as text.
fn raw(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let json = "content-type: application/json\r\n";
    request(&format!("POST {path}"), json, body.as_ref())
}

fn prompt() -> Value {
    with(
        chat("m"),
        "messages",
        json!([{"role": "user", "content": CANARY}]),
    )
}

#[tokio::test]
async fn what_is_not_json_is_refused_with_line_and_column() {
    let house = house().await;
    for (body, place) in [
        (&b"{"[..], "line 1 column 1"),
        (
            b"{\"model\": \"m\",\n \"messages\" kingfisher",
            "line 2 column 13",
        ),
        (b"[1, 2]", "line 1 column"),
        (b"\"kingfisher\"", "line 1 column"),
        (b"{} {}", "line 1 column 4"),
        (
            b"{\"model\": \"m\",\n \"user\": \"\xff kingfisher\"}",
            "line 2 column 11",
        ),
    ] {
        for path in [CHAT, EMBEDDINGS] {
            let message = check(
                &house.ask(&raw(path, body)).await,
                400,
                "invalid_json",
                None,
            );
            assert!(message.contains(place), "{message}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_empty_is_refused() {
    let house = house().await;
    for path in [
        CHAT,
        EMBEDDINGS,
        "/v1/limits/m/reserve",
        "/v1/limits/settle",
    ] {
        let message = check(&house.ask(&raw(path, "")).await, 400, "invalid_json", None);
        assert!(message.contains("empty"), "{message}");
    }
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused() {
    let house = house().await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"kingfisher"}],"model":"n"}"#;
    let message = check(
        &house.ask(&raw(CHAT, body)).await,
        400,
        "invalid_json",
        None,
    );
    assert!(message.contains("\"model\""), "{message}");
}

#[tokio::test]
async fn every_typed_field_of_the_wrong_type_is_named() {
    let house = house().await;
    let wrong = [
        (
            "model",
            vec![json!(7), json!(""), json!("x".repeat(257)), json!(["m"])],
        ),
        (
            "messages",
            vec![
                json!("kingfisher"),
                json!([]),
                json!([1]),
                json!([{"role": 1}]),
            ],
        ),
        ("stream", vec![json!("yes"), json!(1)]),
        (
            "stream_options",
            vec![json!(true), json!({"include_usage": "kingfisher"})],
        ),
        (
            "n",
            vec![
                json!(0),
                json!(-1),
                json!(1.5),
                json!(1e9),
                json!("two"),
                json!([]),
            ],
        ),
        (
            "max_tokens",
            vec![json!(0), json!(-5), json!("all"), json!(1e30)],
        ),
        ("max_completion_tokens", vec![json!(0), json!({})]),
        ("tools", vec![json!({}), json!("kingfisher")]),
        (
            "tidegate",
            vec![
                json!("use"),
                json!(1),
                json!({"cache": "kingfisher"}),
                json!({"x": 1}),
            ],
        ),
    ];
    for (field, values) in wrong {
        for value in values {
            let request = with(prompt(), field, value);
            let reply = house.ask(&post(CHAT, &request)).await;
            check(&reply, 400, "invalid_parameter", Some(field));
        }
    }
}

#[tokio::test]
async fn embedding_input_of_the_wrong_type_is_named() {
    let house = house().await;
    for value in [
        json!(7),
        json!({}),
        json!([]),
        json!(""),
        json!([CANARY, 1]),
        json!([-1]),
    ] {
        let request = json!({"model": "m", "input": value});
        let reply = house.ask(&post(EMBEDDINGS, &request)).await;
        check(&reply, 400, "invalid_parameter", Some("input"));
    }
}

#[tokio::test]
async fn every_field_that_is_missing_is_named() {
    let house = house().await;
    for (path, body, param) in [
        (CHAT, json!({"messages": prompt()["messages"]}), "model"),
        (CHAT, json!({"model": "m"}), "messages"),
        (CHAT, json!({"model": "m", "messages": null}), "messages"),
        (EMBEDDINGS, json!({"input": CANARY}), "model"),
        (EMBEDDINGS, json!({"model": "m"}), "input"),
    ] {
        let reply = house.ask(&post(path, &body)).await;
        let code = if body.get("messages").is_some_and(Value::is_null) {
            "invalid_parameter"
        } else {
            "missing_parameter"
        };
        check(&reply, 400, code, Some(param));
    }
}

#[tokio::test]
async fn a_reservation_in_the_wrong_shape_learns_the_right_one() {
    let house = house().await;
    for (path, body, shape) in [
        ("/v1/limits/m/reserve", json!({}), "tokens: integer"),
        (
            "/v1/limits/m/reserve",
            json!({"tokens": "kingfisher"}),
            "tokens: integer",
        ),
        (
            "/v1/limits/m/reserve",
            json!({"tokens": -1}),
            "tokens: integer",
        ),
        (
            "/v1/limits/m/reserve",
            json!({"tokens": 1, "kingfisher": 1}),
            "wait_ms?: integer",
        ),
        (
            "/v1/limits/settle",
            json!({"reservation": 1, "tokens": 1, "success": true}),
            "string",
        ),
        (
            "/v1/limits/settle",
            json!({"reservation": "x", "tokens": 1}),
            "success: boolean",
        ),
    ] {
        let reply = house.ask(&post(path, &body)).await;
        let message = check(&reply, 400, "invalid_parameter", None);
        assert!(message.contains(shape), "{message}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_configured_is_not_found() {
    let house = house().await;
    let asked = with(prompt(), "model", "gpt-9");
    let message = check(
        &house.ask(&post(CHAT, &asked)).await,
        404,
        "model_not_found",
        Some("model"),
    );
    assert!(message.contains("gpt-9"), "{message}");
    let asked = json!({"model": "gpt-9", "input": CANARY});
    check(
        &house.ask(&post(EMBEDDINGS, &asked)).await,
        404,
        "model_not_found",
        Some("model"),
    );
    let one = request("GET /v1/models/gpt-9", "", b"");
    check(
        &house.ask(&one).await,
        404,
        "model_not_found",
        Some("model"),
    );
    let reset = post("/v1/models/gpt-9/reset", &json!({}));
    check(
        &house.ask(&reset).await,
        404,
        "model_not_found",
        Some("name"),
    );
    let reserve = post("/v1/limits/gpt-9/reserve", &json!({"tokens": 1}));
    check(
        &house.ask(&reserve).await,
        404,
        "model_not_found",
        Some("model"),
    );
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let house = house().await;
    for (field, list) in [
        ("tidegate", json!(["use"])),
        ("stream_options", json!([true])),
        ("messages", json!([["user", CANARY]])),
    ] {
        let reply = house.ask(&post(CHAT, &with(prompt(), field, list))).await;
        check(&reply, 400, "invalid_parameter", Some(field));
    }
    for (path, body) in [
        ("/v1/limits/m/reserve", json!([5, 0])),
        ("/v1/limits/settle", json!(["x", 1, true])),
    ] {
        check(
            &house.ask(&post(path, &body)).await,
            400,
            "invalid_parameter",
            None,
        );
    }
}

#[tokio::test]
async fn a_refusal_is_short_whatever_was_sent() {
    let house = house().await;
    let key = "k".repeat(100_000);
    let reply = house
        .ask(&raw(CHAT, format!(r#"{{"{key}":1,"{key}":2}}"#)))
        .await;
    check(&reply, 400, "invalid_json", None);
    assert!(reply.body.len() < 2_000, "{} bytes", reply.body.len());
}

#[tokio::test]
async fn every_count_has_a_maximum_that_the_refusal_names() {
    let house = house().await;
    let message = json!({"role": "user", "content": CANARY});
    let images = vec![json!({"type": "image_url", "image_url": {"url": CANARY}}); 65];
    for (path, field, value, most) in [
        (CHAT, "n", json!(1_000_000_000), "16"),
        (CHAT, "max_tokens", json!(16_777_217), "16777216"),
        (CHAT, "messages", json!(vec![message; 4_097]), "4096"),
        (
            CHAT,
            "messages",
            json!([{"role": "user", "content": images}]),
            "64 are",
        ),
        (CHAT, "tools", json!(vec![json!({}); 257]), "256"),
        (EMBEDDINGS, "input", json!(vec![CANARY; 2_049]), "2048"),
    ] {
        let request = with(prompt(), field, value);
        let reply = house.ask(&post(path, &request)).await;
        let message = check(&reply, 400, "limit_exceeded", Some(field));
        assert!(message.contains(&format!("at most {most}")), "{message}");
    }
}

#[tokio::test]
async fn json_that_nests_deeper_than_128_levels_is_refused() {
    let house = house().await;
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":{open}{close}}}"#)
    };
    let reply = house.ask(&raw(CHAT, nested(128))).await;
    let message = check(&reply, 400, "limit_exceeded", None);
    assert!(message.contains("128 levels"), "{message}");
    assert_eq!(house.ask(&raw(CHAT, nested(120))).await.status, 200);
}

#[tokio::test]
async fn no_request_says_where_an_upstream_is() {
    let house = house().await;
    for field in [
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "proxy",
        "endpoint",
        "extra_headers",
        "custom_llm_provider",
        "organization",
    ] {
        let request = with(prompt(), field, "http://169.254.169.254/kingfisher");
        let reply = house.ask(&post(CHAT, &request)).await;
        check(&reply, 400, "unsupported_parameter", Some(field));
        let request = json!({"model": "m", "input": CANARY, (field): "http://169.254.169.254"});
        let reply = house.ask(&post(EMBEDDINGS, &request)).await;
        check(&reply, 400, "unsupported_parameter", Some(field));
    }
}

#[tokio::test]
async fn options_of_later_versions_are_refused_by_name() {
    let house = house().await;
    for option in ["retrieve", "k", "mode", "priority"] {
        let request = with(prompt(), "tidegate", json!({(option): CANARY}));
        let reply = house.ask(&post(CHAT, &request)).await;
        let param = format!("tidegate.{option}");
        let message = check(&reply, 400, "unsupported_parameter", Some(&param));
        assert!(message.contains(&param), "{message}");
    }
}

#[tokio::test]
async fn a_prompt_of_five_megabytes_is_answered_where_tokens_are_not_limited() {
    let house = house().await;
    let content = "a word ".repeat(750_000);
    let messages = json!([{"role": "user", "content": format!("{CANARY} {content}")}]);
    let request = with(chat("m"), "messages", messages);
    assert_eq!(house.ask(&post(CHAT, &request)).await.status, 200);
    let request = with(request, "model", "small");
    let message = check(
        &house.ask(&post(CHAT, &request)).await,
        413,
        "request_too_large",
        None,
    );
    assert!(message.contains("more than 1000"), "{message}");
}
