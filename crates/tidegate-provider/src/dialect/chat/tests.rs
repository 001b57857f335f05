//! OpenAI's chat dialect, field by field and step by step.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{
    Event, ImageData, Json, Opening, Part, Piece, Reply, Role, Stop, Thinking, Tokens, ToolResult,
    Turn,
};
use crate::error::Unavailability;
use crate::raw::RawObject;

fn read(body: &Value) -> Result<crate::dialect::Conversation, crate::dialect::Refusal> {
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

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
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
    for (key, words) in super::read::DEFAULTS {
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

fn answer(message: &Value, finish: &str) -> Value {
    json!({"id": "1", "model": "m", "object": "chat.completion", "created": 7,
        "system_fingerprint": "fp", "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_creation_tokens": 2, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4}}})
}

fn heard(value: &Value) -> Result<Reply, crate::error::ProviderError> {
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
        assert_eq!(super::answer::stop_word(&stop), word);
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

fn chunk(value: &Value) -> Chunk {
    Chunk {
        event: None,
        json: Bytes::from(value.to_string()),
        facts: ChunkFacts::default(),
    }
}

fn delta(delta: &Value, finish: Option<&str>) -> Chunk {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    chunk(&json!({"id": "1", "model": "m", "choices": [choice]}))
}

/// The steps of a whole stream, the first and the last of which are its frame.
fn steps(chunks: &[Chunk]) -> Vec<Event> {
    let mut reader = EventReader::default();
    let read = chunks.iter().map(|chunk| reader.read(chunk).unwrap());
    let mut steps: Vec<Event> = read.collect::<Vec<_>>().concat();
    steps.extend(reader.end());
    let start = Event::Start {
        id: "1".to_owned(),
        model: "m".to_owned(),
    };
    assert_eq!(steps.remove(0), start);
    assert_eq!(steps.pop(), Some(Event::End));
    steps
}

fn open(index: usize, opening: Opening) -> Event {
    Event::Open { index, opening }
}

fn said(index: usize, text: &str) -> Event {
    let piece = Piece::Text(text.to_owned());
    Event::Piece { index, piece }
}

fn call(index: usize, id: &str, name: &str) -> Event {
    let (id, name) = (id.to_owned(), name.to_owned());
    open(index, Opening::ToolUse { id, name })
}

fn input(index: usize, json: &str) -> Event {
    let piece = Piece::Input(json.to_owned());
    Event::Piece { index, piece }
}

#[test]
fn a_stream_of_thoughts_words_and_two_calls_is_read_part_by_part() {
    let calls = |calls: Value| delta(&json!({"tool_calls": calls}), None);
    let steps = steps(&[
        chunk(&json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []})),
        delta(&json!({"role": "assistant", "content": ""}), None),
        delta(&json!({"reasoning_content": "h"}), None),
        delta(&json!({"reasoning_content": "m"}), None),
        delta(&json!({"content": "x"}), None),
        calls(
            json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        ),
        calls(json!([{"index": 0, "function": {"arguments": "{\"a\""}}])),
        calls(json!([{"index": 0, "function": {"arguments": ":1}"}}])),
        calls(
            json!([{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]),
        ),
        delta(&json!({}), Some("tool_calls")),
        chunk(
            &json!({"id": "1", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        ),
    ]);
    let tokens = Tokens {
        input: 3,
        output: 4,
        ..Tokens::default()
    };
    let expected = [
        open(0, Opening::Thinking),
        said(0, "h"),
        said(0, "m"),
        Event::Close { index: 0 },
        open(1, Opening::Text),
        said(1, "x"),
        Event::Close { index: 1 },
        call(2, "c1", "f"),
        input(2, "{\"a\""),
        input(2, ":1}"),
        Event::Close { index: 2 },
        call(3, "c2", "g"),
        input(3, "{}"),
        Event::Close { index: 3 },
        Event::Stop(Stop::ToolUse),
        Event::Tokens(tokens),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn calls_of_servers_that_count_none_are_told_apart_by_their_ids() {
    let calls = |index: Option<u64>| {
        let one = |id: &str| {
            let function = json!({"name": "f", "arguments": "{}"});
            let call = json!({"index": index, "id": id, "function": function});
            delta(&json!({"tool_calls": [call]}), None)
        };
        steps(&[one("c1"), one("c2"), delta(&json!({}), Some("stop"))])
    };
    let expected = [
        call(0, "c1", "f"),
        input(0, "{}"),
        Event::Close { index: 0 },
        call(1, "c2", "f"),
        input(1, "{}"),
        Event::Close { index: 1 },
        Event::Stop(Stop::ToolUse),
    ];
    assert_eq!(calls(None), expected);
    assert_eq!(calls(Some(0)), expected);
}

#[test]
fn a_refusal_is_read_as_one_and_a_missing_end_is_made_up_for() {
    let steps = steps(&[delta(&json!({"refusal": "no"}), None)]);
    let expected = [
        open(0, Opening::Refusal),
        said(0, "no"),
        Event::Close { index: 0 },
        Event::Stop(Stop::End),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn blocks_that_repeat_the_plain_thought_are_heard_once() {
    let block = |text: &str, signature: Option<&str>| json!({"type": "thinking", "thinking": text, "signature": signature});
    let repeated = json!({"reasoning_content": "hm", "thinking_blocks": [block("hm", None)]});
    let sealed = json!({"reasoning_content": "", "thinking_blocks": [block("", Some("seal"))]});
    let steps = steps(&[
        delta(&repeated, None),
        delta(&sealed, None),
        delta(&json!({}), Some("stop")),
    ]);
    let expected = [
        open(0, Opening::Thinking),
        said(0, "hm"),
        Event::Piece {
            index: 0,
            piece: Piece::Signature("seal".to_owned()),
        },
        Event::Close { index: 0 },
        Event::Stop(Stop::End),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_stream_that_contradicts_itself_is_garbage() {
    let second =
        json!({"id": "1", "model": "m", "choices": [{"index": 1, "delta": {"content": "x"}}]});
    let late = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]});
    let streams = [
        vec![chunk(&second)],
        vec![delta(&late, None)],
        vec![
            delta(&json!({}), Some("stop")),
            delta(&json!({"content": "x"}), None),
        ],
        vec![delta(&json!({}), Some("because"))],
        vec![chunk(&json!({"usage": null}))],
    ];
    for chunks in streams {
        let mut reader = EventReader::default();
        let last = chunks
            .iter()
            .map(|chunk| reader.read(chunk))
            .last()
            .unwrap();
        assert_eq!(
            last.unwrap_err(),
            Unavailability::Garbage.into(),
            "{chunks:?}"
        );
    }
}

#[test]
fn a_stream_is_written_as_clients_read_it() {
    let start = Event::Start {
        id: "1".to_owned(),
        model: "m".to_owned(),
    };
    let tokens = Tokens {
        input: 3,
        cache_read: 1,
        output: 4,
        ..Tokens::default()
    };
    let events = [
        start,
        open(0, Opening::Thinking),
        said(0, "hm"),
        Event::Piece {
            index: 0,
            piece: Piece::Signature("seal".to_owned()),
        },
        Event::Close { index: 0 },
        open(1, Opening::Text),
        said(1, "x"),
        Event::Close { index: 1 },
        call(2, "c1", "f"),
        input(2, "{}"),
        Event::Close { index: 2 },
        call(3, "c2", "g"),
        Event::Close { index: 3 },
        Event::Stop(Stop::ToolUse),
        Event::Tokens(tokens),
        Event::End,
    ];
    let mut writer = EventWriter::new(7);
    let chunks = events.into_iter().flat_map(|event| writer.write(event));
    let values: Vec<Value> = chunks
        .map(|chunk| {
            assert_eq!(Chunk::parse(chunk.json.clone()).unwrap().facts, chunk.facts);
            serde_json::from_slice(&chunk.json).unwrap()
        })
        .collect();
    let deltas: Vec<&Value> = values[..values.len() - 1]
        .iter()
        .map(|value| &value["choices"][0]["delta"])
        .collect();
    let begun = |index: u64, id: &str, name: &str| {
        let function = json!({"name": name, "arguments": ""});
        json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
    };
    let arguments =
        |index: u64| json!({"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]});
    let seal = json!({"type": "thinking", "thinking": "hm", "signature": "seal"});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "hm"}),
        json!({"thinking_blocks": [seal]}),
        json!({"content": "x"}),
        begun(0, "c1", "f"),
        arguments(0),
        begun(1, "c2", "g"),
        // A call without any input has an empty one.
        arguments(1),
        json!({}),
    ];
    assert_eq!(deltas, expected.iter().collect::<Vec<_>>());
    assert_eq!(values[8]["choices"][0]["finish_reason"], "tool_calls");
    let last = &values[9];
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 4);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
    for value in &values {
        assert_eq!(value["object"], "chat.completion.chunk");
        assert_eq!((&value["id"], &value["created"]), (&json!("1"), &json!(7)));
    }
}
