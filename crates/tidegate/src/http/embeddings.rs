//! `POST /v1/embeddings`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use tidegate_engine::{Deadline, EmbedRequest};

use super::Gate;
use super::body::json_body;
use super::chat::respond;
use super::error::ApiError;
use super::maxima::check_embed;
use super::visit::Visit;
use crate::metrics::Operation;

/// Embeds texts.
pub(super) async fn embeddings(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let deadline = Deadline::after(visit.live.settings.deadline);
    let body = json_body(&visit.live, request, deadline).await?;
    let mut request = EmbedRequest::parse(body)?;
    // Ours, not the upstream's to see; nothing in it concerns embeddings.
    request.take("tidegate");
    check_embed(&request)?;
    let context = visit.context(deadline);
    let answer = visit.live.engine.embed(&request, &context).await;
    let answer = answer.map_err(|error| ApiError::after_calls(error, &context.spent, started))?;
    Ok(respond(&gate, Operation::Embeddings, answer, started))
}
