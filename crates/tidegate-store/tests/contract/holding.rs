//! Reservations kept under an id, and leases.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tidegate_store::{Limits, Quota, Refused, TooManyHeld, UnknownReservation, Used};
use tokio::task::JoinSet;

use crate::granting::Random;
use crate::home::{Home, KEY, OWNER, each_limits, granted, in_use};

#[test]
fn a_held_reservation_is_settled_once_and_never_refunds_twice() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let _other = granted(limits.reserve(KEY, &quota, 20).await);
        let reservation = granted(limits.reserve(KEY, &quota, 50).await);
        let id = limits
            .hold(OWNER, KEY, reservation, home.window)
            .await
            .expect("few are held");
        assert_eq!(in_use(&*limits).await, (2, 70, 2));
        let settled = limits.settle(OWNER, &id, Used::Tokens(10)).await;
        assert_eq!(settled.as_deref(), Ok(KEY));
        assert_eq!(in_use(&*limits).await, (2, 30, 1));
        for used in [Used::Tokens(0), Used::Nothing, Used::Unknown] {
            assert_eq!(
                limits.settle(OWNER, &id, used).await,
                Err(UnknownReservation)
            );
            assert_eq!(in_use(&*limits).await, (2, 30, 1));
        }
    });
}

#[test]
fn a_held_reservation_ends_by_itself_after_its_lease_and_not_before() {
    each_limits(async |home, limits| {
        let mut quota = home.tokens(100);
        quota.concurrent = Some(1);
        let reservation = granted(limits.reserve(KEY, &quota, 60).await);
        let lease = home.window / 2;
        let id = limits
            .hold(OWNER, KEY, reservation, lease)
            .await
            .expect("few are held");
        home.pass(lease * 3 / 4).await;
        assert_eq!(in_use(&*limits).await, (1, 60, 1));
        assert!(limits.reserve(KEY, &quota, 1).await.is_err());
        home.pass(lease / 4).await;
        drop(granted(limits.reserve(KEY, &quota, 1).await));
        assert_eq!(in_use(&*limits).await, (2, 61, 0));
        let late = limits.settle(OWNER, &id, Used::Nothing).await;
        assert_eq!(late, Err(UnknownReservation));
        assert_eq!(in_use(&*limits).await, (2, 61, 0));
    });
}

#[test]
fn to_anybody_but_its_owner_a_held_reservation_does_not_exist() {
    each_limits(async |home, limits| {
        let reservation = granted(limits.reserve(KEY, &home.tokens(100), 50).await);
        let id = limits
            .hold(OWNER, KEY, reservation, home.window)
            .await
            .expect("few are held");
        for stranger in ["", "tenan", "tenant2", KEY] {
            let settled = limits.settle(stranger, &id, Used::Nothing).await;
            assert_eq!(settled, Err(UnknownReservation), "{stranger}");
        }
        assert_eq!(in_use(&*limits).await, (1, 50, 1));
        assert!(limits.settle(OWNER, &id, Used::Tokens(7)).await.is_ok());
    });
}

#[test]
fn two_reservations_as_one_end_together() {
    each_limits(async |home, limits| {
        let quota = home.tokens(100);
        let first = granted(limits.reserve(KEY, &quota, 20).await);
        let second = granted(limits.reserve(KEY, &quota, 30).await);
        let both = first.and(second);
        assert_eq!((both.tokens(), in_use(&*limits).await), (30, (2, 50, 2)));
        both.settle(Used::Tokens(5));
        assert_eq!(in_use(&*limits).await, (2, 10, 0));
    });
}

#[test]
fn an_id_that_was_never_given_out_settles_nothing() {
    each_limits(async |_, limits| {
        for id in ["", "0", "ffffffffffffffffffffffffffffffff", "\u{1f512}"] {
            let settled = limits.settle(OWNER, id, Used::Nothing).await;
            assert_eq!(settled, Err(UnknownReservation), "{id}");
        }
    });
}

