//! What is written in a dialect and read again is what it was, and so is what
//! goes through one dialect and then through another.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::arbitrary::{CASES, conversation, events, reply};
use crate::chunk::Chunk;
use crate::dialect::{Conversation, Event, Json, MaxTokensField, Reply, Tokens, chat, messages};
use crate::raw::RawObject;

/// Once through OpenAI's dialect. The label that it wants and others lack is
/// taken off again.
fn through_chat(said: &Conversation) -> Conversation {
    let body = chat::write_request(said, "m", MaxTokensField::default()).unwrap();
    let mut heard = chat::read_request(&RawObject::parse(&body).unwrap(), "nobody").unwrap();
    if let Some(schema) = &mut heard.output_schema {
        assert_eq!(schema.name.take().as_deref(), Some("answer"));
    }
    heard
}

fn through_messages(said: &Conversation) -> Conversation {
    let body = messages::write_request(said, "m", 1).unwrap();
    messages::read_request(&RawObject::parse(&body).unwrap(), "nobody").unwrap()
}

fn reply_through_chat(reply: &Reply) -> Reply {
    chat::read_reply(&chat::write_reply(reply, 7)).unwrap()
}

fn reply_through_messages(reply: &Reply) -> Reply {
    messages::read_reply(&messages::write_reply(reply)).unwrap()
}

fn events_through_chat(events: Vec<Event>) -> Vec<Event> {
    let mut writer = chat::EventWriter::new(7);
    let mut reader = chat::EventReader::default();
    let chunks = events
        .into_iter()
        .flat_map(|event| writer.write(event).unwrap());
    let mut heard: Vec<Event> = chunks
        .flat_map(|chunk| {
            assert_eq!(Chunk::parse(chunk.json.clone()).unwrap().facts, chunk.facts);
            reader.read(&chunk).unwrap()
        })
        .collect();
    heard.extend(reader.end());
    heard
}

fn events_through_messages(events: Vec<Event>) -> Vec<Event> {
    let mut writer = messages::EventWriter::new();
    let mut reader = messages::EventReader::default();
    let chunks = events
        .into_iter()
        .flat_map(|event| writer.write(event).unwrap());
    let mut heard: Vec<Event> = chunks
        .flat_map(|chunk| reader.read(&chunk).unwrap())
        .collect();
    heard.extend(reader.end());
    heard
}

/// Without the counts that come before they are final.
fn settled(events: Vec<Event>) -> Vec<Event> {
    let last = events
        .iter()
        .rposition(|event| matches!(event, Event::Tokens(_)));
    let events = events.into_iter().enumerate();
    let kept = events.filter(|(at, event)| !matches!(event, Event::Tokens(_)) || Some(*at) == last);
    kept.map(|(_, event)| event).collect()
}

fn with_reasoning(tokens: Tokens, reasoning: u64) -> Tokens {
    Tokens {
        reasoning: reasoning.min(tokens.output),
        ..tokens
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_request_survives_openais_dialect(said in conversation()) {
        prop_assert_eq!(through_chat(&said), said);
    }

    #[test]
    fn a_request_survives_anthropics_dialect(said in conversation()) {
        prop_assert_eq!(through_messages(&said), said);
    }

    #[test]
    fn a_request_survives_both_dialects_in_either_order(said in conversation()) {
        prop_assert_eq!(&through_messages(&through_chat(&said)), &said);
        prop_assert_eq!(&through_chat(&through_messages(&said)), &said);
    }

    #[test]
    fn an_answer_survives_openais_dialect(said in reply(), reasoning in 0u64..1_000) {
        let tokens = with_reasoning(said.tokens, reasoning);
        let said = Reply { tokens, ..said };
        prop_assert_eq!(reply_through_chat(&said), said);
    }

    #[test]
    fn an_answer_survives_anthropics_dialect(said in reply()) {
        prop_assert_eq!(reply_through_messages(&said), said);
    }

    #[test]
    fn an_answer_survives_both_dialects_in_either_order(said in reply()) {
        prop_assert_eq!(&reply_through_messages(&reply_through_chat(&said)), &said);
        prop_assert_eq!(&reply_through_chat(&reply_through_messages(&said)), &said);
    }

    #[test]
    fn a_stream_survives_openais_dialect_and_its_facts_are_true(said in events()) {
        prop_assert_eq!(events_through_chat(said.clone()), said);
    }

    #[test]
    fn a_stream_survives_anthropics_dialect(said in events()) {
        prop_assert_eq!(settled(events_through_messages(said.clone())), said);
    }

    #[test]
    fn a_stream_survives_both_dialects_in_either_order(said in events()) {
        let first = events_through_messages(events_through_chat(said.clone()));
        prop_assert_eq!(&settled(first), &said);
        let second = events_through_chat(events_through_messages(said.clone()));
        prop_assert_eq!(&settled(second), &said);
    }
}

#[test]
fn numbers_keep_the_digits_they_were_written_with() {
    let body = r#"{"model":"m","temperature":1.0,"top_p":0.10,"messages":[{"role":"user","content":"x"}],
        "tools":[{"type":"function","function":{"name":"t","parameters":{"maximum":123456789012345678901234567890}}}]}"#;
    let raw = RawObject::parse(&Bytes::from(body)).unwrap();
    let said = chat::read_request(&raw, "nobody").unwrap();
    assert_eq!(
        said.sampling.temperature.as_ref().map(Json::as_str),
        Some("1.0")
    );
    let written = chat::write_request(&said, "m", MaxTokensField::default()).unwrap();
    let written = std::str::from_utf8(&written).unwrap();
    for digits in [
        r#""temperature":1.0,"#,
        r#""top_p":0.10"#,
        "123456789012345678901234567890",
    ] {
        assert!(written.contains(digits), "{digits} in {written}");
    }
}

#[test]
fn what_only_openai_says_survives_its_own_dialect() {
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://x.example/a", "detail": "low"}}]},
            {"role": "assistant", "refusal": "no", "reasoning_content": "hm"},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": true,
        "response_format": {"type": "json_schema", "json_schema":
            {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": true}},
    });
    let raw = RawObject::parse(&Bytes::from(body.to_string())).unwrap();
    let said = chat::read_request(&raw, "nobody").unwrap();
    let written = chat::write_request(&said, "m", MaxTokensField::default()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), body);
}
