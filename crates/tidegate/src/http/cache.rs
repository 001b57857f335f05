//! `GET /v1/cache/stats`, `POST /v1/cache/invalidate`, `POST /v1/cache/warm`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{Deadline, MOST_NAME_BYTES, Selector};

use super::Gate;
use super::body::read_object;
use super::error::ApiError;
use super::maxima::check_entries;
use super::visit::Visit;
use super::warm::{ENTRY, Entry, Outcome, warm_all};

/// How the cache is doing, in this process.
pub(super) async fn stats(State(gate): State<Arc<Gate>>) -> Json<Value> {
    let live = gate.current.load();
    let health = live.engine.cache_health().await;
    let stats = live.engine.cache_stats();
    let millis = |took: std::time::Duration| (took.as_secs_f64() * 1e6).round() / 1e3;
    Json(json!({
        "hits": stats.hits,
        "shared_hits": stats.shared_hits,
        "misses": stats.misses,
        "hit_rate": (stats.hit_rate() * 1e4).round() / 1e4,
        "sets": stats.sets,
        "evictions": stats.evictions,
        "invalidations": stats.invalidations,
        "errors": stats.errors,
        "bytes": stats.bytes,
        "entries": stats.entries,
        "health": {
            "home": health.home,
            "status": if health.latency.is_ok() { "ok" } else { "unreachable" },
            "latency_ms": health.latency.as_ref().ok().map(|took| millis(*took)),
            "error": health.latency.as_ref().err().map(ToString::to_string),
        },
    }))
}

const INVALIDATE: &str = "exactly one of {key: string}, {tag: string}, {domain: string}, \
{namespace: string} and {prefix: string}, with tenant?: string";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    key: Option<String>,
    tag: Option<String>,
    domain: Option<String>,
    namespace: Option<String>,
    prefix: Option<String>,
    tenant: Option<String>,
}

impl Invalidate {
    /// What is meant, if that is one thing.
    fn selector(self) -> Result<Selector, ApiError> {
        let given = [
            self.key.map(Selector::Key),
            self.tag.map(Selector::Tag),
            self.domain.map(Selector::Domain),
            self.namespace.map(Selector::Namespace),
            self.prefix.map(Selector::Prefix),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(one), None) = (given.next(), given.next()) else {
            let message = format!("the body must be {INVALIDATE}");
            return Err(ApiError::invalid("invalid_parameter", message));
        };
        let (param, name) = match &one {
            Selector::Key(name) => ("key", name),
            Selector::Tag(name) => ("tag", name),
            Selector::Domain(name) => ("domain", name),
            Selector::Namespace(name) => ("namespace", name),
            Selector::Prefix(name) => ("prefix", name),
        };
        if name.is_empty() || name.len() > MOST_NAME_BYTES {
            let message = format!("{param} must be a string of 1 to {MOST_NAME_BYTES} bytes");
            return Err(ApiError::invalid("invalid_parameter", message).about(param));
        }
        Ok(one)
    }
}

/// Everybody, in the place of a tenant's name.
const EVERYBODY: &str = "*";

/// Forgets what the caller's tenant keeps; an operator may name another one, or
/// all of them.
pub(super) async fn invalidate(
    visit: Visit,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let mut wish: Invalidate = read_object(&visit.live, request, deadline, INVALIDATE).await?;
    let tenant = tenant_of(&visit, wish.tenant.take())?;
    let what = wish.selector()?;
    let tenant = Some(tenant).filter(|tenant| tenant != EVERYBODY);
    let removed = visit.live.engine.forget(tenant.as_deref(), &what).await;
    let removed = removed.map_err(|error| ApiError::store(&error))?;
    tracing::info!(removed, "{removed} cached values were forgotten");
    Ok(Json(json!({"removed": removed})))
}

/// Whose cache is meant: the caller's, unless an operator says otherwise.
fn tenant_of(visit: &Visit, named: Option<String>) -> Result<String, ApiError> {
    let own = visit.caller.tenant();
    match named {
        None => Ok(own.to_owned()),
        Some(name) if name == own || visit.caller.is_trusted() => Ok(name),
        Some(_) => {
            let message = "only an operator's key may name another tenant than its own";
            Err(ApiError::forbidden(message).about("tenant"))
        }
    }
}

/// Whether a text can be the name of a domain.
pub(super) fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Warm {
    entries: Vec<Entry>,
}

/// Puts answers into the cache before anybody asks for them.
pub(super) async fn warm(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let shape = format!("{{entries: [{ENTRY}]}}");
    let wish: Warm = read_object(&visit.live, request, deadline, &shape).await?;
    check_entries(wish.entries.len())?;
    let outcomes = warm_all(&visit.live, &visit.caller, wish.entries).await;
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|one| wanted(one)).count();
    let entries: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
    Ok(Json(json!({
        "warmed": count(|one| matches!(one, Outcome::Warmed)),
        "skipped": count(|one| matches!(one, Outcome::Skipped)),
        "failed": count(|one| matches!(one, Outcome::Failed(_))),
        "entries": entries,
    })))
}
