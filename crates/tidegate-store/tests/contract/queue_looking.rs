//! What those see who only look, and what is removed.

use std::time::Duration;

use tidegate_store::{Count, Counts, Part, Placed, Put, Queue, Shelf, To, WELL, When};

use crate::queue_home::*;

async fn list(queue: &dyn Queue, shelf: Shelf, part: &Part) -> Vec<String> {
    let heads = queue.list(OWNER, shelf, part).await;
    let heads = heads.expect("the home can say");
    assert!(heads.iter().all(|head| head.shelf == shelf));
    heads.into_iter().map(|head| head.name.id).collect()
}

fn all() -> Part {
    let (after, limit) = (None, 1_000);
    Part { after, limit }
}

#[test]
fn a_list_has_one_shelf_of_one_owner_the_last_first_page_by_page() {
    each_queue(async |home, queue| {
        let mut expected = Vec::new();
        for round in 0..3 {
            let ids = ["", "A", "a\0", "a", "b", "\u{e9}", "\u{1f980}"];
            let ids = ids.map(|id| format!("{id}{round}"));
            put(&*queue, ids.iter().map(|id| entry(id)).collect()).await;
            expected.extend(ids);
            home.pass(Duration::from_millis(2)).await;
        }
        expected.reverse();
        let mut other = entry("other");
        other.name.owner = "another".to_owned();
        put(&*queue, vec![other, after("waits", &["A0"])]).await;
        assert_eq!(list(&*queue, Shelf::Due, &all()).await, expected);
        assert_eq!(list(&*queue, Shelf::Waiting, &all()).await, ["waits"]);
        assert!(list(&*queue, Shelf::Held, &all()).await.is_empty());
        for limit in 1..=expected.len() {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let part = Part { after, limit };
                let heads = queue.list(OWNER, Shelf::Due, &part).await;
                let heads = heads.expect("the home can say");
                let last = heads
                    .last()
                    .map(|head| (head.stamps.put_ms, head.name.id.clone()));
                let is_last = heads.len() < limit;
                pages.extend(heads.into_iter().map(|head| head.name.id));
                after = last;
                if is_last {
                    break;
                }
            }
            assert_eq!(pages, expected, "{limit} each");
        }
        let part = Part {
            after: Some((u64::MAX, String::new())),
            limit: 2,
        };
        assert_eq!(list(&*queue, Shelf::Due, &part).await, expected[..2]);
        let gone = get(&*queue, "b1").await.head.stamps.put_ms;
        let part = Part {
            after: Some((gone, "between".to_owned())),
            limit: 1,
        };
        assert_eq!(list(&*queue, Shelf::Due, &part).await, ["b1"]);
        let (after, limit) = (None, 0);
        assert!(
            list(&*queue, Shelf::Due, &Part { after, limit })
                .await
                .is_empty()
        );
    });
}

#[test]
fn an_entry_is_listed_where_it_stands() {
    each_queue(async |home, queue| {
        put(&*queue, vec![entry("a"), after("b", &["a"])]).await;
        let shelf_of = async |id: &str| {
            let mut shelves = vec![Shelf::Waiting, Shelf::Due, Shelf::Again, Shelf::Held];
            shelves.extend((0..8).map(Shelf::Ended));
            let mut found = Vec::new();
            for shelf in shelves {
                let listed = list(&*queue, shelf, &all()).await;
                found.extend(listed.contains(&id.to_owned()).then_some(shelf));
            }
            assert_eq!(found.len(), 1, "{id}: {found:?}");
            found[0]
        };
        assert_eq!(shelf_of("a").await, Shelf::Due);
        take_one(&*queue, home.short()).await;
        assert_eq!(shelf_of("a").await, Shelf::Held);
        home.outlive_short().await;
        queue.sweep(MANY).await.expect("it can say");
        assert_eq!(shelf_of("a").await, Shelf::Again);
        let taken = take_one(&*queue, LONG).await;
        end(&*queue, "a", taken.head.version, WELL).await;
        assert_eq!(shelf_of("a").await, Shelf::Ended(WELL));
        assert_eq!(shelf_of("b").await, Shelf::Due);
    });
}

async fn counts(queue: &dyn Queue) -> Vec<(String, u8, Shelf, u64)> {
    let Counts { counts, .. } = queue.counts().await.expect("the home can say");
    let count = |count: Count| (count.lane, count.rank, count.shelf, count.entries);
    let mut counts: Vec<_> = counts.into_iter().map(count).collect();
    counts.sort();
    counts
}

