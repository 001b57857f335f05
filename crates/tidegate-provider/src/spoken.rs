//! The words in requests and answers, whatever the dialect.
//!
//! This is what a guard reads. Nothing here fails: what is not shaped like
//! words holds none, and is the upstream's to refuse.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::content::{Message, Part};
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
        Dialect::Chat | Dialect::Messages => messages(raw).iter().flat_map(of_message).collect(),
        Dialect::Completion => prompts(raw),
    }
}

/// The text of the last message that the user wrote.
pub(crate) fn last_user_text(raw: &RawObject) -> Option<String> {
    let messages = messages(raw);
    let last = messages.iter().rfind(|message| message.role == "user")?;
    let said = of_message(last);
    let texts: Vec<&str> = said
        .iter()
        .filter(|spoken| spoken.by == Speaker::User)
        .map(|spoken| &*spoken.text)
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn messages(raw: &RawObject) -> Vec<Message<'_>> {
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
        Some(Input::Tokens(_) | Input::TokenLists(_)) | None => Vec::new(),
    };
    let texts = texts.into_iter();
    texts.map(|text| Spoken::new(Speaker::User, text)).collect()
}

fn of_message(message: &Message<'_>) -> Vec<Spoken> {
    let by = match &*message.role {
        "user" => Speaker::User,
        "tool" | "function" => Speaker::Tool,
        _ => return Vec::new(),
    };
    message
        .content
        .map_or_else(Vec::new, |content| of_content(by, content))
}

/// Text that is a string, or a list of parts.
fn of_content(by: Speaker, content: &RawValue) -> Vec<Spoken> {
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return vec![Spoken::new(by, text)];
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let parts = parts.iter();
    parts
        .filter_map(|part| serde_json::from_str::<Part<'_>>(part.get()).ok())
        .flat_map(|part| of_part(by, part))
        .collect()
}

fn of_part(by: Speaker, part: Part<'_>) -> Vec<Spoken> {
    match (part.text, part.content) {
        (Some(text), _) => vec![Spoken::new(by, text)],
        (None, Some(content)) if part.kind == "tool_result" => of_content(Speaker::Tool, content),
        (None, _) => Vec::new(),
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
