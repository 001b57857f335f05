//! What can go wrong upstream, told apart by what the caller can do next.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a call to an upstream gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// 429, 503, 529 or a throttle named in the error: another model may have room.
    #[error("the upstream has no room")]
    Throttled {
        /// How long the upstream asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// Connection, time-out, 5xx or nonsense: worth one more try.
    #[error("the upstream is unavailable: {0}")]
    Unavailable(Unavailability),
    /// This upstream does not serve the model or does not accept our key;
    /// another one may.
    #[error("the upstream does not serve this ({})", .0.status)]
    NotServed(ErrorBody),
    /// 4xx about the request itself: every model would refuse it.
    #[error("the upstream rejected the request ({})", .0.status)]
    Rejected(ErrorBody),
}

impl ProviderError {
    /// True when the next model of a chain may succeed where this one failed.
    pub fn may_fall_back(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unavailable(_) | Self::NotServed(_) => true,
            Self::Rejected(_) => false,
        }
    }

    /// A stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(reason) => reason.code(),
            Self::NotServed(_) => "not_served",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// In what way an upstream was unavailable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailability {
    /// No connection could be made.
    #[error("no connection")]
    Connect,
    /// No answer within the time that this attempt had.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke before the answer was complete.
    #[error("connection lost")]
    Reset,
    /// The stream ended before the answer did.
    #[error("answer cut short")]
    Truncated,
    /// A 5xx.
    #[error("status {0}")]
    Status(u16),
    /// Not the JSON or the event stream that was asked for.
    #[error("answer not understood")]
    Garbage,
    /// An answer beyond the size that we accept.
    #[error("answer larger than {limit_bytes} bytes")]
    TooLarge {
        /// The size that we accept, in bytes.
        limit_bytes: usize,
    },
    /// An error object inside an answer that began as a success.
    #[error("error inside the answer")]
    ErrorInAnswer,
}

impl Unavailability {
    /// A stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::TimedOut => "timed_out",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Status(_) => "status",
            Self::Garbage => "garbage",
            Self::TooLarge { .. } => "too_large",
            Self::ErrorInAnswer => "error_in_answer",
        }
    }
}

impl From<Unavailability> for ProviderError {
    fn from(reason: Unavailability) -> Self {
        Self::Unavailable(reason)
    }
}

/// What an upstream said when it refused, in OpenAI's error object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// HTTP status of the refusal.
    pub status: u16,
    /// For people; empty when the upstream gave none.
    pub message: String,
    /// OpenAI's `type`.
    pub kind: Option<String>,
    /// OpenAI's `code`.
    pub code: Option<String>,
    /// The parameter that is wrong.
    pub param: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<serde_json::Value>,
    param: Option<String>,
}

impl ErrorBody {
    /// Reads OpenAI's error object, and makes do with less: a bare string, or
    /// a body that is no JSON at all (its text is not passed on).
    pub fn parse(status: u16, body: &Bytes) -> Self {
        let inner = serde_json::from_slice::<Envelope<'_>>(body)
            .map(|envelope| Inner::read(envelope.error.get()))
            .unwrap_or_default();
        Self {
            status,
            message: clipped(inner.message.unwrap_or_default()),
            kind: inner.kind,
            code: inner.code.map(|code| match code {
                serde_json::Value::String(word) => word,
                other => other.to_string(),
            }),
            param: inner.param,
        }
    }

    /// What the caller can do about this error object.
    pub fn classify(self, retry_after: Option<Duration>) -> ProviderError {
        if self.names_a_throttle() {
            return ProviderError::Throttled { retry_after };
        }
        match self.status {
            429 | 503 | 529 => ProviderError::Throttled { retry_after },
            403 if self.names_a_missing_right() => ProviderError::NotServed(self),
            401 | 402 | 404 => ProviderError::NotServed(self),
            408 => Unavailability::Status(408).into(),
            400..=499 => ProviderError::Rejected(self),
            200 => Unavailability::ErrorInAnswer.into(),
            status => Unavailability::Status(status).into(),
        }
    }

    /// What this key may not, another upstream's may.
    fn names_a_missing_right(&self) -> bool {
        self.kind.as_deref() == Some("permission_error")
    }

    fn names_a_throttle(&self) -> bool {
        [&self.kind, &self.code]
            .into_iter()
            .flatten()
            .any(|word| THROTTLE_WORDS.contains(&&**word))
    }
}

/// The words by which OpenAI, Anthropic and AWS name a throttle.
const THROTTLE_WORDS: [&str; 9] = [
    "rate_limit_exceeded",
    "rate_limit_error",
    "insufficient_quota",
    "overloaded_error",
    "server_overloaded",
    "ThrottlingException",
    "TooManyRequestsException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

impl Inner {
    fn read(raw: &str) -> Self {
        serde_json::from_str(raw).unwrap_or_else(|_| Self {
            message: serde_json::from_str::<String>(raw).ok(),
            ..Self::default()
        })
    }
}

/// Upstream messages travel to the client; a page-long one does not.
fn clipped(message: String) -> String {
    const MOST_CHARS: usize = 2_000;
    if message.len() <= MOST_CHARS {
        message
    } else {
        message.chars().take(MOST_CHARS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(status: u16, body: &'static str) -> ProviderError {
        ErrorBody::parse(status, &Bytes::from_static(body.as_bytes())).classify(None)
    }

    #[test]
    fn throttles_are_known_by_status_and_by_word() {
        let throttled = ProviderError::Throttled { retry_after: None };
        for status in [429, 503, 529] {
            assert_eq!(classify(status, "{}"), throttled);
        }
        assert_eq!(
            classify(400, r#"{"error":{"type":"ThrottlingException"}}"#),
            throttled
        );
        assert_eq!(
            classify(500, r#"{"error":{"code":"ServiceUnavailable"}}"#),
            throttled
        );
        assert_eq!(
            classify(200, r#"{"error":{"code":"insufficient_quota"}}"#),
            throttled
        );
    }

    #[test]
    fn a_4xx_about_the_request_is_final_and_keeps_its_words() {
        let error = classify(
            400,
            r#"{"error":{"message":"bad","type":"t","code":7,"param":"n"}}"#,
        );
        assert!(!error.may_fall_back());
        let ProviderError::Rejected(body) = error else {
            panic!("not rejected")
        };
        assert_eq!(
            (body.message.as_str(), body.code.as_deref()),
            ("bad", Some("7"))
        );
        assert_eq!(body.param.as_deref(), Some("n"));
    }

    #[test]
    fn what_one_upstream_does_not_serve_another_may() {
        for status in [401, 404] {
            assert!(classify(status, "<html>").may_fall_back());
        }
    }

    #[test]
    fn a_right_that_our_key_lacks_another_upstream_may_have() {
        let body = r#"{"type":"error","error":{"type":"permission_error","message":"no"}}"#;
        assert!(classify(403, body).may_fall_back());
        assert!(!classify(403, r#"{"error":{"message":"forbidden words"}}"#).may_fall_back());
    }

    #[test]
    fn a_5xx_page_of_html_is_an_unavailable_upstream_and_its_text_is_dropped() {
        assert_eq!(
            classify(502, "<html>secret</html>"),
            Unavailability::Status(502).into()
        );
    }

    #[test]
    fn an_error_that_is_a_bare_string_is_read() {
        let body = ErrorBody::parse(422, &Bytes::from_static(br#"{"error":"no"}"#));
        assert_eq!(body.message, "no");
    }
}
