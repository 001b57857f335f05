//! Who holds an entry, and who does not any more.

use bytes::Bytes;
use tidegate_store::{Begun, Change, Changed, Held, Holding, Lane, Shelf, Take, To, When};

use crate::queue_home::*;

#[test]
fn an_entry_whose_holder_falls_silent_is_free_again_and_the_old_holder_is_fenced() {
    each_queue(async |home, queue| {
        put(&*queue, vec![entry("a")]).await;
        let old = take_one(&*queue, home.short()).await;
        home.outlive_short().await;
        let new = take_one(&*queue, LONG).await;
        assert!(new.head.version > old.head.version);
        assert_eq!((new.head.tries.begun, new.head.tries.lost), (2, 1));
        let to = To::Ended { how: 0, keep: LONG };
        let late = changing("a", old.head.version, to);
        assert_eq!(change(&*queue, late).await, Changed::Lost);
        let held = queue.hold(&[holding(&old)], LONG).await;
        assert_eq!(held, Ok(vec![Held::Lost]));
        let noted = queue
            .note(&holding(&old), Bytes::from_static(b"late"))
            .await;
        assert_eq!(noted, Ok(false));
        let found = get(&*queue, "a").await;
        assert_eq!(found.head, new.head);
        end(&*queue, "a", new.head.version, 0).await;
        let late = changing("a", new.head.version, To::Again(When::Now));
        assert_eq!(change(&*queue, late).await, Changed::Lost);
    });
}

#[test]
fn an_entry_that_was_lost_stands_among_those_that_were_held_before() {
    each_queue(async |home, queue| {
        put(&*queue, vec![entry("a"), entry("b")]).await;
        assert_eq!(take(&*queue, 1, home.short()).await.len(), 1);
        home.outlive_short().await;
        assert_eq!(queue.sweep(MANY).await, Ok(0));
        let head = get(&*queue, "a").await.head;
        assert_eq!((head.shelf, head.tries.lost), (Shelf::Again, 1));
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["a", "b"]);
    });
}

#[test]
fn to_lose_what_was_never_begun_costs_nothing() {
    each_queue(async |home, queue| {
        put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let lanes = &[Lane {
            name: LANE,
            most_held: None,
        }];
        let (most, begin, hold) = (3, 1, home.short());
        let take = Take {
            lanes,
            most,
            begin,
            hold,
        };
        let taken = take_like(&*queue, take).await.entries;
        let began = queue.hold(&[holding(&taken[1])], home.short()).await;
        assert!(began.is_ok());
        home.outlive_short().await;
        let again = crate::queue_home::take(&*queue, 9, LONG).await;
        let lost = again.iter().map(|entry| entry.head.tries.lost);
        let lost: Vec<u32> = lost.collect();
        if began == Ok(vec![Held::Yes]) {
            assert_eq!(lost, [1, 1, 0]);
        }
        assert_eq!((lost[0], lost[2]), (1, 0));
    });
}

#[test]
fn a_holder_that_says_so_in_time_keeps_its_entry_for_many_times_as_long() {
    each_queue(async |home, queue| {
        put(&*queue, vec![entry("a")]).await;
        let taken = take_one(&*queue, home.short()).await;
        assert_eq!(
            queue.hold(&[holding(&taken)], LONG).await,
            Ok(vec![Held::Yes])
        );
        home.pass(home.short() * 3).await;
        assert!(take(&*queue, 9, LONG).await.is_empty());
        assert_eq!(get(&*queue, "a").await.head.version, taken.head.version);
        assert_eq!(
            queue.hold(&[holding(&taken)], home.short()).await,
            Ok(vec![Held::Yes])
        );
        home.outlive_short().await;
        assert_eq!(take_one(&*queue, LONG).await.head.tries.lost, 1);
    });
}

#[test]
fn each_of_many_that_are_held_at_once_is_answered() {
    each_queue(async |_, queue| {
        put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let taken = take(&*queue, 3, LONG).await;
        assert_eq!(queue.stop(&name("b")).await, Ok(true));
        let mut all: Vec<Holding> = taken.iter().map(holding).collect();
        all[2].version += 1_000_000;
        let nobody = Holding {
            name: name("nobody"),
            version: 1,
            begun: Begun::No,
        };
        all.push(nobody);
        let answers = [Held::Yes, Held::Stopping, Held::Lost, Held::Lost];
        assert_eq!(queue.hold(&all, LONG).await, Ok(answers.to_vec()));
        assert_eq!(queue.hold(&[], LONG).await, Ok(Vec::new()));
    });
}

#[test]
fn a_holder_that_is_asked_to_stop_hears_it_and_so_does_the_next_one() {
    each_queue(async |home, queue| {
        put(&*queue, vec![entry("a")]).await;
        assert_eq!(queue.stop(&name("a")).await, Ok(false));
        assert_eq!(queue.stop(&name("b")).await, Ok(false));
        let taken = take_one(&*queue, home.short()).await;
        for _ in 0..2 {
            assert_eq!(queue.stop(&name("a")).await, Ok(true));
        }
        let held = queue.hold(&[holding(&taken)], home.short()).await;
        assert_eq!(held, Ok(vec![Held::Stopping]));
        home.outlive_short().await;
        let next = take_one(&*queue, LONG).await;
        assert!(next.head.stopping);
        // Whoever gives it back has not ended it: it is there at once, to be ended.
        let later = To::Again(When::In(LONG));
        for to in [later, To::Due(When::In(LONG))] {
            let version = get(&*queue, "a").await.head.version;
            let back = changing("a", version, to);
            assert!(matches!(change(&*queue, back).await, Changed::To(_)));
            assert!(take_one(&*queue, LONG).await.head.stopping);
        }
        let version = get(&*queue, "a").await.head.version;
        end(&*queue, "a", version, 1).await;
        let version = get(&*queue, "a").await.head.version;
        let again = changing("a", version, To::Due(When::Now));
        assert!(matches!(change(&*queue, again).await, Changed::To(_)));
        let next = take_one(&*queue, LONG).await;
        assert!(!next.head.stopping);
        assert_eq!(
            queue.hold(&[holding(&next)], LONG).await,
            Ok(vec![Held::Yes])
        );
    });
}

