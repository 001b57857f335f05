//! What a caller of one dialect and an upstream of the other see, word by word.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};

use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{Dialect, OutputBound, Refusal, answer, chunks, request};
use crate::error::{ProviderError, Unavailability};
use crate::provider::Completion;
use crate::request::ChatRequest;
use crate::usage::Usage;

fn asked(from: Dialect, body: &Value) -> ChatRequest {
    ChatRequest::parse_as(from, Bytes::from(body.to_string())).unwrap()
}

/// The body that the other side gets.
fn told(from: Dialect, to: Dialect, body: &Value) -> Result<Value, Refusal> {
    let converted = request(&asked(from, body), to, "up", OutputBound::default())?;
    assert_eq!(converted.dialect(), to);
    Ok(serde_json::from_slice(&converted.to_upstream("up")).unwrap())
}

fn answered(from: Dialect, to: Dialect, body: &Value) -> Value {
    let usage = Some(Usage {
        prompt_tokens: 99,
        completion_tokens: 1,
    });
    let body = Bytes::from(body.to_string());
    let told = answer(Completion { body, usage }, from, to, 7).unwrap();
    assert_eq!(told.usage, usage, "what was counted is kept");
    serde_json::from_slice(&told.body).unwrap()
}

const CHAT: Dialect = Dialect::Chat;
const MESSAGES: Dialect = Dialect::Messages;

fn chat_request() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": "let me look", "reasoning_content": "hm",
                "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "seal"}],
                "tool_calls": [{"id": "c1", "type": "function",
                    "function": {"name": "look", "arguments": "{\"at\":1.0}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "user", "content": "sure?"},
        ],
        "tools": [{"type": "function", "function":
            {"name": "look", "description": "looks", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": false,
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "stop": ["END"],
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": true}},
        "user": "u1",
        "stream": true,
        "stream_options": {"include_usage": true},
    })
}

fn messages_request() -> Value {
    json!({
        "model": "up",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "rules"}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "seal"},
                {"type": "text", "text": "let me look"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1.0}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "a cat"}]},
                {"type": "text", "text": "sure?"}]},
        ],
        "tools": [{"name": "look", "description": "looks", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "output_config": {"effort": "low",
            "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u1"},
        "stream": true,
    })
}

#[test]
fn a_request_of_an_openai_client_reaches_an_anthropic_model() {
    assert_eq!(
        told(CHAT, MESSAGES, &chat_request()),
        Ok(messages_request())
    );
}

#[test]
fn a_request_of_an_anthropic_client_reaches_a_server_in_openais_dialect() {
    let mut expected = chat_request();
    expected["model"] = "up".into();
    assert_eq!(told(MESSAGES, CHAT, &messages_request()), Ok(expected));
}

#[test]
fn a_caller_without_a_bound_gets_the_one_that_anthropic_wants() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(told(CHAT, MESSAGES, &body).unwrap()["max_tokens"], 4_096);
}

#[test]
fn what_cannot_be_said_may_be_asked_of_the_next_model_and_what_is_wrong_of_none() {
    let refused = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body[key] = value;
        ProviderError::from(told(CHAT, MESSAGES, &body).unwrap_err())
    };
    let ProviderError::NotServed(body) = refused("seed", json!(7)) else {
        panic!("not left to the next model")
    };
    assert_eq!(body.message, "seed cannot be said to an Anthropic model");
    assert_eq!(body.param.as_deref(), Some("seed"));
    assert!(!refused("temperature", json!("hot")).may_fall_back());
}

#[test]
fn instructions_alone_are_no_request_to_an_anthropic_model() {
    let body = json!({"model": "m", "messages": [{"role": "system", "content": "x"}]});
    let refusal = told(CHAT, MESSAGES, &body).unwrap_err().to_string();
    assert!(refusal.starts_with("messages"), "{refusal}");
}

#[test]
fn a_legacy_completion_is_said_in_no_other_dialect() {
    let body = json!({"model": "m", "prompt": "x"});
    let refusal = told(Dialect::Completion, MESSAGES, &body).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "prompt cannot be said to any other dialect; legacy completions need a server in OpenAI's dialect"
    );
}

fn chat_answer() -> Value {
    json!({
        "id": "msg_1", "object": "chat.completion", "created": 7, "model": "up",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "let me look",
                "refusal": null,
                "reasoning_content": "hm",
                "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "seal"}],
                "tool_calls": [{"id": "c1", "type": "function",
                    "function": {"name": "look", "arguments": "{\"at\":1}"}}],
            },
            "logprobs": null,
            "finish_reason": "tool_calls",
        }],
        "usage": {
            "prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_creation_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    })
}

fn messages_answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "seal"},
            {"type": "text", "text": "let me look"},
            {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 2,
            "cache_creation_input_tokens": 1, "output_tokens": 4},
    })
}

#[test]
fn an_answer_goes_either_way() {
    assert_eq!(answered(MESSAGES, CHAT, &messages_answer()), chat_answer());
    assert_eq!(answered(CHAT, MESSAGES, &chat_answer()), messages_answer());
}

#[test]
fn several_texts_are_one_content_and_a_refusal_is_a_text_that_declines() {
    let mut body = messages_answer();
    body["content"] = json!([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]);
    body["stop_reason"] = "stop_sequence".into();
    body["stop_sequence"] = "END".into();
    let choice = &answered(MESSAGES, CHAT, &body)["choices"][0];
    assert_eq!(choice["message"]["content"], "a b");
    assert_eq!(choice["finish_reason"], "stop");
    let mut body = chat_answer();
    body["choices"][0]["message"] = json!({"role": "assistant", "content": null, "refusal": "no"});
    body["choices"][0]["finish_reason"] = "stop".into();
    let answer = answered(CHAT, MESSAGES, &body);
    assert_eq!(answer["content"], json!([{"type": "text", "text": "no"}]));
    assert_eq!(answer["stop_reason"], "refusal");
}

