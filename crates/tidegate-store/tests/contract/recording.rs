//! What every home of rows promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::each_records;
use crate::{Expect, Page, Record, Records, Row, RowKey, StoreError, WriteError};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(300);

fn key(id: &str) -> RowKey<'_> {
    let (table, owner) = ("session", "tenant");
    RowKey { table, owner, id }
}

fn row(value: &[u8]) -> Row<'_> {
    let (group, ttl) = ("user", None);
    Row { value, group, ttl }
}

fn lasting(value: &[u8], ttl: Duration) -> Row<'_> {
    let ttl = Some(ttl);
    Row { ttl, ..row(value) }
}

async fn put(home: &dyn Records, id: &str, row: Row<'_>) -> u64 {
    let put = home.put(key(id), row, Expect::Anything).await;
    put.expect("anything is replaced")
}

async fn get(home: &dyn Records, id: &str) -> Option<Record> {
    home.get(key(id)).await.expect("the home can say")
}

async fn is_there(home: &dyn Records, id: &str) -> bool {
    get(home, id).await.is_some()
}

async fn list(home: &dyn Records, group: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let page = Page { after, limit };
    let listed = home.list("session", "tenant", group, page).await;
    let listed = listed.expect("the home can say");
    assert!(listed.iter().all(|record| record.group == group));
    listed.into_iter().map(|record| record.id).collect()
}

#[test]
fn what_was_put_is_read_back_byte_for_byte() {
    each_records(async |_, home| {
        let mut noise = vec![0; 300_000];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        let every_byte: Vec<u8> = (0..=255).collect();
        let values = [&b""[..], b"v", &every_byte, &[7; 1_000_000], &noise];
        let ids = ["", "a\0b", "x' OR 1=1 --", "*", "{a}:b\r\n", "\u{1f980}"];
        for (id, value) in ids.into_iter().zip(values.into_iter().cycle()) {
            let group = &format!("of {id}");
            let version = put(
                &*home,
                id,
                Row {
                    group,
                    ..row(value)
                },
            )
            .await;
            let record = get(&*home, id).await.expect("it is there");
            assert!(record.value == value, "{} bytes", value.len());
            assert_eq!((&*record.id, &record.group), (id, group));
            assert_eq!(record.version, version);
            assert_eq!(list(&*home, group, None, 9).await, [id]);
        }
    });
}

#[test]
fn rows_of_other_tables_and_owners_never_meet() {
    each_records(async |_, home| {
        let places = [
            ("a", "b", "cd"),
            ("a", "bc", "d"),
            ("ab", "c", "d"),
            ("a", "", "bcd"),
        ];
        for (table, owner, id) in places {
            let value = format!("{table} {owner} {id}");
            let put = home.put(
                RowKey { table, owner, id },
                row(value.as_bytes()),
                Expect::Absent,
            );
            put.await.expect("nobody else is there");
        }
        for (table, owner, id) in places {
            let found = home.get(RowKey { table, owner, id }).await;
            let found = found.expect("the home can say").expect("it is there");
            assert_eq!(found.value, format!("{table} {owner} {id}"));
            let page = Page {
                after: None,
                limit: 9,
            };
            let listed = home.list(table, owner, "user", page).await;
            assert_eq!(listed.expect("the home can say"), [found]);
        }
    });
}

#[test]
fn a_new_row_is_written_only_where_there_is_none() {
    each_records(async |_, home| {
        let first = home.put(key("a"), row(b"1"), Expect::Absent).await;
        let version = first.expect("there is none");
        let second = home.put(key("a"), row(b"2"), Expect::Absent).await;
        assert_eq!(second, Err(WriteError::Conflict));
        let record = get(&*home, "a").await.expect("it is there");
        assert_eq!((&record.value[..], record.version), (&b"1"[..], version));
    });
}

#[test]
fn a_row_is_replaced_only_in_the_version_that_was_read() {
    each_records(async |_, home| {
        let at = |version| home.put(key("a"), row(b"2"), Expect::Version(version));
        assert_eq!(at(1).await, Err(WriteError::Conflict));
        let first = put(&*home, "a", row(b"1")).await;
        assert_eq!(at(first + 1).await, Err(WriteError::Conflict));
        assert_eq!(at(first - 1).await, Err(WriteError::Conflict));
        assert_eq!(at(u64::MAX).await, Err(WriteError::Conflict));
        assert_eq!(get(&*home, "a").await.expect("it is there").value, "1");
        let second = at(first).await.expect("nobody else wrote");
        assert!(second > first);
        assert_eq!(at(first).await, Err(WriteError::Conflict));
        assert_eq!(get(&*home, "a").await.expect("it is there").version, second);
    });
}

