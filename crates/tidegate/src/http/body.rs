//! Request bodies: bounded, complete, JSON.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tidegate_engine::Deadline;

use super::error::ApiError;
use super::live::Live;
use super::maxima::check_depth;

/// The whole JSON body of a request, if it arrives before the deadline.
pub(super) async fn json_body(
    live: &Live,
    request: Request<Body>,
    deadline: Deadline,
) -> Result<Bytes, ApiError> {
    check_content_type(request.headers())?;
    let body = read(request.into_body(), live.settings.max_body_bytes);
    let body = deadline
        .run(body)
        .await
        .map_err(|_| ApiError::body_too_slow(live.settings.deadline))??;
    if body.is_empty() {
        return Err(ApiError::invalid(
            "invalid_json",
            "the body is empty; a JSON object is expected",
        ));
    }
    check_depth(&body)?;
    Ok(body)
}

/// The JSON object of a request, of the shape that a message can name.
pub(super) async fn read_object<T: DeserializeOwned>(
    live: &Live,
    request: Request<Body>,
    deadline: Deadline,
    shape: &str,
) -> Result<T, ApiError> {
    let body = json_body(live, request, deadline).await?;
    // A derived struct would take a list for an object.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::invalid(
            "invalid_parameter",
            format!("the body must be {shape}"),
        ));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("the body must be {shape}; it is not at line {line} column {column}");
        ApiError::invalid("invalid_parameter", message)
    })
}

/// A web page can send any body without asking, but not this content type:
/// insisting on it keeps other sites' pages from spending the user's tokens.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        return Ok(());
    }
    let message = "content-type must be application/json";
    Err(ApiError::invalid("unsupported_media_type", message).about("content-type"))
}

async fn read(mut body: Body, limit_bytes: usize) -> Result<Bytes, ApiError> {
    // An announced length is believed at once, so that nothing is kept in vain.
    if body.size_hint().lower() > limit_bytes as u64 {
        discard(body).await;
        return Err(ApiError::too_large(limit_bytes));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let cut = |_| ApiError::invalid("incomplete_body", "the body ended before it was complete");
        let Ok(data) = frame.map_err(cut)?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limit_bytes {
            discard(body).await;
            return Err(ApiError::too_large(limit_bytes));
        }
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

/// How much of a refused body is read away, and for how long.
const MOST_DISCARDED_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Reads on without keeping anything: a client that is still sending when the
/// connection closes sees a broken pipe instead of the refusal.
async fn discard(mut body: Body) {
    let rest = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MOST_DISCARDED_BYTES {
                return;
            }
        }
    };
    // Who sends more, or more slowly, is cut off.
    let _ = Deadline::after(DISCARD_TIME).run(rest).await;
}
