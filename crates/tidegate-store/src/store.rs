//! All homes of one store, opened together.

use std::sync::Arc;

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
use crate::sqlite::SqliteRecords;
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
    home: Home,
}

/// What the store is, besides its homes.
#[derive(Debug, Clone)]
enum Home {
    Memory,
    Sqlite(SqliteRecords),
}

impl Store {
    /// Opens the homes of a configuration. A Redis that cannot be reached does
    /// not stop it: the store then begins without, and goes on looking.
    ///
    /// # Errors
    /// [`OpenError`] when waiting would not help.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        match &config.url {
            StoreUrl::Memory => Ok(Self::memory(config.cache_bytes)),
            StoreUrl::Sqlite(folder) => {
                let records = SqliteRecords::open(folder).await?;
                Ok(Self::sqlite(records, config.cache_bytes))
            }
            StoreUrl::Redis(_) => todo!(),
        }
    }

    /// How it is doing now.
    pub fn state(&self) -> StoreState {
        let home = match &self.home {
            Home::Memory => "memory",
            Home::Sqlite(_) => "sqlite",
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
            Home::Sqlite(records) => records.inspect().await,
        }
    }

    /// Ends what runs in the background, after what it still has to write.
    pub async fn close(&self) {
        match &self.home {
            Home::Memory => {}
            Home::Sqlite(records) => records.close().await,
        }
    }

    /// Everything in the memory of this process; the cache holds at most
    /// `cache_bytes`.
    pub fn memory(cache_bytes: u64) -> Self {
        Self {
            cache: Arc::new(MemoryCache::new(cache_bytes)),
            limits: Arc::new(MemoryLimits::default()),
            records: Arc::new(MemoryRecords::default()),
            leases: Arc::new(MemoryLeases::default()),
            home: Home::Memory,
        }
    }

    /// Rows in a file, the rest in the memory of this process: whoever else
    /// opens the folder shares nothing but the rows.
    fn sqlite(records: SqliteRecords, cache_bytes: u64) -> Self {
        Self {
            records: Arc::new(records.clone()),
            home: Home::Sqlite(records),
            ..Self::memory(cache_bytes)
        }
    }

    /// The same store with another bound for what the cache keeps in this
    /// process; that part of it starts empty.
    #[must_use]
    pub fn with_cache_bytes(mut self, cache_bytes: u64) -> Self {
        self.cache = Arc::new(MemoryCache::new(cache_bytes));
        self
    }
}
