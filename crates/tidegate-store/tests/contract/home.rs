//! The homes under test, each with the time that it lives in.

use std::fmt;
use std::ops::AsyncFn;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_store::{
    Cooling, Dimension, Level, Limits, MemoryLimits, Quota, RedisLimits, Refused, Reservation,
    StoreConfig, TooManyHeld, UnknownReservation, Used,
};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::servers::RedisServer;

/// Whose held reservations they are.
pub(crate) const OWNER: &str = "tenant";
/// The key that most tests use.
pub(crate) const KEY: &str = "provider/model";

/// A home and its time.
pub(crate) struct Home<T: ?Sized> {
    pub(crate) name: &'static str,
    /// A new one, with nothing in it.
    pub(crate) make: fn() -> Arc<T>,
    /// Where the tests run.
    pub(crate) runtime: fn() -> Runtime,
    /// Lets this much of the home's time pass.
    pub(crate) pass: fn(Duration) -> BoxFuture<'static, ()>,
    /// The window of the quotas: long where time costs nothing.
    pub(crate) window: Duration,
    /// The same where a test lets many of them pass.
    pub(crate) short: Duration,
    /// How far two durations may differ that ought to be the same.
    pub(crate) slack: Duration,
    /// How many random cases a property gets.
    pub(crate) cases: u32,
}

/// Every home of limits.
pub(crate) fn limits() -> Vec<Home<dyn Limits>> {
    vec![
        in_memory("memory", || Arc::new(MemoryLimits::default())),
        in_redis(),
    ]
}

/// Those whose time can be moved.
pub(crate) fn limits_in_virtual_time() -> Vec<Home<dyn Limits>> {
    let mut homes = limits();
    homes.retain(|home| home.slack.is_zero());
    homes
}

fn in_memory<T: ?Sized>(name: &'static str, make: fn() -> Arc<T>) -> Home<T> {
    Home {
        name,
        make,
        runtime: paused,
        pass: |time| tokio::time::advance(time).boxed(),
        window: Duration::from_secs(60),
        short: Duration::from_secs(60),
        slack: Duration::ZERO,
        cases: 256,
    }
}

/// A Redis home and the server that it is alone on.
struct Served {
    limits: RedisLimits,
    _server: RedisServer,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}

#[async_trait]
impl Limits for Served {
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused> {
        self.limits.reserve(key, quota, tokens).await
    }

    async fn hold(
        &self,
        owner: &str,
        key: &str,
        reservation: Reservation,
        lease: Duration,
    ) -> Result<String, TooManyHeld> {
        self.limits.hold(owner, key, reservation, lease).await
    }

    async fn settle(
        &self,
        owner: &str,
        id: &str,
        used: Used,
    ) -> Result<String, UnknownReservation> {
        self.limits.settle(owner, id, used).await
    }

    fn cool(&self, key: &str, cooldown: Duration, cooling: Cooling) {
        self.limits.cool(key, cooldown, cooling);
    }

    fn warm(&self, key: &str) {
        self.limits.warm(key);
    }

    fn is_shared(&self) -> bool {
        self.limits.is_shared()
    }

    async fn level(&self, key: &str) -> Level {
        self.limits.level(key).await
    }
}

fn in_redis() -> Home<dyn Limits> {
    Home {
        name: "redis",
        make: || {
            let server = RedisServer::start();
            let config = StoreConfig {
                url: server.url().parse().expect("the address is one"),
                // Many tests share two processors, and none is about this.
                timeout: Duration::from_secs(5),
                ..StoreConfig::default()
            };
            let opened = tokio::task::block_in_place(|| {
                Handle::current().block_on(RedisLimits::open(&config))
            });
            Arc::new(Served {
                limits: opened.expect("the server lets us in"),
                _server: server,
            })
        },
        runtime: || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2).enable_all();
            builder.build().expect("a runtime starts")
        },
        // A server's clock that is being set goes slower than this one, by 500 parts in
        // a million at most (RFC 5905, section 11.3).
        pass: |time| tokio::time::sleep(time + time / 1_000).boxed(),
        window: Duration::from_secs(4),
        short: Duration::from_millis(400),
        slack: Duration::from_millis(100),
        cases: 8,
    }
}

fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    builder.build().expect("a runtime starts")
}

impl<T: ?Sized> Home<T> {
    /// Runs a test in this home's time.
    pub(crate) fn run<R>(&self, test: impl Future<Output = R>) -> R {
        (self.runtime)().block_on(test)
    }

    pub(crate) async fn pass(&self, time: Duration) {
        (self.pass)(time).await;
    }

    /// True for durations that ought to be the same.
    pub(crate) fn alike(&self, one: Duration, other: Duration) -> bool {
        one.abs_diff(other) <= self.slack
    }
}

impl Home<dyn Limits> {
    /// No limits over this home's window.
    pub(crate) fn unlimited(&self) -> Quota {
        Quota {
            window: self.window,
            ..Quota::unlimited()
        }
    }

    pub(crate) fn tokens(&self, tokens: u64) -> Quota {
        Quota {
            tokens: Some(tokens),
            ..self.unlimited()
        }
    }

    pub(crate) fn requests(&self, requests: u64) -> Quota {
        Quota {
            requests: Some(requests),
            ..self.unlimited()
        }
    }

    pub(crate) fn concurrent(&self, concurrent: u64) -> Quota {
        Quota {
            concurrent: Some(concurrent),
            ..self.unlimited()
        }
    }

    /// Longer than anything counts, whatever guards a home puts around a window.
    pub(crate) fn long(&self) -> Duration {
        self.window * 11 / 10
    }
}

/// Runs a test against every home of limits.
pub(crate) fn each_limits(test: impl AsyncFn(&Home<dyn Limits>, Arc<dyn Limits>)) {
    for home in limits() {
        println!("home: {}", home.name);
        home.run(async { test(&home, (home.make)()).await });
    }
}

/// The same against those whose time can be moved.
pub(crate) fn each_limits_in_virtual_time(test: impl AsyncFn(&Home<dyn Limits>, Arc<dyn Limits>)) {
    for home in limits_in_virtual_time() {
        println!("home: {}", home.name);
        home.run(async { test(&home, (home.make)()).await });
    }
}

/// Reserves what must fit.
#[track_caller]
pub(crate) fn granted(answer: Result<Reservation, Refused>) -> Reservation {
    answer.expect("this fits the quota")
}

/// The wait of a refusal that knows one.
#[track_caller]
pub(crate) fn refused(answer: Result<Reservation, Refused>, expected: Dimension) -> Duration {
    match answer {
        Err(Refused::Throttled {
            dimension,
            retry_after: Some(retry_after),
        }) if dimension == expected => retry_after,
        other => panic!(
            "{other:?} is no refusal for {} with a wait",
            expected.as_str()
        ),
    }
}

/// What is in use, without the count since the start.
pub(crate) async fn in_use(limits: &dyn Limits) -> (u64, u64, u64) {
    let Level {
        requests,
        tokens,
        concurrent,
        overshot_tokens: _,
        cooling: _,
    } = limits.level(KEY).await;
    (requests, tokens, concurrent)
}
