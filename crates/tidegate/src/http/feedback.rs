//! `POST /v1/verdicts/{id}/feedback`.

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{Deadline, EngineError, Label};

use super::body::read_object;
use super::error::ApiError;
use super::visit::Visit;

const SHAPE: &str = "{label: false_positive | missed | confirmed}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    label: Label,
}

/// Keeps what is said of a verdict.
pub(super) async fn give(
    visit: Visit,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let budget = visit.live.settings.deadline;
    let deadline = Deadline::after(budget);
    let wish: Wish = read_object(&visit.live, request, deadline, SHAPE).await?;
    let said = visit.live.engine.feedback(&visit.caller, &id, wish.label);
    let late = |_| ApiError::from(EngineError::DeadlineExceeded { budget });
    let kept = deadline.run(said).await.map_err(late)??;
    Ok(Json(json!({
        "id": id,
        "label": kept.label.as_str(),
        "verdict": kept.outcome.as_str(),
        "rules": kept.rules.iter().map(|rule| &**rule).collect::<Vec<_>>(),
        "policy": kept.policy,
    })))
}
