//! Requests, read.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{DEFAULTS, read_request, text};
use crate::dialect::{
    Conversation, ImageData, Json, Part, Refusal, Role, Thinking, ToolResult, Turn,
};
use crate::raw::RawObject;

fn read(body: &Value) -> Result<Conversation, Refusal> {
    let raw = RawObject::parse(&Bytes::from(body.to_string())).unwrap();
    read_request(&raw, "an Anthropic model")
}

/// A request with these messages.
fn saying(messages: &Value) -> Value {
    json!({"model": "m", "messages": messages})
}

/// A request with this field.
fn with(key: &str, value: Value) -> Value {
    let mut body = saying(&json!([{"role": "user", "content": "x"}]));
    body[key] = value;
    body
}

fn turns(messages: &Value) -> Vec<Turn> {
    read(&saying(messages)).unwrap().turns
}

#[track_caller]
fn refused(body: &Value, message: &str) {
    assert_eq!(read(body).unwrap_err().to_string(), message);
}

#[test]
fn what_has_no_word_elsewhere_is_refused_by_its_name() {
    let cannot = |body: &Value, param: &str| {
        refused(
            body,
            &format!("{param} cannot be said to an Anthropic model"),
        );
    };
    for (key, value) in [
        ("n", json!(2)),
        ("seed", json!(7)),
        ("logit_bias", json!({"50256": -100})),
        ("logprobs", json!(true)),
        ("frequency_penalty", json!(0.5)),
        ("presence_penalty", json!(-1)),
        ("audio", json!({"voice": "alloy", "format": "mp3"})),
        ("prediction", json!({"type": "content", "content": "x"})),
        ("web_search_options", json!({})),
        ("functions", json!([{"name": "f"}])),
        ("function_call", json!("auto")),
        ("reasoning_effort", json!("minimal")),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("service_tier", json!("flex")),
        ("modalities", json!(["text", "audio"])),
    ] {
        cannot(&with(key, value), key);
    }
    cannot(
        &with("response_format", json!({"type": "json_object"})),
        "response_format.type",
    );
    cannot(
        &with(
            "tools",
            json!([{"type": "custom", "custom": {"name": "x"}}]),
        ),
        "tools[0].type",
    );
    cannot(&with("stream_options", json!({"x": 1})), "stream_options.x");
    let user = |part: Value| saying(&json!([{"role": "user", "content": [part]}]));
    cannot(
        &user(json!({"type": "input_audio", "input_audio": {}})),
        "messages[0].content[0].type",
    );
    cannot(
        &user(json!({"type": "text", "text": "x", "cache_control": {}})),
        "messages[0].content[0].cache_control",
    );
    cannot(
        &saying(&json!([{"role": "user", "content": "x", "name": "y"}])),
        "messages[0].name",
    );
    cannot(
        &saying(&json!([{"role": "user", "content": "x"}, {"role": "system", "content": "y"}])),
        "messages[1].role",
    );
    cannot(
        &saying(&json!([{"role": "function", "name": "f", "content": "x"}])),
        "messages[0].role",
    );
}

#[test]
fn what_is_wrong_says_what_it_must_be() {
    refused(
        &with("temperature", json!("hot")),
        "temperature must be a number",
    );
    refused(
        &with("stop", json!([7])),
        "stop must be a string or a list of strings",
    );
    refused(&with("user", json!(7)), "user must be a string");
    let both = "max_tokens must be the same as max_completion_tokens";
    let mut body = with("max_tokens", json!(7));
    body["max_completion_tokens"] = json!(8);
    refused(&body, both);
    let call = |arguments: &str| {
        let function = json!({"name": "f", "arguments": arguments});
        let call = json!({"id": "1", "type": "function", "function": function});
        saying(&json!([{"role": "assistant", "tool_calls": [call]}]))
    };
    let param = "messages[0].tool_calls[0].function.arguments";
    for arguments in ["[]", "{", "7", "null"] {
        refused(
            &call(arguments),
            &format!("{param} must be a JSON object in a string"),
        );
    }
    let image = json!({"type": "image_url", "image_url": {"url": "ftp://x"}});
    refused(
        &saying(&json!([{"role": "user", "content": [image]}])),
        "messages[0].content[0].image_url.url must be an http or https URL, or a data URL in base64",
    );
    refused(
        &saying(&json!([{"role": "user"}])),
        "messages[0].content must be a string or a list of parts",
    );
    refused(
        &saying(&json!([{"role": "robot", "content": "x"}])),
        "messages[0].role must be `system`, `developer`, `user`, `assistant` or `tool`",
    );
}

