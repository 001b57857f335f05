//! A provider that understands every dialect, whichever its upstream speaks.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::dialect::{self, Dialect, MaxTokensField, OutputBound};
use crate::embed_request::EmbedRequest;
use crate::error::ProviderError;
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;

/// A provider between callers of any dialect and an upstream of one.
///
/// What is asked in the upstream's own dialect goes straight through: every
/// value as it came, but for the model's name, `tidegate`, and the usage that a
/// stream is asked for. Everything else is converted there and back; what cannot be said is
/// refused by name, so that another model may be asked.
#[derive(Debug)]
pub struct Translated {
    inner: Arc<dyn Provider>,
    native: Dialect,
    bound: OutputBound,
}

impl Translated {
    /// Stands in front of `inner`, which speaks `native`.
    pub fn new(inner: Arc<dyn Provider>, native: Dialect) -> Self {
        Self {
            inner,
            native,
            bound: OutputBound::default(),
        }
    }

    /// The bound on answers in tokens where the caller gives none and the
    /// upstream wants one; 4096 unless said.
    #[must_use]
    pub fn with_default_max_tokens(mut self, tokens: u64) -> Self {
        self.bound.unless_given = tokens;
        self
    }

    /// How a server in OpenAI's dialect wants the bounds of requests that came
    /// in other words; `max_completion_tokens` unless said.
    #[must_use]
    pub fn with_max_tokens_field(mut self, field: MaxTokensField) -> Self {
        self.bound.field = field;
        self
    }

    /// True for what the inner provider reads itself. Legacy completions have
    /// a place of their own on servers in OpenAI's dialect; whoever has none
    /// refuses them.
    fn is_native(&self, dialect: Dialect) -> bool {
        match (dialect, self.native) {
            (Dialect::Completion, Dialect::Chat) => true,
            (dialect, native) => dialect == native,
        }
    }

    fn convert(&self, model: &str, request: &ChatRequest) -> Result<ChatRequest, ProviderError> {
        let converted = dialect::request(request, self.native, model, self.bound);
        converted.map_err(ProviderError::from)
    }
}

#[async_trait]
impl Provider for Translated {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let dialect = request.dialect();
        if self.is_native(dialect) {
            return self.inner.complete(model, request).await;
        }
        let converted = self.convert(model, request)?;
        let completion = self.inner.complete(model, &converted).await?;
        dialect::answer(completion, self.native, dialect, now())
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let dialect = request.dialect();
        if self.is_native(dialect) {
            return self.inner.stream(model, request).await;
        }
        let converted = self.convert(model, request)?;
        let stream = self.inner.stream(model, &converted).await?;
        Ok(dialect::chunks(stream, self.native, dialect, now()))
    }

    async fn embed(
        &self,
        model: &str,
        request: &EmbedRequest,
    ) -> Result<Completion, ProviderError> {
        self.inner.embed(model, request).await
    }

    async fn reach(&self) -> Result<(), ProviderError> {
        self.inner.reach().await
    }
}

/// Seconds since 1970, which OpenAI's answers say. Conversion itself reads no
/// clock.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
