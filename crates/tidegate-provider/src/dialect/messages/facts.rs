//! What the events of a stream mean for the gateway, whoever reads them.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::{learn, usage};
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::Tokens;
use crate::error::{ErrorBody, ProviderError, Unavailability};

/// Reads the events of one stream; the first one says a part of the usage that
/// the last one reports.
#[derive(Debug, Default)]
pub(crate) struct EventFacts {
    tokens: Tokens,
}

/// Only the type is looked at before it is known what the rest has to be.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default, borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(default, borrow)]
    delta: Option<&'a RawValue>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Opened<'a> {
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type", default, borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    thinking: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    partial_json: Option<Cow<'a, str>>,
}

impl Said<'_> {
    fn has_content(&self) -> bool {
        let said = |text: &Option<Cow<'_, str>>| matches!(text, Some(text) if !text.is_empty());
        match &*self.kind {
            "text" | "thinking" | "text_delta" | "thinking_delta" | "input_json_delta" => {
                said(&self.text) || said(&self.thinking) || said(&self.partial_json)
            }
            "signature_delta" => false,
            // A tool's use is one as soon as it is named; so is whatever else
            // begins complete.
            _ => true,
        }
    }
}

impl EventFacts {
    /// Reads the next event, which stands under `name` where it has one.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] when it is no event, and the error's own
    /// class when it is an error.
    pub(crate) fn read(&mut self, name: Option<&str>, json: Bytes) -> Result<Chunk, ProviderError> {
        let peek: Peek<'_> = serde_json::from_slice(&json).map_err(|_| Unavailability::Garbage)?;
        let mut facts = ChunkFacts::default();
        match &*peek.kind {
            "error" => return Err(error_in(&json)),
            "message_start" => {
                let opened = peek.message.and_then(read::<Opened<'_>>);
                learn(&mut self.tokens, opened.and_then(|opened| opened.usage));
            }
            "content_block_start" | "content_block_delta" => {
                let said = peek.content_block.or(peek.delta);
                // What cannot be read is the client's to make sense of.
                let has_content = |said| read::<Said<'_>>(said).is_none_or(|it| it.has_content());
                facts.has_content = said.is_some_and(has_content);
            }
            "message_delta" => {
                learn(&mut self.tokens, peek.usage);
                facts.usage = peek.usage.map(|_| usage(self.tokens));
            }
            "message_stop" => facts.finished = 1,
            // `ping`, and what the dialect may learn yet.
            _ => {}
        }
        let event = event_name(name.unwrap_or(&peek.kind));
        // Such a name would end its line where it is sent on.
        if event.contains(char::is_control) {
            return Err(Unavailability::Garbage.into());
        }
        let event = Some(event);
        Ok(Chunk { event, json, facts })
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The names that events have today; they cost no allocation.
const NAMES: [&str; 7] = [
    "content_block_delta",
    "content_block_start",
    "content_block_stop",
    "message_delta",
    "message_start",
    "message_stop",
    "ping",
];

fn event_name(name: &str) -> Cow<'static, str> {
    match NAMES.into_iter().find(|known| *known == name) {
        Some(known) => known.into(),
        None => name.to_owned().into(),
    }
}

#[derive(Deserialize, Default)]
struct ErrorEvent {
    error: Option<ErrorKind>,
}

#[derive(Deserialize)]
struct ErrorKind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The error that a body or an event is, which began as a success. Its type
/// stands for the status that it would have had.
pub(super) fn error_in(json: &[u8]) -> ProviderError {
    let event: ErrorEvent = serde_json::from_slice(json).unwrap_or_default();
    let status = match event.error.and_then(|error| error.kind).as_deref() {
        Some("invalid_request_error") => 400,
        Some("authentication_error") => 401,
        Some("billing_error") => 402,
        Some("permission_error") => 403,
        Some("not_found_error") => 404,
        Some("request_too_large") => 413,
        Some("rate_limit_error") => 429,
        Some("overloaded_error") => 529,
        _ => 200,
    };
    ErrorBody::parse(status, &Bytes::copy_from_slice(json)).classify(None)
}
