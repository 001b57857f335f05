//! One `provider/model` of a chain: its breaker, slots, quota and counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tidegate_provider::Provider;
use tidegate_resilience::{
    Adaptive, AdaptiveConfig, BreakerConfig, Health, Outcome, RetryBudget, Sample, SharedBreaker,
    Slots, Window,
};
use tidegate_store::Quota;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{Adaptivity, EntryConfig, ResilienceConfig};
use crate::line::Line;
use crate::store_key;

/// One place where a request can be answered. Chains that name the same
/// `provider/model` share it, and with it its limits and its health.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    /// The provider's own name of the model.
    pub(crate) model: String,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) limit: Limit,
    pub(crate) default_output_tokens: u64,
    pub(crate) breaker: SharedBreaker,
    pub(crate) slots: Slots,
    pub(crate) counters: Counters,
    /// Set while the log says that this entry is left alone.
    left_alone: AtomicBool,
    adaptive: Option<Mutex<Adaptive>>,
    budget: Mutex<RetryBudget>,
    /// Who is told when something is given back; the first is the entry's own.
    lines: RwLock<Vec<Arc<Line>>>,
}

/// What may be used here, and where in the store that is counted.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) key: String,
    pub(crate) quota: Quota,
}

/// What happened here since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) total: AtomicU64,
    pub(crate) successful: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) fallback_used: AtomicU64,
    pub(crate) response_micros: AtomicU64,
    recent_throttles: Mutex<Window>,
}

/// Over which throttles count as recent.
const RECENT: Duration = Duration::from_secs(60);

impl Default for Counters {
    fn default() -> Self {
        Self {
            total: AtomicU64::new(0),
            successful: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            fallback_used: AtomicU64::new(0),
            response_micros: AtomicU64::new(0),
            recent_throttles: Mutex::new(Window::new(u64::MAX / 2, RECENT)),
        }
    }
}

impl Counters {
    /// Counts a throttle.
    pub(crate) fn throttle(&self) {
        Self::add(&self.throttled);
        let mut recent = self
            .recent_throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A window of this size is never full.
        let _ = recent.reserve(1, Instant::now().into_std());
    }

    /// Mean time of successful calls, once there are any.
    pub(crate) fn mean_response(&self) -> Option<Duration> {
        let micros = self.response_micros.load(Ordering::Relaxed);
        let mean = micros.checked_div(self.successful.load(Ordering::Relaxed))?;
        Some(Duration::from_micros(mean))
    }

    /// Throttles within the last minute.
    pub(crate) fn recent_throttles(&self) -> u64 {
        let mut recent = self
            .recent_throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recent.used(Instant::now().into_std())
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Slots where the concurrency is not limited.
const UNLIMITED_SLOTS: u32 = u32::MAX;
/// Repeats that are always allowed in a window, so that a quiet gateway can
/// repeat its only request.
const FREE_REPEATS: u32 = 10;
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

impl Entry {
    pub(crate) fn new(
        config: &EntryConfig,
        provider: Arc<dyn Provider>,
        resilience: &ResilienceConfig,
    ) -> Self {
        let most = config.quota.concurrent;
        let slots = most.map_or(UNLIMITED_SLOTS, |most| {
            u32::try_from(most).unwrap_or(u32::MAX)
        });
        let adaptive = (resilience.adaptive == Adaptivity::Adaptive)
            .then(|| Mutex::new(adaptive(slots, &resilience.breaker)));
        Self {
            name: config.name().into(),
            model: config.model.clone(),
            provider,
            limit: Limit {
                key: store_key::entry_limit(&config.name()),
                quota: config.quota,
            },
            default_output_tokens: config.default_output_tokens,
            breaker: SharedBreaker::new(resilience.breaker),
            slots: Slots::new(slots),
            counters: Counters::default(),
            left_alone: AtomicBool::new(false),
            adaptive,
            budget: Mutex::new(RetryBudget::new(
                resilience.retry_budget,
                FREE_REPEATS,
                BUDGET_WINDOW,
            )),
            lines: RwLock::new(vec![Arc::new(Line::new(resilience.max_waiting))]),
        }
    }

    /// Lets a line hear when something is given back here.
    pub(crate) fn serve(&self, line: &Arc<Line>) {
        self.lines
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.clone());
    }

    /// The line of those who asked for this entry by its own name.
    pub(crate) fn own_line(&self) -> Arc<Line> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner)[0].clone()
    }

    /// Tells everybody who waits that something was given back.
    pub(crate) fn ring(&self) {
        for line in self
            .lines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            line.ring();
        }
    }

    /// Whether anybody was ever answered here, or is being served now.
    pub(crate) fn is_of_use(&self) -> bool {
        self.counters.successful.load(Ordering::Relaxed) > 0 || self.slots.in_use() > 0
    }

    /// Counts a request that comes here for the first time; a share of those
    /// may be repeated.
    pub(crate) fn count_request(&self) {
        self.budget().request(Instant::now().into_std());
    }

    /// Whether the retry budget allows one more repeat; takes it if so.
    pub(crate) fn may_repeat(&self) -> bool {
        self.budget().try_repeat(Instant::now().into_std())
    }

    /// Logs when this entry begins to be left alone and when it serves again,
    /// and nothing in between.
    pub(crate) fn log_change(&self, outcome: Outcome) {
        let known = self.left_alone.load(Ordering::Relaxed);
        if matches!(outcome, Outcome::Success { .. }) && !known {
            return;
        }
        let now = Instant::now().into_std();
        let health = self.breaker.health(now);
        let is = health != Health::Healthy;
        if self.left_alone.swap(is, Ordering::Relaxed) == is {
            return;
        }
        let (model, state) = (&*self.name, health.as_str());
        if is {
            let cooldown_ms = self.breaker.cooldown_remaining(now).as_millis() as u64;
            warn!(
                model,
                state, cooldown_ms, "{model} is left alone for {cooldown_ms} ms"
            );
        } else {
            info!(model, state, "{model} serves again");
        }
    }

    /// Lets the concurrency follow what the upstream bears.
    pub(crate) fn adapt(&self, sample: Sample) {
        let Some(adaptive) = &self.adaptive else {
            return;
        };
        let limit = adaptive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(sample);
        self.slots.set_capacity(limit);
    }

    /// Tokens to reserve for a prompt of this many tokens.
    pub(crate) fn tokens_for(&self, prompt_tokens: u64, most_output: Option<u64>) -> u64 {
        prompt_tokens.saturating_add(most_output.unwrap_or(self.default_output_tokens))
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without a configured maximum there must still be one to grow towards.
const MOST_ADAPTIVE_SLOTS: u32 = 1_024;

fn adaptive(slots: u32, breaker: &BreakerConfig) -> Adaptive {
    let max = slots.min(MOST_ADAPTIVE_SLOTS);
    let slow_call = breaker.rate.as_ref().and_then(|rate| rate.slow_call);
    let config = AdaptiveConfig {
        min: 1,
        max,
        backoff_ratio: 0.9,
        slow_call: slow_call.unwrap_or(Duration::MAX),
    };
    Adaptive::new(config, max)
}
