//! Error objects, in the words of each dialect.

use axum::http::StatusCode;
use serde::Serialize;

use super::ApiError;

impl ApiError {
    /// The error object, for a body or an event of a stream.
    pub(in crate::http) fn to_json(&self) -> Vec<u8> {
        let body = Envelope {
            error: Inner {
                message: &self.message,
                kind: &self.kind,
                param: self.param.as_deref(),
                code: &self.code,
            },
        };
        serde_json::to_vec(&body).expect("an error object is always valid JSON")
    }

    /// The error object for callers that speak Anthropic's dialect; our own
    /// code and parameter stand beside its words.
    pub(in crate::http) fn to_anthropic_json(&self, request_id: Option<&str>) -> Vec<u8> {
        let body = AnthropicEnvelope {
            kind: "error",
            error: Inner {
                message: &self.message,
                kind: anthropic_kind(self.status),
                param: self.param.as_deref(),
                code: &self.code,
            },
            request_id,
        };
        serde_json::to_vec(&body).expect("an error object is always valid JSON")
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

/// The same in Anthropic's words.
#[derive(Serialize)]
struct AnthropicEnvelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Inner<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// The word that Anthropic's API has for a status.
fn anthropic_kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}
