//! The words in requests and answers, whatever the dialect.
//!
//! This is what a guard reads. Nothing here fails: what is not shaped like
//! words holds none, and is the upstream's to refuse.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::content::{Fields, MOST_LEVELS, items};
use crate::dialect::Dialect;
use crate::embed_request::Input;
use crate::raw::RawObject;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A person, or a program in a person's place.
    User,
    /// A tool that the application ran.
    Tool,
    /// The model, in its answer.
    Model,
    /// The model, in the input of a tool that it wants to be run.
    ModelToTool,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// By whom.
    pub by: Speaker,
    /// The text.
    pub text: String,
    /// In which of several answers; they may be streamed side by side.
    pub choice: usize,
}

impl Spoken {
    fn new(by: Speaker, text: impl Into<String>) -> Self {
        Self {
            by,
            text: text.into(),
            choice: 0,
        }
    }
}

/// Something that was said, and the JSON that says it.
pub(crate) struct Heard<'a> {
    pub(crate) spoken: Spoken,
    pub(crate) json: &'a RawValue,
}

impl<'a> Heard<'a> {
    fn new(by: Speaker, text: impl Into<String>, json: &'a RawValue) -> Self {
        let spoken = Spoken::new(by, text);
        Self { spoken, json }
    }
}

fn spoken(heard: Vec<Heard<'_>>) -> Vec<Spoken> {
    heard.into_iter().map(|heard| heard.spoken).collect()
}

/// The fields of a request that hold what users and tools say.
pub(crate) const OF_REQUEST: [&str; 3] = ["messages", "prompt", "suffix"];

/// What users and tools say in a request, in order.
pub(crate) fn of_request(dialect: Dialect, raw: &RawObject) -> Vec<Spoken> {
    let fields = OF_REQUEST
        .iter()
        .filter_map(|key| Some((*key, raw.get(key)?)));
    let heard = fields.flat_map(|(key, json)| of_field(dialect, key, json));
    heard.map(|heard| heard.spoken).collect()
}

/// What users and tools say in one of these fields.
pub(crate) fn of_field<'a>(dialect: Dialect, key: &str, json: &'a [u8]) -> Vec<Heard<'a>> {
    let mut said = Vec::new();
    match (dialect, key) {
        (Dialect::Chat | Dialect::Messages, "messages") => {
            let messages: Vec<Fields<'a>> = serde_json::from_slice(json).unwrap_or_default();
            for message in messages {
                of_message(&message, &mut said);
            }
        }
        (Dialect::Completion, "prompt" | "suffix") => prompts(json, &mut said),
        (Dialect::Chat | Dialect::Messages | Dialect::Completion, _) => {}
    }
    said
}

/// The text of the last message that the user wrote.
pub(crate) fn last_user_text(raw: &RawObject) -> Option<String> {
    let messages = messages(raw);
    let mut messages = messages.iter();
    let last = messages.rfind(|message| message.word("role").is_some_and(|role| role == "user"))?;
    let content = last.get("content")?;
    if let Some(text) = text(content) {
        return Some(text);
    }
    let parts = items(content).into_iter().filter_map(Fields::of);
    let texts: Vec<String> = parts.filter_map(|part| text(part.get("text")?)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn messages(raw: &RawObject) -> Vec<Fields<'_>> {
    let json = raw.get("messages");
    json.and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_default()
}

fn prompts<'a>(json: &'a [u8], said: &mut Vec<Heard<'a>>) {
    let Ok(prompt) = serde_json::from_slice::<&RawValue>(json) else {
        return;
    };
    match serde_json::from_slice(json) {
        Ok(Input::Text(text)) => said.push(Heard::new(Speaker::User, text, prompt)),
        Ok(Input::Texts(texts)) => {
            let texts = texts.into_iter().zip(items(prompt));
            said.extend(texts.map(|(text, json)| Heard::new(Speaker::User, text, json)));
        }
        // Numbers that only the model's own tokenizer could read.
        Ok(Input::Tokens(_) | Input::TokenLists(_)) | Err(_) => {}
    }
}

fn of_message<'a>(message: &Fields<'a>, said: &mut Vec<Heard<'a>>) {
    let role = message.word("role").unwrap_or_default();
    let by = match &*role {
        "tool" | "function" => Speaker::Tool,
        // Written by whoever runs the application, or by the model.
        "system" | "developer" | "assistant" => return,
        // Servers differ in what other roles mean; none is trusted.
        _ => Speaker::User,
    };
    if let Some(content) = message.get("content") {
        of_content(by, content, MOST_LEVELS, said);
    }
}

