//! `GET /v1/stats`, `GET /model_stats`, `POST /v1/models/{name}/reset`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_engine::{
    Agreement, Engine, EntryHealth, Health, Outcome, Policy, Reach, StoreState, Suppression,
};

use super::Gate;
use super::error::ApiError;

/// Health of one chain entry; field names are AI-Prism's where it has one.
#[derive(Serialize)]
struct Entry {
    name: String,
    state: &'static str,
    cooldown_remaining_ms: u64,
    trips: u64,
    recoveries: u64,
    #[serde(flatten)]
    counts: Counts,
    active_requests: u32,
    avg_response_ms: f64,
    requests_last_minute: u64,
    tokens_last_minute: u64,
    headroom: Headroom,
}

#[derive(Serialize)]
struct Counts {
    total: u64,
    successful: u64,
    failed: u64,
    throttled: u64,
    abandoned: u64,
    retried: u64,
    fallback_used: u64,
}

/// What is left in the current window; `null` is without limit.
#[derive(Serialize)]
struct Headroom {
    requests: Option<u64>,
    tokens: Option<u64>,
    concurrent: Option<u64>,
    window_ms: u64,
}

impl Entry {
    fn of(health: &EntryHealth) -> Self {
        let counts = &health.counts;
        Self {
            name: health.name.clone(),
            state: health.breaker.state.as_str(),
            cooldown_remaining_ms: millis(health.breaker.cooldown_remaining),
            trips: health.breaker.trips,
            recoveries: health.breaker.recoveries,
            counts: Counts {
                total: counts.total,
                successful: counts.successful,
                failed: counts.failed,
                throttled: counts.throttled,
                abandoned: counts.abandoned,
                retried: counts.retried,
                fallback_used: counts.fallback_used,
            },
            active_requests: health.active_requests,
            avg_response_ms: health.avg_response.as_secs_f64() * 1e3,
            requests_last_minute: health.level.requests,
            tokens_last_minute: health.level.tokens,
            headroom: headroom(health),
        }
    }
}

fn headroom(health: &EntryHealth) -> Headroom {
    let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
    Headroom {
        requests: left(health.quota.requests, health.level.requests),
        tokens: left(health.quota.tokens, health.level.tokens),
        concurrent: left(health.quota.concurrent, health.level.concurrent),
        window_ms: millis(health.quota.window),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Health of every chain entry.
pub(super) async fn stats(State(gate): State<Arc<Gate>>) -> Json<Value> {
    let live = gate.current.load();
    let health = live.engine.health().await;
    let entries: Vec<Entry> = health.entries.iter().map(Entry::of).collect();
    Json(json!({
        "models": entries,
        "waiting_requests": health.waiting,
        "cache": {
            "hits": health.cache.hits,
            "misses": health.cache.misses,
            "sets": health.cache.sets,
            "bytes": health.cache.bytes,
            "shared_hits": health.cache.shared_hits,
            "evictions": health.cache.evictions,
            "invalidations": health.cache.invalidations,
            "errors": health.cache.errors,
            "entries": health.cache.entries,
            "hit_rate": health.cache.hit_rate(),
        },
        "store": store(&health.store),
        "guard": guard(&live.engine, health.agreement.as_ref()),
        "uptime_ms": millis(gate.started.elapsed()),
    }))
}

/// The policies in force, and how the one that is rolled out agrees with the
/// gate's own; `rollout` is null without one.
fn guard(engine: &Engine, agreement: Option<&Agreement>) -> Value {
    let now = Some(SystemTime::now());
    let own = engine.policy();
    let policy = |policy: &Policy| {
        let expired = policy.expired(now).map(Suppression::pattern);
        json!({
            "id": policy.id(),
            "version": policy.version(),
            "expired_suppressions": expired.collect::<Vec<_>>(),
        })
    };
    let rollout = agreement.map(|agreement| {
        let row = |(own, candidate, count): &(Outcome, Outcome, u64)| {
            json!({
                "outcome": own.as_str(),
                "candidate_outcome": candidate.as_str(),
                "count": count,
            })
        };
        json!({
            "policy": agreement.rollout.policy.id(),
            "share": agreement.rollout.share,
            "decides": agreement.rollout.decides,
            "model": engine.candidate_classifier(),
            "agreement": agreement.counts.iter().map(row).collect::<Vec<_>>(),
        })
    });
    json!({
        "policy": policy(&own),
        "policies": engine.policies().iter().map(policy).collect::<Vec<_>>(),
        "rollout": rollout,
    })
}

/// The home of what is shared; `since_ms` and `reason` are null unless it is
/// away, and `left_ms` unless it is back and counts from an empty start.
fn store(state: &StoreState) -> Value {
    let (since, left, reason) = match &state.reach {
        Reach::Live => (None, None, None),
        Reach::Recovering { left } => (None, Some(*left), None),
        Reach::Unreachable { since, reason } => (Some(*since), None, Some(reason)),
    };
    json!({
        "home": state.home,
        "reach": state.reach.as_str(),
        "nodes": state.nodes,
        "on_unreachable": state.on_unreachable.as_str(),
        "since_ms": since.map(millis),
        "left_ms": left.map(millis),
        "reason": reason,
    })
}

/// The same in AI-Prism's shape.
pub(super) async fn model_stats(State(gate): State<Arc<Gate>>) -> Json<Value> {
    let live = gate.current.load();
    let health = live.engine.health().await;
    let models: Vec<Value> = health.entries.iter().enumerate().map(prism).collect();
    let cooling = health
        .entries
        .iter()
        .filter(|entry| is_cooling(entry))
        .count();
    Json(json!({
        "success": true,
        "multi_model_enabled": true,
        "version": "V2",
        "stats": {
            "total_models": models.len(),
            "active_cooldowns": cooling,
            "models": models,
        },
    }))
}

fn prism((index, entry): (usize, &EntryHealth)) -> Value {
    let counts = &entry.counts;
    let rate = if counts.total == 0 {
        0.0
    } else {
        counts.successful as f64 / counts.total as f64
    };
    json!({
        "id": entry.name,
        "name": entry.name,
        "priority": index + 1,
        "status": if is_cooling(entry) { "in_cooldown" } else { "available" },
        "total_attempts": counts.total,
        "successful_requests": counts.successful,
        "success_rate": (rate * 1e4).round() / 1e2,
        "recent_throttles_60s": counts.recent_throttles,
        "total_throttles": counts.throttled,
        "cooldown_remaining": entry.breaker.cooldown_remaining.as_secs_f64(),
    })
}

fn is_cooling(entry: &EntryHealth) -> bool {
    entry.breaker.state == Health::CircuitOpen
}

/// Closes the breakers of an entry, of a model's chain, or of `all`.
pub(super) async fn reset(
    State(gate): State<Arc<Gate>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let reset = gate.current.load().engine.reset(&name);
    if reset.is_empty() {
        let message =
            format!("no model or chain entry is called {name:?}; GET /v1/stats lists them");
        return Err(ApiError::absent("model_not_found", message).about("name"));
    }
    tracing::info!(?reset, "breakers were reset");
    Ok(Json(json!({"reset": reset})))
}
