//! Errors on the wire: the only place that knows status codes of failures.

mod body;
mod tasks;
mod upstream;

use std::fmt;
use std::time::{Duration, Instant};

use super::cost::Cost;
use super::keyring::Denied;
use super::reload::Refused;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use tidegate_engine::{
    EngineError, FeedbackError, RenderError, RequestError, SessionError, Spent, StoreError,
};
use upstream::{not_served, rejected, upstream};

/// An error in OpenAI's shape.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: String,
    kind: Box<str>,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
    retry: Retry,
    source: Source,
    /// Of the calls that were made before it failed.
    cost: Option<Box<Cost>>,
}

/// Whether a client that repeats by itself should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// As it thinks fit.
    Open,
    /// No: this gate has tried again as often as it may.
    Spent,
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Gateway,
    Provider,
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const VERDICT: HeaderName = HeaderName::from_static("x-tidegate-verdict");
const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-tidegate-error-source");

const INVALID: &str = "invalid_request_error";
const BLOCKED: &str = "blocked_by_guard";

impl ApiError {
    fn new(status: StatusCode, code: &str, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            kind: kind.into(),
            message: message.into(),
            param: None,
            retry_after: None,
            retry: Retry::Open,
            source: Source::Gateway,
            cost: None,
        }
    }

    /// 400.
    pub(super) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, INVALID, message)
    }

    /// 404.
    pub(super) fn absent(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, INVALID, message)
    }

    /// 413.
    pub(super) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body is larger than {limit_bytes} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            INVALID,
            message,
        )
    }

    /// 403.
    pub(super) fn foreign_origin() -> Self {
        let message =
            "the origin header names another site; pages may only call the gate that served them";
        Self::new(StatusCode::FORBIDDEN, "foreign_origin", INVALID, message).about("origin")
    }

    /// 403.
    pub(super) fn foreign_host() -> Self {
        let message = "the host header names neither this machine nor one of server.hosts";
        Self::new(StatusCode::FORBIDDEN, "foreign_host", INVALID, message).about("host")
    }

    /// 400.
    pub(super) fn bad_host(message: &str) -> Self {
        Self::invalid("invalid_host", message).about("host")
    }

    /// 431.
    pub(super) fn head_too_large() -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, "headers_too_large", INVALID, head_limits())
    }

    /// 408.
    pub(super) fn body_too_slow(budget: Duration) -> Self {
        let message = format!("the body did not arrive within {} ms", budget.as_millis());
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            INVALID,
            message,
        )
    }

    /// 403.
    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "permission_error",
            message,
        )
    }

    /// 503: what was asked has happened here, and elsewhere it may not have.
    pub(super) fn store(error: &StoreError) -> Self {
        let message = format!("{error}; other nodes may not have heard of it");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, error.code(), "api_error", message)
    }

    /// 500.
    pub(super) fn internal() -> Self {
        Self::from(EngineError::Internal)
    }

    /// 401.
    fn unauthorized(message: &str) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "invalid_api_key", "authentication_error", message)
    }

    /// Says that trying again at once is of no use: what could be tried was.
    fn spent(mut self) -> Self {
        self.retry = Retry::Spent;
        self
    }

    /// The error of a request that began at `started`, with what its calls
    /// have cost.
    pub(super) fn after_calls(error: EngineError, spent: &Spent, started: Instant) -> Self {
        Self {
            cost: Cost::of_failure(spent, started).map(Box::new),
            ..Self::from(error)
        }
    }

    /// The stable word, for logs and traces.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Whether there is no session of the name that was given.
    pub(super) fn is_about_session_name(&self) -> bool {
        matches!(
            self.code.as_str(),
            "session_not_found" | "invalid_session_id"
        )
    }

    /// What the guard said, where it is the guard that refuses.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        (self.code == BLOCKED).then_some("block")
    }

    /// What tidegate added to the calls that were made.
    pub(super) fn overhead(&self) -> Option<Duration> {
        self.cost.as_ref().map(|cost| cost.overhead)
    }

    /// Names the parameter that is wrong.
    pub(super) fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    fn after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    fn by_provider(mut self) -> Self {
        self.source = Source::Provider;
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::from(self.to_json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ERROR_SOURCE,
            HeaderValue::from_static(match self.source {
                Source::Gateway => "gateway",
                Source::Provider => "provider",
            }),
        );
        if let Some(wait) = self.retry_after {
            // Rounded up: who waits exactly this long finds room.
            let ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
        }
        if self.status == StatusCode::UNAUTHORIZED && self.source == Source::Gateway {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(verdict) = self.verdict() {
            headers.insert(VERDICT, HeaderValue::from_static(verdict));
        }
        if self.retry == Retry::Spent {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(cost) = &self.cost {
            cost.describe(headers);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => {
                Self::unauthorized("no key was given; send authorization: Bearer KEY, or x-api-key")
            }
            Denied::Unknown => Self::unauthorized("the key is not valid here"),
            Denied::Forbidden => Self::new(
                StatusCode::FORBIDDEN,
                "admin_key_required",
                "permission_error",
                "this path needs a key with the role admin",
            ),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Invalid(_) => Self::invalid("invalid_configuration", message),
            Refused::RestartRequired(_) => {
                Self::new(StatusCode::CONFLICT, "restart_required", INVALID, message)
            }
            Refused::Draining => unavailable("draining", message),
            Refused::BrokeOff => Self::internal(),
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::Syntax(_) => "invalid_json",
            RequestError::Missing { .. } => "missing_parameter",
            RequestError::Invalid { .. } => "invalid_parameter",
        };
        let api = Self::invalid(code, error.to_string());
        match error.param() {
            Some(param) => api.about(param),
            None => api,
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match &error {
            EngineError::UnknownModel { .. } => {
                Self::absent("model_not_found", message).about("model")
            }
            EngineError::Throttled { retry_after, .. } => {
                throttled("rate_limit_exceeded", message).after(*retry_after)
            }
            EngineError::Blocked { .. } | EngineError::NotRedacted { .. } => {
                forbidden(BLOCKED, message)
            }
            EngineError::UnknownPolicy { .. } => {
                Self::invalid("invalid_parameter", message).about("policy")
            }
            EngineError::PolicyNotAllowed { .. } => {
                forbidden("policy_not_allowed", message).about("policy")
            }
            EngineError::LimitsUnreachable { retry_after } => {
                unavailable("store_unreachable", message).after(*retry_after)
            }
            EngineError::Busy { retry_after } => {
                unavailable("overloaded", message).after(*retry_after)
            }
            EngineError::TenantLimited { retry_after, .. } => {
                throttled("tenant_limit_exceeded", message).after(*retry_after)
            }
            EngineError::NoHealthyModel { retry_after, .. } => {
                unavailable("no_healthy_model", message).after(*retry_after)
            }
            EngineError::Overloaded { retry_after, .. } => {
                unavailable("overloaded", message).after(*retry_after)
            }
            EngineError::TooLarge { .. } | EngineError::TenantTooLarge { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                INVALID,
                message,
            ),
            EngineError::Upstream { reason, .. } => upstream(reason, message),
            EngineError::Rejected(body) => rejected(body, message),
            EngineError::NotServed(body) => not_served(body, message),
            EngineError::DeadlineExceeded { .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "deadline_exceeded",
                "timeout_error",
                message,
            )
            .spent(),
            EngineError::Session(error) => Self::from(error.clone()),
            EngineError::Prompt(error) => Self::from(error),
            EngineError::Internal => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "api_error",
                message,
            ),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        let own = |status, kind| Self::new(status, code, kind, message.clone());
        let api = match &error {
            SessionError::BadId => own(StatusCode::BAD_REQUEST, INVALID),
            SessionError::Invalid { param, .. } => {
                own(StatusCode::BAD_REQUEST, INVALID).about(param)
            }
            SessionError::NotFound { .. } => own(StatusCode::NOT_FOUND, INVALID),
            SessionError::Locked { .. } => own(StatusCode::CONFLICT, INVALID),
            SessionError::TooLarge { .. } => own(StatusCode::PAYLOAD_TOO_LARGE, INVALID),
            SessionError::Store(StoreError::Unreachable { .. } | StoreError::Refused { .. }) => {
                own(StatusCode::SERVICE_UNAVAILABLE, "api_error")
            }
            SessionError::Newer { .. } | SessionError::Store(StoreError::Corrupt { .. }) => {
                own(StatusCode::INTERNAL_SERVER_ERROR, "api_error")
            }
        };
        match error.retry_after() {
            Some(wait) => api.after(wait),
            None => api,
        }
    }
}

impl From<&RenderError> for ApiError {
    fn from(error: &RenderError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        let api = match error {
            RenderError::UnknownPrompt { .. } => Self::absent(code, message),
            RenderError::UnknownVariant { .. }
            | RenderError::Parameters { .. }
            | RenderError::TooMuch { .. }
            | RenderError::Template { .. }
            | RenderError::Budget { .. } => Self::invalid(code, message),
        };
        match error.param() {
            Some(param) => api.about(&param),
            None => api,
        }
    }
}

impl From<FeedbackError> for ApiError {
    fn from(error: FeedbackError) -> Self {
        /// A breaker in front of the store looks again about as often.
        const HINT: Duration = Duration::from_secs(1);
        let message = error.to_string();
        match error {
            FeedbackError::Unknown => Self::absent("verdict_not_found", message).about("id"),
            FeedbackError::NothingFound => {
                Self::invalid("invalid_parameter", message).about("label")
            }
            FeedbackError::Unreachable => unavailable("store_unreachable", message).after(HINT),
        }
    }
}

fn throttled(code: &str, message: String) -> ApiError {
    let status = StatusCode::TOO_MANY_REQUESTS;
    ApiError::new(status, code, "rate_limit_error", message)
}

fn forbidden(code: &str, message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, "permission_error", message)
}

fn unavailable(code: &str, message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, "api_error", message)
}

