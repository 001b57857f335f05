//! The queue in real servers: what the suite of all homes does not see.

use std::collections::BTreeSet;

use redis::cmd;

use super::*;
use crate::StoreUrl;
use crate::lasting::link;
use crate::queue::{Lane, WELL};
use crate::redis::LinkConfig;
use crate::servers::{Cluster, RedisServer};

const LONG: Duration = Duration::from_secs(3_600);
const MANY: u64 = 1_000_000;

async fn queue(server: &RedisServer) -> RedisQueue {
    RedisQueue::new(link(&server.url()).await)
}

fn name(id: &str) -> EntryName {
    EntryName {
        owner: "tenant".to_owned(),
        id: id.to_owned(),
    }
}

fn entry(id: &str) -> Put {
    Put {
        name: name(id),
        lane: "work".to_owned(),
        rank: 2,
        after: Vec::new(),
        when: When::Now,
        key: Some(format!("key of {id}")),
        input: Bytes::from(format!("input of {id}")),
        state: Bytes::from_static(b"put"),
        held: None,
    }
}

async fn take(queue: &RedisQueue, most: usize, hold: Duration) -> Vec<Entry> {
    let lanes = &[Lane {
        name: "work",
        most_held: Some(1_000_000),
    }];
    let begin = most;
    let take = Take {
        lanes,
        most,
        begin,
        hold,
    };
    queue.take(take).await.expect("the queue goes on").entries
}

fn ids(entries: &[Entry]) -> BTreeSet<&str> {
    let ids = entries.iter().map(|entry| &*entry.head.name.id);
    ids.collect()
}

fn ending(head: &Head, how: u8) -> Change {
    Change {
        name: head.name.clone(),
        version: head.version,
        to: To::Ended {
            how,
            keep: Duration::ZERO,
        },
        state: Bytes::new(),
        result: None,
    }
}

async fn end_all(queue: &RedisQueue, entries: &[Entry]) {
    let changes = entries.iter().map(|entry| ending(&entry.head, WELL));
    let changed = queue.change(changes.collect()).await.expect("it can say");
    assert!(changed.iter().all(|made| matches!(made, Changed::To(_))));
}

fn key_of(id: &str) -> Vec<u8> {
    [PREFIX.as_bytes(), b"e:", &row::digest_of(&name(id))].concat()
}

async fn keys(queue: &RedisQueue) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = queue.link.run(cmd("KEYS").arg("*")).await.unwrap();
    let ours = keys.into_iter();
    ours.filter(|key| key.starts_with(PREFIX.as_bytes()))
        .collect()
}

#[tokio::test]
async fn nothing_is_left_of_what_was_removed() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let mut all: Vec<Put> = (0..300).map(|n| entry(&n.to_string())).collect();
    for (n, put) in all.iter_mut().enumerate().skip(1) {
        put.after = vec![(n / 2).to_string()];
    }
    all[299].when = When::In(LONG);
    queue.put(all, MANY).await.unwrap();
    loop {
        let taken = take(&queue, 7, LONG).await;
        if taken.is_empty() {
            break;
        }
        end_all(&queue, &taken).await;
    }
    let last = queue.get(&name("299")).await.unwrap().unwrap();
    end_all(&queue, &[last]).await;
    while queue.sweep(MANY).await.unwrap() > 0 {}
    let left: Vec<String> = keys(&queue)
        .await
        .iter()
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .collect();
    assert_eq!(left, [format!("{PREFIX}last")]);
}

