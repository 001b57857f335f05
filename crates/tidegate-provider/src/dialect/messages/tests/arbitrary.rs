//! Readers against JSON of every shape.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::{
    EventFacts, EventReader, EventWriter, check_answer, read_reply, read_request, write_reply,
    write_request,
};
use crate::chunk::{Chunk, ChunkFacts};
use crate::raw::RawObject;

/// Words that mean something somewhere, so that more than the first step of a
/// reader is taken.
const WORDS: &[&str] = &[
    "type",
    "role",
    "user",
    "assistant",
    "content",
    "text",
    "image",
    "source",
    "base64",
    "url",
    "media_type",
    "data",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "id",
    "name",
    "input",
    "thinking",
    "signature",
    "redacted_thinking",
    "tools",
    "input_schema",
    "tool_choice",
    "auto",
    "max_tokens",
    "messages",
    "system",
    "output_config",
    "format",
    "json_schema",
    "schema",
    "effort",
    "low",
    "metadata",
    "user_id",
    "stream",
    "model",
    "message",
    "index",
    "content_block",
    "delta",
    "usage",
    "input_tokens",
    "output_tokens",
    "stop_reason",
    "end_turn",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "partial_json",
    "thinking_delta",
    "signature_delta",
    "error",
    "cache_control",
    "citations",
];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(WORDS).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..4).prop_map(Value::from),
        word().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let object = prop::collection::vec((word(), inner.clone()), 0..7);
        let object = object.prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>()));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object
        ]
    })
}

fn kind() -> impl Strategy<Value = Value> {
    word().prop_map(Value::from)
}

/// An object with a word for its type and numbers where events have them.
fn event() -> impl Strategy<Value = Value> {
    (kind(), 0u64..3, value(), value(), kind()).prop_map(|(kind, index, block, delta, inner)| {
        let typed = |mut value: Value| {
            if let Some(object) = value.as_object_mut() {
                object.insert("type".to_owned(), inner.clone());
            }
            value
        };
        serde_json::json!({
            "type": kind, "index": index, "message": typed(block.clone()),
            "content_block": typed(block), "delta": typed(delta),
        })
    })
}

/// A request that goes wrong late, if it does.
fn request() -> impl Strategy<Value = Value> {
    let block = (kind(), value()).prop_map(|(kind, value)| {
        let mut block = value.as_object().cloned().unwrap_or_default();
        block.insert("type".to_owned(), kind);
        Value::from(block)
    });
    let blocks = prop::collection::vec(block, 0..4);
    (blocks, word(), value()).prop_map(|(blocks, key, value)| {
        let mut request = Map::new();
        request.insert("max_tokens".to_owned(), 1.into());
        let turn = serde_json::json!({"role": "user", "content": blocks});
        request.insert("messages".to_owned(), Value::from(vec![turn]));
        request.insert(key, value);
        Value::from(request)
    })
}

proptest! {
    #[test]
    fn no_request_makes_a_reader_panic(json in prop_oneof![value(), request()]) {
        if let Ok(raw) = RawObject::parse(&Bytes::from(json.to_string()))
            && let Ok(conversation) = read_request(&raw, "another model")
        {
            let _ = write_request(&conversation, "up", 1);
        }
    }

    #[test]
    fn no_answer_makes_a_reader_panic(mut json in value()) {
        if let Some(object) = json.as_object_mut() {
            object.insert("type".to_owned(), "message".into());
        }
        let body = json.to_string();
        let _ = check_answer(body.as_bytes());
        if let Ok(reply) = read_reply(body.as_bytes()) {
            let written = write_reply(&reply);
            prop_assert!(read_reply(&written).is_ok());
        }
    }

    #[test]
    fn no_stream_makes_a_reader_panic(events in prop::collection::vec(event(), 0..12)) {
        let (mut facts, mut reader) = (EventFacts::default(), EventReader::default());
        let mut writer = EventWriter::new();
        for event in events {
            let json = Bytes::from(event.to_string());
            let _ = facts.read(None, json.clone());
            let chunk = Chunk { event: None, json, facts: ChunkFacts::default() };
            for step in reader.read(&chunk).unwrap_or_default() {
                let _ = writer.write(step);
            }
        }
        for step in reader.end() {
            let _ = writer.write(step);
        }
    }
}
