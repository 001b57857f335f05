//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::CacheStats;

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) shared_hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) sets: Counter,
    pub(crate) evictions: Counter,
    pub(crate) invalidations: Counter,
    pub(crate) errors: Counter,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// All of them; what is held now is for the caller to say.
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.get(),
            shared_hits: self.shared_hits.get(),
            misses: self.misses.get(),
            sets: self.sets.get(),
            evictions: self.evictions.get(),
            invalidations: self.invalidations.get(),
            errors: self.errors.get(),
            bytes: 0,
            entries: 0,
        }
    }
}
