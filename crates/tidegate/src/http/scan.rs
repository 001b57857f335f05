//! `POST /v1/scan`.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{Deadline, Direction, EngineError, ScanRequest, UnknownWord};

use super::around::new_request_id;
use super::body::read_object;
use super::error::ApiError;
use super::maxima::check_texts;
use super::visit::Visit;
use crate::scan_report::{Mode, verdict};

const SHAPE: &str = "{text: string} or {texts: [string]}, with mode?: fast | balanced | thorough, \
direction?: prompt | answer | retrieved | tool_call | tool_result, \
policy?: monitor | default | strict, suppress?: [rule id], cache?: \"skip\"";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    text: Option<String>,
    texts: Option<Vec<String>>,
    #[serde(default)]
    mode: Mode,
    direction: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    suppress: Vec<String>,
    /// Verdicts are not cached yet, so nothing else can be said.
    #[serde(default, rename = "cache")]
    _cache: Option<CacheWord>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CacheWord {
    Skip,
}

/// Scans one text, or several in order.
pub(super) async fn scan(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: Wish = read_object(&visit.live, request, deadline, SHAPE).await?;
    let mode = wish.mode;
    let scan = ScanRequest {
        direction: word(wish.direction.as_deref(), "direction", Direction::Prompt)?,
        policy: word(wish.policy.as_deref(), "policy", visit.live.engine.policy())?,
        suppress: wish.suppress,
    };
    match (wish.text, wish.texts) {
        (Some(text), None) => {
            let one = one(&visit, text, &scan, mode);
            in_time(&visit, deadline, one).await
        }
        (None, Some(texts)) => {
            check_texts(texts.len())?;
            let all = all(&visit, texts, &scan, mode);
            in_time(&visit, deadline, all).await
        }
        (Some(_), Some(_)) | (None, None) => Err(ApiError::invalid(
            "invalid_parameter",
            "exactly one of text and texts must be given",
        )
        .about("text")),
    }
}

/// A word of the guard's, or what holds without it.
fn word<T: std::str::FromStr<Err = UnknownWord>>(
    given: Option<&str>,
    param: &'static str,
    otherwise: T,
) -> Result<T, ApiError> {
    match given.map(str::parse) {
        None => Ok(otherwise),
        Some(Ok(word)) => Ok(word),
        Some(Err(unknown)) => {
            let message = format!("{param} must be one of {}", unknown.expected.join(", "));
            Err(ApiError::invalid("invalid_parameter", message).about(param))
        }
    }
}

/// What the deadline cuts off is dropped, but for the text that a thread is at.
async fn in_time(
    visit: &Visit,
    deadline: Deadline,
    scan: impl Future<Output = Result<Value, ApiError>>,
) -> Result<Json<Value>, ApiError> {
    let budget = visit.live.settings.deadline;
    let late = |_| ApiError::from(EngineError::DeadlineExceeded { budget });
    deadline.run(scan).await.map_err(late)?.map(Json)
}

/// Short texts are scanned where they are: others get their turn between two.
async fn all(
    visit: &Visit,
    texts: Vec<String>,
    scan: &ScanRequest,
    mode: Mode,
) -> Result<Value, ApiError> {
    let mut results = Vec::with_capacity(texts.len());
    for text in texts {
        results.push(one(visit, text, scan, mode).await?);
        tokio::task::yield_now().await;
    }
    Ok(json!({"results": results}))
}

async fn one(
    visit: &Visit,
    text: String,
    scan: &ScanRequest,
    mode: Mode,
) -> Result<Value, ApiError> {
    let started = Instant::now();
    let scanned = visit.live.engine.scan(text, scan.clone()).await?;
    Ok(verdict(
        &new_request_id(),
        &scanned,
        mode,
        started.elapsed(),
    ))
}
