//! The provider against a server that answers once, with what a test says.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::chunk::Chunk;
use crate::usage::Usage;

/// Far beyond what any step takes; only a hanging test meets it.
const SAFETY: Duration = Duration::from_secs(20);

const ASK: &str = r#"{"model":"asked","max_tokens":16,"x":{"b":1.0,"a":[ 2 ]},"messages":[{"role":"user","content":"hi","y":123456789012345678901234567890}]}"#;

/// What a provider saw and what its server saw of it.
struct Seen<T> {
    request: String,
    outcome: Result<T, ProviderError>,
}

fn config(base: &str) -> AnthropicConfig {
    AnthropicConfig {
        base_url: base.parse().unwrap(),
        api_key: Some("sk-ant-1".to_owned()),
        headers: vec![("anthropic-beta".to_owned(), "b-1".to_owned())],
        ..AnthropicConfig::default()
    }
}

fn request() -> ChatRequest {
    ChatRequest::parse_as(Dialect::Messages, Bytes::from_static(ASK.as_bytes())).unwrap()
}

/// Reads one request and answers it with these bytes.
async fn serve(listener: TcpListener, answer: String) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !is_whole(&seen) {
        stream.read_buf(&mut seen).await.unwrap();
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(seen).unwrap()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() == length.map_or(0, |length| length.parse().unwrap())
}

async fn seen<T>(
    answer: String,
    call: impl AsyncFnOnce(Anthropic) -> Result<T, ProviderError>,
) -> Seen<T> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let provider = Anthropic::new(&config(&base)).unwrap();
    let both = async { tokio::join!(serve(listener, answer), call(provider)) };
    let (request, outcome) = timeout(SAFETY, both).await.unwrap();
    Seen { request, outcome }
}

fn answer(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

async fn complete(head: &str, body: &str) -> Seen<Completion> {
    seen(answer(head, body), async |provider| {
        provider.complete("up", &request()).await
    })
    .await
}

type Chunks = Vec<Result<Chunk, ProviderError>>;

async fn stream(events: &str) -> Chunks {
    let head = "200 OK\r\ncontent-type: text/event-stream; charset=utf-8";
    let seen = seen(answer(head, events), async |provider| {
        Ok(provider.stream("up", &request()).await?.collect().await)
    });
    seen.await.outcome.unwrap()
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"a","z":0.10}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,"output_tokens":2}}"#;

#[tokio::test]
async fn a_request_carries_the_key_the_version_and_the_callers_bytes() {
    let seen = complete("200 OK", MESSAGE).await;
    let (head, body) = seen.request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, ASK.replace("asked", "up"));
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    let user_agent = concat!("user-agent: tidegate/", env!("CARGO_PKG_VERSION"));
    for line in [
        "x-api-key: sk-ant-1",
        "anthropic-version: 2023-06-01",
        "anthropic-beta: b-1",
        "content-type: application/json",
        user_agent,
    ] {
        assert!(head.lines().any(|seen| seen == line), "{line} in {head}");
    }
    assert!(!head.contains("authorization"));
}

#[tokio::test]
async fn a_whole_answer_comes_back_byte_for_byte_with_all_input_counted() {
    let completion = complete("200 OK", MESSAGE).await.outcome.unwrap();
    assert_eq!(completion.body, MESSAGE);
    let usage = Usage {
        prompt_tokens: 15,
        completion_tokens: 2,
    };
    assert_eq!(completion.usage, Some(usage));
}

#[tokio::test]
async fn a_200_that_is_no_message_is_not_taken_for_an_answer() {
    for body in [
        "",
        "{}",
        "[]",
        "<html>",
        r#"{"type":"message"}"#,
        r#"{"type":"completion","content":[]}"#,
    ] {
        let outcome = complete("200 OK", body).await.outcome;
        assert_eq!(outcome, Err(Unavailability::Garbage.into()), "{body}");
    }
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let outcome = complete("200 OK", body).await.outcome;
    assert_eq!(outcome, Err(ProviderError::Throttled { retry_after: None }));
}

