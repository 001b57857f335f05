#![doc = include_str!("../README.md")]

mod anthropic;
#[cfg(feature = "bedrock")]
mod bedrock;
mod chunk;
mod compose;
mod content;
mod dialect;
mod embed_request;
mod error;
mod events;
mod http;
pub mod mock;
mod openai;
mod opening;
mod post;
mod provider;
mod raw;
mod request;
mod retry_after;
mod rewrite;
mod said;
mod scribe;
mod spoken;
mod sse;
mod translated;
mod upstream;
mod usage;

pub use anthropic::{Anthropic, AnthropicConfig, AnthropicConfigError};
#[cfg(feature = "bedrock")]
pub use bedrock::{Bedrock, BedrockConfig, BedrockConfigError};
pub use chunk::{Chunk, ChunkFacts};
pub use compose::Composer;
pub use content::ContentCounts;
pub use dialect::{Dialect, MaxTokensField};
pub use embed_request::EmbedRequest;
pub use error::{ErrorBody, ProviderError, Unavailability};
pub use openai::{OpenAi, OpenAiConfig, OpenAiConfigError};
pub use opening::Opening;
pub use post::PostClient;
pub use provider::{ChunkStream, Completion, Provider};
pub use raw::{RawObject, RawObjectError};
pub use request::{ChatRequest, RequestError};
pub use retry_after::retry_after;
pub use rewrite::{Unfit, rewritten_answer};
pub use said::{Message, MessageFacts};
pub use scribe::{Scribe, TooLong};
pub use spoken::{Speaker, Spoken, spoken_answer};
pub use sse::{SseDecoder, SseError};
pub use translated::Translated;
pub use usage::Usage;
