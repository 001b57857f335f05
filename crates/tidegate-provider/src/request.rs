//! What a caller asks of a model, in the caller's dialect.
//!
//! Only what tidegate itself needs is typed and checked; everything else is
//! the upstream's to judge.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::content::{ContentCounts, check_case, count_messages, count_prompt};
use crate::dialect::Dialect;
use crate::raw::{RawObject, RawObjectError, json_string};
use crate::spoken::{self, Spoken};

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
    dialect: Dialect,
    raw: RawObject,
    model: String,
    stream: bool,
    include_usage: bool,
    max_output_tokens: Option<u64>,
    choices: u64,
    content: ContentCounts,
}

impl ChatRequest {
    /// Reads and checks a request body in OpenAI's chat dialect.
    ///
    /// # Errors
    /// As [`Self::parse_as`].
    pub fn parse(body: Bytes) -> Result<Self, RequestError> {
        Self::parse_as(Dialect::Chat, body)
    }

    /// Reads and checks a request body.
    ///
    /// # Errors
    /// [`RequestError`] names the field and what it must be, and never holds
    /// any of its content.
    pub fn parse_as(dialect: Dialect, body: Bytes) -> Result<Self, RequestError> {
        Self::of(dialect, RawObject::parse(&body)?)
    }

    /// Checks a request whose keys were read already.
    ///
    /// # Errors
    /// As [`Self::parse_as`].
    pub fn of(dialect: Dialect, raw: RawObject) -> Result<Self, RequestError> {
        check_keys(&raw)?;
        let model = model_name(&raw)?;
        let stream = optional(&raw, "stream", "a boolean")?.unwrap_or(false);
        let content = match dialect {
            Dialect::Chat | Dialect::Messages => count_messages(&raw)?,
            Dialect::Completion => count_prompt(&raw)?,
        };
        Ok(Self {
            model,
            stream,
            include_usage: include_usage(dialect, &raw)?,
            max_output_tokens: max_output_tokens(dialect, &raw)?,
            choices: choices(dialect, &raw, content)?,
            content,
            dialect,
            raw,
        })
    }

