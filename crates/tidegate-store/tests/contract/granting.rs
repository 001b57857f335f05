//! What is granted, what is refused, and what a refusal says.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tidegate_store::{Dimension, Limits, Quota, Refused, Used};

use crate::home::{Home, KEY, each_limits, each_limits_in_virtual_time, granted, in_use, refused};
use crate::journal::Journal;

#[test]
fn a_request_larger_than_the_whole_limit_takes_nothing_and_is_told_so() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let answer = limits.reserve(KEY, &quota, 101).await.map(drop);
        let (tokens, limit) = (101, 100);
        assert_eq!(answer, Err(Refused::TooLarge { tokens, limit }));
        assert_eq!(in_use(&*limits).await, (0, 0, 0));
        let _whole = granted(limits.reserve(KEY, &quota, 100).await);
    });
}

#[test]
fn a_refusal_for_one_dimension_takes_nothing_of_the_others() {
    each_limits(async |home, limits| {
        let quota = Quota {
            requests: Some(3),
            tokens: Some(100),
            concurrent: Some(2),
            window: home.window,
        };
        let first = granted(limits.reserve(KEY, &quota, 40).await);
        refused(limits.reserve(KEY, &quota, 61).await, Dimension::Tokens);
        assert_eq!(in_use(&*limits).await, (1, 40, 1));
        let second = granted(limits.reserve(KEY, &quota, 40).await);
        let answer = limits.reserve(KEY, &quota, 1).await.map(drop);
        let concurrency = Refused::Throttled {
            dimension: Dimension::Concurrency,
            retry_after: None,
        };
        assert_eq!(answer, Err(concurrency));
        assert_eq!(in_use(&*limits).await, (2, 80, 2));
        drop((first, second));
        drop(granted(limits.reserve(KEY, &quota, 1).await));
        refused(limits.reserve(KEY, &quota, 1).await, Dimension::Requests);
        assert_eq!(in_use(&*limits).await, (3, 81, 0));
    });
}

#[test]
fn keys_share_nothing() {
    each_limits(async |home, limits| {
        let quota = Quota {
            requests: Some(1),
            tokens: Some(10),
            concurrent: Some(1),
            window: home.window,
        };
        let _one = granted(limits.reserve("provider/one", &quota, 10).await);
        let _other = granted(limits.reserve("provider/other", &quota, 10).await);
        assert_eq!(in_use(&*limits).await, (0, 0, 0));
    });
}

#[test]
fn a_reservation_that_nobody_waited_for_reserves_nothing() {
    each_limits(async |home, limits| {
        let quota = home.requests(1);
        drop(limits.reserve(KEY, &quota, 1));
        assert_eq!(in_use(&*limits).await, (0, 0, 0));
        let _one = granted(limits.reserve(KEY, &quota, 1).await);
    });
}

#[test]
fn who_waits_exactly_retry_after_is_admitted() {
    each_limits(async |home, limits| {
        let quota = Quota {
            requests: Some(12),
            tokens: Some(100),
            window: home.short,
            ..home.unlimited()
        };
        let mut random = Random(7);
        let mut waits = 0;
        for _ in 0..500 {
            let tokens = 1 + random.below(40);
            let answer = limits.reserve(KEY, &quota, tokens).await;
            if let Err(first) = answer {
                let Refused::Throttled {
                    dimension,
                    retry_after: Some(wait),
                } = first
                else {
                    panic!("{first:?} names no wait")
                };
                home.pass(wait).await;
                waits += 1;
                // Both limits may stand in the way, and a refusal names one.
                match limits.reserve(KEY, &quota, tokens).await {
                    Ok(_) => {}
                    Err(Refused::Throttled {
                        dimension: second,
                        retry_after: Some(wait),
                    }) if second != dimension => {
                        home.pass(wait).await;
                        drop(granted(limits.reserve(KEY, &quota, tokens).await));
                    }
                    Err(again) => panic!("{again:?} after {first:?} and its wait"),
                }
            }
            let step = random.below(u64::try_from(home.short.as_millis()).unwrap() / 20);
            home.pass(Duration::from_millis(step)).await;
        }
        assert!(waits > 50, "only {waits} of 500 calls had to wait");
    });
}

#[test]
fn replies_do_not_depend_on_when_the_clock_started() {
    each_limits_in_virtual_time(async |home, _| {
        let first = replies(home).await;
        home.pass(home.window * 61 + Duration::from_nanos(17)).await;
        let second = replies(home).await;
        assert!(first.iter().any(|wait| !wait.is_zero()));
        assert_eq!(first.len(), second.len());
        for (one, other) in first.iter().zip(&second) {
            assert!(home.alike(*one, *other), "{one:?} and then {other:?}");
        }
    });
}

/// The waits that a fresh home names to a fixed sequence of calls.
async fn replies(home: &Home<dyn Limits>) -> Vec<Duration> {
    let limits = (home.make)();
    let quota = home.tokens(50);
    let mut random = Random(11);
    let mut waits = Vec::new();
    for _ in 0..60 {
        let answer = limits.reserve(KEY, &quota, 1 + random.below(30)).await;
        waits.push(match answer {
            Ok(_) => Duration::ZERO,
            refusal => refused(refusal, Dimension::Tokens),
        });
        home.pass(home.window / 20).await;
    }
    waits
}

