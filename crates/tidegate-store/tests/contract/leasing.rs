//! What every home of leases promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::each_leases;
use crate::{Lease, LeaseError, Leases};

const TTL: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

async fn taken(home: &dyn Leases, key: &str, ttl: Duration) -> Option<Lease> {
    let answer = home.try_acquire(key, ttl).await;
    answer.expect("the home can say")
}

#[test]
fn a_lease_is_held_by_one_until_it_is_dropped() {
    each_leases(async |clock, home| {
        let first = taken(&*home, "k", LONG).await.expect("it is free");
        assert!(taken(&*home, "k", LONG).await.is_none());
        assert!(!first.is_lost());
        drop(first);
        clock
            .until("it is free again", async || {
                taken(&*home, "k", LONG).await.is_some()
            })
            .await;
    });
}

#[test]
fn leases_of_other_keys_are_others() {
    each_leases(async |_, home| {
        let mut held = Vec::new();
        for key in ["", "k", "K", "k ", "kk", "{k}", "k\0", "*", "k\r\nDEL k"] {
            held.push(taken(&*home, key, LONG).await.expect("it is free"));
        }
        assert!(held.iter().all(|lease| !lease.is_lost()));
    });
}

#[test]
fn a_lease_that_is_held_for_longer_than_its_time_stays_held() {
    each_leases(async |clock, home| {
        let lease = taken(&*home, "k", TTL).await.expect("it is free");
        clock
            .throughout(TTL * 5, async |_| {
                assert!(taken(&*home, "k", TTL).await.is_none());
                assert!(!lease.is_lost());
            })
            .await;
    });
}

#[test]
fn who_waits_gets_the_lease_when_it_is_given_back() {
    each_leases(async |_, home| {
        let lease = taken(&*home, "k", LONG).await.expect("it is free");
        let until = Instant::now() + LONG;
        let mut waiting = Box::pin(home.acquire("k", LONG, until));
        assert!((&mut waiting).now_or_never().is_none());
        drop(lease);
        let lease = waiting.await.expect("it was given back");
        assert!(Instant::now() < until, "long before the deadline");
        assert!(taken(&*home, "k", LONG).await.is_none());
        drop(lease);
    });
}

#[test]
fn who_waits_for_a_lease_that_stays_taken_is_told_so_at_the_deadline() {
    each_leases(async |_, home| {
        let _held = taken(&*home, "k", LONG).await.expect("it is free");
        let until = Instant::now() + TTL;
        let refused = home.acquire("k", LONG, until).await.map(drop);
        assert!(Instant::now() >= until);
        let Err(LeaseError::Taken { waited }) = refused else {
            panic!("{refused:?}");
        };
        assert!(waited >= TTL, "{waited:?}");
        // Without time to wait, it is still tried once.
        let now = Instant::now();
        let free = home.acquire("other", LONG, now).await;
        assert!(free.is_ok(), "{free:?}");
    });
}

#[test]
fn whoever_leaves_while_a_lease_is_granted_does_not_keep_it() {
    each_leases(async |clock, home| {
        for _ in 0..50 {
            let mut asking = home.try_acquire("k", TTL);
            let first = (&mut asking).now_or_never();
            drop((asking, first));
        }
        clock
            .until("nobody holds it", async || {
                taken(&*home, "k", TTL).await.is_some()
            })
            .await;
    });
}

#[test]
fn two_never_hold_the_same_lease() {
    each_leases(async |_, home| {
        let inside = Arc::new(AtomicU32::new(0));
        let mut holders = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (home, inside) = (home.clone(), inside.clone());
            holders.spawn(async move {
                for _ in 0..10 {
                    let until = Instant::now() + LONG * 4;
                    let lease = home.acquire("k", LONG, until).await.expect("in time");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    tokio::task::yield_now().await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two at once");
                    drop(lease);
                }
            });
        }
        holders.join_all().await;
    });
}