#[test]
fn no_version_is_given_twice_not_even_after_a_deletion() {
    each_records(async |_, home| {
        let mut given = BTreeSet::new();
        for round in 0..20 {
            let version = put(&*home, "a", row(b"v")).await;
            assert!(given.last().is_none_or(|last| *last < version));
            given.insert(version);
            let ttl = if round % 2 == 0 { LONG } else { Duration::ZERO };
            given.insert(put(&*home, "a", lasting(b"v", ttl)).await);
            home.delete(key("a"), Expect::Anything).await.expect("any");
        }
        assert_eq!(given.len(), 40);
    });
}

#[test]
fn a_row_is_deleted_only_as_expected() {
    each_records(async |_, home| {
        let delete = |expect| home.delete(key("a"), expect);
        assert_eq!(delete(Expect::Anything).await, Ok(false));
        assert_eq!(delete(Expect::Absent).await, Ok(false));
        assert_eq!(delete(Expect::Version(1)).await, Err(WriteError::Conflict));
        let version = put(&*home, "a", row(b"v")).await;
        for unmet in [Expect::Absent, Expect::Version(version + 1)] {
            assert_eq!(delete(unmet).await, Err(WriteError::Conflict));
        }
        assert!(is_there(&*home, "a").await);
        assert_eq!(delete(Expect::Version(version)).await, Ok(true));
        assert!(!is_there(&*home, "a").await);
        assert_eq!(list(&*home, "user", None, 9).await, [""; 0]);
        put(&*home, "a", row(b"v")).await;
        assert_eq!(delete(Expect::Anything).await, Ok(true));
        assert_eq!(delete(Expect::Anything).await, Ok(false));
    });
}

#[test]
fn a_row_is_there_for_its_time_and_not_longer() {
    each_records(async |clock, home| {
        put(&*home, "a", lasting(b"v", SHORT)).await;
        // Writing it took a moment, too: it began to live before this.
        clock
            .throughout(SHORT / 2, async |_| {
                let began = tokio::time::Instant::now();
                let seen = is_there(&*home, "a").await;
                assert!(seen || began.elapsed() > SHORT / 4, "it ended too early");
            })
            .await;
        clock
            .until("its time is over", async || !is_there(&*home, "a").await)
            .await;
    });
}

#[test]
fn a_row_whose_time_is_over_is_absent_for_everybody() {
    each_records(async |clock, home| {
        let old = put(&*home, "a", lasting(b"v", SHORT)).await;
        put(&*home, "b", row(b"v")).await;
        clock
            .until("its time is over", async || !is_there(&*home, "a").await)
            .await;
        assert_eq!(list(&*home, "user", None, 1).await, ["b"]);
        assert_eq!(home.touch(key("a"), LONG).await, Ok(false));
        let delete = |expect| home.delete(key("a"), expect);
        assert_eq!(
            delete(Expect::Version(old)).await,
            Err(WriteError::Conflict)
        );
        assert_eq!(delete(Expect::Anything).await, Ok(false));
        let put = |expect| home.put(key("a"), row(b"w"), expect);
        assert_eq!(put(Expect::Version(old)).await, Err(WriteError::Conflict));
        let new = put(Expect::Absent).await.expect("there is none");
        assert!(new > old);
        assert_eq!(list(&*home, "user", None, 9).await, ["a", "b"]);
    });
}

#[test]
fn a_touch_lengthens_the_time_and_keeps_the_version() {
    each_records(async |clock, home| {
        let version = put(&*home, "short", lasting(b"v", SHORT)).await;
        put(&*home, "other", lasting(b"v", SHORT)).await;
        put(&*home, "endless", row(b"v")).await;
        assert_eq!(home.touch(key("short"), LONG).await, Ok(true));
        assert_eq!(home.touch(key("endless"), SHORT).await, Ok(true));
        assert_eq!(home.touch(key("absent"), LONG).await, Ok(false));
        clock
            .until("the others are over", async || {
                !is_there(&*home, "other").await && !is_there(&*home, "endless").await
            })
            .await;
        let record = get(&*home, "short").await.expect("it was touched");
        assert_eq!((&record.value[..], record.version), (&b"v"[..], version));
        assert_eq!(list(&*home, "user", None, 9).await, ["short"]);
    });
}

#[test]
fn a_row_without_a_time_replaces_one_with_a_time() {
    each_records(async |clock, home| {
        put(&*home, "a", lasting(b"v", SHORT)).await;
        put(&*home, "a", row(b"w")).await;
        put(&*home, "b", lasting(b"v", SHORT)).await;
        clock
            .until("the other is over", async || !is_there(&*home, "b").await)
            .await;
        assert_eq!(get(&*home, "a").await.expect("it has no time").value, "w");
        assert_eq!(list(&*home, "user", None, 9).await, ["a"]);
    });
}