/// A request is counted when it is admitted; the upstream counts it up to 1 %
/// of the window later, each with another delay.
#[test]
fn calls_that_reach_the_upstream_a_little_late_do_not_exceed_its_own_count() {
    each_limits_in_virtual_time(async |home, limits| {
        let quota = Quota {
            requests: Some(20),
            tokens: Some(200),
            ..home.unlimited()
        };
        let most_delay = u64::try_from(home.window.as_micros()).unwrap() / 100;
        let (mut upstream, mut random) = (Journal::start(), Random(3));
        for _ in 0..2_000 {
            if let Ok(reservation) = limits.reserve(KEY, &quota, 1 + random.below(20)).await {
                let delay = Duration::from_micros(random.below(most_delay));
                upstream.count(delay, reservation.tokens());
            }
            home.pass(home.window / 997).await;
        }
        assert!(upstream.requests() > 30);
        upstream.check(&quota);
    });
}

#[test]
fn a_saturated_quota_is_used_to_97_percent() {
    each_limits(async |home, limits| {
        let quota = home.tokens(10_000);
        let mut random = Random(5);
        // The first window is filled step by step, so that room keeps coming
        // back in steps.
        for _ in 0..100 {
            drop(granted(limits.reserve(KEY, &quota, 100).await));
            home.pass(home.window / 100).await;
        }
        let end = tokio::time::Instant::now() + home.window * 5;
        let mut granted = 0;
        while tokio::time::Instant::now() < end {
            let tokens = 1 + random.below(50);
            while let Err(refusal) = limits.reserve(KEY, &quota, tokens).await.map(drop) {
                home.pass(refused(Err(refusal), Dimension::Tokens)).await;
            }
            granted += tokens;
            assert!(granted <= 50_000, "more than five windows hold");
        }
        assert!(granted >= 48_500, "{granted} of 50000");
    });
}

#[test]
fn without_limits_everything_is_granted_and_still_counted() {
    each_limits(async |home, limits| {
        let quota = home.unlimited();
        let held = granted(limits.reserve(KEY, &quota, 7).await);
        // At once, so that all are within one window on a busy machine too.
        let calls = (1..1_000).map(|_| limits.reserve(KEY, &quota, 7));
        let calls = stream::iter(calls).buffer_unordered(32);
        calls.for_each(async |answer| drop(granted(answer))).await;
        assert_eq!(in_use(&*limits).await, (1_000, 7_000, 1));
        held.settle(Used::Tokens(8));
        assert_eq!(in_use(&*limits).await, (1_000, 7_001, 0));
        home.pass(home.long()).await;
        assert_eq!(in_use(&*limits).await, (0, 0, 0));
    });
}

#[test]
fn without_limits_even_the_largest_counts_are_granted() {
    each_limits(async |home, limits| {
        let quota = home.unlimited();
        for _ in 0..3 {
            let reservation = granted(limits.reserve(KEY, &quota, u64::MAX).await);
            drop(reservation);
            let reservation = granted(limits.reserve(KEY, &quota, 0).await);
            reservation.settle(Used::Tokens(u64::MAX));
        }
        let level = limits.level(KEY).await;
        assert_eq!((level.requests, level.tokens), (6, u64::MAX));
        assert_eq!(level.overshot_tokens, u64::MAX);
    });
}

#[test]
fn a_changed_quota_counts_what_was_granted_under_the_old_one() {
    each_limits(async |home, limits| {
        drop(granted(limits.reserve(KEY, &home.tokens(100), 60).await));
        let lower = home.tokens(50);
        refused(limits.reserve(KEY, &lower, 1).await, Dimension::Tokens);
        drop(granted(limits.reserve(KEY, &home.unlimited(), 5).await));
        drop(granted(limits.reserve(KEY, &home.tokens(100), 35).await));
        let answer = limits.reserve(KEY, &home.tokens(100), 1).await;
        home.pass(refused(answer, Dimension::Tokens)).await;
        drop(granted(limits.reserve(KEY, &lower, 1).await));
    });
}

#[test]
fn a_changed_window_keeps_the_leases_and_an_older_stamp_corrects_nobody_elses_tokens() {
    each_limits(async |home, limits| {
        let quota = |window| Quota {
            tokens: Some(100),
            concurrent: Some(3),
            window,
            ..Quota::unlimited()
        };
        let (short, long) = (quota(home.window), quota(home.window * 2));
        let early = granted(limits.reserve(KEY, &short, 90).await);
        let _second = granted(limits.reserve(KEY, &long, 1).await);
        let _third = granted(limits.reserve(KEY, &short, 9).await);
        assert!(
            limits.reserve(KEY, &short, 0).await.is_err(),
            "a fourth lease"
        );
        early.settle(Used::Nothing);
        let level = limits.level(KEY).await;
        assert_eq!(level.concurrent, 2);
        assert!(level.tokens >= 9, "{level:?}");
    });
}

/// Numbers that look random and are the same in every run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
