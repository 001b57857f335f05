//! How much a request carries.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::embed_request::{INPUT, Input};
use crate::raw::RawObject;
use crate::request::{RequestError, optional};

const MESSAGES: &str = "a list of objects with a string `role`, not empty";

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

/// Read by hand: a derived struct would take a list for an object.
pub(crate) struct Message<'a> {
    pub(crate) role: Cow<'a, str>,
    pub(crate) content: Option<&'a RawValue>,
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
pub(crate) struct Part<'a> {
    #[serde(default, rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) text: Option<Cow<'a, str>>,
    /// Of a tool's result.
    #[serde(default, borrow)]
    pub(crate) content: Option<&'a RawValue>,
    /// Of a tool's use.
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
}

impl Part<'_> {
    /// How much of it the model has to read.
    fn bytes(&self) -> usize {
        match (&self.text, self.content.or(self.input)) {
            (Some(text), _) => text.len(),
            (None, Some(json)) => json.get().len(),
            (None, None) => MEDIA_PART_BYTES,
        }
    }
}

/// Counts what a request with `messages` carries.
pub(crate) fn count_messages(raw: &RawObject) -> Result<ContentCounts, RequestError> {
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
            + ["tools", "system"]
                .into_iter()
                .filter_map(|key| raw.get(key))
                .map(Bytes::len)
                .sum::<usize>(),
    })
}

/// Counts what a request with a `prompt` carries.
pub(crate) fn count_prompt(raw: &RawObject) -> Result<ContentCounts, RequestError> {
    const PARAM: &str = "prompt";
    let json = raw
        .get(PARAM)
        .ok_or(RequestError::Missing { param: PARAM })?;
    let wrong = RequestError::Invalid {
        param: PARAM,
        expected: INPUT,
    };
    let prompt: Input = serde_json::from_slice(json).map_err(|_| wrong.clone())?;
    if prompt.items() == 0 {
        return Err(wrong);
    }
    Ok(ContentCounts {
        messages: prompt.items(),
        prompt_bytes: json.len(),
        ..ContentCounts::default()
    })
}

/// What a part that is no text counts for: about a thousand tokens, as image
/// models do, whatever the length of its encoding.
pub(crate) const MEDIA_PART_BYTES: usize = 4_000;
/// Role and punctuation of a message.
pub(crate) const MESSAGE_BYTES: usize = 16;

/// How much of a message the model has to read.
fn prompt_bytes(message: &Message<'_>) -> usize {
    let content = message.content.map_or("", RawValue::get);
    let parts: Vec<Part<'_>> = serde_json::from_str(content).unwrap_or_default();
    if parts.is_empty() {
        return MESSAGE_BYTES + content.len();
    }
    MESSAGE_BYTES + parts.iter().map(Part::bytes).sum::<usize>()
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
