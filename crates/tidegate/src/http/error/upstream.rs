//! What an upstream has said, as an error of ours.

use axum::http::StatusCode;
use tidegate_engine::{ErrorBody, Unavailability};

use super::{ApiError, INVALID, Source};

/// It could not answer.
pub(super) fn upstream(reason: &Unavailability, message: String) -> ApiError {
    let status = match reason {
        Unavailability::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Unavailability::Connect
        | Unavailability::Reset
        | Unavailability::Truncated
        | Unavailability::Status(_)
        | Unavailability::Garbage
        | Unavailability::TooLarge { .. }
        | Unavailability::ErrorInAnswer => StatusCode::BAD_GATEWAY,
    };
    ApiError::new(
        status,
        &format!("upstream_{}", reason.code()),
        "api_error",
        message,
    )
    .by_provider()
    .spent()
}

/// The upstream's own words and status: it judged the request.
pub(super) fn rejected(body: &ErrorBody, message: String) -> ApiError {
    let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut error = ApiError::new(
        status,
        body.code.as_deref().unwrap_or("upstream_rejected"),
        body.kind.as_deref().unwrap_or(INVALID),
        message,
    );
    error.param = body.param.clone();
    error.by_provider()
}

/// A key that the upstream does not accept is the operator's fault, not the
/// caller's: a 401 would send the caller looking at its own.
pub(super) fn not_served(body: &ErrorBody, message: String) -> ApiError {
    if body.status == StatusCode::NOT_FOUND.as_u16() {
        return ApiError {
            code: "model_not_found".to_owned(),
            ..rejected(body, message)
        };
    }
    if body.status == StatusCode::BAD_REQUEST.as_u16() {
        return ApiError {
            source: Source::Gateway,
            ..rejected(body, message)
        };
    }
    let message = "the upstream does not accept the configured key";
    ApiError::new(
        StatusCode::BAD_GATEWAY,
        "upstream_unauthorized",
        "api_error",
        message,
    )
    .by_provider()
}
