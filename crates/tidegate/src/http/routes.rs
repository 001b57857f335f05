//! Every route, in one table: the router, `/openapi.json` and the page at `/`
//! are made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::{Gate, chat, embeddings, health, home, limits, models, openapi, stats};

/// One method of one path.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    /// Names of component schemas; none for a request without a body.
    pub(super) request: Option<&'static str>,
    pub(super) response: Reply,
    pub(super) handler: MethodRouter<Arc<Gate>>,
}

/// What a route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// JSON of a component schema.
    Json(&'static str),
    /// JSON of a component schema, or server-sent events.
    JsonOrEvents(&'static str),
    /// Text of this media type.
    Text(&'static str),
}

/// The table.
pub(super) fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    all.extend(model_routes());
    all.extend(operator_routes());
    all
}

fn model_routes() -> Vec<Route> {
    vec![
        Route {
            path: "/v1/chat/completions",
            method: "post",
            summary: "Answer a conversation, whole or as a stream, from a chain of models",
            request: Some("ChatRequest"),
            response: Reply::JsonOrEvents("ChatCompletion"),
            handler: post(chat::chat),
        },
        Route {
            path: "/v1/embeddings",
            method: "post",
            summary: "Embed texts",
            request: Some("EmbeddingRequest"),
            response: Reply::Json("EmbeddingList"),
            handler: post(embeddings::embeddings),
        },
        Route {
            path: "/v1/models",
            method: "get",
            summary: "List the configured model names",
            request: None,
            response: Reply::Json("ModelList"),
            handler: get(models::list),
        },
        Route {
            path: "/v1/models/{name}",
            method: "get",
            summary: "Show one configured model name",
            request: None,
            response: Reply::Json("Model"),
            handler: get(models::one),
        },
        Route {
            path: "/v1/models/{name}/reset",
            method: "post",
            summary: "Close the breakers of a model's chain, of one provider/model (percent-encoded), or of all",
            request: None,
            response: Reply::Json("Reset"),
            handler: post(stats::reset),
        },
        Route {
            path: "/v1/limits/{name}/reserve",
            method: "post",
            summary: "Reserve one request and tokens for a call that is made elsewhere",
            request: Some("ReserveRequest"),
            response: Reply::Json("Reservation"),
            handler: post(limits::reserve),
        },
        Route {
            path: "/v1/limits/settle",
            method: "post",
            summary: "End a reservation with what was really used",
            request: Some("SettleRequest"),
            response: Reply::Json("Settled"),
            handler: post(limits::settle),
        },
    ]
}

fn operator_routes() -> Vec<Route> {
    let read = |path, summary, response, handler| Route {
        path,
        method: "get",
        summary,
        request: None,
        response,
        handler,
    };
    vec![
        read(
            "/v1/stats",
            "Health of every chain entry",
            Reply::Json("Stats"),
            get(stats::stats),
        ),
        read(
            "/model_stats",
            "The same in AI-Prism's shape",
            Reply::Json("ModelStats"),
            get(stats::model_stats),
        ),
        read(
            "/health/live",
            "Whether the process answers at all",
            Reply::Json("Live"),
            get(health::live),
        ),
        read(
            "/health/ready",
            "Whether requests should be sent here",
            Reply::Json("Ready"),
            get(health::ready),
        ),
        read(
            "/metrics",
            "Metrics for Prometheus",
            Reply::Text("application/openmetrics-text"),
            get(health::metrics),
        ),
        read(
            "/openapi.json",
            "This description",
            Reply::Text("application/json"),
            get(openapi::serve),
        ),
        read(
            "/docs",
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
        read(
            "/",
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
    ]
}
