//! Whole answers, read and written.

use serde_json::{Value, json};

use super::{read_reply, text, write_reply};
use crate::dialect::chat::answer::stop_word;
use crate::dialect::{Json, Part, Reply, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

fn answer(message: &Value, finish: &str) -> Value {
    json!({"id": "1", "model": "m", "object": "chat.completion", "created": 7,
        "system_fingerprint": "fp", "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_creation_tokens": 2, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4}}})
}

fn heard(value: &Value) -> Result<Reply, ProviderError> {
    read_reply(value.to_string().as_bytes())
}

#[test]
fn an_answer_is_read_with_its_thoughts_calls_and_counts() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let message = json!({"role": "assistant", "content": "x", "reasoning_content": "hm", "tool_calls": [call]});
    let reply = heard(&answer(&message, "tool_calls")).unwrap();
    let thought = Part::Thinking {
        text: "hm".to_owned(),
        signature: None,
    };
    let call = Part::ToolUse {
        id: "c".to_owned(),
        name: "f".to_owned(),
        input: Json::parse("{}").unwrap(),
    };
    assert_eq!(reply.parts, [thought, text("x"), call]);
    assert_eq!(reply.stop, Stop::ToolUse);
    let tokens = Tokens {
        input: 5,
        cache_read: 3,
        cache_write: 2,
        output: 5,
        reasoning: 4,
    };
    assert_eq!(reply.tokens, tokens);
}

#[test]
fn every_reason_to_stop_has_its_word() {
    let plain = json!({"role": "assistant", "content": "x"});
    for (word, stop) in [
        ("stop", Stop::End),
        ("length", Stop::MaxTokens),
        ("content_filter", Stop::Filtered),
    ] {
        let reply = heard(&answer(&plain, word)).unwrap();
        assert_eq!(reply.stop, stop);
        let written: Value = serde_json::from_slice(&write_reply(&reply, 7)).unwrap();
        assert_eq!(written["choices"][0]["finish_reason"], word);
    }
    let words = [
        (Stop::Sequence(Some("x".to_owned())), "stop"),
        (Stop::Paused, "stop"),
        (Stop::ContextFull, "length"),
    ];
    for (stop, word) in words {
        assert_eq!(stop_word(&stop), word);
    }
}

#[test]
fn a_tool_that_had_to_be_used_is_a_use_although_the_model_says_stop() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    assert_eq!(
        heard(&answer(&message, "stop")).unwrap().stop,
        Stop::ToolUse
    );
}

#[test]
fn what_is_no_answer_of_one_choice_is_garbage() {
    let plain = json!({"role": "assistant", "content": "x"});
    let mut two = answer(&plain, "stop");
    let choice = two["choices"][0].clone();
    two["choices"] = json!([choice, choice]);
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "[]"}});
    let wrong_input = json!({"role": "assistant", "tool_calls": [call]});
    let bodies = [
        two,
        answer(&plain, "because"),
        answer(&wrong_input, "tool_calls"),
        answer(&json!("x"), "stop"),
        json!({"choices": []}),
        json!([]),
    ];
    for body in bodies {
        assert_eq!(
            heard(&body).unwrap_err(),
            Unavailability::Garbage.into(),
            "{body}"
        );
    }
}