#[test]
fn what_says_what_is_meant_anyway_may_be_there() {
    let plain = read(&saying(&json!([{"role": "user", "content": "x"}]))).unwrap();
    for (key, words) in DEFAULTS {
        for word in words.iter().chain(&["null"]) {
            let body = with(key, serde_json::from_str(word).unwrap());
            assert_eq!(read(&body).as_ref(), Ok(&plain), "{key}: {word}");
        }
    }
    let options = json!({"include_usage": true, "include_obfuscation": false});
    assert_eq!(read(&with("stream_options", options)).as_ref(), Ok(&plain));
    assert_eq!(
        read(&with("response_format", json!({"type": "text"}))),
        Ok(plain)
    );
}

#[test]
fn leading_instructions_are_the_system_and_messages_of_one_role_one_turn() {
    let body = saying(&json!([
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e", "refusal": null, "annotations": [], "audio": null},
    ]));
    let said = read(&body).unwrap();
    assert_eq!(said.system, [text("a"), text("b")]);
    let user = Turn {
        role: Role::User,
        parts: vec![text("c"), text("d")],
    };
    let assistant = Turn {
        role: Role::Assistant,
        parts: vec![text("e")],
    };
    assert_eq!(said.turns, [user, assistant]);
}

#[test]
fn results_of_tools_are_one_turn_with_what_the_user_says_next() {
    let result = |id: &str, content: &[&str]| {
        Part::ToolResult(ToolResult {
            id: id.to_owned(),
            content: content.iter().copied().map(text).collect(),
            is_error: false,
        })
    };
    let messages = json!([
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "y"}]},
        {"role": "tool", "tool_call_id": "3", "content": ""},
        {"role": "user", "content": "z"},
    ]);
    let turns = turns(&messages);
    let call = |id: &str, name: &str, input: &str| Part::ToolUse {
        id: id.to_owned(),
        name: name.to_owned(),
        input: Json::parse(input).unwrap(),
    };
    assert_eq!(
        turns[0].parts,
        [call("1", "f", r#"{"a":1}"#), call("2", "g", "{}")]
    );
    assert_eq!(
        turns[1].parts,
        [
            result("1", &["x"]),
            result("2", &["y"]),
            result("3", &[]),
            text("z")
        ]
    );
    assert_eq!(turns.len(), 2);
}

#[test]
fn an_image_is_in_the_request_or_at_an_address() {
    let image = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}});
        let turns = turns(&json!([{"role": "user", "content": [part]}]));
        let [Part::Image(image)] = &turns[0].parts[..] else {
            panic!("no image")
        };
        assert_eq!(image.detail.as_deref(), Some("low"));
        image.data.clone()
    };
    let data = ImageData::Base64 {
        media_type: "image/png".to_owned(),
        data: "AAAA".to_owned(),
    };
    assert_eq!(image("data:image/png;base64,AAAA"), data);
    let url = "https://images.example/a.png";
    assert_eq!(image(url), ImageData::Url(url.to_owned()));
}

#[test]
fn thoughts_come_back_with_their_seals() {
    let thought = |signature: Option<&str>| Part::Thinking {
        text: "hm".to_owned(),
        signature: signature.map(str::to_owned),
    };
    let assistant = |fields: Value| {
        let mut message = fields;
        message["role"] = "assistant".into();
        message["content"] = "x".into();
        turns(&json!([message])).remove(0).parts
    };
    for field in ["reasoning_content", "reasoning"] {
        assert_eq!(assistant(json!({field: "hm"})), [thought(None), text("x")]);
    }
    let blocks = json!([
        {"type": "thinking", "thinking": "hm", "signature": "seal"},
        {"type": "redacted_thinking", "data": "AAAA"}]);
    assert_eq!(
        assistant(json!({"reasoning_content": "hm", "thinking_blocks": blocks})),
        [
            thought(Some("seal")),
            Part::RedactedThinking("AAAA".to_owned()),
            text("x")
        ]
    );
}

#[test]
fn how_much_to_think_is_read_in_the_words_of_anthropic() {
    let thinking = |value: Value| read(&with("thinking", value)).unwrap().thinking;
    let budget = json!({"type": "enabled", "budget_tokens": 2048});
    assert_eq!(thinking(budget), Some(Thinking::Budget(2048)));
    assert_eq!(
        thinking(json!({"type": "disabled"})),
        Some(Thinking::Disabled)
    );
}
