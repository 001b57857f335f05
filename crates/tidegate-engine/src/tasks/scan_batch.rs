//! `scan_batch`: many texts before the guard, in the background.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tidegate_guard::{Direction, Mode, ScanRequest};
use tidegate_tasks::{Job, TaskError};

use super::{InForce, tenant};
use crate::answer::CacheUse;
use crate::guard::Scanned;
use crate::scans_cache::ScanTerms;

/// Texts that are scanned between two words of progress.
const TOGETHER: usize = 64;

/// What is scanned, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    texts: Vec<String>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    direction: Option<Direction>,
    #[serde(default)]
    policy: Option<String>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// How many texts were let through, flagged, redacted and blocked, in
    /// the guard's own words.
    outcomes: std::collections::BTreeMap<String, u64>,
    /// In the order of the texts.
    results: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    outcome: String,
    rules: Vec<String>,
}

pub(super) async fn run(in_force: Arc<dyn InForce>, job: Job<Input>) -> Result<Output, TaskError> {
    let (engine, caller) = tenant::of(&*in_force, &job.context)?;
    let Input {
        texts,
        mode,
        direction,
        policy,
    } = job.input;
    let chosen = engine.choose_policy(&caller, policy.as_deref());
    let chosen = chosen.map_err(|error| tenant::failed(&error))?;
    let request = ScanRequest {
        direction: direction.unwrap_or(Direction::Prompt),
        mode: mode.unwrap_or_else(|| engine.scan_mode()),
        policy: chosen.policy,
        suppress: Vec::new(),
        tenant: Some(caller.tenant().into()),
        at: Some(SystemTime::now()),
    };
    let terms = ScanTerms {
        caller: &caller,
        cache: CacheUse::Default,
        source: chosen.source,
    };
    let total = texts.len();
    let mut output = Output {
        outcomes: std::collections::BTreeMap::new(),
        results: Vec::with_capacity(total),
    };
    let mut texts = texts.into_iter();
    loop {
        let some: Vec<String> = texts.by_ref().take(TOGETHER).collect();
        if some.is_empty() {
            return Ok(output);
        }
        let scanned = engine.scan_all(some, &request, terms).await;
        for scanned in scanned.map_err(|error| tenant::failed(&error))? {
            output.add(&scanned);
        }
        let done = output.results.len();
        job.context.progress(done as u64, total as u64, "scanning");
    }
}

impl Output {
    fn add(&mut self, scanned: &Scanned) {
        let verdict = &scanned.verdict;
        let outcome = verdict.outcome.to_string();
        *self.outcomes.entry(outcome.clone()).or_default() += 1;
        let rules = verdict
            .detections
            .iter()
            .map(|found| found.rule.to_string());
        self.results.push(Found {
            outcome,
            rules: rules.collect(),
        });
    }
}
