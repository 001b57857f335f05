//! The homes under test, each with the time that it lives in.

use std::ops::AsyncFn;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_store::{
    Dimension, Level, Limits, MemoryLimits, Quota, RedisLimits, Refused, Reservation, StoreConfig,
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

/// One server for all tests, with a database for each home. It has run for
/// longer than a window: before that, nodes keep to shares as well.
static SERVER: LazyLock<RedisServer> = LazyLock::new(|| {
    let server = RedisServer::with(&["--save", "", "--databases", "10000"]);
    server.wait_for(&["INFO", "server"], |info| {
        let uptime = info
            .lines()
            .find_map(|line| line.strip_prefix("uptime_in_seconds:"));
        uptime.is_some_and(|seconds| seconds.trim().parse::<u32>().is_ok_and(|up| up >= 5))
    });
    server
});

fn in_redis() -> Home<dyn Limits> {
    Home {
        name: "redis",
        make: || {
            static NEXT: AtomicU16 = AtomicU16::new(0);
            let config = StoreConfig {
                url: SERVER.url().parse().expect("the address is one"),
                cache_db: Some(NEXT.fetch_add(1, Ordering::Relaxed)),
                // Many tests share two processors, and none is about this.
                timeout: Duration::from_secs(5),
                ..StoreConfig::default()
            };
            let opened = tokio::task::block_in_place(|| {
                Handle::current().block_on(RedisLimits::open(&config))
            });
            Arc::new(opened.expect("the server lets us in"))
        },
        runtime: || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2).enable_all();
            builder.build().expect("a runtime starts")
        },
        pass: |time| tokio::time::sleep(time).boxed(),
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
