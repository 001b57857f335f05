//! What comes after what.

use std::time::Duration;

use tidegate_store::{Changed, Put, Shelf, To, WELL, When};

use crate::queue_home::*;

#[test]
fn an_entry_is_due_when_the_last_one_that_it_follows_has_ended_well() {
    each_queue(async |_, queue| {
        let versions = put(
            &*queue,
            vec![
                entry("a"),
                entry("b"),
                after("c", &["a", "b", "a"]),
                after("d", &["c"]),
            ],
        )
        .await;
        let head = get(&*queue, "c").await.head;
        assert_eq!(
            (head.shelf, head.after),
            (Shelf::Waiting, ["a", "b", "a"].map(Into::into).to_vec())
        );
        assert_eq!(ids(&take(&*queue, 9, Duration::ZERO).await), ["a", "b"]);
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["a", "b"]);
        let version = async |id: &str| get(&*queue, id).await.head.version;
        end(&*queue, "b", version("b").await, WELL).await;
        assert!(take(&*queue, 9, LONG).await.is_empty());
        end(&*queue, "a", version("a").await, WELL).await;
        let taken = take_one(&*queue, LONG).await;
        assert_eq!((&*taken.head.name.id, taken.head.broken), ("c", false));
        assert!(taken.head.version > versions[2]);
        end(&*queue, "c", taken.head.version, WELL).await;
        assert_eq!(take_one(&*queue, LONG).await.head.name, name("d"));
    });
}

#[test]
fn what_follows_a_bad_end_is_handed_out_broken_first_and_from_every_lane() {
    each_queue(async |home, queue| {
        let elsewhere = Put {
            lane: "elsewhere".to_owned(),
            rank: 7,
            when: When::In(LONG),
            ..after("c", &["a", "b"])
        };
        let entries = vec![ranked("a", 7), entry("b"), elsewhere, ranked("d", 0)];
        let versions = put(&*queue, entries).await;
        end(&*queue, "a", versions[0], WELL + 1).await;
        let head = get(&*queue, "c").await.head;
        assert_eq!((head.shelf, head.broken), (Shelf::Due, true));
        let taken = take(&*queue, 1, home.short()).await;
        assert_eq!(ids(&taken), ["c"]);
        assert!(taken[0].head.broken);
        // It is still broken when its holder falls silent.
        home.outlive_short().await;
        let taken = take(&*queue, 2, LONG).await;
        assert_eq!(ids(&taken), ["c", "d"]);
        assert!(taken[0].head.broken && taken[0].head.tries.lost == 1);
        // Whoever holds it may send it on: it then waits for what is left.
        let on = changing("c", taken[0].head.version, To::Due(When::Now));
        assert!(matches!(change(&*queue, on).await, Changed::To(_)));
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["b"]);
        let head = get(&*queue, "c").await.head;
        assert_eq!((head.shelf, head.broken), (Shelf::Waiting, false));
        let version = get(&*queue, "b").await.head.version;
        end(&*queue, "b", version, WELL).await;
        let taken = take_from(&*queue, &["elsewhere"], 9, LONG).await.entries;
        assert_eq!(ids(&taken), ["c"]);
        assert!(!taken[0].head.broken);
    });
}

#[test]
fn what_was_sent_on_is_broken_again_when_more_of_what_it_follows_ends_badly() {
    each_queue(async |_, queue| {
        let versions = put(
            &*queue,
            vec![entry("a"), entry("b"), after("c", &["a", "b"])],
        )
        .await;
        end(&*queue, "a", versions[0], WELL + 1).await;
        let broken = take(&*queue, 1, LONG).await.remove(0);
        let on = changing("c", broken.head.version, To::Due(When::Now));
        assert!(matches!(change(&*queue, on).await, Changed::To(_)));
        end(&*queue, "b", versions[1], WELL + 1).await;
        let broken = take_one(&*queue, LONG).await;
        assert!(broken.head.broken);
        // Nothing is left now that it could wait for.
        let on = changing("c", broken.head.version, To::Due(When::Now));
        assert!(matches!(change(&*queue, on).await, Changed::To(_)));
        assert!(!take_one(&*queue, LONG).await.head.broken);
    });
}

#[test]
fn broken_entries_are_taken_in_the_order_in_which_they_were_put() {
    each_queue(async |_, queue| {
        let version = put(&*queue, vec![entry("a")]).await[0];
        let followers = ["d", "c", "b"].map(|id| Put {
            rank: if id == "d" { 7 } else { 0 },
            ..after(id, &["a"])
        });
        put(&*queue, followers.to_vec()).await;
        end(&*queue, "a", version, WELL + 1).await;
        assert_eq!(ids(&take(&*queue, 1, LONG).await), ["d"]);
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["c", "b"]);
    });
}

