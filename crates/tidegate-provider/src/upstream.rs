//! What servers have in common, whatever dialect they speak: where they are,
//! what is sent with every request, and how they refuse.

use std::time::SystemTime;

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use ::http::{HeaderMap, Response, Uri};
use bytes::Bytes;
use hyper::body::Incoming;

use crate::error::{ErrorBody, ProviderError};
use crate::http::{HttpClient, read_all};
use crate::retry_after::retry_after;

/// Largest answer that we accept.
pub(crate) const MOST_ANSWER_BYTES: usize = 32 << 20;
/// Largest refusal that we read.
pub(crate) const MOST_ERROR_BYTES: usize = 64 << 10;

/// A server and what it is sent with every request.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: HttpClient,
    headers: HeaderMap,
}

impl Upstream {
    /// Prepares the connection pool; connects to nothing yet.
    pub(crate) fn new(base: &Uri, headers: HeaderMap) -> Self {
        let client = HttpClient::new(base);
        Self { client, headers }
    }

    /// Sends a body and returns once the server has agreed to answer.
    pub(crate) async fn send(
        &self,
        uri: &Uri,
        body: Bytes,
    ) -> Result<Response<Incoming>, ProviderError> {
        let headers = self.headers.clone();
        let response = self.client.post(uri.clone(), headers, body).await?;
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

    /// Whether anybody answers there.
    pub(crate) async fn reach(&self, uri: &Uri) -> Result<(), ProviderError> {
        self.client.touch(uri.clone()).await
    }
}

/// `path` below `base`, whose prefix and query are kept; `None` unless `base`
/// is an absolute URL of a scheme that we speak.
pub(crate) fn endpoint(base: &Uri, path: &str) -> Option<Uri> {
    if !matches!(base.scheme_str(), Some("http" | "https")) {
        return None;
    }
    let prefix = base.path().trim_end_matches('/');
    let query = base
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = format!("{prefix}{path}{query}").parse().ok();
    Uri::from_parts(parts).ok()
}

/// What is sent with every request: who we are, `own` headers of the dialect,
/// then `further` ones of the configuration, which win. A header that HTTP does
/// not allow is named by the error.
pub(crate) fn headers<'a>(
    own: impl IntoIterator<Item = (&'a str, String)>,
    further: &'a [(String, String)],
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
    );
    let further = further.iter().map(|(name, value)| (&**name, value.clone()));
    for (name, value) in own.into_iter().chain(further) {
        let wrong = || name.to_owned();
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// True when the body is a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}
