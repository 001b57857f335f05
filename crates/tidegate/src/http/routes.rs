//! Every route, in one table: the router, `/openapi.json` and the page at `/`
//! are made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, patch, post};

use super::visit::Access;
use super::{
    Gate, cache, chat, embeddings, feedback, health, home, limits, models, openapi, prompts,
    reload, scan, sessions, stats, tasks, toon,
};

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

impl Route {
    fn get(
        path: &'static str,
        access: Access,
        summary: &'static str,
        response: Reply,
        handler: MethodRouter<Arc<Gate>>,
    ) -> Self {
        Self {
            path,
            method: "get",
            access,
            summary,
            request: None,
            response,
            handler,
        }
    }

    fn post(
        path: &'static str,
        access: Access,
        summary: &'static str,
        response: Reply,
        handler: MethodRouter<Arc<Gate>>,
    ) -> Self {
        Self {
            method: "post",
            ..Self::get(path, access, summary, response, handler)
        }
    }

    /// The same with another method.
    fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// With a body of this component schema.
    fn takes(self, request: &'static str) -> Self {
        Self {
            request: Some(request),
            ..self
        }
    }
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
    all.extend(talking_routes());
    all.extend(model_routes());
    all.extend(toon_routes());
    all.extend(prompt_routes());
    all.extend(session_routes());
    all.extend(task_routes());
    all.extend(operator_routes());
    all.extend(cache_routes());
    all.extend(house_routes());
    all
}

fn talking_routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/chat/completions",
            Access::Tenant,
            "Answer a conversation, whole or as a stream, from a chain of models",
            Reply::JsonOrEvents("ChatCompletion"),
            post(chat::chat),
        )
        .takes("ChatRequest"),
        Route::post(
            "/v1/completions",
            Access::Tenant,
            "Complete a text, in OpenAI's legacy dialect, from upstreams that still speak it",
            Reply::JsonOrEvents("LegacyCompletion"),
            post(chat::completions),
        )
        .takes("CompletionRequest"),
        Route::post(
            "/v1/messages",
            Access::Tenant,
            "Answer a conversation in Anthropic's dialect, whole or as a stream",
            Reply::JsonOrEvents("MessagesAnswer"),
            post(chat::messages),
        )
        .takes("MessagesRequest"),
        Route::post(
            "/v1/embeddings",
            Access::Tenant,
            "Embed texts",
            Reply::Json("EmbeddingList"),
            post(embeddings::embeddings),
        )
        .takes("EmbeddingRequest"),
    ]
}

fn model_routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/scan",
            Access::Tenant,
            "Scan a text, or several, and say what was found",
            Reply::Json("Verdict"),
            post(scan::scan),
        )
        .takes("ScanRequest"),
        Route::post(
            "/v1/verdicts/{id}/feedback",
            Access::Tenant,
            "Say of a verdict that it was a false alarm, missed something, or was right",
            Reply::Json("Feedback"),
            post(feedback::give),
        )
        .takes("FeedbackRequest"),
        Route::get(
            "/v1/models",
            Access::Tenant,
            "List the configured model names",
            Reply::Json("ModelList"),
            get(models::list),
        ),
        Route::get(
            "/v1/models/{name}",
            Access::Tenant,
            "Show one configured model name",
            Reply::Json("Model"),
            get(models::one),
        ),
        Route::post(
            "/v1/models/{name}/reset",
            Access::Admin,
            "Close the breakers of a model's chain, of one provider/model (percent-encoded), or of all",
            Reply::Json("Reset"),
            post(stats::reset),
        ),
        Route::post(
            "/v1/limits/{name}/reserve",
            Access::Tenant,
            "Reserve one request and tokens for a call that is made elsewhere",
            Reply::Json("Reservation"),
            post(limits::reserve),
        )
        .takes("ReserveRequest"),
        Route::post(
            "/v1/limits/settle",
            Access::Tenant,
            "End a reservation with what was really used",
            Reply::Json("Settled"),
            post(limits::settle),
        )
        .takes("SettleRequest"),
    ]
}

fn prompt_routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/prompts",
            Access::Tenant,
            "List prompts with their parameters, and frameworks",
            Reply::Json("PromptList"),
            get(prompts::list),
        ),
        Route::post(
            "/v1/prompts/{name}/render",
            Access::Tenant,
            "Fill a prompt with parameters, within a budget of tokens",
            Reply::Json("RenderedPrompt"),
            post(prompts::render),
        )
        .takes("RenderRequest"),
    ]
}

fn toon_routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/toon/encode",
            Access::Tenant,
            "Write JSON as TOON, in the compact dialect, or in whichever takes the fewest tokens",
            Reply::Json("ToonText"),
            post(toon::encode),
        )
        .takes("ToonEncodeRequest"),
        Route::post(
            "/v1/toon/decode",
            Access::Tenant,
            "Read TOON, or the compact dialect, back into JSON",
            Reply::Json("ToonValue"),
            post(toon::decode),
        )
        .takes("ToonDecodeRequest"),
    ]
}

