//! Anthropic's messages.

use bytes::Bytes;

use super::{Conversation, Event, Refusal, Reply};
use crate::chunk::Chunk;
use crate::error::{ProviderError, Unavailability};
use crate::raw::RawObject;

pub(crate) fn read_request(_: &RawObject, by: &'static str) -> Result<Conversation, Refusal> {
    Err(Refusal::unsupported("messages", by))
}

pub(crate) fn write_request(_: &Conversation, _: &str, _: u64) -> Result<Bytes, Refusal> {
    Err(Refusal::unsupported("messages", "an Anthropic model"))
}

pub(crate) fn read_reply(_: &[u8]) -> Result<Reply, ProviderError> {
    Err(Unavailability::Garbage.into())
}

pub(crate) fn write_reply(_: &Reply) -> Bytes {
    Bytes::new()
}

#[derive(Debug, Default)]
pub(crate) struct EventReader;

impl EventReader {
    pub(crate) fn read(&mut self, _: &Chunk) -> Result<Vec<Event>, ProviderError> {
        Err(Unavailability::Garbage.into())
    }

    pub(crate) fn end(&mut self) -> Vec<Event> {
        Vec::new()
    }
}

#[derive(Debug, Default)]
pub(crate) struct EventWriter;

impl EventWriter {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn write(&mut self, _: Event) -> Vec<Chunk> {
        Vec::new()
    }
}
