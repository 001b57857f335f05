//! The homes of cached values under test.

use std::ops::AsyncFn;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Cache, MemoryCache, Store, StoreConfig};
use tokio::runtime::{Builder, Runtime};

use crate::servers::RedisServer;

/// What is kept in this process at most.
pub(crate) const CACHE_BYTES: u64 = 1_000_000;
/// The last share of a value's time in which it is to be made anew.
pub(crate) const REFRESH_AHEAD: f64 = 0.2;

/// A home of cached values and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheHome {
    Memory,
    Redis,
}

impl CacheHome {
    /// Whether time costs nothing and values expire to the moment. Elsewhere
    /// times are spread by a tenth, and only what is over long since is over.
    pub(crate) fn is_exact(self) -> bool {
        match self {
            Self::Memory => true,
            Self::Redis => false,
        }
    }

    /// A time that passes in a test.
    pub(crate) fn short(self) -> Duration {
        match self {
            Self::Memory => Duration::from_secs(10),
            Self::Redis => Duration::from_millis(300),
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(self, time: Duration) {
        match self {
            Self::Memory => tokio::time::advance(time).await,
            Self::Redis => tokio::time::sleep(time).await,
        }
    }

    /// Lets a time pass after which nothing of [`Self::short`] is left.
    pub(crate) async fn outlive_short(self) {
        let spread = if self.is_exact() { 0.0 } else { 0.2 };
        self.pass(self.short().mul_f64(1.0 + spread)).await;
    }

    /// How many random cases a property gets.
    pub(crate) fn cases(self) -> u32 {
        match self {
            Self::Memory => 256,
            Self::Redis => 24,
        }
    }

    fn runtime(self) -> Runtime {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        builder.start_paused(self.is_exact());
        builder.build().expect("a runtime starts")
    }

    /// Runs a test against a new one with nothing in it.
    pub(crate) fn run(self, test: impl AsyncFnOnce(Arc<dyn Cache>)) {
        println!("home: {self:?}");
        match self {
            Self::Memory => self.runtime().block_on(async {
                test(Arc::new(MemoryCache::new(CACHE_BYTES, REFRESH_AHEAD))).await;
            }),
            Self::Redis => {
                let server = RedisServer::start();
                let config = StoreConfig {
                    url: server.url().parse().expect("it is an address"),
                    cache_bytes: CACHE_BYTES,
                    refresh_ahead: REFRESH_AHEAD,
                    // The machine may be busy with other tests.
                    timeout: Duration::from_secs(5),
                    ..StoreConfig::default()
                };
                self.runtime().block_on(async {
                    let store = Store::open(&config).await.expect("it opens");
                    test(store.cache.clone()).await;
                    store.close().await;
                });
            }
        }
    }
}

/// Runs a test against every home of cached values.
pub(crate) fn each_cache(test: impl AsyncFn(CacheHome, Arc<dyn Cache>)) {
    for home in [CacheHome::Memory, CacheHome::Redis] {
        home.run(async |cache| test(home, cache).await);
    }
}
