//! `/v1/tasks`: work in the background.

mod events;
mod read;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_engine::{CancelOutcome, Deadline, Submitted, Task};

use super::Gate;
use super::body::json_body;
use super::error::ApiError;
use super::visit::Visit;
use crate::task_report::{page_json, stats_json, task_json};
pub(super) use events::events;
pub(crate) use read::{MOST_TASKS, Wish, wish};

/// Submits a task, or several at once, all or none.
pub(super) async fn submit(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let body = json_body(&visit.live, request, deadline).await?;
    match wish(&body)? {
        Wish::One(new) => {
            let submitted = gate.tasks.submit(&visit.caller, vec![*new]).await?;
            let one = submitted.first().ok_or_else(ApiError::internal)?;
            let task = gate.tasks.get(&visit.caller, &one.id).await;
            match task.map_err(|error| ApiError::of_store(&error))? {
                Some(task) => Ok(accepted(&task, one)),
                // It has ended, and its time is over.
                None => Ok(Json(submitted_json(one)).into_response()),
            }
        }
        Wish::Many(tasks) => {
            let submitted = gate.tasks.submit(&visit.caller, tasks).await?;
            let tasks: Vec<Value> = submitted.iter().map(submitted_json).collect();
            let body = Json(json!({ "tasks": tasks }));
            Ok((StatusCode::ACCEPTED, body).into_response())
        }
    }
}

/// What is said of each of several tasks that were submitted.
pub(crate) fn submitted_json(submitted: &Submitted) -> Value {
    json!({ "id": submitted.id, "existing": submitted.was_there })
}

/// 202 while it is still to be done, 200 where it has ended or was there before.
fn accepted(task: &Task, submitted: &Submitted) -> Response {
    let is_new = !submitted.was_there && !task.state.is_final();
    let status = if is_new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let mut response = (status, Json(task_json(task))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/tasks/{}", task.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

async fn task(gate: &Gate, visit: &Visit, id: &str) -> Result<Task, ApiError> {
    let task = gate.tasks.get(&visit.caller, id).await;
    task.map_err(|error| ApiError::of_store(&error))?
        .ok_or_else(|| absent(id))
}

fn absent(id: &str) -> ApiError {
    let message = format!("there is no task {id:?} (any more)");
    ApiError::absent("task_not_found", message).about("id")
}

/// Shows a task.
pub(super) async fn show(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(task_json(&task(&gate, &visit, &id).await?)))
}

/// Lists tasks, the newest first.
pub(super) async fn list(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let list = read::list(request.uri().query().unwrap_or_default())?;
    let page = gate.tasks.list(&visit.caller, &list).await;
    let page = page.map_err(|error| ApiError::of_store(&error))?;
    Ok(Json(page_json(&page)))
}

/// How many tasks there are of everything, of all tenants.
pub(super) async fn stats(
    State(gate): State<Arc<Gate>>,
    _: Visit,
) -> Result<Json<Value>, ApiError> {
    let stats = gate.tasks.stats().await;
    Ok(Json(stats_json(
        &stats.map_err(|error| ApiError::of_store(&error))?,
    )))
}

/// Cancels a task: one that runs is told to stop.
pub(super) async fn cancel(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let outcome = gate.tasks.cancel(&visit.caller, &id).await;
    let status = match outcome.map_err(|error| ApiError::of_store(&error))? {
        CancelOutcome::Cancelled | CancelOutcome::Ended(_) => StatusCode::OK,
        // It has still to stop.
        CancelOutcome::Stopping => StatusCode::ACCEPTED,
        CancelOutcome::Missing => return Err(absent(&id)),
    };
    let task = task(&gate, &visit, &id).await?;
    Ok((status, Json(task_json(&task))).into_response())
}

/// Takes a task up again that ended in vain.
pub(super) async fn retry(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    gate.tasks.retry(&visit.caller, &id).await?;
    let task = task(&gate, &visit, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(task_json(&task))).into_response())
}
