//! Dialects and what they share: pure conversion, no sockets and no clock.
//!
//! A request that an upstream speaks natively never comes here; its
//! values pass through as they came. Every other one is read from the caller's dialect
//! into a [`Conversation`], which is said again in the upstream's, and the
//! answer travels back the same way. With one reader and one writer for each
//! dialect, N dialects cost 2N conversions and not N².
//!
//! Readers account for every field: what a conversation has no word for is
//! refused by its name, and so is what a writer's dialect cannot say. Nothing
//! is dropped, except where `docs/dialects.md` lists it.

mod bound;
pub(crate) mod chat;
mod conversation;
mod convert;
mod fields;
mod json;
#[cfg(test)]
mod losses;
pub(crate) mod messages;
mod refusal;
mod reply;

pub use bound::MaxTokensField;
pub(crate) use bound::OutputBound;
pub(crate) use conversation::{
    Conversation, Effort, Image, ImageData, OutputSchema, ParallelTools, Part, Role, Sampling,
    Thinking, Tool, ToolChoice, ToolResult, Turn,
};
#[cfg(feature = "bedrock")]
pub(crate) use convert::Writer;
pub(crate) use convert::{answer, chunks, request};
pub(crate) use fields::Fields;
pub(crate) use json::Json;
pub(crate) use refusal::Refusal;
pub(crate) use reply::{Event, Opening, Piece, Reply, Stop, Tokens};

/// In what words a caller asks and wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's legacy completions.
    Completion,
    /// Anthropic's messages.
    Messages,
}

impl Dialect {
    /// A stable word for logs, metrics and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Messages => "messages",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
