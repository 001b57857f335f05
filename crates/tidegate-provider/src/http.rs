//! The HTTP/1.1 client: pooled, bounded, over plain TCP or TLS.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::{ProviderError, Unavailability};

/// How long a connection may take to come up; the SDKs use the same figure.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const MOST_IDLE: usize = 1_024;

/// A pool of connections to one upstream.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpClient {
    /// A client for `base`; certificates are loaded only where TLS is spoken.
    pub(crate) fn new(base: &Uri) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let roots = if base.scheme_str() == Some("https") {
            trusted_roots()
        } else {
            rustls::RootCertStore::empty()
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(roots))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector);
        Self { client }
    }

    /// Sends a body and returns once the head of the answer is there.
    pub(crate) async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, ProviderError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.send(request).await
    }

    /// Sends any request and returns once the head of the answer is there.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ProviderError> {
        self.client.request(request).await.map_err(|error| {
            let reason = if error.is_connect() {
                Unavailability::Connect
            } else {
                Unavailability::Reset
            };
            reason.into()
        })
    }

    /// Asks for a path's head only to see whether anybody answers.
    pub(crate) async fn touch(&self, uri: Uri) -> Result<(), ProviderError> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = uri;
        let answer = self.client.request(request).await;
        answer.map(drop).map_err(|_| Unavailability::Connect.into())
    }
}

/// Reads a whole body, at most `limit_bytes` of it.
pub(crate) async fn read_all(
    mut body: Incoming,
    limit_bytes: usize,
) -> Result<Bytes, ProviderError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unavailability::Reset)?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limit_bytes {
            return Err(Unavailability::TooLarge { limit_bytes }.into());
        }
        // Most answers come in one frame, which is passed on without a copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// The system's certificates, or Mozilla's where the system has none.
fn trusted_roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn tls_config(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
