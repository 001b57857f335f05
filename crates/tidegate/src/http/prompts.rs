//! `GET /v1/prompts`, `POST /v1/prompts/{name}/render`, and requests that name a
//! prompt.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate_engine::{
    ChatRequest, Deadline, Dialect, EngineError, RawObject, RenderWish, Rendered, openings,
};

use super::Gate;
use super::body::read_object;
use super::error::ApiError;
use super::visit::Visit;
use crate::prompt_report::{framework_json, prompt_json};

const SHAPE: &str = "{parameters?: object, budget_tokens?: integer of at least 1, \
                     variant?: string, variant_key?: string}";

/// What a prompt is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    parameters: Option<Map<String, Value>>,
    budget_tokens: Option<u64>,
    variant: Option<String>,
    variant_key: Option<String>,
}

/// A prompt that a chat request names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedPrompt {
    name: String,
    parameters: Option<Map<String, Value>>,
    budget_tokens: Option<u64>,
    variant: Option<String>,
    variant_key: Option<String>,
}

impl From<Wish> for RenderWish {
    fn from(wish: Wish) -> Self {
        Self {
            parameters: wish.parameters.unwrap_or_default(),
            budget_tokens: wish.budget_tokens,
            variant: wish.variant,
            key: wish.variant_key,
        }
    }
}

/// Every prompt and every framework.
pub(super) async fn list(visit: Visit) -> Json<Value> {
    let library = visit.live.engine.library();
    Json(json!({
        "prompts": library.prompts().map(prompt_json).collect::<Vec<_>>(),
        "frameworks": library.frameworks().map(framework_json).collect::<Vec<_>>(),
        "version": library.version(),
    }))
}

/// What comes of a prompt.
pub(super) async fn render(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let budget = visit.live.settings.deadline;
    let deadline = Deadline::after(budget);
    let wish: Wish = read_object(&visit.live, request, deadline, SHAPE).await?;
    let rendering = visit.live.engine.render(&name, wish.into());
    let late = |_| ApiError::from(EngineError::DeadlineExceeded { budget });
    let rendered = deadline.run(rendering).await.map_err(late)??;
    gate.metrics.rendered(&rendered);
    Ok(Json(rendered.to_json()))
}

/// What the answer says of the prompt that was used: `name@version/variant`.
pub(super) const PROMPT: HeaderName = HeaderName::from_static("x-tidegate-prompt");

/// A request with what a prompt puts before it.
pub(super) struct Prompted {
    pub(super) request: ChatRequest,
    pub(super) rendered: Rendered,
}

impl Prompted {
    /// Renders the prompt that a request names. Whoever asks gets the same
    /// variant each time: the session, or the user, stands for them.
    pub(super) async fn of(
        visit: &Visit,
        named: NamedPrompt,
        (dialect, raw): (Dialect, &RawObject),
        session: Option<&str>,
    ) -> Result<Self, ApiError> {
        let session = session.map(str::to_owned);
        let wish = RenderWish {
            parameters: named.parameters.unwrap_or_default(),
            budget_tokens: named.budget_tokens,
            variant: named.variant,
            key: named
                .variant_key
                .or(session)
                .or_else(|| ChatRequest::user_in(dialect, raw)),
        };
        let rendering = visit.live.engine.render(&named.name, wish);
        let rendered = rendering
            .await
            .map_err(|error| below(error, "tidegate.prompt"))?;
        let request = ChatRequest::after(&openings(&rendered), dialect, raw)?;
        Ok(Self { request, rendered })
    }
}

/// What of the answer's head speaks of the prompt.
pub(super) fn header(rendered: &Rendered) -> Option<HeaderValue> {
    let (name, version, variant) = (&rendered.prompt, &rendered.version, &rendered.variant);
    HeaderValue::from_str(&format!("{name}@{version}/{variant}")).ok()
}

/// The error with its parameter's place in the whole request.
fn below(error: EngineError, place: &str) -> ApiError {
    let EngineError::Prompt(wrong) = &error else {
        return error.into();
    };
    let api = ApiError::from(wrong);
    match wrong.param() {
        Some(param) => api.about(&format!("{place}.{param}")),
        None => api,
    }
}
