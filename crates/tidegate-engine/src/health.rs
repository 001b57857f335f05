//! How every entry is doing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_resilience::Health;
use tidegate_store::{CacheStats, Level, Quota, StoreState};
use tokio::time::Instant;

use crate::assemble::Engine;
use crate::entry::Entry;
use crate::policies::Agreement;
use crate::verdicts::GuardCounts;

/// How the engine is doing.
#[derive(Debug, Clone)]
pub struct EngineHealth {
    /// Every chain entry, by name.
    pub entries: Vec<EntryHealth>,
    /// Requests that wait for room.
    pub waiting: usize,
    /// The answer cache.
    pub cache: CacheStats,
    /// What the guard said.
    pub guard: GuardCounts,
    /// How the gate's own policy and one that is rolled out agree.
    pub agreement: Option<Agreement>,
    /// The home of what is shared.
    pub store: StoreState,
}

/// How one chain entry is doing.
#[derive(Debug, Clone)]
pub struct EntryHealth {
    /// `provider/model`.
    pub name: String,
    /// Its breaker.
    pub breaker: BreakerHealth,
    /// What happened since the start.
    pub counts: Counts,
    /// Calls under way.
    pub active_requests: u32,
    /// Mean time of successful calls.
    pub avg_response: Duration,
    /// What is in use of its quota.
    pub level: Level,
    /// What may be used.
    pub quota: Quota,
}

impl EntryHealth {
    /// The share of each limit that is not in use; limits that there are not are
    /// missing.
    pub fn headroom(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let (quota, level) = (self.quota, self.level);
        let share = |limit: Option<u64>, used: u64| {
            limit.map(|limit| limit.saturating_sub(used) as f64 / limit as f64)
        };
        [
            ("requests", share(quota.requests, level.requests)),
            ("tokens", share(quota.tokens, level.tokens)),
            ("concurrency", share(quota.concurrent, level.concurrent)),
        ]
        .into_iter()
        .filter_map(|(limit, share)| Some((limit, share?)))
    }
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy)]
pub struct BreakerHealth {
    /// `healthy`, `circuit_open` or `half_open`.
    pub state: Health,
    /// Until the next probe.
    pub cooldown_remaining: Duration,
    /// Times that it opened for failures.
    pub trips: u64,
    /// Times that it closed again.
    pub recoveries: u64,
}

/// Calls since the start, by how they ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Calls sent.
    pub total: u64,
    /// Answered.
    pub successful: u64,
    /// Failed upstream.
    pub failed: u64,
    /// Throttled upstream.
    pub throttled: u64,
    /// Of those, within the last minute.
    pub recent_throttles: u64,
    /// Left by their caller, or refused for a fault of the request.
    pub abandoned: u64,
    /// Repeats after a failure here.
    pub retried: u64,
    /// Calls that came here because an earlier entry of the chain had no answer.
    pub fallback_used: u64,
}

impl Engine {
    /// How every entry is doing.
    pub async fn health(&self) -> EngineHealth {
        let mut entries = Vec::new();
        for entry in self.rooms.chains.entries() {
            let level = self
                .rooms
                .generator
                .limits
                .level(&entry.standing.limit.key)
                .await;
            entries.push(entry.health(level));
        }
        EngineHealth {
            entries,
            waiting: self.rooms.chains.waiting(),
            cache: self.rooms.store.cache.stats(),
            guard: self.rooms.guard.counts(),
            agreement: self.rooms.guard.agreement(),
            store: self.store_state(),
        }
    }

    /// How the home of what is shared is doing.
    pub fn store_state(&self) -> StoreState {
        self.rooms.store.state()
    }

    /// Closes the breakers of one entry, of a model's whole chain, or of
    /// `all`. Returns the names of those that were reset.
    pub fn reset(&self, name: &str) -> Vec<String> {
        let of_chain = self.rooms.chains.configured(name);
        let in_chain = |entry: &Entry| {
            of_chain
                .as_ref()
                .is_some_and(|chain| chain.entries.iter().any(|member| member.name == entry.name))
        };
        let meant = |entry: &Entry| name == "all" || *entry.name == *name || in_chain(entry);
        let entries = self.rooms.chains.entries();
        let reset = entries.into_iter().filter(|entry| meant(entry));
        reset
            .map(|entry| {
                entry.standing.breaker.reset(Instant::now().into_std());
                let limits = &self.rooms.generator.limits;
                limits.warm(&entry.standing.limit.key);
                entry.standing.ring();
                entry.name.to_string()
            })
            .collect()
    }
}

impl Entry {
    fn health(&self, level: Level) -> EntryHealth {
        let now = Instant::now().into_std();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let standing = &self.standing;
        let counters = &standing.counters;
        if let Some((left, cooling)) = level.cooling
            && standing.breaker.health(now) == Health::Healthy
        {
            self.leave_alone(left, cooling);
        }
        let successful = read(&counters.successful);
        EntryHealth {
            name: self.name.to_string(),
            breaker: BreakerHealth {
                state: standing.breaker.health(now),
                cooldown_remaining: standing.breaker.cooldown_remaining(now),
                trips: standing.breaker.trips(),
                recoveries: standing.breaker.recoveries(),
            },
            counts: Counts {
                total: read(&counters.total),
                successful,
                failed: read(&counters.failed),
                throttled: read(&counters.throttled),
                recent_throttles: counters.recent_throttles(),
                abandoned: read(&counters.abandoned),
                retried: read(&counters.retried),
                fallback_used: read(&counters.fallback_used),
            },
            active_requests: standing.slots.in_use(),
            avg_response: counters.mean_response().unwrap_or_default(),
            level,
            quota: standing.limit.quota(),
        }
    }
}
