//! Rows in real servers: what the suite of all homes does not see.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use redis::cmd;

use super::*;
use crate::lasting::replaying::compare_with_model;
use crate::lasting::{Made, in_real_time, link};
use crate::redis::LinkConfig;
use crate::servers::{Cluster, RedisServer};
use crate::{StoreUrl, error::StoreError};

const LONG: Duration = Duration::from_secs(3_600);

async fn records(server: &RedisServer) -> RedisRecords {
    RedisRecords::new(link(&server.url()).await)
}

fn key(id: &str) -> RowKey<'_> {
    let (table, owner) = ("session", "tenant");
    RowKey { table, owner, id }
}

async fn put(records: &RedisRecords, id: &str, ttl: Option<Duration>) -> Result<u64, WriteError> {
    let (group, value) = ("user", &b"the value of a row"[..]);
    let row = Row { value, group, ttl };
    records.put(key(id), row, Expect::Anything).await
}

/// Asks the server until it says so.
async fn until<T: redis::FromRedisValue>(
    records: &RedisRecords,
    question: &redis::Cmd,
    is_so: impl Fn(&T) -> bool,
) {
    let began = tokio::time::Instant::now();
    while !is_so(&records.link.run(question).await.expect("an answer")) {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_cluster_does_what_a_sorted_map_would_do() {
    compare_with_model(&in_real_time("redis+cluster", || {
        async {
            let cluster = Cluster::start();
            let home: std::sync::Arc<dyn Records> =
                std::sync::Arc::new(RedisRecords::new(link(&cluster.url()).await));
            let _beneath = Box::new(cluster);
            Made { home, _beneath }
        }
        .boxed()
    }));
}

#[tokio::test]
async fn nothing_that_callers_name_is_part_of_a_key() {
    let server = RedisServer::start();
    let records = records(&server).await;
    for name in ["SECRET", "SECRET\r\nFLUSHALL", "{SECRET}", "SECRET*", ""] {
        let (table, owner, id, group) = ("session", name, name, name);
        let row = Row {
            value: b"v",
            group,
            ttl: Some(LONG),
        };
        let put = records.put(RowKey { table, owner, id }, row, Expect::Absent);
        put.await.expect("it is new");
    }
    let keys: Vec<String> = records.link.run(cmd("KEYS").arg("*")).await.unwrap();
    let ours = keys.iter().filter(|key| key.starts_with("tidegate:rec:{"));
    assert_eq!(ours.count(), 5 * 4);
    let plain = |key: &String| {
        key.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":{}".contains(&b))
    };
    assert!(
        keys.iter().all(|key| plain(key) && !key.contains("SECRET")),
        "{keys:?}"
    );
}

#[tokio::test]
async fn an_index_ends_with_the_last_of_its_rows() {
    let server = RedisServer::start();
    let records = records(&server).await;
    for id in ["a", "b", "c"] {
        put(&records, id, Some(Duration::from_millis(50)))
            .await
            .unwrap();
    }
    records
        .touch(key("b"), Duration::from_millis(100))
        .await
        .unwrap();
    // The last version stays for a while.
    let ours = cmd("KEYS").arg("tidegate:rec:*").to_owned();
    until(&records, &ours, |keys: &Vec<String>| keys.len() == 1).await;
}

#[tokio::test]
async fn an_index_loses_the_rows_that_have_ended_and_keeps_the_others() {
    let server = RedisServer::start();
    let records = records(&server).await;
    put(&records, "stays", None).await.unwrap();
    for n in 0..100 {
        put(&records, &n.to_string(), Some(Duration::from_millis(1)))
            .await
            .unwrap();
    }
    let index = format!("{}:index", Keys::of("session", "tenant").prefix);
    for _ in 0..10 {
        put(&records, "stays", None).await.unwrap();
    }
    until(&records, cmd("ZCARD").arg(&index), |rows: &u64| *rows < 40).await;
    for _ in 0..10 {
        put(&records, "stays", Some(LONG)).await.unwrap();
    }
    let rows: u64 = records.link.run(cmd("ZCARD").arg(&index)).await.unwrap();
    assert_eq!(rows, 1);
    let left: i64 = records.link.run(cmd("PTTL").arg(&index)).await.unwrap();
    assert!(left > 3_000_000, "{left}");
    put(&records, "stays", None).await.unwrap();
    let left: i64 = records.link.run(cmd("PTTL").arg(&index)).await.unwrap();
    assert_eq!(left, -1, "it has no end");
}

#[tokio::test]
async fn versions_grow_on_when_the_last_one_is_lost_or_spoiled() {
    let server = RedisServer::start();
    let records = records(&server).await;
    let mut last = put(&records, "a", None).await.unwrap();
    let counter = format!("{}:last", Keys::of("session", "tenant").prefix);
    for spoilt in ["", "inf", "nan", "-5", "9999999999999999999999", "x"] {
        records
            .link
            .run::<()>(cmd("SET").arg(&counter).arg(spoilt))
            .await
            .unwrap();
        let next = put(&records, "a", None).await.unwrap();
        assert!(next > last, "{spoilt}: {next} after {last}");
        last = next;
    }
    records
        .link
        .run::<()>(cmd("DEL").arg(&counter))
        .await
        .unwrap();
    assert!(put(&records, "a", None).await.unwrap() > last);
    // A clock that went back.
    let ahead = last + 3_600_000_000;
    records
        .link
        .run::<()>(cmd("SET").arg(&counter).arg(ahead))
        .await
        .unwrap();
    assert_eq!(put(&records, "a", None).await, Ok(ahead + 1));
}

#[tokio::test]
async fn a_write_that_is_sent_twice_is_not_in_conflict_with_itself() {
    let server = RedisServer::start();
    let records = records(&server).await;
    let version = put(&records, "a", None).await.unwrap();
    let keys = Keys::of("session", "tenant");
    let send = async |token: &str| {
        let mut put = keys.invoke(&records.scripts.put, Some("a"));
        put.arg(expected(Expect::Version(version))).arg(token);
        put.arg(place_in_index("user", "a"))
            .arg("a")
            .arg("user")
            .arg("")
            .arg("v");
        records.link.invoke::<Option<String>>(&put).await.unwrap()
    };
    let first = send("one").await.expect("the version is the latest");
    assert_eq!(send("one").await, Some(first));
    assert_eq!(send("another").await, None);
}

#[tokio::test]
async fn whatever_becomes_of_a_row_no_other_is_read() {
    let server = RedisServer::start();
    let records = records(&server).await;
    let row = Keys::of("session", "tenant").row("a");
    let mut random = fastrand::Rng::with_seed(5);
    let (mut intact, mut corrupt, mut absent) = (0, 0, 0);
    for _ in 0..10_000 {
        put(&records, "a", Some(LONG)).await.unwrap();
        let written = records.get(key("a")).await.unwrap();
        spoil(&records, &row, &mut random).await;
        match records.get(key("a")).await {
            Ok(None) => absent += 1,
            Ok(found) => {
                assert_eq!(found, written);
                intact += 1;
            }
            Err(StoreError::Corrupt { .. }) => corrupt += 1,
            Err(error) => panic!("{error}"),
        }
    }
    println!("{intact} intact, {corrupt} corrupt, {absent} absent");
    assert!(corrupt > 7_000, "{corrupt}");
    assert_eq!(absent, 0, "a row that was spoiled is not absent");
}

/// Changes something about what lies at a key.
async fn spoil(records: &RedisRecords, row: &str, random: &mut fastrand::Rng) {
    let field = *random.choice(&["v", "id", "g", "b", "k", "m"]).unwrap();
    let spoilt = match random.u8(..10) {
        0 => {
            let mut other = cmd("SET");
            other.arg(row).arg("something else");
            other
        }
        1 => {
            let mut less = cmd("HDEL");
            less.arg(row).arg(field);
            less
        }
        _ => {
            let mut bytes: Vec<u8> = records
                .link
                .run(cmd("HGET").arg(row).arg(field))
                .await
                .unwrap();
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = random.u8(..),
                _ => bytes.insert(at, random.u8(..)),
            }
            let mut set = cmd("HSET");
            set.arg(row).arg(field).arg(bytes);
            set
        }
    };
    let _: redis::Value = records.link.run(&spoilt).await.unwrap();
}

