//! `POST /v1/limits/{name}/reserve` and `POST /v1/limits/settle`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{Deadline, Success};

use super::body::read_object;
use super::error::ApiError;
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
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: Reserve = read_object(
        &visit.live,
        request,
        deadline,
        "{tokens: integer, wait_ms?: integer}",
    )
    .await?;
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
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: Settle = read_object(&visit.live, request, deadline, shape).await?;
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
