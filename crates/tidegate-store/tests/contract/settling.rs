//! What the end of a reservation changes.

use tidegate_store::{Dimension, Used};

use crate::home::{KEY, each_limits, granted, in_use, refused};

#[test]
fn a_settlement_frees_what_was_not_used_at_once() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let reservation = granted(limits.reserve(KEY, &quota, 100).await);
        refused(limits.reserve(KEY, &quota, 1).await, Dimension::Tokens);
        reservation.settle(Used::Tokens(30));
        assert_eq!(in_use(&*limits).await, (1, 30, 0));
        drop(granted(limits.reserve(KEY, &quota, 70).await));
    });
}

#[test]
fn a_settlement_corrects_at_the_time_of_the_reservation() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let reservation = granted(limits.reserve(KEY, &quota, 10).await);
        let wait = {
            let _rest = granted(limits.reserve(KEY, &quota, 90).await);
            refused(limits.reserve(KEY, &quota, 1).await, Dimension::Tokens)
        };
        let late = home.window / 2;
        home.pass(late).await;
        reservation.settle(Used::Tokens(100));
        let answer = limits.reserve(KEY, &quota, 1).await;
        let left = refused(answer, Dimension::Tokens);
        assert!(home.alike(left + late, wait), "{left:?} of {wait:?}");
        // The rest was reserved a little later than what was settled.
        home.pass(left + home.slack).await;
        drop(granted(limits.reserve(KEY, &quota, 100).await));
    });
}

#[test]
fn a_settlement_after_the_window_changes_nothing() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let reservation = granted(limits.reserve(KEY, &quota, 10).await);
        home.pass(home.long()).await;
        drop(granted(limits.reserve(KEY, &quota, 100).await));
        reservation.settle(Used::Tokens(0));
        assert_eq!(in_use(&*limits).await, (1, 100, 0));
    });
}

#[test]
fn an_under_estimate_is_paid_back_by_later_callers_and_counted() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        granted(limits.reserve(KEY, &quota, 10).await).settle(Used::Tokens(150));
        home.pass(home.window / 2).await;
        refused(limits.reserve(KEY, &quota, 1).await, Dimension::Tokens);
        let level = limits.level(KEY).await;
        assert_eq!((level.tokens, level.overshot_tokens), (150, 140));
        granted(limits.reserve(KEY, &home.unlimited(), 10).await).settle(Used::Tokens(5));
        assert_eq!(limits.level(KEY).await.overshot_tokens, 140);
        home.pass(home.long()).await;
        drop(granted(limits.reserve(KEY, &quota, 100).await));
        assert_eq!(limits.level(KEY).await.overshot_tokens, 140);
    });
}

#[test]
fn a_dropped_reservation_gives_its_lease_back_and_lets_its_tokens_stand() {
    each_limits(async |home, limits| {
        let mut quota = home.tokens(100);
        quota.concurrent = Some(1);
        let reservation = granted(limits.reserve(KEY, &quota, 60).await);
        assert_eq!(in_use(&*limits).await, (1, 60, 1));
        drop(reservation);
        assert_eq!(in_use(&*limits).await, (1, 60, 0));
        refused(limits.reserve(KEY, &quota, 41).await, Dimension::Tokens);
        drop(granted(limits.reserve(KEY, &quota, 40).await));
    });
}

#[test]
fn a_call_that_nobody_reported_counts_as_estimated() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        granted(limits.reserve(KEY, &quota, 60).await).settle(Used::Unknown);
        assert_eq!(in_use(&*limits).await, (1, 60, 0));
        assert_eq!(limits.level(KEY).await.overshot_tokens, 0);
    });
}

#[test]
fn a_call_that_was_never_sent_gives_everything_back() {
    each_limits(async |home, limits| {
        let mut quota = home.tokens(100);
        quota.requests = Some(1);
        quota.concurrent = Some(1);
        let reservation = granted(limits.reserve(KEY, &quota, 100).await);
        reservation.settle(Used::Nothing);
        assert_eq!(in_use(&*limits).await, (0, 0, 0));
        drop(granted(limits.reserve(KEY, &quota, 100).await));
    });
}

#[test]
fn a_request_that_was_sent_stays_counted_whatever_it_used() {
    each_limits(async |home, limits| {
        let quota = home.requests(1);
        granted(limits.reserve(KEY, &quota, 100).await).settle(Used::Tokens(0));
        assert_eq!(in_use(&*limits).await, (1, 0, 0));
        refused(limits.reserve(KEY, &quota, 1).await, Dimension::Requests);
    });
}