fn session_routes() -> Vec<Route> {
    const ONE: &str = "/v1/sessions/{id}";
    vec![
        Route::post(
            "/v1/sessions",
            Access::Tenant,
            "Make a session: a conversation that is kept",
            Reply::Json("Session"),
            post(sessions::create),
        )
        .takes("SessionPatch"),
        Route::get(
            "/v1/sessions",
            Access::Tenant,
            "List the sessions of a user, in the order in which they were made",
            Reply::Json("SessionList"),
            get(sessions::list),
        ),
        Route::get(
            ONE,
            Access::Tenant,
            "Show a session, which lives on for it",
            Reply::Json("Session"),
            get(sessions::show),
        ),
        Route::post(
            ONE,
            Access::Tenant,
            "Change a session: merge preferences and data (RFC 7396), append messages",
            Reply::Json("Session"),
            patch(sessions::update),
        )
        .by("patch")
        .takes("SessionPatch"),
        Route::get(
            ONE,
            Access::Tenant,
            "Delete a session",
            Reply::Json("SessionDeleted"),
            delete(sessions::remove),
        )
        .by("delete"),
    ]
}

fn task_routes() -> Vec<Route> {
    const ONE: &str = "/v1/tasks/{id}";
    vec![
        Route::post(
            "/v1/tasks",
            Access::Tenant,
            "Submit a task to be done in the background, or several, all or none",
            Reply::Json("TaskSubmitted"),
            post(tasks::submit),
        )
        .takes("TaskRequest"),
        Route::get(
            "/v1/tasks",
            Access::Tenant,
            "List tasks by state, kind and tag, the newest first",
            Reply::Json("TaskList"),
            get(tasks::list),
        ),
        Route::get(
            "/v1/tasks/stats",
            Access::Admin,
            "Count the tasks of all tenants by state, kind and priority",
            Reply::Json("TaskStats"),
            get(tasks::stats),
        ),
        Route::get(
            ONE,
            Access::Tenant,
            "Show a task with its input and result",
            Reply::Json("Task"),
            get(tasks::show),
        ),
        Route::get(
            ONE,
            Access::Tenant,
            "Cancel a task: one that runs is told to stop",
            Reply::Json("Task"),
            delete(tasks::cancel),
        )
        .by("delete"),
        Route::post(
            "/v1/tasks/{id}/retry",
            Access::Tenant,
            "Take a task up again that is dead or failed",
            Reply::Json("Task"),
            post(tasks::retry),
        ),
        Route::get(
            "/v1/tasks/{id}/events",
            Access::Tenant,
            "Watch a task: server-sent events state, progress and end",
            Reply::Text("text/event-stream"),
            get(tasks::events),
        ),
    ]
}

fn operator_routes() -> Vec<Route> {
    vec![
        Route::post(
            "/admin/reload",
            Access::Admin,
            "Read the whole configuration again and let it hold, or change nothing",
            Reply::Json("Reloaded"),
            post(reload::reload),
        ),
        Route::get(
            "/v1/stats",
            Access::Admin,
            "Health of every chain entry",
            Reply::Json("Stats"),
            get(stats::stats),
        ),
        Route::get(
            "/model_stats",
            Access::Admin,
            "The same in AI-Prism's shape",
            Reply::Json("ModelStats"),
            get(stats::model_stats),
        ),
    ]
}

fn cache_routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/cache/stats",
            Access::Admin,
            "What the cache has done and whether it can be used",
            Reply::Json("CacheStats"),
            get(cache::stats),
        ),
        Route::post(
            "/v1/cache/invalidate",
            Access::Tenant,
            "Forget what is kept, by key, tag, domain, namespace or prefix",
            Reply::Json("Removed"),
            post(cache::invalidate),
        )
        .takes("InvalidateRequest"),
        Route::post(
            "/v1/cache/warm",
            Access::Admin,
            "Put answers into the cache before anybody asks for them",
            Reply::Json("Warmed"),
            post(cache::warm),
        )
        .takes("WarmRequest"),
    ]
}

fn house_routes() -> Vec<Route> {
    vec![
        Route::get(
            "/health/live",
            Access::Public,
            "Whether the process answers at all",
            Reply::Json("Live"),
            get(health::live),
        ),
        Route::get(
            "/health/ready",
            Access::Public,
            "Whether requests should be sent here",
            Reply::Json("Ready"),
            get(health::ready),
        ),
        Route::get(
            "/metrics",
            Access::Admin,
            "Metrics for Prometheus",
            Reply::Text("application/openmetrics-text"),
            get(health::metrics),
        ),
        Route::get(
            "/openapi.json",
            Access::Tenant,
            "This description",
            Reply::Text("application/json"),
            get(openapi::serve),
        ),
        Route::get(
            "/docs",
            Access::Tenant,
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
        Route::get(
            "/",
            Access::Tenant,
            "The endpoints, for people",
            Reply::Text("text/html"),
            get(home::page),
        ),
    ]
}