#[tokio::test]
async fn a_row_that_is_another_ones_is_not_read() {
    let server = RedisServer::start();
    let records = records(&server).await;
    put(&records, "a", None).await.unwrap();
    put(&records, "b", None).await.unwrap();
    let keys = Keys::of("session", "tenant");
    let copy = cmd("COPY")
        .arg(keys.row("b"))
        .arg(keys.row("a"))
        .arg("REPLACE")
        .to_owned();
    records.link.run::<()>(&copy).await.unwrap();
    let read = records.get(key("a")).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
}

#[tokio::test]
async fn a_write_that_nobody_answers_is_unknown_and_what_it_came_to_is_read_later() {
    let server = RedisServer::start();
    let Ok(StoreUrl::Redis(url)) = server.url().parse() else {
        panic!("it is a Redis");
    };
    let (db, timeout) = (0, Duration::from_millis(50));
    let config = LinkConfig { url, db, timeout };
    let records = RedisRecords::new(Link::open(config).await.unwrap());
    put(&records, "a", None).await.unwrap();
    server.pause();
    let answer = put(&records, "a", None).await;
    let Err(WriteError::Store(StoreError::Unreachable { .. })) = answer else {
        panic!("{answer:?}");
    };
    server.resume();
    let began = tokio::time::Instant::now();
    while records.get(key("a")).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    records.link.close().await;
}

#[test]
fn digests_of_names_differ_where_the_names_do() {
    let names = [["a", "bc"], ["ab", "c"], ["", "abc"], ["abc", ""]];
    let digests: BTreeSet<_> = names.iter().map(|names| digest(names)).collect();
    assert_eq!(digests.len(), 4);
}

#[test]
fn a_version_that_was_spoiled_is_none() {
    assert_eq!(version_of(&spelled(42)), Ok(42));
    for spoilt in ["", "42", "42 43", "x x", "42 42 42", " ", "-1 -1"] {
        assert!(version_of(spoilt).is_err(), "{spoilt}");
    }
}
