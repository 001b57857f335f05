//! Every route, in one table: the router, `/openapi.json` and the page at `/`
//! are made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::visit::Access;
use super::{Gate, chat, embeddings, health, home, limits, models, openapi, reload, stats};

/// One method of one path.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) access: Access,
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
    all.push(reload_route());
    all.extend(operator_routes());
    all
}

fn model_routes() -> Vec<Route> {
    vec![
        Route {
            path: "/v1/chat/completions",
            method: "post",
            access: Access::Tenant,
            summary: "Answer a conversation, whole or as a stream, from a chain of models",
            request: Some("ChatRequest"),
            response: Reply::JsonOrEvents("ChatCompletion"),
            handler: post(chat::chat),
        },
        Route {
            path: "/v1/completions",
            method: "post",
            access: Access::Tenant,
            summary: "Complete a text, in OpenAI's legacy dialect, from upstreams that still speak it",
            request: Some("CompletionRequest"),
            response: Reply::JsonOrEvents("LegacyCompletion"),
            handler: post(chat::completions),
        },
        Route {
            path: "/v1/messages",
            method: "post",
            access: Access::Tenant,
            summary: "Answer a conversation in Anthropic's dialect, whole or as a stream",
            request: Some("MessagesRequest"),
            response: Reply::JsonOrEvents("MessagesAnswer"),
            handler: post(chat::messages),
        },
        Route {
            path: "/v1/embeddings",
            method: "post",
            access: Access::Tenant,
            summary: "Embed texts",
            request: Some("EmbeddingRequest"),
            response: Reply::Json("EmbeddingList"),
            handler: post(embeddings::embeddings),
        },
        Route {
            path: "/v1/models",
            method: "get",
            access: Access::Tenant,
            summary: "List the configured model names",
            request: None,
            response: Reply::Json("ModelList"),
            handler: get(models::list),
        },
        Route {
            path: "/v1/models/{name}",
            method: "get",
            access: Access::Tenant,
            summary: "Show one configured model name",
            request: None,
            response: Reply::Json("Model"),
            handler: get(models::one),
        },
        Route {
            path: "/v1/models/{name}/reset",
            method: "post",
            access: Access::Admin,
            summary: "Close the breakers of a model's chain, of one provider/model (percent-encoded), or of all",
            request: None,
            response: Reply::Json("Reset"),
            handler: post(stats::reset),
        },
        Route {
            path: "/v1/limits/{name}/reserve",
            method: "post",
            access: Access::Tenant,
            summary: "Reserve one request and tokens for a call that is made elsewhere",
            request: Some("ReserveRequest"),
            response: Reply::Json("Reservation"),
            handler: post(limits::reserve),
        },
        Route {
            path: "/v1/limits/settle",
            method: "post",
            access: Access::Tenant,
            summary: "End a reservation with what was really used",
            request: Some("SettleRequest"),
            response: Reply::Json("Settled"),
            handler: post(limits::settle),
        },
    ]
}

fn reload_route() -> Route {
    Route {
        path: "/admin/reload",
        method: "post",
        access: Access::Admin,
        summary: "Read the whole configuration again and let it hold, or change nothing",
        request: None,
        response: Reply::Json("Reloaded"),
        handler: post(reload::reload),
    }
}

fn operator_routes() -> Vec<Route> {
    let read = |path, access, summary, response, handler| Route {
        path,
        method: "get",
        access,
        summary,
        request: None,
        response,
        handler,
    };
    vec![
        read(
            "/v1/stats",
            Access::Admin,
            "Health of every chain entry",
            Reply::Json("Stats"),
            get(stats::stats),
        ),
        read(
            "/model_stats",
            Access::Admin,
            "The same in AI-Prism's shape",
            Reply::Json("ModelStats"),
            get(stats::model_stats),
        ),
        read(
            "/health/live",
            Access::Public,
            "Whether the process answers at all",
            Reply::Json("Live"),
            get(health::live),
        ),
        read(
            "/health/ready",
            Access::Public,
            "Whether requests should be sent here",
            Reply::Json("Ready"),
            get(health::ready),
        ),
        read(
            "/metrics",
            Access::Admin,
            "Metrics for Prometheus",
            Reply::Text("application/openmetrics-text"),
            get(health::metrics),
        ),
        read(
            "/openapi.json",
            Access::Tenant,
            "This description",
            Reply::Text("application/json"),
            get(openapi::serve),
        ),
        read(
            "/docs",
            Access::Tenant,
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
        read(
            "/",
            Access::Tenant,
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
    ]
}