#[test]
fn no_time_and_time_without_end_are_times_like_others() {
    each_records(async |_, home| {
        let version = put(&*home, "never", lasting(b"v", Duration::ZERO)).await;
        assert!(version > 0);
        assert!(!is_there(&*home, "never").await);
        put(&*home, "ever", lasting(b"v", Duration::MAX)).await;
        assert!(is_there(&*home, "ever").await);
        assert_eq!(home.touch(key("ever"), Duration::MAX).await, Ok(true));
        assert_eq!(list(&*home, "user", None, 9).await, ["ever"]);
    });
}

#[test]
fn a_list_has_one_group_in_the_order_of_ids_page_by_page() {
    each_records(async |_, home| {
        let ids = [
            "",
            "A",
            "a",
            "a\0",
            "aa",
            "b",
            "\u{e9}",
            "\u{ffff}",
            "\u{1f980}",
        ];
        for id in ids.iter().rev() {
            put(&*home, id, row(id.as_bytes())).await;
            let other = Row {
                group: "users",
                ..row(b"")
            };
            put(&*home, &format!("{id}!"), other).await;
        }
        assert_eq!(list(&*home, "user", None, 99).await, ids);
        assert_eq!(list(&*home, "users", None, 99).await.len(), 9);
        assert_eq!(list(&*home, "", None, 99).await, [""; 0]);
        for limit in 1..=ids.len() {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page = list(&*home, "user", after.as_deref(), limit).await;
                assert!(page.len() <= limit);
                let is_last = page.len() < limit;
                after = page.last().cloned().or(after);
                pages.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(pages, ids, "{limit} each");
        }
        assert_eq!(list(&*home, "user", None, 0).await, [""; 0]);
        assert_eq!(list(&*home, "user", Some("aab"), 1).await, ["b"]);
        assert_eq!(list(&*home, "user", Some("\u{1f980}"), 1).await, [""; 0]);
    });
}

#[test]
fn a_list_is_complete_where_most_of_its_rows_are_gone() {
    each_records(async |_, home| {
        for n in 0..400 {
            let ttl = if n % 100 == 99 { LONG } else { Duration::ZERO };
            put(&*home, &format!("{n:03}"), lasting(b"v", ttl)).await;
        }
        assert_eq!(list(&*home, "user", None, 3).await, ["099", "199", "299"]);
        assert_eq!(list(&*home, "user", Some("299"), 3).await, ["399"]);
    });
}

#[test]
fn a_row_that_changes_its_group_leaves_the_old_one() {
    each_records(async |_, home| {
        put(&*home, "a", row(b"v")).await;
        let group = "somebody else";
        put(&*home, "a", Row { group, ..row(b"v") }).await;
        assert_eq!(list(&*home, "user", None, 9).await, [""; 0]);
        assert_eq!(list(&*home, group, None, 9).await, ["a"]);
    });
}

#[test]
fn a_row_that_is_too_large_is_refused_and_changes_nothing() {
    each_records(async |_, home| {
        put(&*home, "a", row(b"v")).await;
        let value = vec![7; (16 << 20) + 1];
        let refused = home.put(key("a"), row(&value), Expect::Anything).await;
        let Err(WriteError::Store(StoreError::Refused { reason })) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("16777216"), "{reason}");
        assert_eq!(get(&*home, "a").await.expect("it is there").value, "v");
    });
}

#[test]
fn of_many_who_make_the_same_row_one_succeeds() {
    each_records(async |_, home| {
        let make = |n: u8| {
            let home = home.clone();
            async move { home.put(key("a"), row(&[n]), Expect::Absent).await.is_ok() }
        };
        let made = join_all((0..64).map(make)).await;
        let winners = (0..).zip(made).filter(|(_, made)| *made);
        let winners: Vec<u8> = winners.map(|(n, _)| n).collect();
        let value = get(&*home, "a").await.expect("somebody made it").value;
        assert_eq!(value, winners);
    });
}

async fn increment(home: Arc<dyn Records>, times: u32) {
    for _ in 0..times {
        loop {
            let found = get(&*home, "counter").await.expect("it is there");
            let count = u32::from_le_bytes(found.value[..].try_into().expect("a number"));
            let value = (count + 1).to_le_bytes();
            let expect = Expect::Version(found.version);
            match home.put(key("counter"), row(&value), expect).await {
                Ok(_) => break,
                // All of them at once would mostly be in each other's way.
                Err(WriteError::Conflict) => {
                    let pause = Duration::from_millis(fastrand::u64(..100));
                    tokio::time::sleep(pause).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn no_update_is_lost_among_64_writers_of_100_each() {
    each_records(async |_, home| {
        put(&*home, "counter", row(&[0; 4])).await;
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            writers.spawn(increment(home.clone(), 100));
        }
        writers.join_all().await;
        let found = get(&*home, "counter").await.expect("it is there");
        assert_eq!(found.value[..], 6_400_u32.to_le_bytes());
    });
}
