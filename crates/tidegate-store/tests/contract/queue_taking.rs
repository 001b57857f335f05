//! Who is next.

use tidegate_store::{Begun, Held, Holding, Lane, OLDEST_EVERY, Put, Shelf, Take, To, WELL, When};

use crate::queue_home::*;

#[test]
fn entries_are_taken_by_rank_and_within_a_rank_as_they_were_put() {
    each_queue(async |_, queue| {
        let ranks = [3, 1, 3, 0, 1, 7, 0];
        for (n, rank) in ranks.into_iter().enumerate() {
            put(&*queue, vec![ranked(&n.to_string(), rank)]).await;
        }
        let first = take(&*queue, 2, LONG).await;
        assert_eq!(ids(&first), ["3", "6"]);
        assert_eq!(
            ids(&take(&*queue, 99, LONG).await),
            ["1", "4", "0", "2", "5"]
        );
        assert!(take(&*queue, 99, LONG).await.is_empty());
    });
}

#[test]
fn one_of_sixteen_is_the_oldest_whatever_its_rank() {
    each_queue(async |_, queue| {
        let old = ["old 1", "old 2"].map(|id| ranked(id, 7));
        put(&*queue, old.to_vec()).await;
        let new = (0..60).map(|n| ranked(&format!("{n:02}"), 0));
        put(&*queue, new.collect()).await;
        let mut order = Vec::new();
        for most in [7, 1, 30, 2] {
            order.extend(take(&*queue, most, LONG).await);
        }
        let order = ids(&order);
        let every = usize::try_from(OLDEST_EVERY).expect("it is small");
        assert_eq!(order[every - 1], "old 1");
        assert_eq!(order[2 * every - 1], "old 2");
        let mut rest = order.clone();
        rest.retain(|id| !id.starts_with("old"));
        let expected: Vec<String> = (0..38).map(|n| format!("{n:02}")).collect();
        assert_eq!(rest, expected);
    });
}

#[test]
fn only_the_lanes_that_were_asked_for_are_taken_from_as_one() {
    each_queue(async |_, queue| {
        let lane = |id: &str, lane: &str, rank| Put {
            lane: lane.to_owned(),
            ..ranked(id, rank)
        };
        put(
            &*queue,
            vec![
                lane("a1", "a", 2),
                lane("b1", "b", 1),
                lane("c1", "c", 0),
                lane("a2", "a", 1),
                lane("ab", "ab", 0),
            ],
        )
        .await;
        assert!(take_from(&*queue, &[], 9, LONG).await.entries.is_empty());
        assert!(take_from(&*queue, &["d"], 9, LONG).await.entries.is_empty());
        let taken = take_from(&*queue, &["a", "b", "a"], 9, LONG).await;
        assert_eq!(ids(&taken.entries), ["b1", "a2", "a1"]);
        let taken = take_from(&*queue, &["c"], 0, LONG).await;
        assert!(taken.entries.is_empty());
        let taken = take_from(&*queue, &["c", "ab"], 9, LONG).await;
        assert_eq!(ids(&taken.entries), ["c1", "ab"]);
    });
}

#[test]
fn no_more_of_a_lane_are_held_than_it_allows() {
    each_queue(async |home, queue| {
        let lane = |id: &str, lane: &str| Put {
            lane: lane.to_owned(),
            ..entry(id)
        };
        let all = ["a1", "a2", "a3", "b1"].map(|id| lane(id, &id[..1]));
        put(&*queue, all.to_vec()).await;
        let lanes = |most| {
            ["a", "b"].map(|name| Lane {
                name,
                most_held: (name == "a").then_some(most),
            })
        };
        let take = async |most_held, hold| {
            let lanes = &lanes(most_held);
            let (most, begin) = (9, 9);
            let take = Take {
                lanes,
                most,
                begin,
                hold,
            };
            take_like(&*queue, take).await.entries
        };
        assert_eq!(ids(&take(0, LONG).await), ["b1"]);
        let held = take(2, LONG).await;
        assert_eq!(ids(&held), ["a1", "a2"]);
        assert!(take(2, LONG).await.is_empty());
        end(&*queue, "a1", held[0].head.version, 0).await;
        let taken = take(2, home.short()).await;
        assert_eq!(ids(&taken), ["a3"]);
        home.outlive_short().await;
        assert_eq!(ids(&take(2, LONG).await), ["a3"]);
        assert!(take(2, LONG).await.is_empty());
    });
}

