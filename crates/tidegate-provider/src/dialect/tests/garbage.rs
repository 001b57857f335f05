//! No JSON whatever makes a reader panic; it is an error or it is read.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{MaxTokensField, chat, messages};
use crate::raw::RawObject;

/// Words of the dialects, so that readers get further than their first field.
const WORDS: &[&str] = &[
    "id",
    "model",
    "type",
    "role",
    "user",
    "assistant",
    "tool",
    "system",
    "content",
    "text",
    "messages",
    "choices",
    "message",
    "delta",
    "index",
    "finish_reason",
    "stop",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "{}",
    "{\"a\":1}",
    "tools",
    "tool_choice",
    "auto",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "thinking",
    "thinking_blocks",
    "signature",
    "data",
    "redacted_thinking",
    "reasoning_content",
    "refusal",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "input",
    "input_schema",
    "source",
    "image",
    "image_url",
    "url",
    "data:image/png;base64,AA",
    "base64",
    "media_type",
    "max_tokens",
    "stop_sequences",
    "stop_reason",
    "end_turn",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "content_block",
    "text_delta",
    "input_json_delta",
    "partial_json",
    "input_tokens",
    "output_tokens",
    "response_format",
    "json_schema",
    "schema",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
        proptest::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key = proptest::sample::select(WORDS).prop_map(str::to_owned);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key, inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A body with one of its values, at any depth, put in the place of another.
fn body() -> impl Strategy<Value = Value> {
    let seeds =
        proptest::sample::select(SEEDS).prop_map(|text| serde_json::from_str(text).unwrap());
    let broken =
        (seeds, value(), any::<usize>()).prop_map(|(mut seed, other, at): (Value, _, _)| {
            let places = count(&seed);
            replace(&mut seed, &other, &mut (at % places));
            seed
        });
    prop_oneof![value(), broken]
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn replace(value: &mut Value, other: &Value, left: &mut usize) {
    if *left == 0 {
        *value = other.clone();
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, other, left)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| replace(field, other, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const SEEDS: &[&str] = &[
    r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}}]},{"role":"assistant","content":"b","reasoning_content":"r","thinking_blocks":[{"type":"thinking","thinking":"r","signature":"x"}],"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"c"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"stop":["x"],"temperature":1,"max_tokens":3}"#,
    r#"{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}}"#,
    r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"x","tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{"}}]},"finish_reason":"stop"}],"usage":null}"#,
    r#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"a"}]},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"1","name":"f","input":{}}]}],"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f"},"thinking":{"type":"enabled","budget_tokens":9}}"#,
    r#"{"type":"message","id":"1","model":"m","role":"assistant","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"1","name":"f","input":{}}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#,
    r#"{"type":"message_start","message":{"id":"1","model":"m","role":"assistant","content":[],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"1","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
];

fn chunk(value: &Value) -> Chunk {
    Chunk {
        event: None,
        json: Bytes::from(value.to_string()),
        facts: ChunkFacts::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_request_and_no_answer_makes_a_reader_panic(value in body()) {
        let bytes = Bytes::from(value.to_string());
        if let Ok(raw) = RawObject::parse(&bytes) {
            if let Ok(said) = chat::read_request(&raw, "nobody") {
                let _ = chat::write_request(&said, "m", MaxTokensField::default());
                let _ = messages::write_request(&said, "m", 9);
            }
            if let Ok(said) = messages::read_request(&raw, "nobody") {
                let _ = chat::write_request(&said, "m", MaxTokensField::default());
                let _ = messages::write_request(&said, "m", 9);
            }
        }
        let replies = [chat::read_reply(&bytes), messages::read_reply(&bytes)];
        for reply in replies.into_iter().flatten() {
            chat::write_reply(&reply, 7);
            messages::write_reply(&reply);
        }
    }

    #[test]
    fn no_stream_makes_a_reader_or_a_writer_panic(values in vec(body(), 0..8)) {
        let (mut chat, mut messages) = (chat::EventReader::default(), messages::EventReader::default());
        let mut events = Vec::new();
        for value in &values {
            events.extend(chat.read(&chunk(value)).unwrap_or_default());
            events.extend(messages.read(&chunk(value)).unwrap_or_default());
        }
        events.extend(chat.end());
        events.extend(messages.end());
        let (mut chat, mut messages) = (chat::EventWriter::new(7), messages::EventWriter::new());
        for event in events {
            let _ = chat.write(event.clone());
            let _ = messages.write(event);
        }
    }
}
