//! What a caller asks of a model, in OpenAI's dialect.
//!
//! Only what tidegate itself needs is typed and checked; everything else is
//! the upstream's to judge.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::raw::{RawObject, RawObjectError, json_string};

/// Why a request cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not one JSON object.
    #[error("the body is not usable: {0}")]
    Syntax(#[from] RawObjectError),
    /// A required field is absent.
    #[error("{param} is missing")]
    Missing {
        /// The field.
        param: &'static str,
    },
    /// A field is there and wrong.
    #[error("{param} must be {expected}")]
    Invalid {
        /// The field.
        param: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl RequestError {
    /// The field that is wrong, if it is about one.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Syntax(_) => None,
            Self::Missing { param } | Self::Invalid { param, .. } => Some(param),
        }
    }
}

/// A chat request: what is typed has been checked, the rest is kept as it came.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    raw: RawObject,
    model: String,
    stream: bool,
    include_usage: bool,
    max_output_tokens: Option<u64>,
    choices: u64,
    content: ContentCounts,
}

/// How much a request carries; what maxima are checked against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentCounts {
    /// Messages in the conversation.
    pub messages: usize,
    /// Image parts over all messages.
    pub images: usize,
    /// Tools offered to the model.
    pub tools: usize,
    /// Bytes of JSON that the model has to read: messages and tools.
    pub prompt_bytes: usize,
}

impl ChatRequest {
    /// Reads and checks a request body.
    ///
    /// # Errors
    /// [`RequestError`] names the field and what it must be, and never holds
    /// any of its content.
    pub fn parse(body: Bytes) -> Result<Self, RequestError> {
        let raw = RawObject::parse(&body)?;
        let model = model_name(&raw)?;
        let stream = optional(&raw, "stream", "a boolean")?.unwrap_or(false);
        let options: Option<StreamOptions> = object(&raw, "stream_options")?;
        let max_output_tokens = match positive(&raw, "max_completion_tokens")? {
            Some(tokens) => Some(tokens),
            None => positive(&raw, "max_tokens")?,
        };
        Ok(Self {
            model,
            stream,
            include_usage: options.is_some_and(|options| options.include_usage),
            max_output_tokens,
            choices: positive(&raw, "n")?.unwrap_or(1),
            content: count_content(&raw)?,
            raw,
        })
    }

    /// The model that the caller asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// True when the caller wants a stream of events.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// True when the caller asked for usage at the end of the stream.
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// The caller's bound on the answer in tokens, if there is one.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// How many answers the caller wants (`n`), 1 unless said.
    pub fn choices(&self) -> u64 {
        self.choices
    }

    /// How much the request carries.
    pub fn content(&self) -> ContentCounts {
        self.content
    }

    /// The text of the last message that the user wrote; text parts are joined
    /// by a line feed.
    pub fn last_user_text(&self) -> Option<String> {
        let messages: Vec<Message<'_>> = serde_json::from_slice(self.raw.get("messages")?).ok()?;
        let last = messages.iter().rfind(|message| message.role == "user")?;
        let content = last.content?.get();
        if content.starts_with('"') {
            return serde_json::from_str(content).ok();
        }
        let parts: Vec<Part<'_>> = serde_json::from_str(content).ok()?;
        let texts: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.text.as_deref())
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Every field as it came.
    pub fn raw(&self) -> &RawObject {
        &self.raw
    }

    /// Takes out a field that is not the upstream's to see.
    pub fn take(&mut self, key: &str) -> Option<Bytes> {
        self.raw.remove(key)
    }

    /// The body for an upstream that calls this model `model`.
    pub fn to_upstream(&self, model: &str) -> Bytes {
        self.raw.to_json_with(&[("model", &json_string(model))])
    }

    /// The same, for a stream that reports its usage at the end whether or not
    /// the caller asked for that: limits are settled with it.
    pub fn to_upstream_with_usage(&self, model: &str) -> Bytes {
        let options = self.raw.get("stream_options");
        let options = options.and_then(|raw| RawObject::parse(raw).ok());
        let options = options.map_or_else(
            || Bytes::from_static(br#"{"include_usage":true}"#),
            |object| object.to_json_with(&[("include_usage", b"true")]),
        );
        self.raw
            .to_json_with(&[("model", &json_string(model)), ("stream_options", &options)])
    }
}

/// A request for embeddings.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    raw: RawObject,
    model: String,
    items: usize,
    input_bytes: usize,
}