/// Hears text that is a string, a part, or a list of either.
fn of_content<'a>(by: Speaker, content: &'a RawValue, levels: usize, said: &mut Vec<Heard<'a>>) {
    let as_it_stands = || Heard::new(by, content.get(), content);
    match (content.get().as_bytes().first(), levels.checked_sub(1)) {
        (Some(b'"'), _) => said.extend(text(content).map(|text| Heard::new(by, text, content))),
        (Some(b'[' | b'{'), None) => said.push(as_it_stands()),
        (Some(b'['), Some(deeper)) => {
            for item in items(content) {
                of_content(by, item, deeper, said);
            }
        }
        (Some(b'{'), Some(deeper)) => match Fields::of(content) {
            Some(part) => of_part(by, &part, deeper, said),
            None => said.push(as_it_stands()),
        },
        _ => {}
    }
}

fn of_part<'a>(by: Speaker, part: &Fields<'a>, levels: usize, said: &mut Vec<Heard<'a>>) {
    let of_tool = part.word("type").is_some_and(|kind| kind == "tool_result");
    for (key, words) in part.words() {
        let from_tool = of_tool && key != "text";
        let by = if from_tool { Speaker::Tool } else { by };
        of_content(by, words, levels, said);
    }
}

/// A string, if it is one. Halves of surrogate pairs, which many servers let
/// pass, are replaced: text that holds one is heard nevertheless.
fn text(json: &RawValue) -> Option<String> {
    if !json.get().starts_with('"') {
        return None;
    }
    let strict = serde_json::from_str(json.get());
    strict.ok().or_else(|| {
        let mut reader = serde_json::Deserializer::from_str(json.get());
        reader.deserialize_bytes(Lossy).ok()
    })
}

struct Lossy;

impl Visitor<'_> for Lossy {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// What the model says in a whole answer. Each field is read by itself, so that
/// one of an odd shape hides no other.
pub fn spoken_answer(dialect: Dialect, body: &[u8]) -> Vec<Spoken> {
    spoken(of_answer(dialect, body))
}

/// The same, with the JSON that says it.
pub(crate) fn of_answer(dialect: Dialect, body: &[u8]) -> Vec<Heard<'_>> {
    let mut said = Vec::new();
    if let Ok(answer) = serde_json::from_slice::<&RawValue>(body) {
        match dialect {
            Dialect::Chat | Dialect::Completion => each_field(answer, &mut said, of_choices),
            Dialect::Messages => each_field(answer, &mut said, of_blocks),
        }
    }
    said
}

/// What the model says in one event of a streamed answer.
pub(crate) fn of_chunk(dialect: Dialect, json: &[u8]) -> Vec<Spoken> {
    match dialect {
        Dialect::Chat | Dialect::Completion => spoken_answer(dialect, json),
        Dialect::Messages => {
            let mut said = Vec::new();
            if let Ok(event) = serde_json::from_slice::<&RawValue>(json) {
                each_field(event, &mut said, of_event);
            }
            spoken(said)
        }
    }
}

/// Hears an object field by field, doubled ones too. Where a key is no text, all
/// of it is heard as it stands.
fn each_field<'a>(
    json: &'a RawValue,
    said: &mut Vec<Heard<'a>>,
    hear: impl Fn(&str, &'a RawValue, &mut Vec<Heard<'a>>),
) {
    match Fields::of(json) {
        Some(fields) => {
            for (key, value) in fields.iter() {
                hear(key, value, said);
            }
        }
        None if json.get().starts_with('{') => {
            said.push(Heard::new(Speaker::Model, json.get(), json));
        }
        None => {}
    }
}

fn of_choices<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    if key != "choices" {
        return;
    }
    for choice in items(value) {
        let first = said.len();
        each_field(choice, said, of_choice);
        let index = Fields::of(choice).and_then(|choice| choice.get("index"));
        let index = index.and_then(|index| serde_json::from_str(index.get()).ok());
        for heard in &mut said[first..] {
            heard.spoken.choice = index.unwrap_or(0);
        }
    }
}

fn of_choice<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    match key {
        "text" => of_model(value, said),
        "message" | "delta" => each_field(value, said, of_chat_message),
        _ => {}
    }
}

fn of_chat_message<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    match key {
        "content" | "refusal" | "reasoning_content" | "reasoning" | "thinking" => {
            of_model(value, said);
        }
        "function_call" => each_field(value, said, of_function),
        "tool_calls" => {
            for call in items(value) {
                each_field(call, said, of_tool_call);
            }
        }
        _ => {}
    }
}

fn of_tool_call<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    if matches!(key, "function" | "custom") {
        each_field(value, said, of_function);
    }
}

fn of_function<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    if matches!(key, "arguments" | "input") {
        to_tool(value, said);
    }
}

