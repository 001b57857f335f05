//! `POST /v1/limits/{name}/reserve` and `POST /v1/limits/settle`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate_engine::{Deadline, Success};

use super::body::json_body;
use super::error::ApiError;
use super::live::Live;
use super::maxima::check_tokens;
use super::visit::Visit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    tokens: u64,
    #[serde(default)]
    wait_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    reservation: String,
    tokens: u64,
    success: bool,
}

/// Reserves one request and tokens for a call that is made elsewhere.
pub(super) async fn reserve(
    visit: Visit,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let wish: Reserve = read(&visit.live, request, "{tokens: integer, wait_ms?: integer}").await?;
    check_tokens(wish.tokens)?;
    let wait = Duration::from_millis(wish.wait_ms).min(visit.live.settings.deadline);
    let held = visit
        .live
        .engine
        .reserve(&name, wish.tokens, &visit.context(Deadline::after(wait)))
        .await?;
    let lease_ms = u64::try_from(held.lease.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(
        json!({"reservation": held.id, "model": held.model, "lease_ms": lease_ms}),
    ))
}

/// Ends a reservation with what was really used.
pub(super) async fn settle(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let shape = "{reservation: string, tokens: integer, success: boolean}";
    let wish: Settle = read(&visit.live, request, shape).await?;
    check_tokens(wish.tokens)?;
    let success = if wish.success {
        Success::Answered
    } else {
        Success::Failed
    };
    let settled = visit
        .live
        .engine
        .settle(&visit.caller, &wish.reservation, wish.tokens, success)
        .await;
    settled.map_err(|error| {
        ApiError::absent("reservation_not_found", error.to_string()).about("reservation")
    })?;
    Ok(Json(json!({"settled": true})))
}

async fn read<T: DeserializeOwned>(
    live: &Live,
    request: Request<Body>,
    shape: &str,
) -> Result<T, ApiError> {
    let deadline = Deadline::after(live.settings.deadline);
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
