//! All homes of one store, opened together.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::config::{OnUnreachable, StoreConfig, StoreUrl};
use crate::error::OpenError;
use crate::leases::Leases;
use crate::limits::Limits;
use crate::memory_cache::MemoryCache;
use crate::memory_leases::MemoryLeases;
use crate::memory_limits::MemoryLimits;
use crate::memory_records::MemoryRecords;
use crate::records::Records;
use crate::redis::{Link, LinkConfig, RedisCache};
use crate::state::{Reach, Remark, StoreState};
use crate::url::RedisUrl;

/// How long a start waits for the other nodes to be heard.
const LISTEN_WITHIN: Duration = Duration::from_secs(1);

/// What copies of the gateway share, or one of them has for itself. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// Values that may be lost.
    pub cache: Arc<dyn Cache>,
    /// What may be used.
    pub limits: Arc<dyn Limits>,
    /// Rows that may not be lost.
    pub records: Arc<dyn Records>,
    /// Who may be the only one.
    pub leases: Arc<dyn Leases>,
    links: Vec<Link>,
}

impl Store {
    /// Opens the homes of a configuration. A Redis that cannot be reached does
    /// not stop it: the store then begins without, and goes on looking.
    ///
    /// # Errors
    /// [`OpenError`] when waiting would not help.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        match &config.url {
            StoreUrl::Memory => Ok(Self::in_memory(config)),
            StoreUrl::Redis(url) => Self::in_redis(config, url).await,
            StoreUrl::Sqlite(_) => todo!(),
        }
    }

    /// How it is doing now.
    pub fn state(&self) -> StoreState {
        StoreState {
            home: "memory",
            reach: Reach::Live,
            nodes: 1,
            on_unreachable: OnUnreachable::LocalShare,
        }
    }

    /// Looks at the home itself: what it would lose, and when.
    pub async fn inspect(&self) -> Vec<Remark> {
        Vec::new()
    }

    /// Ends what runs in the background, after what it still has to write.
    pub async fn close(&self) {
        for link in &self.links {
            link.close().await;
        }
    }

    async fn in_redis(config: &StoreConfig, url: &RedisUrl) -> Result<Self, OpenError> {
        let link = Link::open(LinkConfig {
            url: url.clone(),
            db: config.cache_db.unwrap_or(url.db),
            timeout: config.timeout,
        });
        let link = link.await?;
        let leases: Arc<dyn Leases> = Arc::new(MemoryLeases::default());
        let cache = RedisCache::new(
            link.clone(),
            leases.clone(),
            config.cache_bytes,
            config.refresh_ahead,
        );
        if link.is_live() {
            // Before it hears others, it keeps nothing.
            cache.listens(LISTEN_WITHIN).await;
        }
        Ok(Self {
            cache: Arc::new(cache),
            links: vec![link],
            ..Self::in_memory(config)
        })
    }

    /// Everything in the memory of this process; the cache holds at most
    /// `cache_bytes`.
    pub fn memory(cache_bytes: u64) -> Self {
        Self::in_memory(&StoreConfig {
            cache_bytes,
            ..StoreConfig::default()
        })
    }

    fn in_memory(config: &StoreConfig) -> Self {
        let cache = MemoryCache::new(config.cache_bytes, config.refresh_ahead);
        Self {
            cache: Arc::new(cache),
            limits: Arc::new(MemoryLimits::default()),
            records: Arc::new(MemoryRecords::default()),
            leases: Arc::new(MemoryLeases::default()),
            links: Vec::new(),
        }
    }

    /// The same store with another bound for what the cache keeps in this
    /// process; that part of it starts empty.
    #[must_use]
    pub fn with_cache_bytes(self, cache_bytes: u64) -> Self {
        self.cache.resize(cache_bytes);
        self
    }
}
