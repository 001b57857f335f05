//! How an entry stands: what is known of it, and outlives a revision of the
//! configuration.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tidegate_provider::Provider;
use tidegate_resilience::{
    Adaptive, AdaptiveConfig, BreakerConfig, RetryBudget, Sample, SharedBreaker, Slots, Window,
};
use tidegate_store::Quota;
use tokio::time::Instant;

use crate::config::{Adaptivity, EntryConfig, ResilienceConfig};
use crate::line::Line;
use crate::store_key;
use crate::tries::Next;

/// What is known of one `provider/model` at one upstream. Every revision of the
/// configuration that calls the same upstream shares it: a reload neither
/// forgets what is broken nor who is being served.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) limit: Arc<Limit>,
    pub(crate) breaker: SharedBreaker,
    pub(crate) slots: Slots,
    pub(crate) counters: Counters,
    /// Set while the log says that this entry is left alone.
    pub(crate) left_alone: AtomicBool,
    /// What other nodes say while it is.
    pub(crate) told: Told,
    /// The line of those who ask for this entry by its own name.
    pub(crate) own_line: Arc<Line>,
    provider: Arc<dyn Provider>,
    adaptive: Mutex<Option<Adaptive>>,
    budget: Mutex<RetryBudget>,
    /// Who else is told when something is given back.
    lines: RwLock<Vec<Arc<Line>>>,
    /// The revision whose terms hold.
    tuned: Mutex<u64>,
}

/// What a revision of the configuration asks of every entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) resilience: &'a ResilienceConfig,
    /// Of two revisions the higher one is newer, and its terms hold.
    pub(crate) revision: u64,
}

/// What may be used here, and where in the store that is counted.
///
/// There is one for each name, whatever upstream it stands for: were two
/// revisions to ask the store with quotas of their own, they would overwrite
/// each other's.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) key: String,
    quota: RwLock<(u64, Quota)>,
}

impl Limit {
    fn new(key: String, quota: Quota) -> Self {
        Self {
            key,
            quota: RwLock::new((0, quota)),
        }
    }

    /// What the newest revision allows.
    pub(crate) fn quota(&self) -> Quota {
        self.quota.read().unwrap_or_else(PoisonError::into_inner).1
    }

    fn adopt(&self, quota: Quota, revision: u64) {
        let mut known = self.quota.write().unwrap_or_else(PoisonError::into_inner);
        if known.0 < revision {
            *known = (revision, quota);
        }
    }
}

/// All standings that some revision still uses, by `provider/model`.
#[derive(Debug, Default)]
pub(crate) struct Standings(Mutex<HashMap<String, Vec<Weak<Standing>>>>);

impl Standings {
    /// The standing of an entry: the one that it has, or a new one where the
    /// upstream is another than before.
    pub(crate) fn of(
        &self,
        config: &EntryConfig,
        provider: &Arc<dyn Provider>,
        terms: Terms<'_>,
    ) -> Arc<Standing> {
        let name = config.name();
        let mut all = lock(&self.0);
        let known = all.entry(name.clone()).or_default();
        let alive: Vec<_> = known.iter().filter_map(Weak::upgrade).collect();
        let same = alive
            .iter()
            .find(|standing| Arc::ptr_eq(&standing.provider, provider));
        let standing = same.cloned().unwrap_or_else(|| {
            let limit = alive.first().map(|standing| standing.limit.clone());
            let limit = limit.unwrap_or_else(|| {
                let key = store_key::entry_limit(&name);
                Arc::new(Limit::new(key, config.quota))
            });
            let made = Arc::new(Standing::new(limit, provider.clone(), config, terms));
            known.push(Arc::downgrade(&made));
            made
        });
        standing.tune(config, terms);
        standing
    }

    /// Lets go of the names that no revision uses any more.
    pub(crate) fn forget_unused(&self) {
        lock(&self.0).retain(|_, known| {
            known.retain(|standing| standing.strong_count() > 0);
            !known.is_empty()
        });
    }
}