type Items = Vec<Result<Chunk, ProviderError>>;

/// What the caller's stream says; no part of it waits for anything.
fn streamed(from: Dialect, to: Dialect, upstream: Items) -> Items {
    let stream = chunks(stream::iter(upstream).boxed(), from, to, 7);
    let collected = stream.collect::<Vec<_>>().now_or_never();
    collected.expect("nothing here waits")
}

fn chunk(value: &Value) -> Result<Chunk, ProviderError> {
    Ok(Chunk {
        event: None,
        json: Bytes::from(value.to_string()),
        facts: ChunkFacts::default(),
    })
}

fn delta(delta: &Value, finish: Option<&str>) -> Result<Chunk, ProviderError> {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
    chunk(
        &json!({"id": "msg_1", "object": "chat.completion.chunk", "created": 7, "model": "up",
        "choices": [choice], "usage": null}),
    )
}

fn chat_stream() -> Items {
    let begun = |index: u64, id: &str| {
        let function = json!({"name": "look", "arguments": ""});
        json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
    };
    let input = |index: u64, piece: &str| {
        let call = json!({"index": index, "function": {"arguments": piece}});
        json!({"tool_calls": [call]})
    };
    let seal = json!({"type": "thinking", "thinking": "hm", "signature": "seal"});
    let mut usage = chat_answer()["usage"].clone();
    usage["completion_tokens_details"]["reasoning_tokens"] = 0.into();
    vec![
        delta(&json!({"role": "assistant", "content": ""}), None),
        delta(&json!({"reasoning_content": "h"}), None),
        delta(&json!({"reasoning_content": "m"}), None),
        delta(&json!({"thinking_blocks": [seal]}), None),
        delta(&json!({"content": "let me "}), None),
        delta(&json!({"content": "look"}), None),
        delta(&begun(0, "c1"), None),
        delta(&input(0, "{\"at\""), None),
        delta(&input(0, ":1}"), None),
        delta(&begun(1, "c2"), None),
        delta(&input(1, "{}"), None),
        delta(&json!({}), Some("tool_calls")),
        chunk(
            &json!({"id": "msg_1", "object": "chat.completion.chunk", "created": 7,
            "model": "up", "choices": [], "usage": usage}),
        ),
    ]
}

fn messages_stream() -> Items {
    let begin = |index: u64, block: Value| {
        chunk(&json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let piece = |index: u64, delta: Value| {
        chunk(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let text = |text: &str| json!({"type": "text_delta", "text": text});
    let thinking = |text: &str| json!({"type": "thinking_delta", "thinking": text});
    let input = |json: &str| json!({"type": "input_json_delta", "partial_json": json});
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {}});
    let stop = |index: u64| chunk(&json!({"type": "content_block_stop", "index": index}));
    let none = json!({"input_tokens": 0, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0, "output_tokens": 0});
    vec![
        chunk(&json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": none}})),
        begin(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        piece(0, thinking("h")),
        piece(0, thinking("m")),
        piece(0, json!({"type": "signature_delta", "signature": "seal"})),
        stop(0),
        begin(1, json!({"type": "text", "text": ""})),
        piece(1, text("let me ")),
        piece(1, text("look")),
        stop(1),
        begin(2, tool("c1")),
        piece(2, input("{\"at\"")),
        piece(2, input(":1}")),
        stop(2),
        begin(3, tool("c2")),
        piece(3, input("{}")),
        stop(3),
        chunk(&json!({"type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": messages_answer()["usage"]})),
        chunk(&json!({"type": "message_stop"})),
    ]
}

fn values(items: &Items) -> Vec<Value> {
    let json = |item: &Result<Chunk, ProviderError>| item.as_ref().unwrap().json.clone();
    let value = |item| serde_json::from_slice(&json(item)).unwrap();
    items.iter().map(value).collect()
}

#[test]
fn a_stream_goes_either_way_event_by_event() {
    let told = streamed(CHAT, MESSAGES, chat_stream());
    assert_eq!(values(&told), values(&messages_stream()));
    let told = streamed(MESSAGES, CHAT, messages_stream());
    assert_eq!(values(&told), values(&chat_stream()));
}

#[test]
fn a_stream_that_breaks_stays_broken() {
    let truncated = ProviderError::from(Unavailability::Truncated);
    for (from, to, mut upstream) in [
        (CHAT, MESSAGES, chat_stream()),
        (MESSAGES, CHAT, messages_stream()),
    ] {
        upstream.truncate(7);
        upstream.push(Err(truncated.clone()));
        upstream.push(chunk(&json!({})));
        let told = streamed(from, to, upstream);
        let (last, said) = told.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap_err(), &truncated);
        assert!(!said.is_empty() && said.iter().all(Result::is_ok));
        let finished: u64 = said
            .iter()
            .flatten()
            .map(|chunk| chunk.facts.finished)
            .sum();
        assert_eq!(finished, 0, "nothing says that this was all");
    }
}

#[test]
fn a_chunk_that_is_none_ends_the_stream_with_an_error() {
    let told = streamed(CHAT, MESSAGES, vec![chunk(&json!({"choices": 7}))]);
    let [Err(error)] = &told[..] else {
        panic!("not one error")
    };
    assert_eq!(*error, Unavailability::Garbage.into());
}