/// For paths that do not exist.
pub(super) async fn not_found() -> ApiError {
    ApiError::absent(
        "not_found",
        "no such path; GET /openapi.json lists what there is",
    )
}

/// For a path that exists, and a method that is none of its own. The allow
/// header is made here, not by the router: the router's own is put on whatever
/// stands in front of this as well, so on a 401.
pub(super) fn other_methods<S>(methods: impl Iterator<Item = &'static str>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut allowed: Vec<String> = methods.map(str::to_uppercase).collect();
    if allowed.iter().any(|method| method == "GET") {
        allowed.push("HEAD".to_owned());
    }
    let allowed = HeaderValue::from_str(&allowed.join(","))
        .expect("the table of routes names methods of HTTP");
    any(async move || ([(ALLOW, allowed)], method_not_allowed()))
}

fn method_not_allowed() -> ApiError {
    let message = "this path does not allow the method; the allow header lists those that it does";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        INVALID,
        message,
    )
}

fn head_limits() -> String {
    let (headers, bytes) = (super::MOST_HEADERS, super::MOST_HEADER_BYTES);
    format!("at most {headers} headers and {bytes} bytes of request line and headers are allowed")
}

/// The JSON for a request that never became one: hyper answers those with a
/// bare status.
pub(crate) fn bare_error(status: u16) -> Option<Vec<u8>> {
    let (code, message) = match status {
        400 => (
            "bad_request",
            "the request is not valid HTTP/1.1".to_owned(),
        ),
        414 => ("uri_too_long", "the request target is too long".to_owned()),
        431 => ("headers_too_large", head_limits()),
        _ => return None,
    };
    Some(ApiError::invalid(code, message).to_json())
}

#[cfg(test)]
mod tests {
    use tidegate_engine::ErrorBody;

    use super::*;

    #[test]
    fn retry_after_is_rounded_up_in_both_headers() {
        let error = EngineError::Throttled {
            model: "m".to_owned(),
            retry_after: Duration::from_micros(1_000_001),
        };
        let response = ApiError::from(error).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["retry-after-ms"], "1001");
    }

    #[test]
    fn an_upstream_that_refuses_our_key_is_not_the_callers_fault() {
        let body = ErrorBody {
            status: 401,
            message: "Incorrect API key: sk-…".to_owned(),
            kind: None,
            code: None,
            param: None,
        };
        let error = ApiError::from(EngineError::NotServed(body));
        assert_eq!(
            (error.status.as_u16(), error.code.as_str()),
            (502, "upstream_unauthorized")
        );
        assert!(!error.message.contains("sk-"));
    }
}
