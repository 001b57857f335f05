//! Many tasks on many threads, in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_store::{Dimension, Limits, Quota, Refused, Used};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::granting::Random;
use crate::home::{self, KEY, OWNER};
use crate::journal::{Journal, Line};

const THREADS: usize = 8;
const TASKS: u64 = 64;

fn threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(THREADS).enable_all();
    builder.build().expect("a runtime starts")
}

/// Runs one task per number on all threads and gathers what they return.
async fn race<R, F>(task: impl Fn(u64) -> F) -> Vec<R>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 1..=TASKS {
        tasks.spawn(task(number));
    }
    tasks.join_all().await
}

#[test]
fn racing_tasks_never_get_more_than_the_quota_in_any_window() {
    for home in home::limits() {
        let threads = threads();
        let limits = threads.block_on(async { (home.make)() });
        let quota = Quota {
            requests: Some(300),
            tokens: Some(3_000),
            concurrent: None,
            window: Duration::from_millis(100),
        };
        let (start, granted) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let lines = threads.block_on(race(|number| {
            let (limits, granted) = (limits.clone(), granted.clone());
            async move { grab(&*limits, &quota, (start, &granted), number).await }
        }));
        let lines = lines.concat();
        assert!(lines.len() > 600, "only {} grants", lines.len());
        Journal::of(lines).check(&quota);
    }
}

/// Takes whatever it can get for half a second, and until the window was full a few
/// times. Estimates are never too low, so what stays counted is at most what was
/// reserved.
async fn grab(
    limits: &dyn Limits,
    quota: &Quota,
    (start, granted): (Instant, &AtomicU64),
    number: u64,
) -> Vec<Line> {
    let mut random = Random(number);
    let mut lines = Vec::new();
    let is_enough = || granted.load(Ordering::Relaxed) > 700;
    while start.elapsed() < Duration::from_millis(500)
        || !is_enough() && start.elapsed() < Duration::from_secs(60)
    {
        let tokens = 1 + random.below(20);
        let from = start.elapsed();
        let Ok(reservation) = limits.reserve(KEY, quota, tokens).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let until = start.elapsed();
        let used = match random.below(4) {
            0 => Used::Tokens(random.below(tokens + 1)),
            1 => Used::Unknown,
            2 => Used::Nothing,
            _ => Used::Tokens(tokens),
        };
        let tokens = match used {
            Used::Nothing => None,
            Used::Unknown => Some(tokens),
            Used::Tokens(used) => Some(used),
        };
        granted.fetch_add(u64::from(tokens.is_some()), Ordering::Relaxed);
        lines.extend(tokens.map(|tokens| Line {
            from,
            until,
            tokens,
        }));
        tokio::task::yield_now().await;
        reservation.settle(used);
    }
    lines
}

#[test]
fn racing_tasks_never_hold_more_than_the_concurrency() {
    for home in home::limits() {
        let threads = threads();
        let limits = threads.block_on(async { (home.make)() });
        let quota = home.concurrent(5);
        let (holders, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let grants: Vec<u64> = threads.block_on(race(|number| {
            let (limits, holders, most) = (limits.clone(), holders.clone(), most.clone());
            async move {
                let (mut random, mut grants) = (Random(number), 0);
                for _ in 0..300 {
                    let answer = limits.reserve(KEY, &quota, 1).await;
                    if let Ok(reservation) = answer {
                        grants += 1;
                        let held = holders.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(held, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        holders.fetch_sub(1, Ordering::SeqCst);
                        match random.below(3) {
                            0 => reservation.settle(Used::Nothing),
                            1 => reservation.settle(Used::Tokens(1)),
                            _ => drop(reservation),
                        }
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
                grants
            }
        }));
        let most = most.load(Ordering::SeqCst);
        assert_eq!(most, 5, "of {} grants", grants.iter().sum::<u64>());
        let level = threads.block_on(limits.level(KEY));
        assert_eq!(level.concurrent, 0);
    }
}

#[test]
fn a_held_reservation_that_many_settle_is_settled_by_one() {
    for home in home::limits() {
        let threads = threads();
        let limits = threads.block_on(async { (home.make)() });
        let quota = home.tokens(1_000);
        threads.block_on(async {
            let reservation = limits.reserve(KEY, &quota, 500).await;
            let reservation = reservation.expect("the window is empty");
            let id = limits
                .hold(OWNER, KEY, reservation, home.window)
                .await
                .expect("few are held");
            let settled = race(|_| {
                let (limits, id) = (limits.clone(), id.clone());
                async move { limits.settle(OWNER, &id, Used::Tokens(100)).await.is_ok() }
            });
            let settled = settled.await.into_iter().filter(|settled| *settled);
            assert_eq!(settled.count(), 1);
            let level = limits.level(KEY).await;
            assert_eq!((level.tokens, level.concurrent), (100, 0));
        });
    }
}

#[test]
fn a_thousand_callers_of_a_fresh_key_share_one_quota() {
    for home in home::limits() {
        let threads = threads();
        let limits = threads.block_on(async { (home.make)() });
        let quota = home.requests(10);
        let granted = threads.block_on(race(|_| {
            let limits = limits.clone();
            async move {
                let mut granted = 0;
                for _ in 0..16 {
                    match limits.reserve("fresh", &quota, 1).await {
                        Ok(_) => granted += 1,
                        Err(Refused::Throttled { dimension, .. }) => {
                            assert_eq!(dimension, Dimension::Requests);
                        }
                        // One question was lost, and with it what it was granted.
                        Err(Refused::Unreachable { .. }) if limits.is_shared() => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                granted
            }
        }));
        let granted = granted.iter().sum::<u64>();
        if limits.is_shared() {
            assert!((1..=10).contains(&granted), "{granted}");
        } else {
            assert_eq!(granted, 10);
        }
    }
}