#[test]
fn what_ended_before_an_entry_was_put_counts_as_ended() {
    each_queue(async |_, queue| {
        let versions = put(&*queue, ["well", "badly", "not"].map(entry).to_vec()).await;
        end(&*queue, "well", versions[0], WELL).await;
        end(&*queue, "badly", versions[1], WELL + 2).await;
        put(
            &*queue,
            vec![after("a", &["well"]), after("b", &["well", "not"])],
        )
        .await;
        put(&*queue, vec![after("c", &["not", "badly"])]).await;
        let shelf = async |id: &str| get(&*queue, id).await.head.shelf;
        assert_eq!(shelf("a").await, Shelf::Due);
        assert_eq!(shelf("b").await, Shelf::Waiting);
        assert_eq!(shelf("c").await, Shelf::Due);
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["c", "not", "a"]);
    });
}

#[test]
fn an_entry_that_is_due_later_is_so_after_what_it_follows_as_well() {
    each_queue(async |home, queue| {
        let later = Put {
            when: When::In(LONG),
            ..after("b", &["a"])
        };
        let sooner = Put {
            when: When::In(home.short()),
            ..after("c", &["a"])
        };
        let version = put(&*queue, vec![entry("a"), later, sooner]).await[0];
        home.outlive_short().await;
        end(&*queue, "a", version, WELL).await;
        assert_eq!(get(&*queue, "b").await.head.shelf, Shelf::Due);
        assert_eq!(take_one(&*queue, LONG).await.head.name, name("c"));
    });
}

#[test]
fn an_entry_that_waits_may_be_ended_and_is_let_go_by_nobody() {
    each_queue(async |_, queue| {
        let entries = vec![entry("a"), after("b", &["a"]), after("c", &["b"])];
        let versions = put(&*queue, entries).await;
        end(&*queue, "b", versions[1], WELL + 3).await;
        assert!(get(&*queue, "c").await.head.broken);
        end(&*queue, "a", versions[0], WELL).await;
        assert_eq!(get(&*queue, "b").await.head.shelf, Shelf::Ended(WELL + 3));
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["c"]);
    });
}

#[test]
fn an_end_is_counted_once_though_the_entry_be_sent_back_and_end_again() {
    each_queue(async |_, queue| {
        let entries = vec![entry("a"), entry("b"), after("c", &["a", "b"])];
        let versions = put(&*queue, entries).await;
        let mut version = end(&*queue, "a", versions[0], WELL).await;
        for _ in 0..2 {
            let back = changing("a", version, To::Due(When::In(LONG)));
            let Changed::To(back) = change(&*queue, back).await else {
                panic!("nobody has changed it");
            };
            version = end(&*queue, "a", back, WELL).await;
        }
        assert_eq!(get(&*queue, "c").await.head.shelf, Shelf::Waiting);
        end(&*queue, "b", versions[1], WELL).await;
        assert_eq!(take_one(&*queue, LONG).await.head.name, name("c"));
    });
}

#[test]
fn an_entry_stays_while_another_follows_it_that_has_not_ended() {
    each_queue(async |_, queue| {
        let entries = vec![entry("a"), entry("b"), after("c", &["a", "b"]), entry("d")];
        let versions = put(&*queue, entries).await;
        let ended = To::Ended {
            how: WELL,
            keep: Duration::ZERO,
        };
        change(&*queue, changing("a", versions[0], ended)).await;
        change(&*queue, changing("d", versions[3], ended)).await;
        assert_eq!(queue.sweep(0).await, Ok(1));
        assert_eq!(queue.sweep(0).await, Ok(0));
        assert!(is_there(&*queue, "a").await && !is_there(&*queue, "d").await);
        change(&*queue, changing("b", versions[1], ended)).await;
        assert_eq!(queue.sweep(0).await, Ok(0));
        change(&*queue, changing("c", versions[2], ended)).await;
        assert_eq!(queue.sweep(0).await, Ok(3));
        assert!(!is_there(&*queue, "a").await && !is_there(&*queue, "c").await);
    });
}

#[test]
fn owners_never_meet() {
    each_queue(async |_, queue| {
        let of = |owner: &str, put: Put| {
            let mut put = put;
            put.name.owner = owner.to_owned();
            put
        };
        put(&*queue, vec![of("a", entry("bc")), of("ab", entry("c"))]).await;
        put(&*queue, vec![of("b", entry("bc"))]).await;
        let missing = refused(&*queue, vec![of("ab", after("d", &["bc"]))], MANY).await;
        assert!(missing.to_string().contains("bc"), "{missing}");
        put(&*queue, vec![of("b", after("d", &["bc"]))]).await;
        let mut of_a = name("bc");
        of_a.owner = "a".to_owned();
        let version = queue
            .get(&of_a)
            .await
            .expect("it can say")
            .expect("it is there");
        let mut end = changing("bc", version.head.version, To::Ended { how: 0, keep: LONG });
        end.name = of_a;
        assert!(matches!(change(&*queue, end).await, Changed::To(_)));
        let mut waits = name("d");
        waits.owner = "b".to_owned();
        let waits = queue
            .get(&waits)
            .await
            .expect("it can say")
            .expect("it is there");
        assert_eq!(waits.head.shelf, Shelf::Waiting);
    });
}
