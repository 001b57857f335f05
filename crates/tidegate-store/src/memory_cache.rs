//! The memory home of [`Cache`], bounded in bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{
    Cache, CacheHealth, CacheStats, Freshness, Hit, Keep, Load, Name, Selector, Turn,
};
use crate::error::StoreError;

/// Values in the memory of one process.
#[derive(Debug)]
pub struct MemoryCache {
    entries: moka::sync::Cache<Name, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Bytes,
    until: Instant,
}

/// What one entry costs beside its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 128;

impl MemoryCache {
    /// An empty cache that holds at most `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|name: &Name, entry: &Entry| {
                let names = name.owner.len() + name.key.len();
                let bytes = names + entry.value.len() + ENTRY_OVERHEAD_BYTES;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            entries,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            sets: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, name: &Name) -> Option<Hit> {
        let entry = self.entries.get(name);
        if entry
            .as_ref()
            .is_some_and(|entry| entry.until <= Instant::now())
        {
            self.entries.invalidate(name);
        }
        let fresh = entry.filter(|entry| entry.until > Instant::now());
        let counter = if fresh.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        fresh.map(|entry| Hit {
            value: entry.value,
            freshness: Freshness::Fresh,
        })
    }

    async fn begin(&self, name: &Name) -> Load {
        Load {
            name: name.clone(),
            since: 0,
            lease: None,
        }
    }

    async fn turn(&self, name: &Name) -> Turn {
        Turn::Load(self.begin(name).await)
    }

    async fn turn_to_refresh(&self, name: &Name) -> Option<Load> {
        Some(self.begin(name).await)
    }

    async fn put(&self, load: Load, value: Bytes, keep: &Keep) {
        // A slice of a larger buffer would keep all of it alive.
        let value = Bytes::copy_from_slice(&value);
        self.sets.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + keep.ttl;
        let entry = Entry { value, until };
        self.entries.insert(load.name, entry);
    }

    async fn invalidate(&self, _owner: Option<&str>, _what: &Selector) -> Result<u64, StoreError> {
        self.entries.invalidate_all();
        Ok(0)
    }

    fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            sets: self.sets.load(Ordering::Relaxed),
            bytes: self.entries.weighted_size(),
            entries: self.entries.entry_count(),
            ..CacheStats::default()
        }
    }

    async fn check(&self) -> CacheHealth {
        CacheHealth {
            home: "memory",
            latency: Ok(Duration::ZERO),
        }
    }
}