/// State behind these locks is whole after every statement, so a panic
/// elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Slots where the concurrency is not limited.
const UNLIMITED_SLOTS: u32 = u32::MAX;
/// Without a configured maximum there must still be one to grow towards.
const MOST_ADAPTIVE_SLOTS: u32 = 1_024;
/// Repeats that are always allowed in a window, so that a quiet gateway can
/// repeat its only request.
const FREE_REPEATS: u32 = 10;
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

impl Standing {
    fn new(
        limit: Arc<Limit>,
        provider: Arc<dyn Provider>,
        config: &EntryConfig,
        terms: Terms<'_>,
    ) -> Self {
        let resilience = terms.resilience;
        let budget = RetryBudget::new(resilience.retry_budget, FREE_REPEATS, BUDGET_WINDOW);
        Self {
            limit,
            breaker: SharedBreaker::new(resilience.breaker),
            slots: Slots::new(slots(&config.quota)),
            counters: Counters::default(),
            left_alone: AtomicBool::new(false),
            told: Told::default(),
            own_line: Arc::new(Line::new(resilience.max_waiting)),
            provider,
            adaptive: Mutex::default(),
            budget: Mutex::new(budget),
            lines: RwLock::default(),
            tuned: Mutex::new(0),
        }
    }

    /// Follows the terms of a newer revision. Those of an older one, which may
    /// still meet an entry for the first time, are not heard.
    fn tune(&self, config: &EntryConfig, terms: Terms<'_>) {
        self.limit.adopt(config.quota, terms.revision);
        let mut tuned = lock(&self.tuned);
        if *tuned >= terms.revision {
            return;
        }
        *tuned = terms.revision;
        let resilience = terms.resilience;
        self.breaker.adopt(resilience.breaker);
        lock(&self.budget).set_ratio(resilience.retry_budget);
        self.own_line.set_capacity(resilience.max_waiting);
        let slots = slots(&config.quota);
        let mut adaptive = lock(&self.adaptive);
        match resilience.adaptive {
            Adaptivity::Fixed => {
                *adaptive = None;
                self.slots.set_capacity(slots);
            }
            Adaptivity::Adaptive => {
                let bounds = bounds(slots, &resilience.breaker);
                let learned = adaptive.get_or_insert_with(|| Adaptive::new(bounds, bounds.max));
                learned.adopt(bounds);
                self.slots.set_capacity(learned.limit());
            }
        }
    }

    /// Lets a line hear when something is given back here. Lines that nobody
    /// else has any more are let go.
    pub(crate) fn serve(&self, line: &Arc<Line>) {
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|known| Arc::strong_count(known) > 1 && !Arc::ptr_eq(known, line));
        lines.push(line.clone());
    }

    /// Tells everybody who waits that something was given back.
    pub(crate) fn ring(&self) {
        self.own_line.ring();
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter() {
            line.ring();
        }
    }

    /// Whether anybody was ever answered here, or is being served now.
    pub(crate) fn is_of_use(&self) -> bool {
        self.counters.successful.load(Ordering::Relaxed) > 0 || self.slots.in_use() > 0
    }

    /// Counts a request that has found room here, at this place of its chain.
    /// A share of those that come for the first time may be repeated.
    pub(crate) fn count_turn(&self, index: usize, next: Next) {
        if next == Next::Repeat {
            Counters::add(&self.counters.retried);
        } else {
            lock(&self.budget).request(Instant::now().into_std());
        }
        if index > 0 {
            Counters::add(&self.counters.fallback_used);
        }
    }

    /// Whether the retry budget allows one more repeat; takes it if so.
    pub(crate) fn may_repeat(&self) -> bool {
        lock(&self.budget).try_repeat(Instant::now().into_std())
    }

    /// Lets the concurrency follow what the upstream bears.
    pub(crate) fn adapt(&self, sample: Sample) {
        if let Some(adaptive) = &mut *lock(&self.adaptive) {
            self.slots.set_capacity(adaptive.observe(sample));
        }
    }
}

