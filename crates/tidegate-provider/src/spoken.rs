//! The words in requests and answers, whatever the dialect.
//!
//! This is what a guard reads. Nothing here fails: what is not shaped like
//! words holds none, and is the upstream's to refuse.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
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

/// What users and tools say in a request, in order.
pub(crate) fn of_request(dialect: Dialect, raw: &RawObject) -> Vec<Spoken> {
    match dialect {
        Dialect::Chat | Dialect::Messages => {
            let mut said = Vec::new();
            for message in messages(raw) {
                of_message(&message, &mut said);
            }
            said
        }
        Dialect::Completion => prompts(raw),
    }
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

fn prompts(raw: &RawObject) -> Vec<Spoken> {
    let json = raw.get("prompt");
    let prompt = json.and_then(|json| serde_json::from_slice(json).ok());
    let texts = match prompt {
        Some(Input::Text(text)) => vec![text],
        Some(Input::Texts(texts)) => texts,
        // Numbers that only the model's own tokenizer could read.
        Some(Input::Tokens(_) | Input::TokenLists(_)) | None => Vec::new(),
    };
    let suffix = raw.get("suffix");
    let suffix = suffix.and_then(|json| serde_json::from_slice::<String>(json).ok());
    let texts = texts.into_iter().chain(suffix);
    texts.map(|text| Spoken::new(Speaker::User, text)).collect()
}

fn of_message(message: &Fields<'_>, said: &mut Vec<Spoken>) {
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
fn of_content(by: Speaker, content: &RawValue, levels: usize, said: &mut Vec<Spoken>) {
    let as_it_stands = || Spoken::new(by, content.get());
    match (content.get().as_bytes().first(), levels.checked_sub(1)) {
        (Some(b'"'), _) => said.extend(text(content).map(|text| Spoken::new(by, text))),
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

fn of_part(by: Speaker, part: &Fields<'_>, levels: usize, said: &mut Vec<Spoken>) {
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

/// What the model says in a whole answer.
pub fn spoken_answer(dialect: Dialect, body: &[u8]) -> Vec<Spoken> {
    let answer: Answer<'_> = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) => return Vec::new(),
    };
    match dialect {
        Dialect::Chat | Dialect::Completion => {
            answer.choices.into_iter().flat_map(of_choice).collect()
        }
        Dialect::Messages => answer.content.into_iter().flat_map(of_block).collect(),
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default, borrow)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: usize,
    #[serde(default, borrow, alias = "delta")]
    message: Option<Said<'a>>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Said<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    arguments: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
}

fn of_choice(choice: Choice<'_>) -> Vec<Spoken> {
    let said = choice.message.unwrap_or_default();
    let texts = choice.text.into_iter().chain(said.content);
    let calls = said.tool_calls.unwrap_or_default();
    let calls = calls
        .into_iter()
        .filter_map(|call| call.function?.arguments);
    let texts = texts.map(|text| Spoken::new(Speaker::Model, text));
    let calls = calls.map(|text| Spoken::new(Speaker::ModelToTool, text));
    let of_this = |spoken| Spoken {
        choice: choice.index,
        ..spoken
    };
    texts.chain(calls).map(of_this).collect()
}

fn of_block(block: Block<'_>) -> Vec<Spoken> {
    let text = block.text.map(|text| Spoken::new(Speaker::Model, text));
    let input = block.input.map(RawValue::get).map(Cow::Borrowed);
    let input = block.partial_json.or(input);
    let input = input.map(|input| Spoken::new(Speaker::ModelToTool, input));
    text.into_iter().chain(input).collect()
}

/// What the model says in one event of a streamed answer.
pub(crate) fn of_chunk(dialect: Dialect, json: &[u8]) -> Vec<Spoken> {
    match dialect {
        Dialect::Chat | Dialect::Completion => spoken_answer(dialect, json),
        Dialect::Messages => serde_json::from_slice::<Delta<'_>>(json)
            .ok()
            .and_then(|event| event.delta.or(event.content_block))
            .map_or_else(Vec::new, of_block),
    }
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    delta: Option<Block<'a>>,
    #[serde(default, borrow)]
    content_block: Option<Block<'a>>,
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
}
