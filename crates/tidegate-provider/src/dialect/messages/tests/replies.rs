use serde_json::{Value, json};

use super::super::{read_reply, write_reply};
use crate::dialect::{Json, Part, Reply, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

const FULL: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[
{"type":"thinking","thinking":"hm","signature":"c2ln"},
{"type":"redacted_thinking","data":"ZGF0YQ=="},
{"type":"text","text":"done"},
{"type":"tool_use","id":"toolu_1","name":"look","input":{"at":12345678901234567890123}}],
"stop_reason":"tool_use","stop_sequence":null,
"usage":{"input_tokens":3,"cache_creation_input_tokens":7,"cache_read_input_tokens":5,"output_tokens":11,"output_tokens_details":{"thinking_tokens":4}}}"#;

fn written(reply: &Reply) -> Value {
    serde_json::from_slice(&write_reply(reply)).unwrap()
}

fn reply(parts: impl Into<Vec<Part>>, stop: Stop) -> Reply {
    Reply {
        id: "msg_1".to_owned(),
        model: "up".to_owned(),
        parts: parts.into(),
        stop,
        tokens: Tokens::default(),
    }
}

fn heard(content: &str, rest: &str) -> Result<Reply, ProviderError> {
    let body = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{content}],{rest}"usage":{{}}}}"#
    );
    read_reply(body.as_bytes())
}

#[test]
fn an_answer_with_everything_comes_out_as_it_went_in() {
    let original: Value = serde_json::from_str(FULL).unwrap();
    let reply = read_reply(FULL.as_bytes()).unwrap();
    assert_eq!(written(&reply), original);
    assert_eq!(
        reply.tokens,
        Tokens {
            input: 3,
            cache_read: 5,
            cache_write: 7,
            output: 11,
            reasoning: 4,
        }
    );
    let Some(Part::ToolUse { input, .. }) = reply.parts.last() else {
        panic!("no tool")
    };
    assert_eq!(input.as_str(), r#"{"at":12345678901234567890123}"#);
}

#[test]
fn a_short_answer_is_these_bytes() {
    let reply = reply([Part::Text("a".to_owned())], Stop::End);
    let expected = r#"{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}"#;
    assert_eq!(write_reply(&reply), expected);
}

#[track_caller]
fn check_stop(word: &str, stop: Stop) {
    let reason = format!(r#""stop_reason":"{word}","#);
    assert_eq!(heard("", &reason).unwrap().stop, stop);
    let written = written(&reply([], stop));
    assert_eq!(written["stop_reason"], word);
}

#[test]
fn every_stop_has_its_word() {
    check_stop("end_turn", Stop::End);
    check_stop("max_tokens", Stop::MaxTokens);
    check_stop("stop_sequence", Stop::Sequence(None));
    check_stop("tool_use", Stop::ToolUse);
    check_stop("refusal", Stop::Filtered);
    check_stop("model_context_window_exceeded", Stop::ContextFull);
    check_stop("pause_turn", Stop::Paused);
    let stopped = r#""stop_reason":"stop_sequence","stop_sequence":"END","#;
    let heard = heard("", stopped).unwrap();
    assert_eq!(heard.stop, Stop::Sequence(Some("END".to_owned())));
    assert_eq!(written(&heard)["stop_sequence"], "END");
}

#[test]
fn what_no_other_dialect_has_is_not_understood() {
    let garbage: ProviderError = Unavailability::Garbage.into();
    for (content, rest) in [
        (
            r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#,
            "",
        ),
        (
            r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[]}"#,
            "",
        ),
        (r#"{"type":"tool_use","id":"s","name":"n","input":[]}"#, ""),
        (r#"{"type":"tool_use","id":"s","name":"n"}"#, ""),
        (r#"{"type":"text"}"#, ""),
        (r#"{"text":"a"}"#, ""),
        ("", r#""stop_reason":"tired","#),
    ] {
        assert_eq!(
            heard(content, rest),
            Err(garbage.clone()),
            "{content}{rest}"
        );
        assert_eq!(read_reply(b"<html>"), Err(garbage.clone()));
    }
}

#[test]
fn an_error_with_200_is_that_error() {
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#;
    let throttled = ProviderError::Throttled { retry_after: None };
    assert_eq!(read_reply(body), Err(throttled));
}

#[test]
fn usage_that_cannot_be_read_costs_no_answer() {
    let body = br#"{"type":"message","content":[],"usage":{"input_tokens":"many"}}"#;
    assert_eq!(read_reply(body).unwrap().tokens, Tokens::default());
}

#[test]
fn ids_of_other_dialects_become_ids_of_this_one() {
    let id = |id: &str| {
        let reply = Reply {
            id: id.to_owned(),
            ..reply([], Stop::End)
        };
        written(&reply)["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id("msg_7"), "msg_7");
    assert_eq!(id("chatcmpl-A1b-2"), "msg_A1b-2");
    assert_eq!(id("urn:x/é 9"), "msg_urnx9");
    assert_eq!(id(""), "msg_0");
}

#[test]
fn an_answer_that_declines_says_so_in_its_stop() {
    let declines = || [Part::Refusal("I will not".to_owned())];
    let answer = written(&reply(declines(), Stop::End));
    assert_eq!(answer["stop_reason"], "refusal");
    let expected = json!([{"type": "text", "text": "I will not"}]);
    assert_eq!(answer["content"], expected);
    let cut = written(&reply(declines(), Stop::MaxTokens));
    assert_eq!(cut["stop_reason"], "max_tokens");
}

#[test]
fn empty_texts_are_left_out_and_a_seal_is_never_missing() {
    let thought = Part::Thinking {
        text: "hm".to_owned(),
        signature: None,
    };
    let answer = reply([Part::Text(String::new()), thought], Stop::End);
    let expected = json!([{"type": "thinking", "thinking": "hm", "signature": ""}]);
    assert_eq!(written(&answer)["content"], expected);
    let nothing = Part::ToolUse {
        id: "i".to_owned(),
        name: "n".to_owned(),
        input: Json::parse("{}").unwrap(),
    };
    let answer = written(&reply([nothing], Stop::ToolUse));
    assert_eq!(answer["content"][0]["input"], json!({}));
}
