//! Bytes posted to one address, for what is no request to a model.

use ::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::Bytes;

use crate::error::ProviderError;
use crate::http::{HttpClient, read_all};

/// Posts bytes over the same kind of connection that models are called over.
#[derive(Debug, Clone)]
pub struct PostClient {
    http: HttpClient,
    uri: Uri,
    most_answer_bytes: usize,
}

impl PostClient {
    /// A client for `uri` that reads at most `most_answer_bytes` of an answer.
    pub fn new(uri: Uri, most_answer_bytes: usize) -> Self {
        Self {
            http: HttpClient::new(&uri),
            uri,
            most_answer_bytes,
        }
    }

    /// Posts, and reads the whole answer of whatever status. It needs an async
    /// runtime and waits without a limit of its own; dropping it hangs up.
    ///
    /// # Errors
    /// When nobody answers, or says more than may be read.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, ProviderError> {
        self.send(Method::POST, headers, body).await
    }

    /// The same for a question without a body.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn get(&self, headers: HeaderMap) -> Result<Response<Bytes>, ProviderError> {
        self.send(Method::GET, headers, Bytes::new()).await
    }

    async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, ProviderError> {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let answer = self.http.send(request).await?;
        let (head, body) = answer.into_parts();
        let body = read_all(body, self.most_answer_bytes).await?;
        Ok(Response::from_parts(head, body))
    }
}
