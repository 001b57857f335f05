//! Every server that speaks Anthropic's dialect.

use ::http::{HeaderMap, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::dialect::messages::{EventFacts, check_answer};
use crate::dialect::{Dialect, Refusal};
use crate::embed_request::EmbedRequest;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::events::{Events, Grammar, Step};
use crate::http::read_all;
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;
use crate::sse::SseEvent;
use crate::upstream::{self, MOST_ANSWER_BYTES, MOST_ERROR_BYTES, Upstream, is_event_stream};

/// What refusals call such an upstream.
const ANTHROPIC: &str = "a server in Anthropic's dialect";
/// The version of the dialect that we speak.
const VERSION: &str = "2023-06-01";

/// Where an upstream is and how to speak to it.
#[derive(Clone, PartialEq)]
pub struct AnthropicConfig {
    /// What `/v1/messages` is put behind; with or without `/v1`.
    pub base_url: Uri,
    /// Sent as `x-api-key`.
    pub api_key: Option<String>,
    /// Further headers, `anthropic-beta` for example; they win over ours.
    pub headers: Vec<(String, String)>,
    /// The bound on answers in tokens, which this dialect wants with every
    /// request, for callers whose dialect does not.
    pub default_max_tokens: u64,
}

impl Default for AnthropicConfig {
    fn default() -> Self {
        Self {
            base_url: Uri::from_static("https://api.anthropic.com"),
            api_key: None,
            headers: Vec::new(),
            default_max_tokens: 4_096,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnthropicConfigError {
    /// Not an absolute `http` or `https` URL.
    #[error("base_url must be an absolute http or https URL")]
    BaseUrl,
    /// A header name or value that HTTP does not allow; values are not shown.
    #[error("header {0:?} is not a valid HTTP header")]
    Header(String),
    /// No answer fits into no tokens.
    #[error("default_max_tokens must be at least 1")]
    MaxTokens,
}

/// A provider in Anthropic's dialect. It says no other: a request in another
/// dialect is refused here and has to be converted before.
#[derive(Debug)]
pub struct Anthropic {
    upstream: Upstream,
    messages: Uri,
}

impl Anthropic {
    /// Checks the configuration and prepares the connection pool; connects to
    /// nothing yet.
    ///
    /// # Errors
    /// [`AnthropicConfigError`] names what is wrong.
    pub fn new(config: &AnthropicConfig) -> Result<Self, AnthropicConfigError> {
        if config.default_max_tokens == 0 {
            return Err(AnthropicConfigError::MaxTokens);
        }
        Ok(Self {
            messages: endpoint(&config.base_url)?,
            upstream: Upstream::new(&config.base_url, headers(config)?),
        })
    }
}

fn endpoint(base: &Uri) -> Result<Uri, AnthropicConfigError> {
    let versioned = base.path().trim_end_matches('/').ends_with("/v1");
    let path = if versioned {
        "/messages"
    } else {
        "/v1/messages"
    };
    upstream::endpoint(base, path).ok_or(AnthropicConfigError::BaseUrl)
}

fn headers(config: &AnthropicConfig) -> Result<HeaderMap, AnthropicConfigError> {
    let key = config.api_key.clone().map(|key| ("x-api-key", key));
    let version = ("anthropic-version", VERSION.to_owned());
    let own = key.into_iter().chain([version]);
    upstream::headers(own, &config.headers).map_err(AnthropicConfigError::Header)
}

/// The body, if it is in a dialect that needs no conversion.
fn body(model: &str, request: &ChatRequest) -> Result<Bytes, ProviderError> {
    match request.dialect() {
        Dialect::Messages => Ok(request.to_upstream(model)),
        other @ (Dialect::Chat | Dialect::Completion) => {
            Err(Refusal::unsupported(other.as_str(), ANTHROPIC).into())
        }
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let body = body(model, request)?;
        let response = self.upstream.send(&self.messages, body).await?;
        let body = read_all(response.into_body(), MOST_ANSWER_BYTES).await?;
        let usage = check_answer(&body)?;
        Ok(Completion { body, usage })
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let body = body(model, request)?;
        let response = self.upstream.send(&self.messages, body).await?;
        if !is_event_stream(response.headers()) {
            // A JSON error with 200, as servers in other dialects answer a
            // stream request with.
            let body = read_all(response.into_body(), MOST_ERROR_BYTES).await?;
            check_answer(&body)?;
            return Err(Unavailability::Garbage.into());
        }
        Ok(Events::new(response.into_body(), Messages::default()).boxed())
    }

    async fn embed(&self, _: &str, _: &EmbedRequest) -> Result<Completion, ProviderError> {
        Err(ProviderError::NotServed(ErrorBody {
            status: 400,
            message: "Anthropic serves no embeddings".to_owned(),
            kind: Some("invalid_request_error".to_owned()),
            code: Some("unsupported_parameter".to_owned()),
            param: Some("model".to_owned()),
        }))
    }

    async fn reach(&self) -> Result<(), ProviderError> {
        self.upstream.reach(&self.messages).await
    }
}

/// The events of a stream that `message_stop` ends.
#[derive(Default)]
struct Messages {
    facts: EventFacts,
}

impl Grammar for Messages {
    fn read(&mut self, event: SseEvent) -> Result<Step, ProviderError> {
        let name = event.name.as_deref().map(std::str::from_utf8);
        let name = name.transpose().map_err(|_| Unavailability::Garbage)?;
        let chunk = self.facts.read(name, event.data)?;
        Ok(match chunk.facts.finished {
            0 => Step::Chunk(chunk),
            _ => Step::Last(chunk),
        })
    }

    /// Only `message_stop` ends an answer.
    fn is_complete(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
