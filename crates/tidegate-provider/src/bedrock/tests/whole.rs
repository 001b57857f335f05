//! Whole answers.

use serde_json::json;

use super::{answered, response};
use crate::bedrock::answer::read;
use crate::dialect::{Dialect, Part, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

/// An answer that says nothing but this.
fn stopped(reason: &str, more: &str) -> String {
    format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"hi"}}]}}}},"stopReason":"{reason}",
        "usage":{{"inputTokens":11,"outputTokens":7,"totalTokens":30,"cacheReadInputTokens":8,"cacheWriteInputTokens":4}},
        "metrics":{{"latencyMs":12}}{more}}}"#
    )
}

const FULL: &str = r#"{"output":{"message":{"role":"assistant","content":[
    {"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2VhbA=="}}},
    {"reasoningContent":{"redactedContent":"AAAA"}},
    {"text":"I look."},
    {"toolUse":{"toolUseId":"tooluse_1","name":"look","input":{"z":1.0,"a":123456789012345678901234567890}}}]}},
    "stopReason":"tool_use","usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18},"metrics":{"latencyMs":1}}"#;

#[tokio::test]
async fn an_answer_comes_back_as_a_chat_completion() {
    let answer = answered(Dialect::Chat, response(200, FULL)).await.unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "I look.");
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        call["function"]["arguments"],
        r#"{"z":1.0,"a":123456789012345678901234567890}"#
    );
    assert_eq!(
        (&answer["id"], &answer["model"]),
        (&json!("4711"), &json!(super::CLAUDE))
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 11);
    assert_eq!(answer["usage"]["completion_tokens"], 7);
}

#[tokio::test]
async fn an_answer_comes_back_as_an_anthropic_message() {
    let answer = answered(Dialect::Messages, response(200, FULL))
        .await
        .unwrap();
    let kinds: Vec<_> = answer["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].clone())
        .collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text", "tool_use"]);
    assert_eq!(answer["content"][0]["signature"], "c2VhbA==");
    assert_eq!(answer["stop_reason"], "tool_use");
}

#[test]
fn every_reason_to_stop_is_known() {
    let stop = |reason: &str| {
        read(stopped(reason, "").as_bytes(), String::new(), "m").map(|reply| reply.stop)
    };
    assert_eq!(stop("end_turn"), Ok(Stop::End));
    assert_eq!(stop("tool_use"), Ok(Stop::ToolUse));
    assert_eq!(stop("max_tokens"), Ok(Stop::MaxTokens));
    assert_eq!(stop("stop_sequence"), Ok(Stop::Sequence(None)));
    assert_eq!(stop("guardrail_intervened"), Ok(Stop::Filtered));
    assert_eq!(stop("content_filtered"), Ok(Stop::Filtered));
    assert_eq!(stop("model_context_window_exceeded"), Ok(Stop::ContextFull));
    assert_eq!(stop("a_word_of_tomorrow"), Ok(Stop::End));
    for broken in ["malformed_model_output", "malformed_tool_use"] {
        assert_eq!(stop(broken), Err(Unavailability::Garbage.into()));
    }
}

#[test]
fn the_stop_sequence_is_the_one_that_the_model_met() {
    let body = stopped(
        "stop_sequence",
        r#","additionalModelResponseFields":{"stop_sequence":"END"}"#,
    );
    let reply = read(body.as_bytes(), String::new(), "m").unwrap();
    assert_eq!(reply.stop, Stop::Sequence(Some("END".to_owned())));
}

#[test]
fn cached_input_is_counted_once() {
    let tokens = |total: u64| {
        let body = stopped("end_turn", "")
            .replace("\"totalTokens\":30", &format!("\"totalTokens\":{total}"));
        read(body.as_bytes(), String::new(), "m").unwrap().tokens
    };
    let apart = Tokens {
        input: 11,
        cache_read: 8,
        cache_write: 4,
        output: 7,
        reasoning: 0,
    };
    assert_eq!(tokens(30), apart);
    // 18 = 11 + 7: this model's input holds what was cached, and more cannot be.
    assert_eq!(tokens(18), Tokens { input: 0, ..apart });
}

#[test]
fn a_block_that_nobody_can_say_costs_the_answer() {
    for block in [
        r#"{"image":{"format":"png","source":{"bytes":"AAAA"}}}"#,
        r#"{"tide":{"height":6.5}}"#,
    ] {
        let body = stopped("end_turn", "").replace(r#"{"text":"hi"}"#, block);
        let error = read(body.as_bytes(), String::new(), "m").unwrap_err();
        assert_eq!(error, Unavailability::Garbage.into(), "{block}");
    }
    let fields = stopped("end_turn", r#","tide":{"height":6.5}"#);
    let reply = read(fields.as_bytes(), String::new(), "m").unwrap();
    assert_eq!(reply.parts, [Part::Text("hi".to_owned())]);
}

#[tokio::test]
async fn what_is_no_answer_is_garbage() {
    let cut = FULL.len() / 2;
    for body in ["", "no json", "[]", "{}", &FULL[..cut]] {
        let error = answered(Dialect::Chat, response(200, body))
            .await
            .unwrap_err();
        assert_eq!(
            error,
            ProviderError::Unavailable(Unavailability::Garbage),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let limit_bytes = crate::bedrock::call::MOST_ANSWER_BYTES;
    let endless = vec![b' '; limit_bytes + 1];
    let error = answered(Dialect::Chat, response(200, endless))
        .await
        .unwrap_err();
    assert_eq!(error, Unavailability::TooLarge { limit_bytes }.into());
}
