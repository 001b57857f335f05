//! One event of a streamed answer, and what tidegate has to know of it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::Dialect;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::spoken::{self, Spoken};
use crate::usage::Usage;

/// One event of a streamed answer, kept as the JSON it came as: in OpenAI's
/// dialects a chunk, in Anthropic's an event with a name.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The name of the event, in dialects whose events have one.
    pub event: Option<Cow<'static, str>>,
    /// The JSON of the event, one line.
    pub json: Bytes,
    /// What was read from it.
    pub facts: ChunkFacts,
}

/// What a chunk means for the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkFacts {
    /// It carries part of an answer: text, a tool call, a refusal, reasoning.
    pub has_content: bool,
    /// How many of the answers end with it (`finish_reason`, `message_stop`).
    pub finished: u64,
    /// It carries no answer at all, as the chunk that only reports usage.
    pub without_choices: bool,
    /// Tokens, where the upstream reports them.
    pub usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    /// Of a legacy completion.
    #[serde(default)]
    text: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<IgnoredAny>,
}

impl Choice {
    fn has_content(&self) -> bool {
        let says = |part: &Option<Delta>| matches!(part, Some(Delta(true)));
        says(&self.delta) || says(&self.text)
    }
}

/// True when any key but `role` holds something.
struct Delta(bool);

impl Chunk {
    /// Reads one event.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] when it is no chunk, and the error's own
    /// class when it is an error object.
    pub fn parse(json: Bytes) -> Result<Self, ProviderError> {
        let peek: Peek<'_> = serde_json::from_slice(&json).map_err(|_| Unavailability::Garbage)?;
        if peek.error.is_some_and(|error| error.get() != "null") {
            return Err(ErrorBody::parse(200, &json).classify(None));
        }
        let choices = peek.choices.as_deref().ok_or(Unavailability::Garbage)?;
        let facts = ChunkFacts {
            has_content: choices.iter().any(Choice::has_content),
            finished: choices
                .iter()
                .filter(|choice| choice.finish_reason.is_some())
                .count() as u64,
            without_choices: choices.is_empty(),
            usage: Usage::read(peek.usage),
        };
        Ok(Self {
            event: None,
            json,
            facts,
        })
    }

    /// What the model says in it.
    pub fn spoken(&self, dialect: Dialect) -> Vec<Spoken> {
        if self.facts.has_content {
            spoken::of_chunk(dialect, &self.json)
        } else {
            Vec::new()
        }
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DeltaVisitor)
    }
}

struct DeltaVisitor;

impl<'de> Visitor<'de> for DeltaVisitor {
    type Value = Delta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta object or a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Delta, E> {
        Ok(Delta(!text.is_empty()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
        let mut has_content = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value::<&RawValue>()?.get();
            has_content |= key != "role" && !matches!(value, "null" | "\"\"" | "[]" | "{}");
        }
        Ok(Delta(has_content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &'static str) -> ChunkFacts {
        Chunk::parse(Bytes::from_static(json.as_bytes()))
            .unwrap()
            .facts
    }

    #[test]
    fn a_role_alone_is_no_content_and_a_tool_call_is() {
        assert!(!facts(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#).has_content);
        assert!(facts(r#"{"choices":[{"delta":{"content":"x"}}]}"#).has_content);
        assert!(facts(r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#).has_content);
        assert!(facts(r#"{"choices":[{"delta":{"reasoning_content":"x"}}]}"#).has_content);
    }

    #[test]
    fn the_end_and_the_usage_are_seen() {
        let end = facts(r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#);
        assert_eq!((end.finished, end.has_content, end.usage), (1, false, None));
        let usage = facts(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#);
        assert!(usage.without_choices);
        assert_eq!(usage.usage.map(|usage| usage.total()), Some(7));
        assert_eq!(
            facts(r#"{"choices":[{"delta":{},"finish_reason":null}]}"#).finished,
            0
        );
    }

    #[test]
    fn an_unreadable_usage_does_not_cost_the_answer() {
        let odd = facts(r#"{"choices":[],"usage":{"prompt_tokens":null}}"#);
        assert_eq!(odd.usage, None);
    }

    #[test]
    fn an_error_inside_a_stream_is_that_error() {
        let parse = |json: &'static str| Chunk::parse(Bytes::from_static(json.as_bytes()));
        let error = parse(r#"{"error":{"message":"x","code":"insufficient_quota"}}"#).unwrap_err();
        assert_eq!(error, ProviderError::Throttled { retry_after: None });
        let error = parse(r#"{"error":{"message":"x"}}"#).unwrap_err();
        assert_eq!(error, Unavailability::ErrorInAnswer.into());
        for garbage in ["", "{", "[]", "{}", "<html>", r#"{"choices":7}"#] {
            assert_eq!(
                parse(garbage).unwrap_err(),
                Unavailability::Garbage.into(),
                "{garbage}"
            );
        }
    }
}