fn slots(quota: &Quota) -> u32 {
    quota.concurrent.map_or(UNLIMITED_SLOTS, |most| {
        u32::try_from(most).unwrap_or(u32::MAX)
    })
}

fn bounds(slots: u32, breaker: &BreakerConfig) -> AdaptiveConfig {
    let slow_call = breaker.rate.as_ref().and_then(|rate| rate.slow_call);
    AdaptiveConfig {
        min: 1,
        max: slots.min(MOST_ADAPTIVE_SLOTS),
        backoff_ratio: 0.9,
        slow_call: slow_call.unwrap_or(Duration::MAX),
    }
}

/// Whether other nodes leave an entry alone as well, and when they were asked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Set once the store says so: only then can it say that it is over.
    by_others: AtomicBool,
    asked: Mutex<Option<Instant>>,
}

/// How often others are asked whether an entry serves again.
const ASK_EVERY: Duration = Duration::from_millis(250);

impl Told {
    /// This node has seen it fail, and others have yet to hear of it.
    pub(crate) fn own_word(&self) {
        self.by_others.store(false, Ordering::Relaxed);
    }

    /// The store says that it is left alone.
    pub(crate) fn others_word(&self) {
        self.by_others.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_others_word(&self) -> bool {
        self.by_others.load(Ordering::Relaxed)
    }

    /// Whether it is time to ask again; who is told so asks.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut asked = lock(&self.asked);
        let due = asked.is_none_or(|at| now.duration_since(at) >= ASK_EVERY);
        if due {
            *asked = Some(now);
        }
        due
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChainConfig, Engine, EngineConfig, ProviderConfig, ProviderKind, mock};

    /// The chains `m`, whose entries differ from those of the number before,
    /// and `*`.
    fn config(number: usize) -> EngineConfig {
        let entries = [
            EntryConfig::new("up", "answer"),
            EntryConfig::new("up", &format!("model-{number}")),
        ];
        let chain = |name: &str, entries: &[EntryConfig]| ChainConfig {
            name: name.to_owned(),
            entries: entries.to_vec(),
        };
        EngineConfig {
            providers: vec![ProviderConfig {
                name: "up".to_owned(),
                kind: ProviderKind::Mock(mock::Script::default()),
            }],
            chains: vec![chain("m", &entries), chain("*", &entries)],
            ..EngineConfig::default()
        }
    }

    #[tokio::test]
    async fn lines_and_names_of_earlier_revisions_are_let_go() {
        let mut engine = Engine::assemble(config(0)).unwrap();
        for number in 1..1_000 {
            engine = engine.reassemble(config(number)).unwrap();
        }
        let entries = engine.rooms.chains.entries();
        let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["up/answer", "up/model-999"]);
        let lines = entries[0].standing.lines.read().unwrap().len();
        assert!(lines <= 3, "{lines}");
        let standings = engine.rooms.chains.standings.clone();
        let names = lock(&standings.0).len();
        assert!(names <= 4, "{names}");
    }

    #[tokio::test]
    async fn a_provider_keeps_its_connections_until_its_configuration_changes() {
        let first = Engine::assemble(config(0)).unwrap();
        let mut other = config(0);
        other.providers[0].kind = ProviderKind::Mock(mock::Script {
            events: 1,
            ..mock::Script::default()
        });
        let same = first.reassemble(config(1)).unwrap();
        let other = same.reassemble(other).unwrap();
        let provider = |engine: &Engine| engine.rooms.chains.entries()[0].provider.clone();
        assert!(Arc::ptr_eq(&provider(&first), &provider(&same)));
        assert!(!Arc::ptr_eq(&provider(&same), &provider(&other)));
    }
}
