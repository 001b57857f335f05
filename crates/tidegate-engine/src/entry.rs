//! One `provider/model` of a chain, as one revision of the configuration has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_provider::Provider;
use tidegate_resilience::{Health, Outcome};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::EntryConfig;
use crate::standing::Standing;

/// One place where a request can be answered. Chains that name the same
/// `provider/model` share it, and with it its limits and its health.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    /// The provider's own name of the model.
    pub(crate) model: String,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) default_output_tokens: u64,
    pub(crate) standing: Arc<Standing>,
}

impl Entry {
    pub(crate) fn new(
        config: &EntryConfig,
        provider: Arc<dyn Provider>,
        standing: Arc<Standing>,
    ) -> Self {
        Self {
            name: config.name().into(),
            model: config.model.clone(),
            provider,
            default_output_tokens: config.default_output_tokens,
            standing,
        }
    }

    /// Logs when this entry begins to be left alone and when it serves again,
    /// and nothing in between.
    pub(crate) fn log_change(&self, outcome: Outcome) {
        let known = self.standing.left_alone.load(Ordering::Relaxed);
        if matches!(outcome, Outcome::Success { .. }) && !known {
            return;
        }
        let now = Instant::now().into_std();
        let health = self.standing.breaker.health(now);
        let is = health != Health::Healthy;
        if self.standing.left_alone.swap(is, Ordering::Relaxed) == is {
            return;
        }
        let (model, state) = (&*self.name, health.as_str());
        if is {
            let cooldown_ms = self.standing.breaker.cooldown_remaining(now).as_millis() as u64;
            warn!(
                model,
                state, cooldown_ms, "{model} is left alone for {cooldown_ms} ms"
            );
        } else {
            info!(model, state, "{model} serves again");
        }
    }

    /// Tokens to reserve for a prompt of this many tokens.
    pub(crate) fn tokens_for(&self, prompt_tokens: u64, most_output: Option<u64>) -> u64 {
        prompt_tokens.saturating_add(most_output.unwrap_or(self.default_output_tokens))
    }
}
