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
use crate::memory_queue::MemoryQueue;
use crate::memory_records::MemoryRecords;
use crate::queue::Queue;
use crate::records::Records;
use crate::redis::RedisHomes;
use crate::sqlite::{SqliteQueue, SqliteRecords};
use crate::state::{Reach, Remark, StoreState};

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
    /// What waits to be worked at.
    pub queue: Arc<dyn Queue>,
    home: Home,
}

/// What the store is, besides its homes.
#[derive(Debug, Clone)]
enum Home {
    Memory,
    Sqlite(SqliteRecords, SqliteQueue),
    Redis(RedisHomes),
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
            StoreUrl::Sqlite(folder) => {
                let records = SqliteRecords::open(folder).await?;
                let queue = SqliteQueue::beside(&records)?;
                Ok(Self {
                    records: Arc::new(records.clone()),
                    queue: Arc::new(queue.clone()),
                    home: Home::Sqlite(records, queue),
                    ..Self::in_memory(config)
                })
            }
            StoreUrl::Redis(url) => {
                let homes = RedisHomes::open(config, url).await?;
                Ok(Self {
                    cache: homes.cache.clone(),
                    limits: homes.limits.clone(),
                    records: homes.records.clone(),
                    leases: homes.leases.clone(),
                    queue: homes.queue.clone(),
                    home: Home::Redis(homes),
                })
            }
        }
    }

    /// How it is doing now.
    pub fn state(&self) -> StoreState {
        let home = match &self.home {
            Home::Memory => "memory",
            Home::Sqlite(..) => "sqlite",
            Home::Redis(homes) => return homes.state(),
        };
        StoreState {
            home,
            reach: Reach::Live,
            nodes: 1,
            on_unreachable: OnUnreachable::LocalShare,
        }
    }

    /// Looks at the home itself: what it would lose, and when.
    pub async fn inspect(&self) -> Vec<Remark> {
        match &self.home {
            Home::Memory => Vec::new(),
            Home::Sqlite(records, _) => records.inspect().await,
            Home::Redis(homes) => homes.inspect().await,
        }
    }

    /// Ends what runs in the background, after what it still has to write.
    pub async fn close(&self) {
        match &self.home {
            Home::Memory => {}
            Home::Sqlite(records, queue) => {
                queue.close().await;
                records.close().await;
            }
            Home::Redis(homes) => homes.close().await,
        }
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
            queue: Arc::new(MemoryQueue::default()),
            home: Home::Memory,
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

/// How long a start waits for the other nodes to be heard.
pub(crate) const LISTEN_WITHIN: Duration = Duration::from_secs(1);