#[test]
fn what_is_taken_is_held_and_as_many_as_asked_for_are_begun() {
    each_queue(async |_, queue| {
        put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let before = get(&*queue, "a").await.head;
        let lanes = &[Lane {
            name: LANE,
            most_held: None,
        }];
        let (most, begin, hold) = (3, 2, LONG);
        let take = Take {
            lanes,
            most,
            begin,
            hold,
        };
        let taken = take_like(&*queue, take).await;
        let next = taken.next.expect("they are held for some time");
        assert!(next <= LONG && next > LONG / 2);
        let begun = taken.entries.iter().map(|entry| entry.head.tries.begun);
        assert_eq!(begun.collect::<Vec<u32>>(), [1, 1, 0]);
        for entry in &taken.entries {
            let head = &entry.head;
            assert_eq!(head.shelf, Shelf::Held);
            assert!(head.version > before.version);
            assert_eq!(
                head.stamps.begun_ms >= before.stamps.put_ms,
                head.tries.begun == 1
            );
            assert_eq!(entry.input, get(&*queue, &head.name.id).await.input);
            assert_eq!(&entry.head.state[..], b"put");
        }
        let last = Holding {
            begun: Begun::No,
            ..holding(&taken.entries[2])
        };
        assert_eq!(queue.hold(&[last], LONG).await, Ok(vec![Held::Yes]));
        assert_eq!(get(&*queue, "c").await.head.tries.begun, 0);
        let last = holding(&taken.entries[2]);
        for _ in 0..2 {
            let held = queue.hold(std::slice::from_ref(&last), LONG).await;
            assert_eq!(held, Ok(vec![Held::Yes]));
            assert_eq!(get(&*queue, "c").await.head.tries.begun, 1);
        }
    });
}

#[test]
fn an_entry_that_was_sent_back_keeps_its_place_among_its_rank() {
    each_queue(async |_, queue| {
        put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let taken = take(&*queue, 2, LONG).await;
        let back = |n: usize, to| changing(&taken[n].head.name.id, taken[n].head.version, to);
        change(&*queue, back(1, To::Again(When::Now))).await;
        change(&*queue, back(0, To::Due(When::Now))).await;
        assert_eq!(get(&*queue, "a").await.head.shelf, Shelf::Due);
        assert_eq!(get(&*queue, "b").await.head.shelf, Shelf::Again);
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["a", "b", "c"]);
    });
}

#[test]
fn of_many_takers_each_entry_goes_to_one() {
    each_queue(async |_, queue| {
        let all: Vec<Put> = (0..300).map(|n| entry(&n.to_string())).collect();
        put(&*queue, all).await;
        let takers = (0..12).map(|_| async {
            let mut taken = Vec::new();
            loop {
                let some = take(&*queue, 7, LONG).await;
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some);
            }
        });
        let taken = futures_util::future::join_all(takers).await.concat();
        let unique: std::collections::BTreeSet<&str> = ids(&taken).into_iter().collect();
        assert_eq!((taken.len(), unique.len()), (300, 300));
        let versions: std::collections::BTreeSet<u64> =
            taken.iter().map(|entry| entry.head.version).collect();
        assert_eq!(versions.len(), 300, "a version was given twice");
    });
}

#[test]
fn the_bell_rings_when_something_may_be_taken() {
    each_queue(async |_, queue| {
        let mut bell = queue.bell();
        // A home that hears others may need a moment to listen.
        let rung = async |bell: &mut tokio::sync::watch::Receiver<u64>| {
            let heard = tokio::time::timeout(LONG, bell.changed()).await;
            heard.expect("it rings").expect("the home is there");
        };
        put(&*queue, vec![entry("a"), after("b", &["a"])]).await;
        rung(&mut bell).await;
        let taken = take_one(&*queue, LONG).await;
        bell.mark_unchanged();
        assert_eq!(queue.stop(&name("a")).await, Ok(true));
        rung(&mut bell).await;
        bell.mark_unchanged();
        end(&*queue, "a", taken.head.version, WELL).await;
        rung(&mut bell).await;
        assert_eq!(take_one(&*queue, LONG).await.head.name, name("b"));
    });
}
