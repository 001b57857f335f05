//! The caller's dialect: what it asks and how it wants to be answered.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::request::BEDROCK;
use crate::chunk::Chunk;
use crate::dialect::{Conversation, Dialect, Event, Refusal, Reply, Tokens, chat, messages};
use crate::error::ProviderError;
use crate::provider::Completion;
use crate::request::ChatRequest;
use crate::usage::Usage;

/// One of the dialects that are read into a conversation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tongue {
    Chat,
    Messages,
}

/// Writes the events of one stream.
#[derive(Debug)]
pub(super) enum Writer {
    Chat(chat::EventWriter),
    Messages(messages::EventWriter),
}

impl Tongue {
    /// # Errors
    /// A refusal of legacy completions, which no conversation can hold.
    pub(super) fn of(request: &ChatRequest) -> Result<Self, Refusal> {
        match request.dialect() {
            Dialect::Chat => Ok(Self::Chat),
            Dialect::Messages => Ok(Self::Messages),
            Dialect::Completion => Err(Refusal::unsupported("prompt", BEDROCK)),
        }
    }

    pub(super) fn read(self, request: &ChatRequest) -> Result<Conversation, Refusal> {
        match self {
            Self::Chat => chat::read_request(request.raw(), BEDROCK),
            Self::Messages => messages::read_request(request.raw(), BEDROCK),
        }
    }

    pub(super) fn write(self, reply: &Reply) -> Completion {
        Completion {
            body: self.body(reply),
            usage: Some(usage(reply.tokens)),
        }
    }

    fn body(self, reply: &Reply) -> Bytes {
        match self {
            Self::Chat => chat::write_reply(reply, seconds_since_1970()),
            Self::Messages => messages::write_reply(reply),
        }
    }

    pub(super) fn writer(self) -> Writer {
        match self {
            Self::Chat => Writer::Chat(chat::EventWriter::new(seconds_since_1970())),
            Self::Messages => Writer::Messages(messages::EventWriter::new()),
        }
    }
}

impl Writer {
    pub(super) fn write(&mut self, event: Event) -> Result<Vec<Chunk>, ProviderError> {
        match self {
            Self::Chat(writer) => writer.write(event),
            Self::Messages(writer) => writer.write(event),
        }
    }
}

/// What a call is read into on its way to Bedrock.
pub(super) fn conversation(request: &ChatRequest) -> Result<(Tongue, Conversation), ProviderError> {
    let tongue = Tongue::of(request)?;
    Ok((tongue, tongue.read(request)?))
}

/// Cached or not, input is input for limits.
fn usage(tokens: Tokens) -> Usage {
    let cached = tokens.cache_read.saturating_add(tokens.cache_write);
    Usage {
        prompt_tokens: tokens.input.saturating_add(cached),
        completion_tokens: tokens.output,
    }
}

/// OpenAI's answers say when they were made.
fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.as_ref().map_or(0, Duration::as_secs)
}