async fn refused(status: u16, kind: &str) -> ProviderError {
    let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"why"}}}}"#);
    let head = format!("{status} X\r\nretry-after: 7");
    complete(&head, &body).await.outcome.unwrap_err()
}

#[tokio::test]
async fn every_status_says_what_can_be_done_next() {
    let retry_after = Some(Duration::from_secs(7));
    let throttled = ProviderError::Throttled { retry_after };
    assert_eq!(refused(429, "rate_limit_error").await, throttled);
    assert_eq!(refused(529, "overloaded_error").await, throttled);
    for (status, kind) in [
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
    ] {
        let error = refused(status, kind).await;
        assert!(
            matches!(&error, ProviderError::NotServed(body) if body.status == status),
            "{error:?}"
        );
    }
    for (status, kind) in [(400, "invalid_request_error"), (413, "request_too_large")] {
        let ProviderError::Rejected(body) = refused(status, kind).await else {
            panic!("{status} is not rejected")
        };
        let said = (body.status, &*body.message, body.kind.as_deref());
        assert_eq!(said, (status, "why", Some(kind)));
    }
    for (status, kind) in [(500, "api_error"), (504, "timeout_error")] {
        let error = Unavailability::Status(status).into();
        assert_eq!(refused(status, kind).await, error);
    }
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":5}}}\n\n";
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
const NEW: &str = "event: weather\ndata: {\"type\":\"weather\",\"x\":1.0}\n\n";
const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[tokio::test]
async fn every_event_passes_with_its_name_and_its_bytes() {
    let chunks = stream(&[START, PING, DELTA, NEW, END, STOP].concat()).await;
    let chunks: Vec<Chunk> = chunks.into_iter().map(Result::unwrap).collect();
    let names: Vec<&str> = chunks
        .iter()
        .map(|chunk| chunk.event.as_deref().unwrap())
        .collect();
    let expected = [
        "message_start",
        "ping",
        "content_block_delta",
        "weather",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    assert_eq!(chunks[1].json, r#"{"type": "ping"}"#);
    assert_eq!(chunks[3].json, r#"{"type":"weather","x":1.0}"#);
    let content: Vec<bool> = chunks.iter().map(|chunk| chunk.facts.has_content).collect();
    assert_eq!(content, [false, false, true, false, false, false]);
    let ends: Vec<u64> = chunks.iter().map(|chunk| chunk.facts.finished).collect();
    assert_eq!(ends, [0, 0, 0, 0, 0, 1]);
    let usage = Usage {
        prompt_tokens: 8,
        completion_tokens: 2,
    };
    assert_eq!(chunks[4].facts.usage, Some(usage));
}

#[tokio::test]
async fn nothing_after_the_end_is_read() {
    assert_eq!(stream(&[START, STOP, DELTA].concat()).await.len(), 2);
}

/// The error that ends a stream after `good` events.
async fn broken(events: &[&str], good: usize) -> ProviderError {
    let mut chunks = stream(&events.concat()).await;
    assert_eq!(chunks.len(), good + 1, "{chunks:?}");
    chunks.pop().unwrap().unwrap_err()
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_truncated() {
    let truncated: ProviderError = Unavailability::Truncated.into();
    assert_eq!(broken(&[START, DELTA], 2).await, truncated);
    assert_eq!(broken(&[START, DELTA, END], 3).await, truncated);
    assert_eq!(broken(&[], 0).await, truncated);
}

#[tokio::test]
async fn an_error_event_ends_the_stream_as_the_error_that_it_is() {
    let event = |kind: &str| {
        format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"why\"}}}}\n\n"
        )
    };
    let error = async |kind: &str| broken(&[START, DELTA, &event(kind), STOP], 2).await;
    let throttled = ProviderError::Throttled { retry_after: None };
    assert_eq!(error("overloaded_error").await, throttled);
    assert_eq!(error("rate_limit_error").await, throttled);
    let failed: ProviderError = Unavailability::ErrorInAnswer.into();
    assert_eq!(error("api_error").await, failed);
    assert!(matches!(
        error("invalid_request_error").await,
        ProviderError::Rejected(_)
    ));
}

#[tokio::test]
async fn nonsense_and_endless_events_end_the_stream() {
    let garbage: ProviderError = Unavailability::Garbage.into();
    for event in [
        "data: <html>\n\n",
        "data: {}\n\n",
        "data: {\"type\":\"a\\nb\"}\n\n",
        "event: a\rb\ndata: {\"type\":\"ping\"}\n\n",
    ] {
        assert_eq!(broken(&[START, event], 1).await, garbage, "{event}");
    }
    let endless = format!("data: {}", "x".repeat(3 << 20));
    let error = broken(&[START, &endless], 1).await;
    assert_eq!(error.code(), "too_large");
}

#[tokio::test]
async fn a_stream_that_is_none_is_its_error_or_garbage() {
    let outcome = async |body: &str| {
        let answer = answer("200 OK\r\ncontent-type: application/json", body);
        let outcome = seen(answer, async |provider| {
            provider.stream("up", &request()).await.map(drop)
        });
        outcome.await.outcome.unwrap_err()
    };
    let garbage: ProviderError = Unavailability::Garbage.into();
    assert_eq!(outcome(MESSAGE).await, garbage);
    let error = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
    assert_eq!(outcome(error).await.code(), "throttled");
}

#[tokio::test]
async fn other_dialects_and_embeddings_are_not_served() {
    let provider = Anthropic::new(&config("http://127.0.0.1:1")).unwrap();
    let chat = r#"{"model":"m","messages":[{"role":"user"}]}"#;
    let chat = ChatRequest::parse(Bytes::from_static(chat.as_bytes())).unwrap();
    let error = provider.complete("up", &chat).await.unwrap_err();
    assert_eq!(error.code(), "not_served");
    let embed = EmbedRequest::parse(Bytes::from_static(br#"{"model":"m","input":"a"}"#)).unwrap();
    let ProviderError::NotServed(body) = provider.embed("up", &embed).await.unwrap_err() else {
        panic!("served")
    };
    assert_eq!(body.message, "Anthropic serves no embeddings");
    assert_eq!(body.code.as_deref(), Some("unsupported_parameter"));
    assert_eq!(body.status, 400);
}

#[track_caller]
fn check_endpoint(base: &'static str, expected: &str) {
    let uri = endpoint(&Uri::from_static(base)).unwrap();
    assert_eq!(uri.to_string(), expected);
}

#[test]
fn the_version_stands_in_the_path_once() {
    check_endpoint("https://h", "https://h/v1/messages");
    check_endpoint("https://h/", "https://h/v1/messages");
    check_endpoint("https://h/v1", "https://h/v1/messages");
    check_endpoint("https://h/v1/", "https://h/v1/messages");
    check_endpoint("https://h/a?b=c", "https://h/a/v1/messages?b=c");
    let official = AnthropicConfig::default().base_url;
    let uri = endpoint(&official).unwrap();
    assert_eq!(uri.to_string(), "https://api.anthropic.com/v1/messages");
}

#[test]
fn a_wrong_configuration_is_named_and_a_key_is_never_shown() {
    let wrong = |change: fn(&mut AnthropicConfig)| {
        let mut config = config("http://h");
        change(&mut config);
        Anthropic::new(&config).unwrap_err().to_string()
    };
    assert_eq!(
        wrong(|config| config.base_url = Uri::from_static("/v1")),
        "base_url must be an absolute http or https URL"
    );
    assert_eq!(
        wrong(|config| config.api_key = Some("line\nbreak".to_owned())),
        r#"header "x-api-key" is not a valid HTTP header"#
    );
    assert_eq!(
        wrong(|config| config.default_max_tokens = 0),
        "default_max_tokens must be at least 1"
    );
    let shown = format!("{:?}", Anthropic::new(&config("http://h")).unwrap());
    assert!(!shown.contains("sk-ant-1"), "{shown}");
}
