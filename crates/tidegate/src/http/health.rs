//! Liveness, readiness and metrics. Never calls a model.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Gate;

/// 200 as long as the process can answer at all.
pub(super) async fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// 200 while requests should be sent here; 503 while draining.
pub(super) async fn ready(State(gate): State<Arc<Gate>>) -> Response {
    let live = gate.current.load();
    let reloads = gate.reloads.tally();
    // Without its store a gateway does what `store.on_unreachable` says, which
    // is better than a fleet in which nobody is ready.
    let store = live.engine.store_state();
    let draining = gate.draining.load(Ordering::Acquire);
    let body = json!({
        "status": if draining { "draining" } else { "ready" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": u64::try_from(gate.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "revision": live.revision,
        "reload": {
            "applied": reloads.applied,
            "refused": reloads.refused,
            "last_error": reloads.last_error,
        },
        "models": live.engine.models().len(),
        "store": store.home,
        "store_reach": store.reach.as_str(),
    });
    let status = if draining {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(body)).into_response()
}

/// The metrics in the OpenMetrics text format, which Prometheus reads.
pub(super) async fn metrics(State(gate): State<Arc<Gate>>) -> Response {
    let live = gate.current.load();
    let health = live.engine.health().await;
    let tasks = gate.tasks.stats().await.ok();
    let reloads = (live.revision, &gate.reloads.tally());
    let text = gate.metrics.render(&health, tasks.as_ref(), reloads);
    let kind =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
