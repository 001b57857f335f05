//! One `provider/model` of a chain, as one revision of the configuration has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_provider::Provider;
use tidegate_resilience::{Health, Outcome, Permit, TripCause};
use tidegate_store::{Cooling, Limits};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::EntryConfig;
use crate::standing::Standing;

/// What is left of a cooldown and shorter than this is over before it is told.
const SHORTEST_WORD: Duration = Duration::from_millis(100);

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

    /// Tells the breaker how a call ended, and others what it made of it.
    pub(crate) fn record(&self, permit: Permit, outcome: Outcome, limits: &dyn Limits) {
        let breaker = &self.standing.breaker;
        let now = Instant::now().into_std();
        let before = (breaker.health(now), breaker.cooldown_remaining(now));
        permit.record(outcome, now);
        let cooldown = breaker.cooldown_remaining(now);
        let key = &self.standing.limit.key;
        if before.1.is_zero() && !cooldown.is_zero() {
            let cooling = match outcome {
                Outcome::Throttled { .. } => Cooling::Throttled,
                Outcome::Success { .. } | Outcome::Failure { .. } | Outcome::Ignored => {
                    Cooling::Failures
                }
            };
            self.standing.told.own_word();
            limits.cool(key, cooldown, cooling);
        } else if before.0 != Health::Healthy && breaker.health(now) == Health::Healthy {
            limits.warm(key);
        }
        self.log_change(outcome);
    }

    /// Another node has seen it fail: it is left alone here too, and probed
    /// when that is over.
    pub(crate) fn leave_alone(&self, cooldown: Duration, cooling: Cooling) {
        if cooldown < SHORTEST_WORD {
            return;
        }
        let cause = match cooling {
            Cooling::Failures => TripCause::Failures,
            Cooling::Throttled => TripCause::Throttled,
        };
        let now = Instant::now().into_std();
        self.standing.breaker.open_for(cause, cooldown, now);
        self.standing.told.others_word();
        self.log_change(Outcome::Ignored);
    }

    /// While it is left alone, asks now and then whether others have seen it
    /// serve again.
    pub(crate) async fn hear_of_recovery(&self, limits: &dyn Limits) {
        let breaker = &self.standing.breaker;
        let now = Instant::now();
        if !limits.is_shared()
            || breaker.cooldown_remaining(now.into_std()) < SHORTEST_WORD
            || !self.standing.told.is_due(now)
        {
            return;
        }
        let level = limits.level(&self.standing.limit.key).await;
        if level.cooling.is_some() {
            self.standing.told.others_word();
        } else if self.standing.told.has_others_word() {
            breaker.reset(Instant::now().into_std());
            self.log_change(Outcome::Ignored);
            self.standing.ring();
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