impl EmbedRequest {
    /// Reads and checks a request body. `input` may be a string, a list of
    /// strings, a list of token ids, or a list of such lists.
    ///
    /// # Errors
    /// [`RequestError`], as for [`ChatRequest::parse`].
    pub fn parse(body: Bytes) -> Result<Self, RequestError> {
        let raw = RawObject::parse(&body)?;
        let model = model_name(&raw)?;
        let input = raw
            .get("input")
            .ok_or(RequestError::Missing { param: "input" })?;
        let wrong = RequestError::Invalid {
            param: "input",
            expected: INPUT,
        };
        let shape: EmbedInput = serde_json::from_slice(input).map_err(|_| wrong.clone())?;
        let items = shape.items();
        let input_bytes = input.len();
        if items == 0 {
            return Err(wrong);
        }
        Ok(Self {
            model,
            items,
            input_bytes,
            raw,
        })
    }

    /// The model that the caller asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many texts are to be embedded.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes of JSON under `input`.
    pub fn input_bytes(&self) -> usize {
        self.input_bytes
    }

    /// Every field as it came.
    pub fn raw(&self) -> &RawObject {
        &self.raw
    }

    /// Takes out a field that is not the upstream's to see.
    pub fn take(&mut self, key: &str) -> Option<Bytes> {
        self.raw.remove(key)
    }

    /// The body for an upstream that calls this model `model`.
    pub fn to_upstream(&self, model: &str) -> Bytes {
        self.raw.to_json_with(&[("model", &json_string(model))])
    }
}

const INPUT: &str =
    "a string, a list of strings, a list of token ids or a list of such lists, not empty";
const MESSAGES: &str = "a list of objects with a string `role`, not empty";

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EmbedInput {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl EmbedInput {
    fn items(&self) -> usize {
        match self {
            Self::Text(text) => usize::from(!text.is_empty()),
            Self::Texts(texts) => texts.len(),
            Self::Tokens(ids) => usize::from(!ids.is_empty()),
            Self::TokenLists(lists) => lists.len(),
        }
    }
}

/// Read by hand: a derived struct would take a list for an object.
struct Message<'a> {
    role: Cow<'a, str>,
    content: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut role, mut content) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "role" => role = Some(Cow::Owned(map.next_value::<String>()?)),
                "content" => content = map.next_value::<Option<&RawValue>>()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let role = role.ok_or_else(|| A::Error::missing_field("role"))?;
        Ok(Message { role, content })
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
}

fn model_name(raw: &RawObject) -> Result<String, RequestError> {
    const EXPECTED: &str = "a string of 1 to 256 characters";
    let model: String =
        optional(raw, "model", EXPECTED)?.ok_or(RequestError::Missing { param: "model" })?;
    if model.is_empty() || model.chars().count() > 256 {
        return Err(RequestError::Invalid {
            param: "model",
            expected: EXPECTED,
        });
    }
    Ok(model)
}

/// A field that may be absent or null.
fn optional<T: DeserializeOwned>(
    raw: &RawObject,
    param: &'static str,
    expected: &'static str,
) -> Result<Option<T>, RequestError> {
    let Some(value) = raw.get(param) else {
        return Ok(None);
    };
    serde_json::from_slice(value).map_err(|_| RequestError::Invalid { param, expected })
}

/// The same for a field that must be an object: a derived struct would take a
/// list for one.
fn object<T: DeserializeOwned>(
    raw: &RawObject,
    param: &'static str,
) -> Result<Option<T>, RequestError> {
    const EXPECTED: &str = "an object";
    if raw.get(param).is_some_and(|value| value.starts_with(b"[")) {
        return Err(RequestError::Invalid {
            param,
            expected: EXPECTED,
        });
    }
    optional(raw, param, EXPECTED)
}

fn positive(raw: &RawObject, param: &'static str) -> Result<Option<u64>, RequestError> {
    const EXPECTED: &str = "an integer of at least 1";
    match optional::<u64>(raw, param, EXPECTED)? {
        Some(0) => Err(RequestError::Invalid {
            param,
            expected: EXPECTED,
        }),
        other => Ok(other),
    }
}

fn count_content(raw: &RawObject) -> Result<ContentCounts, RequestError> {
    let wrong = || RequestError::Invalid {
        param: "messages",
        expected: MESSAGES,
    };
    let json = raw
        .get("messages")
        .ok_or(RequestError::Missing { param: "messages" })?;
    let messages: Vec<Message<'_>> = serde_json::from_slice(json).map_err(|_| wrong())?;
    if messages.is_empty() {
        return Err(wrong());
    }
    let tools = optional::<Vec<IgnoredAny>>(raw, "tools", "a list")?;
    Ok(ContentCounts {
        messages: messages.len(),
        images: messages.iter().map(images).sum(),
        tools: tools.map_or(0, |tools| tools.len()),
        prompt_bytes: messages.iter().map(prompt_bytes).sum::<usize>()
            + raw.get("tools").map_or(0, Bytes::len),
    })
}

/// What a part that is no text counts for: about a thousand tokens, as image
/// models do, whatever the length of its encoding.
const MEDIA_PART_BYTES: usize = 4_000;
/// Role and punctuation of a message.
const MESSAGE_BYTES: usize = 16;

