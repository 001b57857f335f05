//! What may be put, and what is there already.

use bytes::Bytes;
use tidegate_store::{
    MOST_FOLLOWERS, Placed, Put, PutError, RANKS, Shelf, Stamps, StoreError, Tries, When,
};

use crate::queue_home::*;

#[test]
fn what_was_put_is_read_back_byte_for_byte() {
    each_queue(async |_, queue| {
        let mut noise = vec![0; 300_000];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        let every_byte: Vec<u8> = (0..=255).collect();
        let values = [&b""[..], b"v", &every_byte, &[7; 1_000_000], &noise];
        let ids = ["", "a\0b", "x' OR 1=1 --", "*", "{a}:b\r\n", "\u{1f980}"];
        for (id, value) in ids.into_iter().zip(values.into_iter().cycle()) {
            let lane = format!("lane of {id}");
            let input = Bytes::copy_from_slice(value);
            let state = Bytes::copy_from_slice(&value[..value.len() / 2]);
            let before = queue.now_ms().await.expect("it has a clock");
            let versions = put(
                &*queue,
                vec![Put {
                    lane: lane.clone(),
                    input: input.clone(),
                    state: state.clone(),
                    ..entry(id)
                }],
            )
            .await;
            let found = get(&*queue, id).await;
            assert_eq!(found.input, Some(input), "{id}");
            assert_eq!(found.result, None);
            let head = found.head;
            assert_eq!((head.name, head.lane), (name(id), lane));
            assert_eq!((head.state, head.note), (state, Bytes::new()));
            assert_eq!((head.rank, head.shelf), (2, Shelf::Due));
            assert_eq!(head.version, versions[0]);
            assert!(!head.broken && !head.stopping && head.after.is_empty());
            assert_eq!(head.tries, Tries::default());
            let Stamps {
                put_ms,
                due_ms,
                begun_ms,
                ended_ms,
            } = head.stamps;
            let now = queue.now_ms().await.expect("it has a clock");
            assert!(before <= put_ms && put_ms <= now);
            assert_eq!((due_ms, begun_ms, ended_ms), (put_ms, 0, 0));
        }
        assert!(!is_there(&*queue, "b").await);
    });
}

#[test]
fn an_id_that_is_there_is_known_and_nothing_of_the_new_one_is_kept() {
    each_queue(async |_, queue| {
        put(&*queue, vec![entry("a")]).await;
        let again = Put {
            key: Some("key".to_owned()),
            state: Bytes::from_static(b"other"),
            ..ranked("a", 7)
        };
        let placed = queue.put(vec![again, entry("b")], MANY).await;
        let placed = placed.expect("it can be put");
        assert_eq!(placed[0], Placed::Known { id: "a".into() });
        assert!(matches!(placed[1], Placed::New { .. }));
        let found = get(&*queue, "a").await.head;
        assert_eq!((found.rank, &found.state[..]), (2, &b"put"[..]));
        let with_key = Put {
            key: Some("key".to_owned()),
            ..entry("c")
        };
        put(&*queue, vec![with_key]).await;
    });
}

#[test]
fn a_key_that_is_there_finds_its_entry_in_whatever_state() {
    each_queue(async |_, queue| {
        let keyed = |id: &str, owner: &str| {
            let mut put = entry(id);
            put.name.owner = owner.to_owned();
            put.key = Some("key".to_owned());
            put
        };
        let version = put(&*queue, vec![keyed("a", OWNER)]).await[0];
        let known = async |id: &str| {
            let placed = queue.put(vec![keyed(id, OWNER)], MANY).await;
            assert_eq!(placed, Ok(vec![Placed::Known { id: "a".into() }]));
            assert!(!is_there(&*queue, id).await);
        };
        known("b").await;
        put(&*queue, vec![keyed("b", "another")]).await;
        end(&*queue, "a", version, 0).await;
        known("c").await;
        // Both in one call: the second is the first.
        let other = |id: &str| Put {
            key: Some("other".to_owned()),
            ..entry(id)
        };
        let placed = queue.put(vec![other("d"), other("e")], MANY).await;
        let placed = placed.expect("it can be put");
        assert!(matches!(placed[0], Placed::New { .. }));
        assert_eq!(placed[1], Placed::Known { id: "d".into() });
        let follower = vec![other("f"), after("g", &["f"])];
        let missing = refused(&*queue, follower, MANY).await;
        assert!(matches!(missing, PutError::Missing { .. }), "{missing}");
    });
}

#[test]
fn all_of_a_call_is_put_or_nothing() {
    each_queue(async |_, queue| {
        let bad = after("bad", &["nothing"]);
        let entries = vec![entry("a"), bad, entry("b")];
        let expected = PutError::Missing {
            id: "bad".into(),
            after: "nothing".into(),
        };
        assert_eq!(refused(&*queue, entries, MANY).await, expected);
        assert!(!is_there(&*queue, "a").await && !is_there(&*queue, "b").await);
        assert!(queue.counts().await.expect("it can say").counts.is_empty());
        // An entry cannot follow itself, nor one that stands behind it.
        let itself = refused(&*queue, vec![after("a", &["a"])], MANY).await;
        assert!(matches!(itself, PutError::Missing { .. }));
        let behind = refused(&*queue, vec![after("a", &["b"]), entry("b")], MANY).await;
        assert!(matches!(behind, PutError::Missing { .. }));
        assert!(take(&*queue, 9, LONG).await.is_empty());
    });
}