#[tokio::test]
async fn rows_that_were_spoiled_are_set_aside_and_the_queue_goes_on() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let spoilt = ["type", "gone", "empty", "short", "garbage", "known"];
    let all = spoilt.iter().chain(&["a", "b"]).map(|id| entry(id));
    queue.put(all.collect(), MANY).await.unwrap();
    let follower = Put {
        after: vec!["a".to_owned()],
        ..entry("follower")
    };
    let other = Put {
        after: vec!["a".to_owned()],
        ..entry("other")
    };
    queue.put(vec![follower, other], MANY).await.unwrap();
    let run = async |name: &str, id: &str, args: &[&[u8]]| {
        let mut cmd = cmd(name);
        cmd.arg(key_of(id)).arg(args);
        queue.link.run::<()>(&cmd).await.unwrap();
    };
    for id in ["type", "gone"] {
        run("DEL", id, &[]).await;
    }
    run("SET", "type", &[b"a string"]).await;
    run("HDEL", "empty", &[b"d"]).await;
    run("HSET", "short", &[b"d", b"short"]).await;
    run("HSET", "garbage", &[b"d", &[0xff; 75]]).await;
    run("HSET", "known", &[b"s", b"\xff\xff"]).await;
    run("HSET", "follower", &[b"d", b""]).await;
    // Held for a moment, and found again among what is over.
    let taken = take(&queue, 9, Duration::ZERO).await;
    assert_eq!(ids(&taken), BTreeSet::from(["a", "b"]));
    run("HDEL", "b", &[b"s"]).await;
    let taken = take(&queue, 9, LONG).await;
    assert_eq!(ids(&taken), BTreeSet::from(["a"]));
    end_all(&queue, &taken).await;
    let taken = take(&queue, 9, LONG).await;
    assert_eq!(ids(&taken), BTreeSet::from(["other"]));
    run("HSET", "a", &[b"d", b""]).await;
    assert_eq!(queue.sweep(0).await, Ok(0));
    end_all(&queue, &taken).await;
    assert_eq!(queue.sweep(0).await, Ok(1));
    let corrupt = queue.get(&name("short")).await;
    assert!(matches!(corrupt, Err(StoreError::Corrupt { .. })));
    let aside = format!("{PREFIX}aside");
    let aside: u64 = queue.link.run(cmd("SCARD").arg(aside)).await.unwrap();
    assert_eq!(aside, spoilt.len() as u64 + 3);
    queue.put(vec![entry("new")], MANY).await.unwrap();
    assert_eq!(take(&queue, 9, LONG).await.len(), 1);
}

#[tokio::test]
async fn an_input_that_was_spoiled_is_missing_and_its_entry_is_taken() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    queue.put(vec![entry("a"), entry("b")], MANY).await.unwrap();
    let mut spoil = cmd("HSET");
    spoil.arg(key_of("a")).arg("b").arg("spoilt");
    queue.link.run::<()>(&spoil).await.unwrap();
    let taken = take(&queue, 9, LONG).await;
    let inputs: Vec<bool> = taken.iter().map(|entry| entry.input.is_some()).collect();
    assert_eq!(inputs, [false, true]);
}

#[tokio::test]
async fn numbers_grow_on_when_the_last_ones_are_lost_or_spoiled() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let mut last = 0;
    for (n, spoilt) in ["", "inf", "nan", "-5", "x"].into_iter().enumerate() {
        let placed = queue.put(vec![entry(&n.to_string())], MANY).await.unwrap();
        let Placed::New { version } = placed[0] else {
            panic!("{placed:?}");
        };
        assert!(version > last);
        last = version;
        let key = format!("{PREFIX}last");
        queue.link.run::<()>(cmd("DEL").arg(&key)).await.unwrap();
        if spoilt.is_empty() {
            let set = cmd("SET").arg(&key).arg("a string").to_owned();
            queue.link.run::<()>(&set).await.unwrap();
        } else {
            let mut set = cmd("HSET");
            set.arg(&key).arg(&["v", spoilt, "o", spoilt, "t", spoilt]);
            queue.link.run::<()>(&set).await.unwrap();
        }
        // What is there is counted anew.
        let full = queue.put(vec![entry("one more")], n as u64 + 1).await;
        assert!(matches!(full, Err(PutError::Full { .. })), "{full:?}");
        // Without the last one, two of one moment have no order.
        let moment = queue.now_ms().await;
        while queue.now_ms().await == moment {}
    }
    let taken = take(&queue, 9, LONG).await;
    let order: Vec<&str> = taken.iter().map(|entry| &*entry.head.name.id).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_another_process_puts_rings() {
    let server = RedisServer::start();
    let (one, other) = (queue(&server).await, queue(&server).await);
    let mut bell = one.bell();
    // It is heard that it listens, first.
    bell.changed().await.unwrap();
    other.put(vec![entry("a")], MANY).await.unwrap();
    let rung = tokio::time::timeout(Duration::from_secs(60), bell.changed()).await;
    assert!(rung.is_ok_and(|rung| rung.is_ok()), "it is not heard");
}

