//! The seam: what the engine asks of every upstream.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::chunk::Chunk;
use crate::embed_request::EmbedRequest;
use crate::error::ProviderError;
use crate::request::ChatRequest;
use crate::usage::Usage;

/// A complete answer, as the JSON it came as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The answer's body in OpenAI's dialect.
    pub body: Bytes,
    /// Tokens, where the upstream reports them.
    pub usage: Option<Usage>,
}

/// The events of a streamed answer, without the closing `[DONE]`.
///
/// A stream that ends without an error is complete; an upstream that dies
/// mid-answer ends it with [`ProviderError`].
pub type ChunkStream = BoxStream<'static, Result<Chunk, ProviderError>>;

/// A place where models are served.
///
/// Dropping a future or a stream drops the upstream connection with it, which
/// is how a call is cancelled. Nothing here waits without bound on purpose:
/// the caller bounds every call by its deadline.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// Answers a chat request as a whole. `model` is the upstream's own name.
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError>;

    /// Starts a streamed answer; returns once the upstream has agreed.
    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError>;

    /// Embeds texts.
    async fn embed(&self, model: &str, request: &EmbedRequest)
    -> Result<Completion, ProviderError>;

    /// Whether a connection to the upstream can be made, without calling a
    /// model. For `doctor`; a provider without a network is always reachable.
    async fn reach(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}
