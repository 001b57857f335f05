//! Callers and upstreams of different dialects, and of the same.

use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::chunk::Chunk;
use crate::mock::{Mock, Script};

/// An upstream that keeps what it is asked and always answers the same.
#[derive(Debug, Default)]
struct Upstream {
    asked: Mutex<Vec<Bytes>>,
    answer: Bytes,
}

impl Upstream {
    fn saying(answer: &Value) -> Arc<Self> {
        let answer = Bytes::from(answer.to_string());
        let asked = Mutex::default();
        Arc::new(Self { asked, answer })
    }

    fn note(&self, model: &str, request: &ChatRequest) {
        self.asked.lock().unwrap().push(request.to_upstream(model));
    }
}

#[async_trait]
impl Provider for Upstream {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        self.note(model, request);
        let (body, usage) = (self.answer.clone(), None);
        Ok(Completion { body, usage })
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        self.note(model, request);
        let chunk = Chunk {
            event: None,
            json: self.answer.clone(),
            facts: crate::chunk::ChunkFacts::default(),
        };
        Ok(stream::iter([Ok(chunk)]).boxed())
    }

    async fn embed(&self, _: &str, _: &EmbedRequest) -> Result<Completion, ProviderError> {
        let (body, usage) = (self.answer.clone(), None);
        Ok(Completion { body, usage })
    }
}

fn request(dialect: Dialect, body: &'static str) -> ChatRequest {
    ChatRequest::parse_as(dialect, Bytes::from_static(body.as_bytes())).unwrap()
}

const ANTHROPIC: &str =
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"echo:hello"}]}"#;

#[tokio::test]
async fn what_is_native_passes_byte_for_byte_both_ways() {
    let answer = json!({"any": ["thing", 1.0]});
    let native = [
        (
            Dialect::Chat,
            Dialect::Chat,
            r#"{"model":"m","seed":1.0,"messages":[{"role":"user","name":"x"}]}"#,
        ),
        (
            Dialect::Chat,
            Dialect::Completion,
            r#"{"model":"m","prompt":[1,2],"suffix":"x"}"#,
        ),
        (
            Dialect::Messages,
            Dialect::Messages,
            r#"{"model":"m","max_tokens":9,"odd":[],"messages":[{"role":"user"}]}"#,
        ),
    ];
    for (upstream, caller, body) in native {
        let inner = Upstream::saying(&answer);
        let translated = Translated::new(inner.clone(), upstream);
        let request = request(caller, body);
        let completion = translated.complete("m", &request).await.unwrap();
        assert_eq!(completion.body, inner.answer);
        let chunks: Vec<_> = translated
            .stream("m", &request)
            .await
            .unwrap()
            .collect()
            .await;
        assert_eq!(chunks[0].as_ref().unwrap().json, inner.answer);
        assert_eq!(*inner.asked.lock().unwrap(), [body, body]);
    }
}

#[tokio::test]
async fn an_anthropic_client_talks_to_a_model_in_openais_dialect() {
    let translated = Translated::new(Arc::new(Mock::new(Script::default())), Dialect::Chat);
    let completion = translated
        .complete("up", &request(Dialect::Messages, ANTHROPIC))
        .await;
    let completion = completion.unwrap();
    let body: Value = serde_json::from_slice(&completion.body).unwrap();
    assert_eq!(body["type"], "message");
    assert_eq!(body["model"], "up");
    assert_eq!(body["content"], json!([{"type": "text", "text": "hello"}]));
    assert!(
        completion
            .usage
            .is_some_and(|usage| usage.completion_tokens > 0)
    );
    let streaming = ANTHROPIC.replacen('{', r#"{"stream":true,"#, 1);
    let request = ChatRequest::parse_as(Dialect::Messages, Bytes::from(streaming)).unwrap();
    let chunks: Vec<_> = translated
        .stream("up", &request)
        .await
        .unwrap()
        .collect()
        .await;
    let events = chunks.iter().map(|chunk| chunk.as_ref().unwrap());
    let names: Vec<_> = events
        .clone()
        .map(|chunk| chunk.event.clone().unwrap())
        .collect();
    assert_eq!(
        (&*names[0], &**names.last().unwrap()),
        ("message_start", "message_stop")
    );
    let said: String = events
        .flat_map(|chunk| chunk.spoken(Dialect::Messages))
        .map(|spoken| spoken.text)
        .collect();
    assert_eq!(said, "hello");
}

#[tokio::test]
async fn the_bound_that_a_dialect_wants_is_given() {
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": {}});
    let inner = Upstream::saying(&answer);
    let translated = Translated::new(inner.clone(), Dialect::Messages);
    let translated = translated.with_default_max_tokens(77);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let completion = translated
        .complete("up", &request(Dialect::Chat, body))
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(&completion.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "x");
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    let asked: Value = serde_json::from_slice(&inner.asked.lock().unwrap()[0]).unwrap();
    assert_eq!(
        (&asked["max_tokens"], &asked["model"]),
        (&json!(77), &json!("up"))
    );
}

#[tokio::test]
async fn a_server_in_openais_dialect_gets_the_bound_in_the_field_that_it_reads() {
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": "x"},
        "finish_reason": "stop"}]});
    for (field, read, other) in [
        (
            MaxTokensField::MaxTokens,
            "max_tokens",
            "max_completion_tokens",
        ),
        (
            MaxTokensField::MaxCompletionTokens,
            "max_completion_tokens",
            "max_tokens",
        ),
    ] {
        let inner = Upstream::saying(&answer);
        let translated = Translated::new(inner.clone(), Dialect::Chat);
        let translated = translated.with_max_tokens_field(field);
        let native = r#"{"model":"up","max_tokens":9,"max_completion_tokens":9,"messages":[{"role":"user"}]}"#;
        for request in [
            request(Dialect::Messages, ANTHROPIC),
            request(Dialect::Chat, native),
        ] {
            translated.complete("up", &request).await.unwrap();
        }
        let asked = inner.asked.lock().unwrap();
        let converted: Value = serde_json::from_slice(&asked[0]).unwrap();
        assert_eq!(
            (&converted[read], &converted[other]),
            (&json!(9), &json!(null))
        );
        assert_eq!(asked[1], native, "what is native is not touched");
    }
}

#[tokio::test]
async fn what_cannot_be_said_never_reaches_the_upstream() {
    let inner = Upstream::saying(&json!({}));
    let translated = Translated::new(inner.clone(), Dialect::Messages);
    let request = request(Dialect::Completion, r#"{"model":"m","prompt":"x"}"#);
    for error in [
        translated.complete("up", &request).await.unwrap_err(),
        translated.stream("up", &request).await.err().unwrap(),
    ] {
        assert!(error.may_fall_back(), "{error}");
    }
    assert_eq!(*inner.asked.lock().unwrap(), Vec::<Bytes>::new());
}