#[test]
fn what_a_holder_notes_is_seen_and_stays() {
    each_queue(async |_, queue| {
        put(&*queue, vec![entry("a")]).await;
        let taken = take_one(&*queue, LONG).await;
        for word in ["half", "almost"] {
            let noted = queue.note(&holding(&taken), Bytes::from(word)).await;
            assert_eq!(noted, Ok(true));
            let head = get(&*queue, "a").await.head;
            assert_eq!(&head.note[..], word.as_bytes());
            assert_eq!(head.version, taken.head.version);
        }
        let again = changing("a", taken.head.version, To::Again(When::Now));
        change(&*queue, again).await;
        assert_eq!(&take_one(&*queue, LONG).await.head.note[..], b"almost");
    });
}

#[test]
fn a_change_is_made_where_nobody_has_changed_the_entry_since() {
    each_queue(async |_, queue| {
        let version = put(&*queue, vec![entry("a")]).await[0];
        let to = To::Due(When::In(LONG));
        let unknown = changing("b", version, to);
        assert_eq!(change(&*queue, unknown).await, Changed::Lost);
        let made = Change {
            result: Some(Bytes::from_static(b"result")),
            ..changing("a", version, to)
        };
        let Changed::To(second) = change(&*queue, made.clone()).await else {
            panic!("nobody has changed it");
        };
        assert!(second > version);
        let found = get(&*queue, "a").await;
        assert_eq!(found.head.version, second);
        assert_eq!(&found.head.state[..], b"changed");
        assert_eq!(found.result, Some(Bytes::from_static(b"result")));
        assert!(found.head.stamps.due_ms > found.head.stamps.put_ms);
        assert!(take(&*queue, 9, LONG).await.is_empty());
        let other = changing("a", version, To::Due(When::Now));
        assert_eq!(change(&*queue, other).await, Changed::Lost);
        let third = changing("a", second, To::Ended { how: 3, keep: LONG });
        assert!(matches!(change(&*queue, third).await, Changed::To(_)));
        let found = get(&*queue, "a").await;
        assert_eq!((found.head.shelf, found.result), (Shelf::Ended(3), None));
        assert!(found.head.stamps.ended_ms >= found.head.stamps.put_ms);
    });
}

#[test]
fn the_change_that_gave_an_entry_its_version_is_known_again_and_not_made_twice() {
    each_queue(async |_, queue| {
        let version = put(&*queue, vec![entry("a")]).await[0];
        let made = Change {
            result: Some(Bytes::from_static(b"result")),
            ..changing("a", version, To::Again(When::Now))
        };
        let first = change(&*queue, made.clone()).await;
        assert!(matches!(first, Changed::To(_)));
        assert_eq!(change(&*queue, made.clone()).await, first);
        let others = [
            Change {
                result: None,
                ..made.clone()
            },
            Change {
                state: Bytes::from_static(b"other"),
                ..made.clone()
            },
            Change {
                to: To::Due(When::Now),
                ..made.clone()
            },
        ];
        for other in others {
            assert_eq!(change(&*queue, other).await, Changed::Lost);
        }
        let taken = take_one(&*queue, LONG).await;
        assert_eq!(change(&*queue, made).await, Changed::Lost);
        let end = changing("a", taken.head.version, To::Ended { how: 0, keep: LONG });
        let ended = change(&*queue, end.clone()).await;
        assert_eq!(change(&*queue, end).await, ended);
    });
}

#[test]
fn changes_of_one_call_are_made_each_on_its_own_and_in_order() {
    each_queue(async |_, queue| {
        let versions = put(&*queue, ["a", "b", "c"].map(entry).to_vec()).await;
        let to = To::Ended { how: 1, keep: LONG };
        let changes = vec![
            changing("a", versions[0], to),
            changing("b", versions[1] + 1_000_000, to),
            changing("c", versions[2], to),
            changing("a", versions[0], To::Due(When::Now)),
        ];
        let changed = queue.change(changes).await.expect("it can say");
        assert!(matches!(changed[0], Changed::To(_)) && matches!(changed[2], Changed::To(_)));
        assert_eq!((changed[1], changed[3]), (Changed::Lost, Changed::Lost));
        assert_eq!(ids(&take(&*queue, 9, LONG).await), ["b"]);
    });
}

#[test]
fn what_has_ended_may_be_sent_back() {
    each_queue(async |_, queue| {
        let version = put(&*queue, vec![entry("a")]).await[0];
        let version = end(&*queue, "a", version, 2).await;
        let back = changing("a", version, To::Due(When::Now));
        assert!(matches!(change(&*queue, back).await, Changed::To(_)));
        let taken = take_one(&*queue, LONG).await;
        assert_eq!(taken.head.stamps.ended_ms, 0);
        assert_eq!(taken.input, Some(Bytes::from_static(b"input of a")));
        assert_eq!(queue.sweep(0).await, Ok(0));
    });
}
