//! Ordinary answers and errors, as Anthropic words them.

use bytes::Bytes;
use serde_json::json;

use super::answer::Reply;
use crate::chunk::Chunk;
use crate::dialect::messages::{EventWriter, write_reply};
use crate::dialect::{self, Event, Json, Opening, Part, Piece, Stop, Tokens};

/// The input of every tool that is used.
const INPUT: &str = "{}";

/// A `message`.
pub(super) fn whole(reply: Reply<'_>) -> Bytes {
    let part = match &reply.chat.tool {
        Some(name) => Part::ToolUse {
            id: tool_id(),
            name: name.clone(),
            input: Json::parse(INPUT).expect("an empty object is valid JSON"),
        },
        None => Part::Text(reply.text().into_owned()),
    };
    write_reply(&dialect::Reply {
        id: id(reply),
        model: reply.ask.model.clone(),
        parts: vec![part],
        stop: stop(reply),
        tokens: tokens(reply),
    })
}

/// All events of a stream, framed, up to and with `message_stop`.
pub(super) fn events(reply: Reply<'_>) -> Vec<Bytes> {
    let index = 0;
    let piece = |piece| Event::Piece { index, piece };
    let mut steps = vec![Event::Start {
        id: id(reply),
        model: reply.ask.model.clone(),
    }];
    match &reply.chat.tool {
        Some(name) => {
            let (id, name) = (tool_id(), name.clone());
            let opening = Opening::ToolUse { id, name };
            steps.push(Event::Open { index, opening });
            steps.push(piece(Piece::Input(INPUT.to_owned())));
        }
        None => {
            let opening = Opening::Text;
            steps.push(Event::Open { index, opening });
            let texts = reply.texts().into_iter();
            steps.extend(texts.map(|text| piece(Piece::Text(text.to_owned()))));
        }
    }
    steps.push(Event::Close { index });
    steps.push(Event::Stop(stop(reply)));
    steps.push(Event::Tokens(tokens(reply)));
    steps.push(Event::End);
    let mut writer = EventWriter::new();
    let chunks = steps.into_iter().flat_map(|step| {
        let written = writer.write(step);
        written.expect("each part is open while its pieces come, and none waits")
    });
    chunks.map(|chunk| framed(&chunk)).collect()
}

/// An error object.
pub(super) fn error(message: &str, kind: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
}

/// The event that ends a stream with an error.
pub(super) fn error_event(message: &str, kind: &str) -> Bytes {
    format!("event: error\ndata: {}\n\n", error(message, kind)).into()
}

/// The word for an error of this status.
pub(super) fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn framed(chunk: &Chunk) -> Bytes {
    let name = chunk.event.as_deref().unwrap_or_default();
    let data = String::from_utf8_lossy(&chunk.json);
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn id(reply: Reply<'_>) -> String {
    format!("msg_mock_{}", reply.number)
}

fn tool_id() -> String {
    "toolu_mock".to_owned()
}

fn stop(reply: Reply<'_>) -> Stop {
    match reply.chat.tool {
        Some(_) => Stop::ToolUse,
        None => Stop::End,
    }
}

fn tokens(reply: Reply<'_>) -> Tokens {
    Tokens {
        input: reply.ask.prompt_tokens,
        output: reply.script.events as u64,
        ..Tokens::default()
    }
}
