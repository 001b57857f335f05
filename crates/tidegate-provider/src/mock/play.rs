//! What each behavior does, before anyone decides how to carry it.
//!
//! The one table: the HTTP server sends a [`Play`] as bytes, the in-process
//! mock reads it the way an adapter reads those bytes.

use std::time::Duration;

use bytes::Bytes;

use super::answer::{DONE, Reply, error, frame};
use super::ask::{Ask, Task};
use super::behavior::Behavior;
use super::calls::Call;
use super::embedding;
use super::messages;
use crate::dialect::Dialect;

/// What happens to one request.
#[derive(Debug)]
pub(crate) enum Play {
    /// Nothing, ever.
    Hang,
    /// The connection breaks before any answer.
    Reset,
    /// Something is answered.
    Answer(Answer),
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) kind: Kind,
    /// Framed events, or parts of one body.
    pub(crate) frames: Vec<Bytes>,
    /// The size that a body claims to have when it is cut short of it.
    pub(crate) claimed_bytes: Option<usize>,
    pub(crate) tail: Tail,
}

/// Media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Events,
    Html,
}

/// What follows the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// An orderly end.
    Complete,
    /// The connection is closed although more was promised.
    Close,
    /// The connection is reset.
    Reset,
    /// A blank now and then, for ever.
    Drip,
    /// 1 GiB without a line end.
    Flood,
}

/// Decides what happens to the request of `call`.
pub(crate) fn play(ask: &Ask, call: &Call) -> Play {
    let answer = match call.behavior {
        Behavior::Hang => return Play::Hang,
        Behavior::Reset => return Play::Reset,
        Behavior::Answer | Behavior::Slow(_) => ordinary(ask, call),
        Behavior::Throttle { retry_after } => Answer {
            retry_after,
            ..refusal(ask, 429)
        },
        Behavior::Overloaded => refusal(ask, 529),
        Behavior::Unavailable => refusal(ask, 503),
        Behavior::Status(status) => refusal(ask, status),
        Behavior::ResetMid => Answer {
            tail: Tail::Reset,
            ..half(ordinary(ask, call))
        },
        Behavior::Truncate => truncated(ordinary(ask, call)),
        Behavior::Drip => Answer {
            tail: Tail::Drip,
            ..Answer::new(ask, vec![])
        },
        Behavior::Garbage => Answer::new(ask, vec![Bytes::from_static(GARBAGE)]),
        Behavior::Html => html(),
        Behavior::ErrorInStream => broken(ask, call, |_| 1),
        Behavior::ErrorAfterContent => broken(ask, call, |events| events / 2),
        Behavior::ErrorInAnswer => Answer::json(error_in_answer(ask)),
        Behavior::HugeLine => flood(ask),
        Behavior::NoDone => without_done(ordinary(ask, call)),
        Behavior::Empty => Answer::new(ask, vec![]),
    };
    Play::Answer(answer)
}

/// No JSON, no events; the second line looks like one and is none.
const GARBAGE: &[u8] = b"\x00\xff\xfe<<<\ndata: \x00\xff\xfe<<<\n\n";

impl Answer {
    /// A success of the kind that was asked for.
    fn new(ask: &Ask, frames: Vec<Bytes>) -> Self {
        let kind = if ask.stream() {
            Kind::Events
        } else {
            Kind::Json
        };
        let tail = Tail::Complete;
        Self {
            status: 200,
            retry_after: None,
            kind,
            frames,
            claimed_bytes: None,
            tail,
        }
    }

    /// A success in JSON.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            retry_after: None,
            kind: Kind::Json,
            frames: vec![body.into()],
            claimed_bytes: None,
            tail: Tail::Complete,
        }
    }
}

fn ordinary(ask: &Ask, call: &Call) -> Answer {
    match &ask.task {
        Task::Embed(embed) => Answer::json(embedding::answer(embed, &ask.model, ask.prompt_tokens)),
        Task::Chat(chat) => {
            let reply = Reply {
                ask,
                chat,
                script: &call.script,
                number: call.number,
            };
            match (ask.dialect, chat.stream) {
                (Dialect::Chat | Dialect::Completion, true) => Answer::new(ask, reply.events()),
                (Dialect::Chat | Dialect::Completion, false) => Answer::json(reply.whole()),
                (Dialect::Messages, true) => Answer::new(ask, messages::events(reply)),
                (Dialect::Messages, false) => Answer::json(messages::whole(reply)),
            }
        }
    }
}

/// A status with an error object that says it.
fn refusal(ask: &Ask, status: u16) -> Answer {
    let message = format!("the mock answers with status {status}");
    let body = match ask.dialect {
        Dialect::Chat | Dialect::Completion => error(&message, kind_of(status), None),
        Dialect::Messages => messages::error(&message, messages::kind_of(status)),
    };
    Answer {
        status,
        ..Answer::json(body)
    }
}

fn kind_of(status: u16) -> &'static str {
    match status {
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn html() -> Answer {
    let page =
        b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n";
    Answer {
        status: 502,
        kind: Kind::Html,
        ..Answer::json(page.as_slice())
    }
}

/// Half of the events, or half of the bytes of a body that claims to be whole.
fn half(answer: Answer) -> Answer {
    let mut frames = answer.frames;
    match answer.kind {
        Kind::Events => {
            frames.truncate(frames.len() / 2);
            Answer { frames, ..answer }
        }
        Kind::Json | Kind::Html => {
            let body = frames.concat();
            let part = Bytes::copy_from_slice(&body[..body.len() / 2]);
            Answer {
                frames: vec![part],
                claimed_bytes: Some(body.len()),
                ..answer
            }
        }
    }
}

fn truncated(answer: Answer) -> Answer {
    let tail = match answer.kind {
        Kind::Events => Tail::Complete,
        Kind::Json | Kind::Html => Tail::Close,
    };
    Answer {
        tail,
        ..half(answer)
    }
}

/// A stream that turns into an error after some of its events.
fn broken(ask: &Ask, call: &Call, keep: fn(usize) -> usize) -> Answer {
    let Answer {
        kind: Kind::Events,
        mut frames,
        ..
    } = ordinary(ask, call)
    else {
        return Answer::json(error_in_answer(ask));
    };
    frames.truncate(keep(frames.len()));
    frames.push(error_event(ask));
    Answer::new(ask, frames)
}

fn error_event(ask: &Ask) -> Bytes {
    match ask.dialect {
        Dialect::Chat | Dialect::Completion => frame(&error(
            "the mock has run out of quota",
            "insufficient_quota",
            Some("insufficient_quota"),
        )),
        Dialect::Messages => messages::error_event("the mock is overloaded", "overloaded_error"),
    }
}

fn error_in_answer(ask: &Ask) -> String {
    let message = "the mock failed while it answered";
    match ask.dialect {
        Dialect::Chat | Dialect::Completion => error(message, "server_error", Some("server_error")),
        Dialect::Messages => messages::error(message, "api_error"),
    }
}

fn flood(ask: &Ask) -> Answer {
    let frames = if ask.stream() {
        vec![Bytes::from_static(b"data: ")]
    } else {
        vec![]
    };
    Answer {
        tail: Tail::Flood,
        ..Answer::new(ask, frames)
    }
}

fn without_done(mut answer: Answer) -> Answer {
    answer.frames.retain(|frame| frame != DONE);
    answer
}