    /// In what words the caller asks and wants to be answered.
    pub fn dialect(&self) -> Dialect {
        self.dialect
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

    /// How many answers the caller wants, 1 unless said.
    pub fn choices(&self) -> u64 {
        self.choices
    }

    /// The user that the application makes the request for, if it says so.
    pub fn user(&self) -> Option<String> {
        Self::user_in(self.dialect, &self.raw)
    }

    /// The same, before the request is checked.
    pub fn user_in(dialect: Dialect, raw: &RawObject) -> Option<String> {
        let json = match dialect {
            Dialect::Chat | Dialect::Completion => raw.get("user")?.clone(),
            Dialect::Messages => {
                let metadata = RawObject::parse(raw.get("metadata")?).ok()?;
                metadata.get("user_id")?.clone()
            }
        };
        serde_json::from_slice(&json).ok()
    }

    /// How much the request carries.
    pub fn content(&self) -> ContentCounts {
        self.content
    }

    /// The text of the last message that the user wrote; text parts are joined
    /// by a line feed.
    pub fn last_user_text(&self) -> Option<String> {
        spoken::last_user_text(&self.raw)
    }

    /// What users and tools say in this request, in order: the text that was
    /// not written by whoever runs the application.
    pub fn spoken(&self) -> Vec<Spoken> {
        spoken::of_request(self.dialect, &self.raw)
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

/// What is read of a request's own keys.
const READ: [&str; 13] = [
    "model",
    "messages",
    "prompt",
    "suffix",
    "input",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "tools",
    "system",
];

/// Some servers do not look at the case of keys: what is not read here must not
/// be read there.
pub(crate) fn check_keys(raw: &RawObject) -> Result<(), RequestError> {
    raw.iter().try_for_each(|(key, _)| check_case(key, &READ))
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Anthropic's streams always report their usage.
fn include_usage(dialect: Dialect, raw: &RawObject) -> Result<bool, RequestError> {
    if dialect == Dialect::Messages {
        return Ok(true);
    }
    let options: Option<StreamOptions> = object(raw, "stream_options")?;
    Ok(options.is_some_and(|options| options.include_usage))
}

fn max_output_tokens(dialect: Dialect, raw: &RawObject) -> Result<Option<u64>, RequestError> {
    const PARAM: &str = "max_tokens";
    match dialect {
        Dialect::Chat => match positive(raw, "max_completion_tokens")? {
            Some(tokens) => Ok(Some(tokens)),
            None => positive(raw, PARAM),
        },
        Dialect::Completion => positive(raw, PARAM),
        Dialect::Messages => match positive(raw, PARAM)? {
            Some(tokens) => Ok(Some(tokens)),
            None => Err(RequestError::Missing { param: PARAM }),
        },
    }
}

/// Answers that have to be made: `n` of them, for legacy completions for each
/// prompt and `best_of` if that is more.
fn choices(dialect: Dialect, raw: &RawObject, content: ContentCounts) -> Result<u64, RequestError> {
    match dialect {
        Dialect::Chat => Ok(positive(raw, "n")?.unwrap_or(1)),
        Dialect::Completion => {
            let each = positive(raw, "n")?.max(positive(raw, "best_of")?);
            Ok(each.unwrap_or(1).saturating_mul(content.messages as u64))
        }
        Dialect::Messages => Ok(1),
    }
}

pub(crate) fn model_name(raw: &RawObject) -> Result<String, RequestError> {
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
pub(crate) fn optional<T: DeserializeOwned>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{MEDIA_PART_BYTES, MESSAGE_BYTES};

    fn chat(text: &str) -> Result<ChatRequest, RequestError> {
        ChatRequest::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn message(text: &str) -> String {
        chat(text).unwrap_err().to_string()
    }

    #[test]
    fn each_dialect_says_elsewhere_whom_a_request_is_made_for() {
        let user = |dialect, field: &str| {
            let body = format!(
                r#"{{"model":"m","max_tokens":1,"prompt":"x","messages":[{{"role":"user"}}],{field}}}"#
            );
            ChatRequest::parse_as(dialect, body.into()).unwrap().user()
        };
        let (plain, nested) = (r#""user":"a""#, r#""metadata":{"user_id":"b"}"#);
        assert_eq!(user(Dialect::Chat, plain).as_deref(), Some("a"));
        assert_eq!(user(Dialect::Completion, plain).as_deref(), Some("a"));
        assert_eq!(user(Dialect::Messages, nested).as_deref(), Some("b"));
        assert_eq!(user(Dialect::Messages, plain), None);
        assert_eq!(user(Dialect::Chat, r#""user":7"#), None);
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
    fn images_count_beside_odd_parts_and_in_the_results_of_tools() {
        let request = chat(
            r#"{"model":"m","messages":[{"role":"user","content":[7,"x",{"type":1},{"type":"image"},
               {"type":"tool_result","content":[{"type":"image"}]}]}]}"#,
        );
        assert_eq!(request.unwrap().content().images, 2);
    }

    #[test]
    fn a_key_that_stands_twice_in_a_message_or_a_part_is_refused() {
        let twice = "messages must be a list of objects in which no key stands twice";
        let refused = |message: &str| {
            for dialect in [Dialect::Chat, Dialect::Messages] {
                let body = format!(r#"{{"model":"m","max_tokens":1,"messages":[{message}]}}"#);
                let error = ChatRequest::parse_as(dialect, body.into()).unwrap_err();
                assert_eq!(error.to_string(), twice, "{message}");
            }
        };
        refused(r#"{"role":"user","content":"hi","content":"x"}"#);
        refused(r#"{"role":"assistant","role":"user","content":"x"}"#);
        let part = r#"{"type":"text","text":"hi","text":"x"}"#;
        let result = |content: &str| format!(r#"{{"type":"tool_result","content":{content}}}"#);
        let document = r#"{"type":"document","source":{"type":"text","data":"a","data":"b"}}"#;
        let escaped = r#"{"type":"text","text":"hi","te\u0078t":"x"}"#;
        for content in [
            part.to_owned(),
            format!("[{part}]"),
            format!("[7,{part}]"),
            format!("[{}]", result(&format!("[{part}]"))),
            format!("[{document}]"),
            format!("[{escaped}]"),
        ] {
            refused(&format!(r#"{{"role":"user","content":{content}}}"#));
        }
    }

    #[test]
    fn a_key_that_is_known_but_for_its_case_is_refused_by_its_name() {
        let check = |key: &str, known: &str, body: String| {
            let error = chat(&body.replace("KEY", key)).unwrap_err();
            assert_eq!(error.param(), Some(known), "{key}");
            assert_eq!(
                error.to_string(),
                format!("{known} must be written in lower case")
            );
        };
        let message = r#"{"role":"user","content":"hi"}"#;
        for (key, known) in [
            ("Model", "model"),
            ("Messages", "messages"),
            ("me\u{17f}\u{17f}age\u{17f}", "messages"),
            ("max_to\u{212a}ens", "max_tokens"),
            ("PROMPT", "prompt"),
            ("Stream", "stream"),
            ("Max_Tokens", "max_tokens"),
            ("Tools", "tools"),
            ("System", "system"),
        ] {
            check(
                key,
                known,
                format!(r#"{{"model":"m","messages":[{message}],"KEY":1}}"#),
            );
        }
        for (key, known) in [("Role", "role"), ("Content", "content")] {
            let message = r#"{"role":"user","content":"hi","KEY":"x"}"#;
            check(
                key,
                known,
                format!(r#"{{"model":"m","messages":[{message}]}}"#),
            );
        }
        for (key, known) in [("Type", "type"), ("tExt", "text"), ("Content", "content")] {
            let part = r#"{"type":"text","text":"hi","KEY":"x"}"#;
            for content in [format!("[{part}]"), format!(r#"[{{"content":[{part}]}}]"#)] {
                let message = format!(r#"{{"role":"user","content":{content}}}"#);
                check(
                    key,
                    known,
                    format!(r#"{{"model":"m","messages":[{message}]}}"#),
                );
            }
        }
        let own = format!(r#"{{"model":"m","messages":[{message}],"MyKey":1,"ключ":2}}"#);
        assert!(chat(&own).is_ok());
    }

    #[test]
    fn content_has_bounds() {
        let nested = |levels| {
            let content = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let message = format!(r#"{{"role":"user","content":{content}}}"#);
            chat(&format!(r#"{{"model":"m","messages":[{message}]}}"#)).map(drop)
        };
        assert_eq!(nested(16), Ok(()));
        let error = nested(100_000).unwrap_err().to_string();
        assert_eq!(
            error,
            "messages must be a list of objects with content of at most 16 levels"
        );
        let keys: String = (0..65).map(|n| format!(r#","{n}":1"#)).collect();
        let error = message(&format!(
            r#"{{"model":"m","messages":[{{"role":"user"{keys}}}]}}"#
        ));
        assert_eq!(
            error,
            "messages must be a list of objects with at most 64 keys"
        );
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
    fn each_dialect_checks_what_it_requires() {
        let parse = |dialect, text: &'static str| {
            ChatRequest::parse_as(dialect, Bytes::from_static(text.as_bytes()))
        };
        let error = parse(
            Dialect::Messages,
            r#"{"model":"m","messages":[{"role":"user"}]}"#,
        );
        assert_eq!(error.unwrap_err().to_string(), "max_tokens is missing");
        let error = parse(Dialect::Completion, r#"{"model":"m","messages":[]}"#);
        assert_eq!(error.unwrap_err().to_string(), "prompt is missing");
        let request = parse(
            Dialect::Completion,
            r#"{"model":"m","prompt":["a","b"],"n":2,"best_of":3}"#,
        );
        assert_eq!(request.unwrap().choices(), 6);
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
}
