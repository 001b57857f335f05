//! Every server that speaks OpenAI's dialect: OpenAI, Azure, Ollama, vLLM, Groq, …

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::chunk::Chunk;
use crate::dialect::{Dialect, MaxTokensField, Refusal};
use crate::embed_request::EmbedRequest;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::events::{Events, Grammar, Step};
use crate::http::read_all;
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;
use crate::sse::SseEvent;
use crate::upstream::{self, MOST_ANSWER_BYTES, MOST_ERROR_BYTES, Upstream, is_event_stream};
use crate::usage::Usage;

/// What refusals call such an upstream.
const OPENAI: &str = "a server in OpenAI's dialect";

/// Where an upstream is and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenAiConfig {
    /// Up to and with `/v1`; a query (`?api-version=…`) is kept.
    pub base_url: Uri,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<String>,
    /// Further headers, `api-key` for Azure for example.
    pub headers: Vec<(String, String)>,
    /// Ask streams for their usage even where the caller did not.
    pub stream_usage: bool,
    /// Where requests that came in another dialect say their bound; those in
    /// OpenAI's own are not touched.
    pub max_tokens_field: MaxTokensField,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenAiConfigError {
    /// Not an absolute `http` or `https` URL.
    #[error("base_url must be an absolute http or https URL")]
    BaseUrl,
    /// A header name or value that HTTP does not allow; values are not shown.
    #[error("header {0:?} is not a valid HTTP header")]
    Header(String),
}

/// A provider in OpenAI's dialect.
#[derive(Debug)]
pub struct OpenAi {
    upstream: Upstream,
    chat: Uri,
    completions: Uri,
    embeddings: Uri,
    stream_usage: bool,
}

impl OpenAi {
    /// Checks the configuration and prepares the connection pool; connects to
    /// nothing yet.
    ///
    /// # Errors
    /// [`OpenAiConfigError`] names what is wrong.
    pub fn new(config: &OpenAiConfig) -> Result<Self, OpenAiConfigError> {
        Ok(Self {
            upstream: Upstream::new(&config.base_url, headers(config)?),
            chat: endpoint(&config.base_url, "/chat/completions")?,
            completions: endpoint(&config.base_url, "/completions")?,
            embeddings: endpoint(&config.base_url, "/embeddings")?,
            stream_usage: config.stream_usage,
        })
    }

    /// Where requests in this dialect go.
    fn place(&self, dialect: Dialect) -> Result<&Uri, ProviderError> {
        match dialect {
            Dialect::Chat => Ok(&self.chat),
            Dialect::Completion => Ok(&self.completions),
            Dialect::Messages => Err(Refusal::unsupported("messages", OPENAI).into()),
        }
    }

    async fn whole(&self, uri: &Uri, body: Bytes) -> Result<Completion, ProviderError> {
        let response = self.upstream.send(uri, body).await?;
        let body = read_all(response.into_body(), MOST_ANSWER_BYTES).await?;
        let usage = check_answer(&body)?;
        Ok(Completion { body, usage })
    }
}

#[async_trait]
impl Provider for OpenAi {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let place = self.place(request.dialect())?;
        self.whole(place, request.to_upstream(model)).await
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let body = if self.stream_usage {
            request.to_upstream_with_usage(model)
        } else {
            request.to_upstream(model)
        };
        let place = self.place(request.dialect())?;
        let response = self.upstream.send(place, body).await?;
        if !is_event_stream(response.headers()) {
            // Some servers answer a stream request with a JSON error and 200.
            let body = read_all(response.into_body(), MOST_ERROR_BYTES).await?;
            check_answer(&body)?;
            return Err(Unavailability::Garbage.into());
        }
        let open_choices = request.choices();
        Ok(Events::new(response.into_body(), Chunks { open_choices }).boxed())
    }

    async fn embed(
        &self,
        model: &str,
        request: &EmbedRequest,
    ) -> Result<Completion, ProviderError> {
        self.whole(&self.embeddings, request.to_upstream(model))
            .await
    }

    async fn reach(&self) -> Result<(), ProviderError> {
        self.upstream.reach(&self.chat).await
    }
}

