//! Every server that speaks OpenAI's dialect: OpenAI, Azure, Ollama, vLLM, Groq, …

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use ::http::{HeaderMap, Response, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use http_body::Body as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::Sleep;

use crate::chunk::Chunk;
use crate::dialect::{Dialect, Refusal};
use crate::embed_request::EmbedRequest;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::http::{HttpClient, read_all};
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;
use crate::retry_after::retry_after;
use crate::sse::SseDecoder;
use crate::usage::Usage;

/// Largest answer and largest single event that we accept.
const MOST_ANSWER_BYTES: usize = 32 << 20;
const MOST_EVENT_BYTES: usize = 2 << 20;
const MOST_ERROR_BYTES: usize = 64 << 10;

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
    client: HttpClient,
    chat: Uri,
    completions: Uri,
    embeddings: Uri,
    headers: HeaderMap,
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
            client: HttpClient::new(&config.base_url),
            chat: endpoint(&config.base_url, "/chat/completions")?,
            completions: endpoint(&config.base_url, "/completions")?,
            embeddings: endpoint(&config.base_url, "/embeddings")?,
            headers: headers(config)?,
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

    async fn send(&self, uri: &Uri, body: Bytes) -> Result<Response<Incoming>, ProviderError> {
        let response = self
            .client
            .post(uri.clone(), self.headers.clone(), body)
            .await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let wait = retry_after(response.headers(), SystemTime::now());
        // A body that cannot be read takes nothing away from what the status says.
        let body = read_all(response.into_body(), MOST_ERROR_BYTES)
            .await
            .unwrap_or_default();
        Err(ErrorBody::parse(status, &body).classify(wait))
    }

    async fn whole(&self, uri: &Uri, body: Bytes) -> Result<Completion, ProviderError> {
        let response = self.send(uri, body).await?;
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
        let response = self.send(place, body).await?;
        if !is_event_stream(response.headers()) {
            // Some servers answer a stream request with a JSON error and 200.
            let body = read_all(response.into_body(), MOST_ERROR_BYTES).await?;
            check_answer(&body)?;
            return Err(Unavailability::Garbage.into());
        }
        Ok(Events::new(response.into_body(), request.choices()).boxed())
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
        self.client.touch(self.chat.clone()).await
    }
}

fn endpoint(base: &Uri, path: &str) -> Result<Uri, OpenAiConfigError> {
    let wrong = OpenAiConfigError::BaseUrl;
    if !matches!(base.scheme_str(), Some("http" | "https")) {
        return Err(wrong);
    }
    let prefix = base.path().trim_end_matches('/');
    let query = base
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = format!("{prefix}{path}{query}").parse().ok();
    Uri::from_parts(parts).map_err(|_| wrong)
}

fn headers(config: &OpenAiConfig) -> Result<HeaderMap, OpenAiConfigError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
    );
    let bearer = config
        .api_key
        .as_ref()
        .map(|key| (AUTHORIZATION.as_str(), format!("Bearer {key}")));
    let further = config
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in bearer.into_iter().chain(further) {
        let wrong = || OpenAiConfigError::Header(name.to_owned());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
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

/// How long the end of the body may lag behind `[DONE]` before the connection
/// is given up instead of being used again.
const END_GRACE: Duration = Duration::from_millis(10);

/// The chunks of one event stream.
struct Events {
    body: Incoming,
    decoder: SseDecoder,
    /// Answers that have not ended yet.
    open_choices: u64,
    end: End,
}

enum End {
    NotYet,
    /// `[DONE]` was read; the body should end now.
    Draining(Option<Pin<Box<Sleep>>>),
    Over,
}

impl Events {
    fn new(body: Incoming, choices: u64) -> Self {
        let decoder = SseDecoder::new(MOST_EVENT_BYTES);
        Self {
            body,
            decoder,
            open_choices: choices,
            end: End::NotYet,
        }
    }

    /// The next decoded chunk, `Ok(None)` when more bytes are needed.
    fn decode(&mut self) -> Result<Option<Chunk>, ProviderError> {
        let event = self
            .decoder
            .next_event()
            .map_err(|_| Unavailability::TooLarge {
                limit_bytes: MOST_EVENT_BYTES,
            })?;
        let Some(data) = event else { return Ok(None) };
        if data == b"[DONE]"[..] {
            self.end = End::Draining(None);
            return Ok(None);
        }
        let chunk = Chunk::parse(data)?;
        self.open_choices = self.open_choices.saturating_sub(chunk.facts.finished);
        Ok(Some(chunk))
    }

    /// An end of the body without `[DONE]` is an end only if every answer has
    /// said why it stopped.
    fn body_ended(&mut self) -> Option<Result<Chunk, ProviderError>> {
        self.end = End::Over;
        (self.open_choices > 0).then(|| Err(Unavailability::Truncated.into()))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if !matches!(frame, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        let End::Draining(grace) = &mut self.end else {
            return Poll::Ready(());
        };
        let grace = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(END_GRACE)));
        grace.poll_unpin(cx)
    }
}

impl Stream for Events {
    type Item = Result<Chunk, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.end {
                End::Over => return Poll::Ready(None),
                End::Draining(_) => {
                    ready!(self.poll_drained(cx));
                    self.end = End::Over;
                    return Poll::Ready(None);
                }
                End::NotYet => {}
            }
            match self.decode() {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Ok(None) if matches!(self.end, End::Draining(_)) => continue,
                Ok(None) => {}
                Err(error) => {
                    self.end = End::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.feed(data);
                    }
                }
                Some(Err(_)) => {
                    self.end = End::Over;
                    return Poll::Ready(Some(Err(Unavailability::Truncated.into())));
                }
                None => return Poll::Ready(self.body_ended()),
            }
        }
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