/// One field of an event of Anthropic's.
fn of_event<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    match key {
        "delta" | "content_block" => each_field(value, said, of_block),
        "message" => each_field(value, said, of_blocks),
        _ => {}
    }
}

/// The content of an answer of Anthropic's.
fn of_blocks<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    if key != "content" {
        return;
    }
    if value.get().starts_with('"') {
        of_model(value, said);
    }
    for block in items(value) {
        each_field(block, said, of_block);
    }
}

fn of_block<'a>(key: &str, value: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    match key {
        "text" | "thinking" | "content" => of_model(value, said),
        "partial_json" | "input" => to_tool(value, said),
        _ => {}
    }
}

fn of_model<'a>(words: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    of_content(Speaker::Model, words, MOST_LEVELS, said);
}

/// Input of a tool: a string that holds JSON, or the JSON itself.
fn to_tool<'a>(input: &'a RawValue, said: &mut Vec<Heard<'a>>) {
    if input.get() != "null" {
        let words = text(input).unwrap_or_else(|| input.get().to_owned());
        said.push(Heard::new(Speaker::ModelToTool, words, input));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::request::ChatRequest;

    #[track_caller]
    fn check(dialect: Dialect, body: &'static str, expected: &[(Speaker, &str)]) {
        let request = ChatRequest::parse_as(dialect, Bytes::from_static(body.as_bytes()));
        let said = request.unwrap().spoken();
        let said: Vec<_> = said.iter().map(|said| (said.by, &*said.text)).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn users_and_tools_are_heard_and_nobody_else() {
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":[
                {"role":"system","content":"rules"},
                {"role":"user","content":[{"type":"text","text":"a"},7,{"type":"image_url"}]},
                {"role":"assistant","content":"b"},
                {"role":"tool","tool_call_id":"1","content":"c"}]}"#,
            &[(Speaker::User, "a"), (Speaker::Tool, "c")],
        );
        check(
            Dialect::Messages,
            r#"{"model":"m","max_tokens":1,"system":"rules","messages":[
                {"role":"user","content":[
                    {"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"c"}]},
                    {"type":"tool_result","tool_use_id":"2","content":"d"},
                    {"type":"text","text":"a"}]}]}"#,
            &[
                (Speaker::Tool, "c"),
                (Speaker::Tool, "d"),
                (Speaker::User, "a"),
            ],
        );
        check(
            Dialect::Completion,
            r#"{"model":"m","prompt":["a","b"]}"#,
            &[(Speaker::User, "a"), (Speaker::User, "b")],
        );
    }

    #[test]
    fn documents_search_results_and_suffixes_are_read() {
        let user = |content| {
            let message = format!(r#"{{"role":"user","content":[{content}]}}"#);
            let body = format!(r#"{{"model":"m","max_tokens":1,"messages":[{message}]}}"#);
            let request = ChatRequest::parse_as(Dialect::Messages, body.into()).unwrap();
            let said = request.spoken().into_iter();
            said.map(|said| (said.by, said.text)).collect::<Vec<_>>()
        };
        let by = |by, text: &str| (by, text.to_owned());
        let document = r#"{"type":"document","title":"t","source":{"type":"text","data":"a"}}"#;
        let blocks = r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"b"}]}}"#;
        let found = r#"{"type":"search_result","content":[{"type":"text","text":"c"}]}"#;
        let image = r#"{"type":"image","source":{"type":"base64","data":"AAAA"}}"#;
        let all = format!("{document},{blocks},{found},{image}");
        let mine = ["t", "a", "b", "c"].map(|text| by(Speaker::User, text));
        assert_eq!(user(all.clone()), mine);
        let result = format!(r#"{{"type":"tool_result","content":[{all}]}}"#);
        let tools = ["t", "a", "b", "c"].map(|text| by(Speaker::Tool, text));
        assert_eq!(user(result), tools);
        let both = r#"{"type":"x","text":"a","content":"b"}"#;
        let both = user(both.to_owned());
        assert_eq!(both, [by(Speaker::User, "a"), by(Speaker::User, "b")]);
        check(
            Dialect::Completion,
            r#"{"model":"m","prompt":"a","suffix":"b"}"#,
            &[(Speaker::User, "a"), (Speaker::User, "b")],
        );
    }

    #[test]
    fn odd_text_is_heard_nevertheless() {
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":[{"role":"User","content":["a",
                {"type":7,"text":"b \ud800"},{"text":["c"]}]}]}"#,
            &[
                (Speaker::User, "a"),
                (Speaker::User, "b \u{fffd}\u{fffd}\u{fffd}"),
                (Speaker::User, "c"),
            ],
        );
    }

    #[test]
    fn answers_are_heard_in_every_dialect_whole_and_streamed() {
        let model = |text: &str| Spoken::new(Speaker::Model, text);
        let tool = |text: &str| Spoken::new(Speaker::ModelToTool, text);
        let whole = br#"{"choices":[{"message":{"content":"a","tool_calls":[{"function":{"arguments":"{}"}}]}}]}"#;
        assert_eq!(
            spoken_answer(Dialect::Chat, whole),
            [model("a"), tool("{}")]
        );
        let whole =
            br#"{"content":[{"type":"text","text":"a"},{"type":"tool_use","input":{"x":1}}]}"#;
        assert_eq!(
            spoken_answer(Dialect::Messages, whole),
            [model("a"), tool(r#"{"x":1}"#)]
        );
        let chunk = br#"{"choices":[{"delta":{"content":"a"}}]}"#;
        assert_eq!(of_chunk(Dialect::Chat, chunk), [model("a")]);
        let chunk = br#"{"choices":[{"index":3,"delta":{"content":"a"}}]}"#;
        assert_eq!(of_chunk(Dialect::Chat, chunk)[0].choice, 3);
        let chunk = br#"{"choices":[{"text":"a"}]}"#;
        assert_eq!(of_chunk(Dialect::Completion, chunk), [model("a")]);
        let chunk = br#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#;
        assert_eq!(of_chunk(Dialect::Messages, chunk), [tool("{")]);
        assert_eq!(of_chunk(Dialect::Messages, b"garbage"), []);
    }

    #[track_caller]
    fn heard(said: &[Spoken], expected: &[(Speaker, &str)]) {
        let said: Vec<_> = said.iter().map(|said| (said.by, &*said.text)).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn one_odd_field_of_an_answer_hides_no_other() {
        use Speaker::{Model, ModelToTool};
        let odd =
            br#"{"choices":[7,{"index":-1,"message":{"content":[7,{"type":"text","text":"a"}],
            "refusal":"b","reasoning_content":"c","reasoning":{"x":1},"thinking":"d",
            "function_call":{"arguments":"e"},
            "tool_calls":["x",{"function":7},{"function":{"arguments":{"f":1}}},
                {"function":{"arguments":"g"}}]},"text":["h"]}],"content":7}"#;
        let expected = [
            (Model, "a"),
            (Model, "b"),
            (Model, "c"),
            (Model, "d"),
            (ModelToTool, "e"),
            (ModelToTool, r#"{"f":1}"#),
            (ModelToTool, "g"),
            (Model, "h"),
        ];
        heard(&spoken_answer(Dialect::Chat, odd), &expected);
        let twice = br#"{"choices":[{"message":{"content":"a","content":"b \ud800"}}]}"#;
        let twice = spoken_answer(Dialect::Chat, twice);
        heard(
            &twice,
            &[(Model, "a"), (Model, "b \u{fffd}\u{fffd}\u{fffd}")],
        );
        let key = br#"{"choices":[{"message":{"\ud800":1,"content":"b"}}]}"#;
        let key = spoken_answer(Dialect::Chat, key);
        heard(&key, &[(Model, r#"{"\ud800":1,"content":"b"}"#)]);
        for nothing in ["[]", "7", "no", r#"[{"content":"a"}]"#, "{}"] {
            heard(&spoken_answer(Dialect::Messages, nothing.as_bytes()), &[]);
            heard(&spoken_answer(Dialect::Chat, nothing.as_bytes()), &[]);
        }
    }

    #[test]
    fn what_a_model_of_anthropics_thinks_is_heard() {
        use Speaker::{Model, ModelToTool};
        let whole = br#"{"choices":7,"content":[7,{"type":"thinking","thinking":"a","text":null},
            {"type":"text","text":"b"},{"type":"tool_use","input":"c"}]}"#;
        heard(
            &spoken_answer(Dialect::Messages, whole),
            &[(Model, "a"), (Model, "b"), (ModelToTool, "c")],
        );
        let word = br#"{"content":"a"}"#;
        heard(&spoken_answer(Dialect::Messages, word), &[(Model, "a")]);
        let event = br#"{"index":"x","delta":{"type":"thinking_delta","thinking":"a"}}"#;
        heard(&of_chunk(Dialect::Messages, event), &[(Model, "a")]);
        let event = br#"{"content_block":7,"delta":{"text":"a","partial_json":7}}"#;
        let expected = [(Model, "a"), (ModelToTool, "7")];
        heard(&of_chunk(Dialect::Messages, event), &expected);
        let event = br#"{"message":{"content":[{"type":"text","text":"a"}]}}"#;
        heard(&of_chunk(Dialect::Messages, event), &[(Model, "a")]);
    }
}