#[test]
fn every_entry_is_counted_once_where_it_stands() {
    each_queue(async |home, queue| {
        assert_eq!(queue.counts().await, Ok(Counts::default()));
        let mut other = ranked("other", 7);
        other.name.owner = "another".to_owned();
        let later = Put {
            when: When::In(LONG),
            ..entry("later")
        };
        let mut lane = entry("lane");
        lane.lane = "z".to_owned();
        let entries = vec![
            entry("a"),
            entry("b"),
            after("c", &["a"]),
            other,
            later,
            lane,
        ];
        put(&*queue, entries).await;
        let at = |lane: &str, rank, shelf, count| (lane.to_owned(), rank, shelf, count);
        let mut expected = vec![
            at(LANE, 2, Shelf::Waiting, 1),
            at(LANE, 2, Shelf::Due, 3),
            at(LANE, 7, Shelf::Due, 1),
            at("z", 2, Shelf::Due, 1),
        ];
        assert_eq!(counts(&*queue).await, expected);
        let taken = take(&*queue, 1, home.short()).await;
        expected[1] = at(LANE, 2, Shelf::Due, 2);
        expected.insert(2, at(LANE, 2, Shelf::Held, 1));
        assert_eq!((ids(&taken), counts(&*queue).await), (vec!["a"], expected));
        home.outlive_short().await;
        queue.sweep(MANY).await.expect("it can say");
        let taken = take(&*queue, 1, LONG).await;
        end(&*queue, "a", taken[0].head.version, WELL + 1).await;
        let mut expected = vec![
            at(LANE, 2, Shelf::Due, 3),
            at(LANE, 2, Shelf::Ended(WELL + 1), 1),
            at(LANE, 7, Shelf::Due, 1),
            at("z", 2, Shelf::Due, 1),
        ];
        expected.sort();
        assert_eq!(counts(&*queue).await, expected);
        let broken = take(&*queue, 1, LONG).await;
        end(&*queue, "c", broken[0].head.version, WELL).await;
        assert_eq!(queue.sweep(0).await, Ok(2));
        expected.retain(|(.., shelf, _)| *shelf == Shelf::Due);
        expected[0].3 = 2;
        assert_eq!(counts(&*queue).await, expected);
    });
}

#[test]
fn the_wait_of_the_one_that_was_put_first_is_told() {
    each_queue(async |home, queue| {
        let later = Put {
            when: When::In(LONG),
            ..entry("later")
        };
        put(&*queue, vec![later, ranked("a", 7)]).await;
        home.pass(home.short()).await;
        put(&*queue, vec![ranked("b", 0)]).await;
        let oldest = async || queue.counts().await.expect("it can say").oldest;
        assert!(oldest().await >= Some(home.short()), "{:?}", oldest().await);
        let taken = take(&*queue, 2, LONG).await;
        assert_eq!(ids(&taken), ["b", "a"]);
        assert_eq!(oldest().await, None);
    });
}

#[test]
fn what_has_ended_is_removed_after_its_time() {
    each_queue(async |home, queue| {
        let versions = put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let keep = |keep| To::Ended { how: WELL, keep };
        change(&*queue, changing("a", versions[0], keep(home.short()))).await;
        change(&*queue, changing("b", versions[1], keep(LONG))).await;
        home.outlive_short().await;
        assert_eq!(queue.sweep(MANY).await, Ok(1));
        assert_eq!(queue.sweep(MANY).await, Ok(0));
        assert!(!is_there(&*queue, "a").await);
        assert!(is_there(&*queue, "b").await && is_there(&*queue, "c").await);
        assert!(list(&*queue, Shelf::Ended(WELL), &all()).await == ["b"]);
    });
}

#[test]
fn of_too_many_that_have_ended_those_are_removed_that_would_be_next() {
    each_queue(async |home, queue| {
        let all: Vec<Put> = (0..300).map(|n| entry(&format!("{n:03}"))).collect();
        let versions = put(&*queue, all).await;
        // The ones that ended last are kept for the shortest time.
        let changes = (0..300).rev().map(|n: u32| {
            let keep = LONG + home.short() * n;
            let version = versions[n as usize];
            changing(&format!("{n:03}"), version, To::Ended { how: 0, keep })
        });
        queue.change(changes.collect()).await.expect("it can say");
        let mut removed = 0;
        loop {
            let swept = queue.sweep(20).await.expect("it can say");
            assert!(swept <= 128, "{swept} in one step");
            removed += swept;
            if swept == 0 {
                break;
            }
        }
        assert_eq!(removed, 280);
        assert!(is_there(&*queue, "280").await && !is_there(&*queue, "279").await);
    });
}

#[test]
fn the_id_and_the_key_of_what_was_removed_are_free() {
    each_queue(async |_, queue| {
        let keyed = |id: &str| Put {
            key: Some("key".to_owned()),
            ..entry(id)
        };
        let version = put(&*queue, vec![keyed("a")]).await[0];
        end(&*queue, "a", version, WELL).await;
        let known = queue.put(vec![keyed("b")], MANY).await;
        assert_eq!(known, Ok(vec![Placed::Known { id: "a".into() }]));
        assert_eq!(queue.sweep(0).await, Ok(1));
        let new = put(&*queue, vec![keyed("b"), entry("a")]).await;
        assert!(new[0] > version && new[1] > version);
        let known = queue.put(vec![keyed("c")], MANY).await;
        assert_eq!(known, Ok(vec![Placed::Known { id: "b".into() }]));
    });
}
