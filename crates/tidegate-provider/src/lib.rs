#![doc = include_str!("../README.md")]

mod chunk;
mod compose;
mod error;
mod http;
pub mod mock;
mod openai;
mod provider;
mod raw;
mod request;
mod retry_after;
mod sse;
mod usage;

pub use chunk::{Chunk, ChunkFacts};
pub use compose::Composer;
pub use error::{ErrorBody, ProviderError, Unavailability};
pub use openai::{OpenAi, OpenAiConfig, OpenAiConfigError};
pub use provider::{ChunkStream, Completion, Provider};
pub use raw::{RawObject, RawObjectError};
pub use request::{ChatRequest, ContentCounts, EmbedRequest, RequestError};
pub use retry_after::retry_after;
pub use sse::{SseDecoder, SseError};
pub use usage::Usage;