/// The rights that a message names are enough.
#[tokio::test]
async fn the_rights_that_are_asked_for_are_enough_for_a_queue() {
    let server = RedisServer::start();
    let mut grant: Vec<&str> = crate::redis::GRANT.split_whitespace().collect();
    grant[2] = "app";
    grant[4] = ">pw";
    assert_eq!(server.cli(&grant), "OK");
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    let queue = RedisQueue::new(link);
    queue.bell().changed().await.unwrap();
    let follower = Put {
        after: vec!["a".to_owned()],
        ..entry("b")
    };
    queue.put(vec![entry("a"), follower], MANY).await.unwrap();
    let taken = take(&queue, 9, LONG).await;
    let held = Holding {
        name: name("a"),
        version: taken[0].head.version,
        begun: Begun::Yes,
    };
    assert_eq!(queue.note(&held, "word".into()).await, Ok(true));
    assert_eq!(queue.stop(&name("a")).await, Ok(true));
    assert_eq!(queue.hold(&[held], LONG).await, Ok(vec![Held::Stopping]));
    end_all(&queue, &taken).await;
    let part = Part {
        after: Some((1 << 50, String::new())),
        limit: 9,
    };
    let listed = queue.list("tenant", Shelf::Due, &part).await;
    assert_eq!(listed.unwrap().len(), 1);
    assert_eq!(queue.counts().await.unwrap().counts.len(), 2);
    assert_eq!(queue.sweep(0).await, Ok(0));
    assert!(queue.now_ms().await.is_ok());
}

#[tokio::test]
async fn a_cluster_keeps_a_queue_on_one_of_its_nodes() {
    let cluster = Cluster::start();
    let queue = RedisQueue::new(link(&cluster.url()).await);
    let follower = Put {
        after: vec!["a".to_owned()],
        ..entry("b")
    };
    queue.put(vec![entry("a"), follower], MANY).await.unwrap();
    for id in ["a", "b"] {
        let taken = take(&queue, 9, LONG).await;
        assert_eq!(ids(&taken), BTreeSet::from([id]));
        end_all(&queue, &taken).await;
    }
    let part = Part {
        after: None,
        limit: 9,
    };
    let listed = queue.list("tenant", Shelf::Ended(WELL), &part).await;
    assert_eq!(listed.unwrap().len(), 2);
    assert_eq!(queue.sweep(0).await, Ok(2));
}

/// A question has 50 ms; these have more to do than that in a slow build.
#[tokio::test]
async fn a_call_with_very_many_entries_has_the_time_that_it_needs() {
    let server = RedisServer::start();
    let Ok(StoreUrl::Redis(url)) = server.url().parse() else {
        panic!("it is an address");
    };
    let (db, timeout) = (0, Duration::from_millis(50));
    let link = Link::open(LinkConfig { url, db, timeout }).await.unwrap();
    let queue = RedisQueue::new(link);
    let all = (0..5_000).map(|n| entry(&n.to_string())).collect();
    let placed = queue.put(all, MANY).await.unwrap();
    assert_eq!(placed.len(), 5_000);
    let taken = take(&queue, 5_000, LONG).await;
    assert_eq!(ids(&taken).len(), 5_000);
    end_all(&queue, &taken).await;
}
