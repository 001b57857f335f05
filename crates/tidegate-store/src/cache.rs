//! Bytes that are kept for a while.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

/// What a cache has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Values put in.
    pub sets: u64,
    /// Bytes held now, keys included; settles a moment after a change.
    pub bytes: u64,
}

/// A home of cached values.
#[async_trait]
pub trait Cache: Send + Sync + fmt::Debug {
    /// The value, unless it is absent or has expired.
    async fn get(&self, key: &str) -> Option<Bytes>;
    /// Keeps a value for `ttl`, or shorter when space is needed.
    async fn put(&self, key: &str, value: Bytes, ttl: Duration);
    /// What happened so far.
    fn stats(&self) -> CacheStats;
}

/// The memory home of [`Cache`], bounded in bytes.
#[derive(Debug)]
pub struct MemoryCache {
    entries: moka::future::Cache<String, Entry>,
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
        let entries = moka::future::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &String, entry: &Entry| {
                let bytes = key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES;
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
    async fn get(&self, key: &str) -> Option<Bytes> {
        let entry = self.entries.get(key).await;
        if entry
            .as_ref()
            .is_some_and(|entry| entry.until <= Instant::now())
        {
            self.entries.invalidate(key).await;
        }
        let fresh = entry.filter(|entry| entry.until > Instant::now());
        let counter = if fresh.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        fresh.map(|entry| entry.value)
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) {
        // A slice of a larger buffer would keep all of it alive.
        let value = Bytes::copy_from_slice(&value);
        self.sets.fetch_add(1, Ordering::Relaxed);
        self.entries
            .insert(
                key.to_owned(),
                Entry {
                    value,
                    until: Instant::now() + ttl,
                },
            )
            .await;
    }

    fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            sets: self.sets.load(Ordering::Relaxed),
            bytes: self.entries.weighted_size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_lives_for_its_ttl() {
        let cache = MemoryCache::new(1 << 20);
        cache
            .put("k", Bytes::from_static(b"v"), Duration::from_secs(10))
            .await;
        assert_eq!(cache.get("k").await.as_deref(), Some(&b"v"[..]));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cache.get("k").await, None);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.sets), (1, 1, 1));
    }

    #[tokio::test]
    async fn the_bound_in_bytes_holds() {
        let cache = MemoryCache::new(100_000);
        for n in 0..1_000 {
            cache
                .put(
                    &format!("k{n}"),
                    Bytes::from(vec![0; 1_000]),
                    Duration::from_secs(60),
                )
                .await;
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.stats().bytes <= 100_000, "{:?}", cache.stats());
        assert!(cache.stats().bytes > 50_000, "{:?}", cache.stats());
    }
}