fn endpoint(base: &Uri, path: &str) -> Result<Uri, OpenAiConfigError> {
    upstream::endpoint(base, path).ok_or(OpenAiConfigError::BaseUrl)
}

fn headers(config: &OpenAiConfig) -> Result<HeaderMap, OpenAiConfigError> {
    let bearer = config.api_key.as_ref();
    let bearer = bearer.map(|key| (AUTHORIZATION.as_str(), format!("Bearer {key}")));
    upstream::headers(bearer, &config.headers).map_err(OpenAiConfigError::Header)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    choices: Option<Vec<IgnoredAny>>,
    /// Of embeddings.
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

/// Makes sure that a 200 is an answer, and reads its usage.
fn check_answer(body: &Bytes) -> Result<Option<Usage>, ProviderError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Unavailability::Garbage)?;
    if answer.error.is_some_and(|error| error.get() != "null") {
        return Err(ErrorBody::parse(200, body).classify(None));
    }
    if answer.choices.is_none() && answer.data.is_none() {
        return Err(Unavailability::Garbage.into());
    }
    Ok(Usage::read(answer.usage))
}

/// The chunks of a stream that `[DONE]` ends.
struct Chunks {
    /// Answers that have not ended yet.
    open_choices: u64,
}

impl Grammar for Chunks {
    fn read(&mut self, event: SseEvent) -> Result<Step, ProviderError> {
        if event.data == b"[DONE]"[..] {
            return Ok(Step::End);
        }
        let chunk = Chunk::parse(event.data)?;
        self.open_choices = self.open_choices.saturating_sub(chunk.facts.finished);
        Ok(Step::Chunk(chunk))
    }

    /// An end of the body without `[DONE]` is an end only if every answer has
    /// said why it stopped.
    fn is_complete(&self) -> bool {
        self.open_choices == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_endpoint(base: &'static str, expected: &str) {
        let uri = endpoint(&Uri::from_static(base), "/chat/completions").unwrap();
        assert_eq!(uri.to_string(), expected);
    }

    #[test]
    fn endpoints_keep_the_prefix_and_the_query_of_the_base() {
        check_endpoint("http://h:1/v1", "http://h:1/v1/chat/completions");
        check_endpoint("http://h:1/v1/", "http://h:1/v1/chat/completions");
        check_endpoint("https://h", "https://h/chat/completions");
        check_endpoint(
            "https://h/o/v1?api-version=p",
            "https://h/o/v1/chat/completions?api-version=p",
        );
    }

    #[test]
    fn a_relative_base_is_refused() {
        assert!(endpoint(&Uri::from_static("/v1"), "/x").is_err());
        assert!(endpoint(&Uri::from_static("h:1"), "/x").is_err());
    }

    #[test]
    fn a_bad_header_is_named_without_its_value() {
        let config = OpenAiConfig {
            base_url: Uri::from_static("http://h/v1"),
            api_key: None,
            headers: vec![("x-key".to_owned(), "line\nbreak".to_owned())],
            stream_usage: true,
            max_tokens_field: MaxTokensField::default(),
        };
        let error = OpenAi::new(&config).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"header "x-key" is not a valid HTTP header"#
        );
    }

    #[test]
    fn a_200_that_is_no_answer_is_not_taken_for_one() {
        let check = |body: &'static str| check_answer(&Bytes::from_static(body.as_bytes()));
        for body in ["", "{}", "[]", "<html>", r#"{"choices":7}"#] {
            assert_eq!(check(body), Err(Unavailability::Garbage.into()), "{body}");
        }
        assert_eq!(
            check(r#"{"error":{"message":"x"}}"#),
            Err(Unavailability::ErrorInAnswer.into())
        );
        assert_eq!(check(r#"{"choices":[],"error":null}"#), Ok(None));
    }
}
