//! The caller's dialect: what it asks and how it wants to be answered.

use bytes::Bytes;

use super::request::BEDROCK;
use crate::dialect::{Conversation, Dialect, Refusal, Reply, Tokens, Writer, chat, messages};
use crate::error::ProviderError;
use crate::provider::Completion;
use crate::request::ChatRequest;
use crate::translated::now;
use crate::usage::Usage;

/// One of the dialects that are read into a conversation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tongue {
    Chat,
    Messages,
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
            Self::Chat => chat::write_reply(reply, now()),
            Self::Messages => messages::write_reply(reply),
        }
    }

    pub(super) fn writer(self) -> Writer {
        match self {
            Self::Chat => Writer::Chat(chat::EventWriter::new(now())),
            Self::Messages => Writer::Messages(messages::EventWriter::new()),
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
