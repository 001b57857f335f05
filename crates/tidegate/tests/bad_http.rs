//! A client that speaks HTTP wrongly learns it in the same shape as one that
//! sends a wrong body, before anything else is looked at.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::fmt::Write as _;

use gateway::{
    CANARY, Call, House, Plan, chat, check_bare_refusal as check_bare, check_refusal as check,
    request, with,
};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// What every head below begins with.
const HEAD: &str = "host: localhost\r\ncontent-type: application/json\r\n";

async fn house() -> House {
    House::open(Plan::serving(&[("m", &["up/answer"])])).await
}

fn prompt() -> Value {
    with(
        chat("m"),
        "messages",
        json!([{"role": "user", "content": CANARY}]),
    )
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_as_soon_as_it_is_announced() {
    let house = house().await;
    let announced = format!("POST {CHAT} HTTP/1.1\r\n{HEAD}content-length: 10485761\r\n\r\n");
    let mut call = Call::open(house.addr, announced.as_bytes()).await;
    call.until("}}").await;
    let message = check(&call.reply().await, 413, "request_too_large", None);
    assert!(message.contains("10485760 bytes"), "{message}");
}

#[tokio::test]
async fn a_body_that_grows_over_the_limit_is_refused() {
    let house = house().await;
    let mut sent =
        format!("POST {CHAT} HTTP/1.1\r\n{HEAD}transfer-encoding: chunked\r\n\r\n").into_bytes();
    let mebibyte = vec![b' '; 1 << 20];
    for _ in 0..11 {
        sent.extend_from_slice(b"100000\r\n");
        sent.extend_from_slice(&mebibyte);
        sent.extend_from_slice(b"\r\n");
    }
    let message = check(&house.ask(&sent).await, 413, "request_too_large", None);
    assert!(message.contains("10485760 bytes"), "{message}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let house = house().await;
    let head = format!("POST {CHAT} HTTP/1.1\r\n{HEAD}transfer-encoding: chunked\r\n\r\n");
    let reply = house
        .ask(format!("{head}5\r\n{{\"mod\r\nkingfisher\r\n").as_bytes())
        .await;
    check(&reply, 400, "incomplete_body", None);
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused_with_the_limit() {
    let house = house().await;
    let mut many = String::new();
    for number in 0..10_000 {
        write!(many, "x-{number}: kingfisher\r\n").unwrap();
    }
    let above = "x-many: kingfisher\r\n".repeat(101);
    let large = format!("x-large: {CANARY}{}\r\n", "x".repeat(200_000));
    for headers in [many, above, large] {
        let reply = house.ask(&request("GET /health/live", &headers, b"")).await;
        let message = check_bare(&reply, 431, "headers_too_large", None);
        assert!(
            message.contains("100 headers") && message.contains("65536 bytes"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_limit_on_header_bytes_is_the_one_that_is_told() {
    let house = house().await;
    let just_below = format!("x-large: {}\r\n", "x".repeat(65_000));
    let just_above = format!("x-large: {}\r\n", "x".repeat(65_536));
    let reply = house
        .ask(&request("GET /health/live", &just_below, b""))
        .await;
    assert_eq!(reply.status, 200);
    let reply = house
        .ask(&request("GET /health/live", &just_above, b""))
        .await;
    check_bare(&reply, 431, "headers_too_large", None);
}

#[tokio::test]
async fn a_body_that_is_not_called_json_is_refused() {
    let house = house().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let headers = format!("content-type: {kind}\r\n");
        for path in [CHAT, EMBEDDINGS, "/v1/limits/m/reserve"] {
            let body = prompt().to_string();
            let raw = request(&format!("POST {path}"), &headers, body.as_bytes());
            check(
                &house.ask(&raw).await,
                400,
                "unsupported_media_type",
                Some("content-type"),
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_method_learns_the_right_one_and_a_wrong_path_the_list() {
    let house = house().await;
    for (head, allowed) in [
        ("GET /v1/chat/completions", "POST"),
        ("DELETE /v1/embeddings", "POST"),
        ("PUT /v1/limits/settle", "POST"),
        ("POST /v1/stats", "GET"),
    ] {
        let reply = house.ask(&request(head, "", b"")).await;
        check(&reply, 405, "method_not_allowed", None);
        let allow = reply.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "{head} allows {allow:?}");
    }
    for head in ["GET /v1/chat", "POST /kingfisher", "GET /v1/models/"] {
        let reply = house.ask(&request(head, "", b"")).await;
        let message = check(&reply, 404, "not_found", None);
        assert!(message.contains("/openapi.json"), "{message}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_answered_in_json_as_well() {
    let house = house().await;
    for sent in [
        "kingfisher\r\n\r\n",
        "GET /health/live\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: many\r\n\r\n",
    ] {
        check_bare(&house.ask(sent.as_bytes()).await, 400, "bad_request", None);
    }
}

#[tokio::test]
async fn a_request_id_is_kept_where_it_is_usable() {
    let house = house().await;
    let id = |given: String| {
        let raw = request("GET /nowhere", &format!("x-request-id: {given}\r\n"), b"");
        let house = &house;
        async move {
            house
                .ask(&raw)
                .await
                .header("x-request-id")
                .unwrap()
                .to_owned()
        }
    };
    assert_eq!(id("order-66".to_owned()).await, "order-66");
    assert_ne!(id("two words".to_owned()).await, "two words");
    assert_eq!(id("x".repeat(129)).await.len(), 32);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_here() {
    let house = house().await;
    for (origin, status) in [
        ("http://elsewhere", 403),
        ("null", 403),
        ("http://localhost", 404),
    ] {
        let headers = format!("origin: {origin}\r\n");
        let reply = house
            .ask(&request("POST /v1/models/none/reset", &headers, b""))
            .await;
        let code = if status == 403 {
            "foreign_origin"
        } else {
            "model_not_found"
        };
        let param = if status == 403 { "origin" } else { "name" };
        check(&reply, status, code, Some(param));
    }
}