/// How much of a message the model has to read.
fn prompt_bytes(message: &Message<'_>) -> usize {
    let content = message.content.map_or("", RawValue::get);
    let parts: Vec<Part<'_>> = serde_json::from_str(content).unwrap_or_default();
    if parts.is_empty() {
        return MESSAGE_BYTES + content.len();
    }
    let part = |part: &Part<'_>| {
        part.text
            .as_ref()
            .map_or(MEDIA_PART_BYTES, |text| text.len())
    };
    MESSAGE_BYTES + parts.iter().map(part).sum::<usize>()
}

fn images(message: &Message<'_>) -> usize {
    let Some(content) = message
        .content
        .filter(|content| content.get().starts_with('['))
    else {
        return 0;
    };
    // Parts that are no objects are the upstream's to refuse.
    let parts: Vec<Part<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    parts
        .iter()
        .filter(|part| part.kind.contains("image"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Result<ChatRequest, RequestError> {
        ChatRequest::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn message(text: &str) -> String {
        chat(text).unwrap_err().to_string()
    }

    #[test]
    fn wrong_fields_are_named_with_what_they_must_be() {
        assert_eq!(message(r#"{"messages":[]}"#), "model is missing");
        assert_eq!(message(r#"{"model":"m"}"#), "messages is missing");
        assert_eq!(
            message(r#"{"model":7}"#),
            "model must be a string of 1 to 256 characters"
        );
        let wrong = |field: &str| {
            message(&format!(
                r#"{{"model":"m","messages":[{{"role":"user"}}],{field}}}"#
            ))
        };
        assert_eq!(wrong(r#""stream":"yes""#), "stream must be a boolean");
        assert_eq!(wrong(r#""n":0"#), "n must be an integer of at least 1");
        assert_eq!(
            wrong(r#""max_tokens":-1"#),
            "max_tokens must be an integer of at least 1"
        );
        assert_eq!(wrong(r#""tools":{}"#), "tools must be a list");
        let messages = "messages must be a list of objects with a string `role`, not empty";
        for value in ["[]", "{}", "[1]", r#"[{"role":1}]"#, r#"[{"content":"x"}]"#] {
            assert_eq!(
                message(&format!(r#"{{"model":"m","messages":{value}}}"#)),
                messages
            );
        }
    }

    #[test]
    fn null_means_absent() {
        let request = chat(
            r#"{"model":"m","messages":[{"role":"user"}],"stream":null,"max_tokens":null,"n":null}"#,
        );
        let request = request.unwrap();
        assert!(!request.stream());
        assert_eq!((request.choices(), request.max_output_tokens()), (1, None));
    }

    #[test]
    fn content_is_counted() {
        let request = chat(
            r#"{"model":"m","tools":[{},{}],"messages":[{"role":"user","content":"x"},
               {"role":"user","content":[{"type":"text"},{"type":"image_url"},{"type":"input_image"}]}]}"#,
        );
        let content = request.unwrap().content();
        assert_eq!((content.messages, content.images, content.tools), (2, 2, 2));
    }

    #[test]
    fn an_image_counts_for_its_tokens_and_not_for_its_bytes() {
        let image = format!(
            r#"{{"type":"image_url","image_url":{{"url":"{}"}}}}"#,
            "x".repeat(900_000)
        );
        let text = r#"{"type":"text","text":"what is this?"}"#;
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{text},{image}]}}]}}"#);
        let counted = chat(&body).unwrap().content().prompt_bytes;
        assert_eq!(
            counted,
            MESSAGE_BYTES + "what is this?".len() + MEDIA_PART_BYTES
        );
    }

    #[test]
    fn a_stream_asks_for_usage_and_keeps_the_other_options() {
        let request = chat(
            r#"{"model":"m","stream":true,"stream_options":{"x":1},"messages":[{"role":"user"}]}"#,
        );
        let body = request.unwrap().to_upstream_with_usage("up");
        assert_eq!(
            body,
            r#"{"model":"up","stream":true,"stream_options":{"x":1,"include_usage":true},"messages":[{"role":"user"}]}"#
        );
    }

    #[test]
    fn every_shape_of_embedding_input_is_counted() {
        let items = |input: &str| {
            EmbedRequest::parse(Bytes::from(format!(r#"{{"model":"m","input":{input}}}"#)))
                .map(|request| request.items())
        };
        assert_eq!(items(r#""a""#), Ok(1));
        assert_eq!(items(r#"["a","b"]"#), Ok(2));
        assert_eq!(items("[64,65]"), Ok(1));
        assert_eq!(items("[[64],[65]]"), Ok(2));
        for input in ["[]", "\"\"", "7", "{}", "[{}]"] {
            assert!(items(input).is_err(), "{input}");
        }
    }
}