#[test]
fn ten_thousand_random_ends_leak_no_lease() {
    each_limits(async |home, limits| {
        let most = 8;
        let mut quota = home.concurrent(most);
        quota.tokens = Some(u64::MAX / 2);
        let (mut random, mut full) = (Random(13), 0);
        let (mut open, mut crashing) = (Vec::new(), JoinSet::new());
        for _ in 0..10_000 {
            match limits.reserve(KEY, &quota, random.below(100)).await {
                Ok(reservation) => open.push(reservation),
                Err(Refused::Throttled { .. }) => full += 1,
                Err(other) => panic!("{other:?}"),
            }
            let live = open.len() + crashing.len();
            assert!(live as u64 <= most, "{live} at once");
            let level = limits.level(KEY).await;
            assert!(level.concurrent <= most, "{level:?}");
            if open.is_empty() || random.below(8) == 0 {
                crashing.abort_all();
                while crashing.join_next().await.is_some() {}
                home.pass(home.window / 1_000).await;
                continue;
            }
            let which = random.below(open.len() as u64) as usize;
            match random.below(8) {
                0 => open.swap_remove(which).settle(Used::Nothing),
                1 => open.swap_remove(which).settle(Used::Unknown),
                2 => open
                    .swap_remove(which)
                    .settle(Used::Tokens(random.below(200))),
                3 => drop(open.swap_remove(which)),
                4 => forget(home, &*limits, open.swap_remove(which)).await,
                5 => {
                    let reservation = open.swap_remove(which);
                    crashing.spawn(async move {
                        std::future::pending::<()>().await;
                        drop(reservation);
                    });
                }
                _ => {}
            }
        }
        assert!(full > 1_000, "only {full} calls met a full house");
        drop((open, crashing));
        // Aborted tasks are dropped when the runtime comes round to them.
        tokio::task::yield_now().await;
        home.pass(home.window).await;
        assert_eq!(limits.level(KEY).await.concurrent, 0);
        fill(home, &*limits, &quota, most).await;
        assert!(limits.reserve(KEY, &quota, 1).await.is_err());
    });
}

/// Every place is free: so many can be held, one after the other.
async fn fill(home: &Home<dyn Limits>, limits: &dyn Limits, quota: &Quota, most: u64) {
    for _ in 0..most {
        let reservation = granted(limits.reserve(KEY, quota, 1).await);
        limits
            .hold(OWNER, KEY, reservation, home.window)
            .await
            .expect("few are held");
    }
}

/// Holds a reservation for somebody who never comes back.
async fn forget(
    home: &Home<dyn Limits>,
    limits: &dyn Limits,
    reservation: tidegate_store::Reservation,
) {
    let lease = home.window / 500;
    limits
        .hold(OWNER, KEY, reservation, lease.max(Duration::from_millis(1)))
        .await
        .expect("few are held");
}

/// Reservations that one owner may hold.
const MOST: usize = 1_024;
/// So many are held at once, where many are.
const AT_ONCE: usize = 32;

async fn hold_one(
    home: &Home<dyn Limits>,
    limits: &dyn Limits,
    owner: &str,
    lease: Duration,
) -> Result<String, TooManyHeld> {
    // Nothing leaves the window while thousands are held one after the other.
    let quota = Quota {
        window: home.window * 100,
        ..Quota::unlimited()
    };
    let reservation = granted(limits.reserve(KEY, &quota, 1).await);
    limits.hold(owner, KEY, reservation, lease).await
}

#[test]
fn an_owner_holds_no_more_than_its_share_and_others_have_theirs() {
    each_limits(async |home, limits| {
        let lease = home.window * 10;
        let mut ids = Vec::new();
        for _ in 0..MOST {
            let id = hold_one(home, &*limits, OWNER, lease).await;
            ids.push(id.expect("there is room"));
        }
        let full = in_use(&*limits).await;
        let refused = hold_one(home, &*limits, OWNER, lease).await;
        assert_eq!(refused, Err(TooManyHeld { limit: MOST }));
        // What was refused is given back as if it had not been reserved.
        assert_eq!(in_use(&*limits).await, full);
        assert!(hold_one(home, &*limits, "another", lease).await.is_ok());
        let settled = limits.settle(OWNER, &ids[7], Used::Tokens(1)).await;
        assert!(settled.is_ok());
        assert!(hold_one(home, &*limits, OWNER, lease).await.is_ok());
        assert!(hold_one(home, &*limits, OWNER, lease).await.is_err());
    });
}

#[test]
fn a_lease_that_has_expired_counts_no_longer_for_its_owner() {
    each_limits(async |home, limits| {
        // The last to come are the first to go; together they come long before that.
        let leases = [4, 2].map(|windows| vec![home.window * windows; MOST / 2]);
        for half in leases {
            let holds = half.into_iter();
            let holds = holds.map(|lease| hold_one(home, &*limits, OWNER, lease));
            let held: Vec<_> = stream::iter(holds).buffered(AT_ONCE).collect().await;
            assert!(held.iter().all(Result::is_ok));
        }
        assert!(hold_one(home, &*limits, OWNER, home.window).await.is_err());
        home.pass(home.window * 2).await;
        assert_eq!(limits.level(KEY).await.concurrent, MOST as u64 / 2);
        let again = (0..MOST / 2).map(|_| hold_one(home, &*limits, OWNER, home.window * 9));
        let held: Vec<_> = stream::iter(again).buffered(AT_ONCE).collect().await;
        assert!(held.iter().all(Result::is_ok));
        assert!(hold_one(home, &*limits, OWNER, home.window).await.is_err());
    });
}
