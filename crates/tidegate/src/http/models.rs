//! `GET /v1/models` and one model.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;

use super::error::ApiError;
use super::visit::Visit;

/// OpenAI's list of models.
#[derive(Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// OpenAI's model object.
#[derive(Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl Model {
    fn named(id: &str) -> Self {
        // The contract asks for a time of creation; a name of a chain has none.
        Self {
            id: id.to_owned(),
            object: "model",
            created: 0,
            owned_by: "tidegate",
        }
    }
}

/// Every name of the configuration.
pub(super) async fn list(visit: Visit) -> Json<ModelList> {
    let names = visit.live.engine.models();
    let data = names.into_iter().map(Model::named).collect();
    Json(ModelList {
        object: "list",
        data,
    })
}

/// One name of the configuration.
pub(super) async fn one(visit: Visit, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    if visit.live.engine.models().contains(&id.as_str()) {
        return Ok(Json(Model::named(&id)));
    }
    let message = format!("model {id:?} is not configured; GET /v1/models lists what is");
    Err(ApiError::absent("model_not_found", message).about("model"))
}
