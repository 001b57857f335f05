//! `monitor_health`: how the models are doing, for the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_tasks::{Job, TaskError};

use super::InForce;
use crate::health::EntryHealth;

/// Throttled calls of all calls from which on somebody should look.
const MOST_THROTTLED: f64 = 0.1;

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {}

/// How every model is doing.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    models: Vec<ModelHealth>,
    /// Those of whose calls more than a tenth were throttled.
    throttled: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ModelHealth {
    model: String,
    state: &'static str,
    calls: u64,
    failed: u64,
    throttled_share: f64,
    /// Share of its limits that is not in use, the scarcest one.
    headroom: Option<f64>,
}

pub(super) async fn run(in_force: Arc<dyn InForce>, _: Job<Input>) -> Result<Output, TaskError> {
    let health = in_force.engine().health().await;
    let models: Vec<ModelHealth> = health.entries.iter().map(model).collect();
    let mut throttled = Vec::new();
    for model in &models {
        let ModelHealth {
            model: name,
            state,
            calls,
            throttled_share,
            headroom,
            ..
        } = model;
        tracing::info!(model = %name, state, calls, throttled_share, headroom, "model health");
        if *throttled_share > MOST_THROTTLED {
            tracing::warn!(
                model = %name,
                "more than a tenth of the calls to {name} were throttled ({:.0} %): lower its limits, or add another model to the chain",
                throttled_share * 100.0
            );
            throttled.push(name.clone());
        }
    }
    Ok(Output { models, throttled })
}

fn model(entry: &EntryHealth) -> ModelHealth {
    let counts = &entry.counts;
    ModelHealth {
        model: entry.name.clone(),
        state: entry.breaker.state.as_str(),
        calls: counts.total,
        failed: counts.failed,
        throttled_share: share(counts.throttled, counts.total),
        headroom: entry.headroom().map(|(_, share)| share).reduce(f64::min),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
