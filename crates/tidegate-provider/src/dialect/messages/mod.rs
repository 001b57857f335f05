//! Anthropic's messages, read and written.

mod answer;
mod blocks;
mod event_reader;
mod event_writer;
mod facts;
mod heard;
mod request;
mod say;
mod tooling;
mod usage;
mod wire;

pub(crate) use answer::{check_answer, read_reply, write_reply};
pub(crate) use event_reader::EventReader;
pub(crate) use event_writer::EventWriter;
pub(crate) use facts::EventFacts;
pub(crate) use request::read_request;
pub(crate) use say::write_request;

/// What refusals call an upstream that speaks this dialect.
const ANTHROPIC: &str = "an Anthropic model";

#[cfg(test)]
mod tests;
