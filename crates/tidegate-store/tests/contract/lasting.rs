//! The homes of rows and of leases under test.
//!
//! A test is one sentence and runs against every home in [`records`] or
//! [`leases`]. Where time cannot be moved, a test waits until something is so,
//! and never for a while.

mod leasing;
mod recording;
pub(crate) mod replaying;

use std::any::Any;
use std::ops::AsyncFn;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::redis::{Link, LinkConfig, RedisLeases, RedisRecords};
use crate::servers::RedisServer;
use crate::{Leases, MemoryLeases, MemoryRecords, Records, SqliteRecords, StoreUrl};

/// A home, and the time that it lives in.
pub(crate) struct Home<T: ?Sized> {
    pub(crate) name: &'static str,
    /// A new one, with nothing in it.
    make: fn() -> BoxFuture<'static, Made<T>>,
    runtime: fn() -> Runtime,
    /// Lets this much of the home's time pass.
    pass: fn(Duration) -> BoxFuture<'static, ()>,
    /// How many random cases a property gets.
    pub(crate) cases: u32,
}

/// A home, and what must outlive it.
pub(crate) struct Made<T: ?Sized> {
    pub(crate) home: Arc<T>,
    pub(crate) _beneath: Box<dyn Any + Send>,
}

/// Every home of rows.
fn records() -> Vec<Home<dyn Records>> {
    vec![
        in_memory("memory", || made(MemoryRecords::default())),
        in_real_time("sqlite", || sqlite().boxed()),
        in_real_time("redis", || redis_records().boxed()),
    ]
}

/// Every home of leases.
fn leases() -> Vec<Home<dyn Leases>> {
    vec![
        in_memory("memory", || {
            let home: Arc<dyn Leases> = Arc::new(MemoryLeases::default());
            let _beneath = Box::new(());
            std::future::ready(Made { home, _beneath }).boxed()
        }),
        in_real_time("redis", || redis_leases().boxed()),
    ]
}

fn made(home: impl Records + 'static) -> BoxFuture<'static, Made<dyn Records>> {
    let home: Arc<dyn Records> = Arc::new(home);
    let _beneath = Box::new(());
    std::future::ready(Made { home, _beneath }).boxed()
}

async fn sqlite() -> Made<dyn Records> {
    let folder = Folder::new();
    let records = SqliteRecords::open(folder.path()).await;
    Made {
        home: Arc::new(records.expect("the folder can be used")),
        _beneath: Box::new(folder),
    }
}

async fn redis_records() -> Made<dyn Records> {
    let server = RedisServer::start();
    Made {
        home: Arc::new(RedisRecords::new(link(&server.url()).await)),
        _beneath: Box::new(server),
    }
}

async fn redis_leases() -> Made<dyn Leases> {
    let server = RedisServer::start();
    Made {
        home: Arc::new(RedisLeases::new(link(&server.url()).await)),
        _beneath: Box::new(server),
    }
}

/// A link that is patient: these tests are not about time limits.
pub(crate) async fn link(url: &str) -> Link {
    let Ok(StoreUrl::Redis(url)) = url.parse() else {
        panic!("{url} is no Redis");
    };
    let (db, timeout) = (0, Duration::from_secs(5));
    let link = Link::open(LinkConfig { url, db, timeout }).await;
    link.expect("the server lets us in")
}

fn in_memory<T: ?Sized>(name: &'static str, make: fn() -> BoxFuture<'static, Made<T>>) -> Home<T> {
    Home {
        name,
        make,
        runtime: || {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().start_paused(true);
            builder.build().expect("a runtime starts")
        },
        pass: |time| tokio::time::advance(time).boxed(),
        cases: 256,
    }
}

pub(crate) fn in_real_time<T: ?Sized>(
    name: &'static str,
    make: fn() -> BoxFuture<'static, Made<T>>,
) -> Home<T> {
    Home {
        name,
        make,
        runtime: || {
            let mut builder = Builder::new_multi_thread();
            let builder = builder.worker_threads(2).enable_all();
            builder.build().expect("a runtime starts")
        },
        pass: |time| tokio::time::sleep(time).boxed(),
        cases: 24,
    }
}

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl<T: ?Sized> Home<T> {
    /// Lets time pass until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is_so().await {
            let waited = began.elapsed();
            assert!(
                waited < PATIENCE,
                "{}: not after {waited:?}: {what}",
                self.name
            );
            (self.pass)(Duration::from_millis(5)).await;
        }
    }

    /// Looks again and again, for as long as this much of the home's time.
    pub(crate) async fn throughout(&self, time: Duration, look: impl AsyncFn(Duration)) {
        let began = Instant::now();
        loop {
            let passed = began.elapsed();
            if passed >= time {
                return;
            }
            look(passed).await;
            (self.pass)(time / 20).await;
        }
    }
}

fn each<T: ?Sized>(homes: Vec<Home<T>>, test: impl AsyncFn(&Home<T>, Arc<T>)) {
    for home in homes {
        println!("home: {}", home.name);
        (home.runtime)().block_on(async {
            let made = (home.make)().await;
            test(&home, made.home.clone()).await;
        });
    }
}

/// Runs a test against every home of rows.
pub(crate) fn each_records(test: impl AsyncFn(&Home<dyn Records>, Arc<dyn Records>)) {
    each(records(), test);
}

/// Runs a test against every home of leases.
pub(crate) fn each_leases(test: impl AsyncFn(&Home<dyn Leases>, Arc<dyn Leases>)) {
    each(leases(), test);
}

/// An empty folder that is gone when the test is.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidegate-rows-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
