//! Messages of a conversation that is kept: what was said before is put in
//! front of what is said now, in the words of whoever asks.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use crate::content::{Fields, items};
use crate::dialect::{self, Dialect, OutputBound};
use crate::raw::RawObject;
use crate::request::{ChatRequest, RequestError};

/// One message as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// In whose words.
    pub dialect: Dialect,
    /// One JSON object.
    pub json: Bytes,
}

/// What has to be known of a message so that a conversation with it stays one
/// that upstreams accept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFacts {
    /// `user`, `assistant`, `tool`, …
    pub role: String,
    /// Ids of the tools that the model wants to be run.
    pub calls: Vec<String>,
    /// Ids of the calls whose results it holds.
    pub results: Vec<String>,
    /// Bytes of what stands beside the content: calls of tools.
    pub beside_bytes: usize,
}

impl MessageFacts {
    /// Whether a person speaks, and no tool.
    pub fn begins_turn(&self) -> bool {
        self.role == "user" && self.results.is_empty()
    }

    /// Whether it instructs the model; such a message stands before all others.
    pub fn instructs(&self) -> bool {
        matches!(self.role.as_str(), "system" | "developer")
    }
}

impl Message {
    /// What is known of it.
    pub fn facts(&self) -> MessageFacts {
        let fields: Option<Fields<'_>> = serde_json::from_slice(&self.json).ok();
        let Some(fields) = fields else {
            return MessageFacts::default();
        };
        let id = |fields: &Fields<'_>, key| fields.word(key).map(|id| id.into_owned());
        let mut facts = MessageFacts {
            role: id(&fields, "role").unwrap_or_default(),
            ..MessageFacts::default()
        };
        if let Some(calls) = fields.get("tool_calls") {
            facts.beside_bytes = calls.get().len();
            let calls = items(calls).into_iter().filter_map(Fields::of);
            facts.calls.extend(calls.filter_map(|call| id(&call, "id")));
        }
        facts.results.extend(id(&fields, "tool_call_id"));
        let parts = fields.get("content").map(items).unwrap_or_default();
        for part in parts.into_iter().filter_map(Fields::of) {
            match part.word("type").as_deref() {
                Some("tool_use") => facts.calls.extend(id(&part, "id")),
                Some("tool_result") => facts.results.extend(id(&part, "tool_use_id")),
                _ => {}
            }
        }
        facts
    }

    /// The same conversation in the words of `to`; nothing where it cannot be
    /// told there.
    pub fn retell(messages: &[Self], to: Dialect) -> Option<Vec<Self>> {
        let mut told = Vec::with_capacity(messages.len());
        for run in messages.chunk_by(|one, next| one.dialect == next.dialect) {
            if run[0].dialect == to {
                told.extend_from_slice(run);
            } else {
                let request = Self::as_request(run).ok()?;
                let bound = OutputBound::default();
                let request = dialect::request(&request, to, NO_MODEL, bound).ok()?;
                told.extend(request.messages());
            }
        }
        Some(told)
    }

    /// A request that says nothing but these messages, all of one dialect: it
    /// is checked, weighed and read like every other.
    ///
    /// # Errors
    /// [`RequestError`] when they are no messages.
    pub fn as_request(messages: &[Self]) -> Result<ChatRequest, RequestError> {
        let dialect = messages
            .first()
            .map_or(Dialect::Chat, |first| first.dialect);
        let list = list_of(messages.iter().map(|message| &message.json));
        let empty = RawObject::parse(&Bytes::from_static(b"{}"))?;
        let body = empty.to_json_with(&[
            ("model", br#""-""#),
            ("max_tokens", b"1"),
            ("messages", &list),
        ]);
        ChatRequest::parse_as(dialect, body)
    }
}

/// Stands where a request must name a model and none will be asked.
const NO_MODEL: &str = "-";

impl ChatRequest {
    /// The messages as they came; none in a dialect that has none.
    pub fn messages(&self) -> Vec<Message> {
        let dialect = self.dialect();
        let Some(json) = self.raw().get("messages") else {
            return Vec::new();
        };
        let list: Vec<&RawValue> = serde_json::from_slice(json).unwrap_or_default();
        let message = |raw: &RawValue| Message {
            dialect,
            json: json.slice_ref(raw.get().as_bytes()),
        };
        list.into_iter().map(message).collect()
    }

    /// The same request with other messages, which are in its own dialect.
    ///
    /// # Errors
    /// [`RequestError`] as for a request that came with them.
    pub fn with_messages(&self, messages: &[Message]) -> Result<Self, RequestError> {
        let list = list_of(messages.iter().map(|message| &message.json));
        Self::parse_as(
            self.dialect(),
            self.raw().to_json_with(&[("messages", &list)]),
        )
    }
}

fn list_of<'a>(elements: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut list = BytesMut::new();
    for json in elements {
        list.put_u8(if list.is_empty() { b'[' } else { b',' });
        list.put_slice(json);
    }
    if list.is_empty() {
        list.put_u8(b'[');
    }
    list.put_u8(b']');
    list.freeze()
}

#[cfg(test)]
mod tests;