#[test]
fn what_is_full_takes_what_is_there_and_nothing_else_until_something_ends() {
    each_queue(async |_, queue| {
        let versions = put(&*queue, vec![entry("a"), entry("b"), after("c", &["a"])]).await;
        let full = PutError::Full { limit: 3 };
        assert_eq!(refused(&*queue, vec![entry("d")], 3).await, full);
        let known = queue.put(vec![entry("a")], 0).await;
        assert_eq!(known, Ok(vec![Placed::Known { id: "a".into() }]));
        let taken = take(&*queue, 1, LONG).await;
        assert_eq!(refused(&*queue, vec![entry("d")], 3).await, full);
        end(&*queue, "a", taken[0].head.version, 0).await;
        let two = vec![entry("d"), entry("e")];
        assert_eq!(refused(&*queue, two, 3).await, full);
        assert!(queue.put(vec![entry("d")], 3).await.is_ok());
        end(&*queue, "b", versions[1], 3).await;
        assert!(queue.put(vec![entry("e"), entry("e")], 3).await.is_ok());
    });
}

#[test]
fn an_entry_has_a_thousand_followers_at_most_and_one_that_has_ended_has_any() {
    each_queue(async |_, queue| {
        let version = put(&*queue, vec![entry("a")]).await[0];
        let follower = |n: usize| after(&format!("{n}"), &["a", "a"]);
        let first: Vec<Put> = (0..MOST_FOLLOWERS / 2).map(follower).collect();
        put(&*queue, first).await;
        let rest: Vec<Put> = (MOST_FOLLOWERS / 2..=MOST_FOLLOWERS)
            .map(follower)
            .collect();
        let crowded = PutError::Crowded { after: "a".into() };
        assert_eq!(refused(&*queue, rest.clone(), MANY).await, crowded);
        put(&*queue, rest[1..].to_vec()).await;
        assert_eq!(refused(&*queue, vec![follower(9_999)], MANY).await, crowded);
        let known = queue.put(vec![follower(1)], MANY).await;
        assert_eq!(known, Ok(vec![Placed::Known { id: "1".into() }]));
        assert!(take(&*queue, 1, LONG).await[0].head.version > version);
        let version = get(&*queue, "a").await.head.version;
        end(&*queue, "a", version, 0).await;
        put(&*queue, vec![follower(9_999)]).await;
        assert_eq!(take(&*queue, 2_000, LONG).await.len(), MOST_FOLLOWERS + 1);
    });
}

#[test]
fn one_who_puts_an_entry_may_hold_it_from_the_start() {
    each_queue(async |home, queue| {
        let held = |id: &str, hold| Put {
            held: Some(hold),
            ..entry(id)
        };
        let versions = put(&*queue, vec![held("a", LONG), held("b", home.short())]).await;
        assert!(take(&*queue, 1, LONG).await.is_empty() || home != QueueHome::Memory);
        let head = get(&*queue, "a").await.head;
        assert_eq!((head.shelf, head.tries.begun), (Shelf::Held, 1));
        assert_eq!(head.stamps.begun_ms, head.stamps.put_ms);
        home.outlive_short().await;
        let again = queue.get(&name("b")).await.expect("it can say");
        if again.is_some_and(|again| again.head.shelf == Shelf::Held) {
            let taken = take_one(&*queue, LONG).await;
            assert_eq!((taken.head.tries.begun, taken.head.tries.lost), (2, 1));
            assert!(taken.head.version > versions[1]);
        }
        end(&*queue, "a", versions[0], 0).await;
    });
}

#[test]
fn what_no_home_keeps_is_refused_with_the_limit() {
    each_queue(async |_, queue| {
        let large = Put {
            input: vec![7; (16 << 20) + 1].into(),
            ..entry("a")
        };
        let no_lane = Put {
            lane: String::new(),
            ..entry("a")
        };
        let both = Put {
            held: Some(LONG),
            ..after("b", &["a"])
        };
        for (bad, said) in [
            (large, "16777216"),
            (no_lane, "lane"),
            (ranked("a", RANKS), "rank"),
            (both, "held"),
        ] {
            let refused = refused(&*queue, vec![entry("a"), bad], MANY).await;
            let PutError::Store(StoreError::Refused { reason }) = refused else {
                panic!("{refused:?} for {said}");
            };
            assert!(reason.contains(said), "{reason}");
        }
        assert!(!is_there(&*queue, "a").await);
    });
}

#[test]
fn an_entry_is_taken_when_it_is_due_and_not_before() {
    each_queue(async |home, queue| {
        let later = |id: &str, when| Put { when, ..entry(id) };
        let now = queue.now_ms().await.expect("it has a clock");
        put(
            &*queue,
            vec![
                later("never", When::In(LONG * 24 * 365 * 200)),
                later("later", When::In(LONG)),
                later("past", When::At(now / 2)),
            ],
        )
        .await;
        let taken = take_from(&*queue, &[LANE], 9, LONG * 2).await;
        assert_eq!(ids(&taken.entries), ["past"]);
        let next = taken.next.expect("one will be due");
        assert!(next <= LONG && next > LONG / 2, "{next:?}");
        put(&*queue, vec![later("soon", When::In(home.short()))]).await;
        let soon = get(&*queue, "soon").await.head;
        assert_eq!(soon.shelf, Shelf::Due);
        home.outlive_short().await;
        assert_eq!(take_one(&*queue, LONG).await.head.name, name("soon"));
        let now = queue.now_ms().await.expect("it has a clock");
        assert!(soon.stamps.due_ms <= now && soon.stamps.due_ms > soon.stamps.put_ms);
    });
}
