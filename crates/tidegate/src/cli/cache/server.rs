//! A running gateway, as a command sees it.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, Uri};
use serde_json::Value;
use tidegate_engine::{PostClient, ProviderError};

use super::ServerArgs;
use crate::cli::Exit;

/// Where it is and how to get in.
pub(super) struct Server {
    base: String,
    headers: HeaderMap,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What was printed already.
    #[error("the configuration cannot be used; --server names a gateway without one")]
    Configuration,
    /// The key cannot be read.
    #[error("--auth: {0}")]
    Auth(String),
    /// The address is none.
    #[error("--server must be an http or https URL without a path")]
    Address,
    /// Nobody answers.
    #[error(
        "no gateway answers at {base}: {reason}; the cache lives in it: start it, or name another with --server"
    )]
    Unreachable {
        /// Where.
        base: String,
        /// Why.
        reason: Box<ProviderError>,
    },
    /// The gateway refuses.
    #[error("the gateway answers {status}: {message}")]
    Refused {
        /// With this status.
        status: u16,
        /// In its own words.
        message: String,
    },
}

impl Trouble {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Configuration | Self::Auth(_) | Self::Address => Exit::Usage,
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused { status, .. } if *status >= 500 => Exit::Unreachable,
            Self::Refused { .. } => Exit::Usage,
        }
    }
}

/// Bytes of an answer; the largest names a thousand entries.
const MOST_ANSWER_BYTES: usize = 8 << 20;

impl Server {
    /// The gateway that the arguments name, or the one of the configuration.
    pub(super) fn find(args: &ServerArgs) -> Result<Self, Trouble> {
        let base = match &args.server {
            Some(uri) => base(uri)?,
            None => {
                let loaded = args.source.load().map_err(|_| Trouble::Configuration)?;
                format!("http://{}", loaded.config.server.bind)
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(reference) = &args.auth {
            headers.insert(AUTHORIZATION, bearer(reference)?);
        }
        Ok(Self { base, headers })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        let answer = self.client(path)?.get(self.headers.clone()).await;
        self.read(answer)
    }

    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Value, Trouble> {
        let answer = self.client(path)?.post(self.headers.clone(), body).await;
        self.read(answer)
    }

    fn client(&self, path: &str) -> Result<PostClient, Trouble> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Trouble::Address)?;
        Ok(PostClient::new(uri, MOST_ANSWER_BYTES))
    }

    fn read(&self, answer: Result<Response<Bytes>, ProviderError>) -> Result<Value, Trouble> {
        let answer = answer.map_err(|reason| Trouble::Unreachable {
            base: self.base.clone(),
            reason: Box::new(reason),
        })?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if status.is_success() && body.is_object() {
            return Ok(body);
        }
        let message = body["error"]["message"].as_str();
        Err(Trouble::Refused {
            status: status.as_u16(),
            message: message.unwrap_or("no words that a gateway uses").to_owned(),
        })
    }
}

fn base(uri: &Uri) -> Result<String, Trouble> {
    let scheme = uri.scheme_str().filter(|it| ["http", "https"].contains(it));
    match (scheme, uri.authority(), uri.path()) {
        (Some(scheme), Some(authority), "" | "/") => Ok(format!("{scheme}://{authority}")),
        _ => Err(Trouble::Address),
    }
}

/// The key itself is in no message.
fn bearer(reference: &str) -> Result<HeaderValue, Trouble> {
    let wrong = |why: String| Trouble::Auth(why);
    let key = if let Some(path) = reference.strip_prefix("file:") {
        let unreadable = |error| wrong(format!("{path} cannot be read: {error}"));
        std::fs::read_to_string(path).map_err(unreadable)?
    } else if let Some(name) = reference.strip_prefix("env:") {
        std::env::var(name).map_err(|_| wrong("the environment variable is not set".to_owned()))?
    } else {
        return Err(wrong("expected env:NAME or file:PATH".to_owned()));
    };
    let value = HeaderValue::from_str(&format!("Bearer {}", key.trim()));
    let mut value = value.map_err(|_| wrong("the key cannot be sent in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
