//! OpenAI's chat completions.
//!
//! OpenAI has no words for what a model thought. Here these are the ones that
//! other servers and their clients share: `reasoning_content`, and
//! `thinking_blocks` where the thought carries its maker's seal.

mod answer;
mod event_reader;
mod event_writer;
mod read;
mod read_messages;
mod thoughts;
mod tokens;
mod write;
mod write_messages;

pub(crate) use answer::{read_reply, write_reply};
pub(crate) use event_reader::EventReader;
pub(crate) use event_writer::EventWriter;
#[cfg(test)]
pub(crate) use read::DEFAULTS;
pub(crate) use read::read_request;
pub(crate) use write::write_request;

/// What refusals call an upstream that speaks this dialect.
pub(crate) const UPSTREAM: &str = "a server in OpenAI's dialect";

/// JSON of something whose keys are all strings.
fn json(value: &impl serde::Serialize) -> bytes::Bytes {
    let json = serde_json::to_vec(value);
    json.expect("texts, numbers and JSON that was read before always make JSON")
        .into()
}

#[cfg(test)]
mod tests;
