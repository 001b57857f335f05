//! Several nodes on one server.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::keys::{self, By};
use super::*;
use crate::redis::LinkConfig;
use crate::servers::{Cluster, RedisServer};
use crate::{MemoryLeases, StoreUrl};

const LONG: Duration = Duration::from_secs(600);
/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    cache: RedisCache,
    link: Link,
}

impl Node {
    async fn start(url: &str, leases: &Arc<MemoryLeases>) -> Self {
        Self::bounded(url, leases, Duration::from_secs(5)).await
    }

    async fn bounded(url: &str, leases: &Arc<MemoryLeases>, timeout: Duration) -> Self {
        let Ok(StoreUrl::Redis(url)) = url.parse() else {
            panic!("{url} is no address");
        };
        let config = LinkConfig {
            db: url.db,
            url,
            timeout,
        };
        let link = Link::open(config).await.expect("the server lets us in");
        let cache = RedisCache::new(link.clone(), leases.clone(), 10 << 20, 0.2);
        assert!(cache.listens(PATIENCE).await, "it is never heard");
        Self { cache, link }
    }

    async fn get(&self, key: &str) -> Option<String> {
        let hit = self.cache.get(&of(key)).await?;
        Some(String::from_utf8_lossy(&hit.value).into_owned())
    }

    async fn put(&self, key: &str, value: &str, tag: &str) {
        let load = self.cache.begin(&of(key)).await;
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.cache.put(load, value, &tagged(tag)).await;
    }

    async fn forget(&self, tag: &str) -> Result<u64, StoreError> {
        let what = Selector::Tag(tag.to_owned());
        self.cache.invalidate(Some("tenant"), &what).await
    }

    /// Whether memory alone would answer.
    fn remembers(&self, key: &str) -> bool {
        self.cache.inner.ear.hears() && self.cache.inner.near.find(&of(key)).is_some()
    }

    /// Puts until it is kept: a node that has just come back keeps nothing yet.
    async fn put_at_last(&self, key: &str, value: &str, tag: &str) {
        until(async || {
            self.put(key, value, tag).await;
            self.get(key).await.as_deref() == Some(value)
        })
        .await;
    }
}

fn of(key: &str) -> Name {
    Name {
        owner: "tenant".to_owned(),
        namespace: "answer",
        key: key.to_owned(),
    }
}

fn tagged(tag: &str) -> Keep {
    Keep {
        ttl: LONG,
        tags: vec![tag.to_owned()],
        domain: None,
    }
}

fn place(key: &str) -> String {
    keys::value("tenant", "answer", key)
}

async fn until(ready: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !ready().await {
        assert!(began.elapsed() < PATIENCE, "it never happens");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn two(server: &RedisServer) -> (Node, Node) {
    let leases = Arc::default();
    let one = Node::start(&server.url(), &leases).await;
    (one, Node::start(&server.url(), &leases).await)
}

#[tokio::test]
async fn what_one_node_keeps_another_finds_and_remembers() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    one.put("k", "v", "t").await;
    assert_eq!(two.get("k").await.as_deref(), Some("v"));
    assert!(two.remembers("k"));
    assert_eq!(two.get("k").await.as_deref(), Some("v"));
    let stats = two.cache.stats();
    assert_eq!((stats.hits, stats.shared_hits, stats.entries), (2, 1, 1));
}

#[tokio::test]
async fn what_one_node_forgets_another_forgets() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    for what in [
        Selector::Key("k".into()),
        Selector::Tag("t".into()),
        Selector::Namespace("answer".into()),
        Selector::Prefix("k".into()),
    ] {
        one.put("k", "v", "t").await;
        one.put("other", "v", "other").await;
        until(async || two.get("k").await.is_some() && two.remembers("k")).await;
        let removed = one.cache.invalidate(Some("tenant"), &what).await;
        assert!(removed.is_ok_and(|removed| removed >= 1), "{what:?}");
        until(async || two.get("k").await.is_none()).await;
    }
}

#[tokio::test]
async fn a_load_that_began_on_another_node_before_is_not_kept() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    for round in 0..50 {
        let key = format!("k{round}");
        let load = two.cache.begin(&of(&key)).await;
        one.forget("t").await.expect("it is done");
        two.cache.put(load, "old".into(), &tagged("t")).await;
        assert_eq!(one.get(&key).await, None);
        assert_eq!(two.get(&key).await, None);
    }
}

/// The announcement of a demand is held back until the value is written.
#[tokio::test]
async fn a_value_that_was_forgotten_before_anybody_said_so_is_taken_back() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    one.put("k", "old", "t").await;
    let load = one.cache.begin(&of("k")).await;
    // Counted and carried out, and nobody is told: whoever said so died.
    server.cli(&["HINCRBY", keys::COUNT, "number", "1"]);
    server.cli(&["HSETNX", keys::COUNT, "beginning", "x"]);
    server.cli(&["DEL", &place("k")]);
    one.cache.put(load, "new".into(), &tagged("t")).await;
    assert_ne!(one.get("k").await.as_deref(), Some("new"));
    until(async || two.get("k").await.as_deref() != Some("new")).await;
    // The gap is noticed, and everything works again.
    one.put_at_last("k", "newest", "t").await;
    until(async || two.get("k").await.as_deref() == Some("newest")).await;
}

#[tokio::test]
async fn a_node_that_missed_what_was_forgotten_does_not_find_it() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    for round in 0..10 {
        let value = format!("v{round}");
        one.put_at_last("k", &value, "t").await;
        until(async || two.get("k").await.is_some() && two.remembers("k")).await;
        // Whatever is said now is said to nobody.
        server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        one.forget("t").await.expect("it is done");
        until(async || two.get("k").await.is_none()).await;
        for _ in 0..20 {
            assert_eq!(two.get("k").await, None);
        }
        until(async || two.cache.inner.ear.hears() && one.cache.inner.ear.hears()).await;
        assert_eq!(two.get("k").await, None);
    }
}

#[tokio::test]
async fn messages_that_get_lost_in_silence_are_missed() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    one.put("k", "v", "t").await;
    assert_eq!(two.get("k").await.as_deref(), Some("v"));
    // As if a demand had been carried out whose message never came.
    server.cli(&["HSETNX", keys::COUNT, "beginning", "x"]);
    server.cli(&["HINCRBY", keys::COUNT, "number", "1"]);
    server.cli(&["DEL", &place("k")]);
    until(async || two.get("k").await.is_none()).await;
}

#[tokio::test]
async fn while_redis_is_away_memory_answers_and_is_filled() {
    let mut server = RedisServer::start();
    let (one, _two) = two(&server).await;
    one.put("k", "v", "t").await;
    server.kill();
    until(async || !one.cache.inner.ear.hears()).await;
    assert_eq!(one.get("k").await.as_deref(), Some("v"));
    one.put("l", "v", "t").await;
    assert_eq!(one.get("l").await.as_deref(), Some("v"));
    let Turn::Load(_) = one.cache.turn(&of("absent")).await else {
        panic!("nobody has it");
    };
    let failed = one.forget("t").await;
    assert!(failed.is_err(), "others may still find it");
    assert_eq!(one.get("k").await, None);
    assert!(one.cache.check().await.latency.is_err());
}

#[tokio::test]
async fn what_could_not_be_forgotten_is_forgotten_when_redis_is_back() {
    let server = RedisServer::start();
    let (leases, short) = (Arc::default(), Duration::from_millis(100));
    let one = Node::bounded(&server.url(), &leases, short).await;
    let two = Node::start(&server.url(), &leases).await;
    one.put_at_last("k", "v", "t").await;
    server.pause();
    assert!(one.forget("t").await.is_err());
    assert_eq!(one.get("k").await, None);
    server.resume();
    until(async || one.link.is_live()).await;
    // Whatever Redis still has, whoever was told it is gone does not find it.
    for _ in 0..50 {
        assert_eq!(one.get("k").await, None);
    }
    until(async || two.get("k").await.is_none()).await;
    assert_eq!(server.cli(&["EXISTS", &place("k")]), "0");
}

#[tokio::test]
async fn after_an_empty_restart_nothing_old_is_found() {
    let mut server = RedisServer::start();
    let (one, two) = two(&server).await;
    one.put("k", "v", "t").await;
    assert_eq!(two.get("k").await.as_deref(), Some("v"));
    server.restart();
    until(async || one.get("k").await.is_none() && two.get("k").await.is_none()).await;
    one.put_at_last("k", "new", "t").await;
    until(async || two.get("k").await.as_deref() == Some("new")).await;
    until(async || one.forget("t").await.is_ok()).await;
    until(async || two.get("k").await.is_none()).await;
}

#[tokio::test]
async fn of_many_nodes_one_loads_and_the_others_find_it() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    let Turn::Load(load) = one.cache.turn(&of("k")).await else {
        panic!("nobody has it");
    };
    let name = of("k");
    let waiting = two.cache.turn(&name);
    tokio::pin!(waiting);
    let early = timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "it waits");
    one.cache.put(load, "v".into(), &tagged("t")).await;
    match waiting.await {
        Turn::Found(hit) => assert_eq!(hit.value, "v"),
        Turn::Load(_) => panic!("it was loaded twice"),
    }
}

#[tokio::test]
async fn when_a_loader_gives_up_another_node_loads() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    let first = one.cache.turn(&of("k")).await;
    let name = of("k");
    let waiting = two.cache.turn(&name);
    let (turn, ()) = tokio::join!(waiting, async { drop(first) });
    assert!(matches!(turn, Turn::Load(_)));
}

#[tokio::test]
async fn of_many_nodes_one_makes_a_value_anew() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    let ttl = Duration::from_secs(4);
    let keep = Keep { ttl, ..tagged("t") };
    let load = one.cache.begin(&of("k")).await;
    one.cache.put(load, "old".into(), &keep).await;
    until(async || {
        let hit = two.cache.get(&of("k")).await.expect("it is not over yet");
        one.get("k").await;
        hit.freshness == Freshness::RefreshDue
    })
    .await;
    let load = one
        .cache
        .turn_to_refresh(&of("k"))
        .await
        .expect("it is due");
    assert!(two.cache.turn_to_refresh(&of("k")).await.is_none());
    one.cache.put(load, "new".into(), &tagged("t")).await;
    // What it remembers is due, and what there is is new.
    assert!(two.cache.turn_to_refresh(&of("k")).await.is_none());
    assert_eq!(two.get("k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn times_are_spread_by_a_tenth_and_no_more() {
    let server = RedisServer::start();
    let (one, _two) = two(&server).await;
    let mut seen = HashSet::new();
    for number in 0..200 {
        let key = format!("k{number}");
        one.put(&key, "v", "t").await;
        let left: u64 = one.link.run(cmd("PTTL").arg(place(&key))).await.unwrap();
        assert!((480_000..=660_000).contains(&left), "{left}");
        seen.insert(left / 10_000);
    }
    // Of twelve parts of the range, nearly all are met.
    assert!(seen.len() >= 10, "{seen:?}");
    assert!(seen.contains(&65) && seen.contains(&54), "{seen:?}");
}

#[tokio::test]
async fn corrupted_values_are_misses_and_counted() {
    let server = RedisServer::start();
    let (one, two) = two(&server).await;
    let mut random = fastrand::Rng::with_seed(4);
    let text: String = (0..3_000).map(|_| random.alphanumeric()).collect();
    one.put("k", &text, "t").await;
    let (place, other) = (place("k"), place("other"));
    let intact: Vec<u8> = two.link.run(cmd("GET").arg(&place)).await.unwrap();
    two.link
        .run::<()>(cmd("SET").arg(&other).arg(&intact))
        .await
        .unwrap();
    assert_eq!(two.get("other").await, None, "it belongs elsewhere");
    for round in 1..=10_000 {
        let mut bytes = intact.clone();
        let at = random.usize(..bytes.len());
        match random.u8(..4) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, random.u8(..)),
            _ => {
                let from = random.usize(..bytes.len());
                bytes.splice(at.., intact[from..].iter().copied());
            }
        }
        if bytes == intact {
            bytes.push(0);
        }
        two.link
            .run::<()>(cmd("SET").arg(&place).arg(&bytes))
            .await
            .unwrap();
        assert_eq!(two.get("k").await, None, "round {round}");
        assert_eq!(two.cache.stats().errors, round + 1);
    }
    // What is no string at all.
    server.cli(&["DEL", &place]);
    server.cli(&["RPUSH", &place, "x"]);
    assert_eq!(two.get("k").await, None);
    one.cache.inner.near.clear();
    one.put("k", "new", "t").await;
    assert_eq!(two.get("k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn no_text_of_a_callers_is_part_of_a_key_and_every_key_has_an_end() {
    let server = RedisServer::start();
    let (one, _two) = two(&server).await;
    let keep = Keep {
        ttl: LONG,
        tags: vec!["secret tag".to_owned()],
        domain: Some("secret domain".to_owned()),
    };
    let name = Name {
        owner: "secret owner".to_owned(),
        namespace: "answer",
        key: "secret key *?[{}]".to_owned(),
    };
    let load = one.cache.begin(&name).await;
    one.cache.put(load, "v".into(), &keep).await;
    one.cache
        .invalidate(None, &Selector::Prefix("secret key *".into()))
        .await
        .unwrap();
    let keys: Vec<String> = one.link.run(cmd("KEYS").arg("*")).await.unwrap();
    for key in &keys {
        assert!(
            key.starts_with("tidegate:") && !key.contains("secret"),
            "{key}"
        );
    }
    assert_eq!(
        server.cli(&["EXISTS", &keys::value("secret owner", "answer", &name.key)]),
        "0"
    );
}

#[tokio::test]
async fn lists_that_nobody_uses_any_more_are_emptied() {
    let server = RedisServer::start();
    let (one, _two) = two(&server).await;
    let shelf = &one.cache.inner.shelf;
    let labels = Labels {
        tags: (0..300).map(|n| format!("t{n}")).collect(),
        domain: Some("d".into()),
    };
    shelf
        .list(&of("short"), &labels, Duration::from_millis(1))
        .await
        .unwrap();
    let stays = Labels {
        tags: vec!["t1".into()],
        domain: None,
    };
    shelf.list(&of("long"), &stays, LONG).await.unwrap();
    until(async || {
        shelf.tidy().await.expect("it can be done");
        let indexes: u64 = one.link.run(cmd("ZCARD").arg(keys::INDEXES)).await.unwrap();
        indexes == 3
    })
    .await;
    assert_eq!(
        server.cli(&["EXISTS", &keys::index("tenant", By::Tag("t2"))]),
        "0"
    );
    assert_eq!(
        server.cli(&["EXISTS", &keys::index("tenant", By::Domain("d"))]),
        "0"
    );
    let members = server.cli(&["ZCARD", &keys::index("tenant", By::Tag("t1"))]);
    assert!(members == "1" || members == "2", "{members}");
}

#[tokio::test]
async fn databases_do_not_hear_each_other() {
    let server = RedisServer::start();
    let leases = Arc::default();
    let one = Node::start(&server.url(), &leases).await;
    let two = Node::start(&format!("{}/1", server.url()), &leases).await;
    one.put("k", "one", "t").await;
    two.put("k", "two", "t").await;
    assert_eq!(one.forget("t").await, Ok(1));
    // Its own demands come after that of the other.
    assert_eq!(two.forget("other").await, Ok(0));
    assert!(two.remembers("k"));
    assert_eq!(two.get("k").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn in_a_cluster_all_of_it_works() {
    let cluster = Cluster::start();
    let leases = Arc::default();
    let one = Node::start(&cluster.url(), &leases).await;
    let two = Node::start(&cluster.url(), &leases).await;
    for round in 0..3 {
        for number in 0..300 {
            let (key, tag) = (format!("k{number}"), format!("t{}", number % 2));
            // On a busy machine a cluster votes now and then.
            one.put_at_last(&key, "v", &tag).await;
        }
        assert_eq!(two.get("k0").await.as_deref(), Some("v"));
        assert_eq!(two.get("k1").await.as_deref(), Some("v"));
        assert_eq!(one.forget("t0").await, Ok(150), "round {round}");
        until(async || two.get("k0").await.is_none()).await;
        assert_eq!(two.get("k1").await.as_deref(), Some("v"));
        let what = Selector::Prefix("k1".into());
        let removed = one.cache.invalidate(None, &what).await;
        assert_eq!(removed, Ok(56), "k1, k11, k13, …");
        until(async || two.get("k1").await.is_none()).await;
    }
    assert!(two.cache.check().await.latency.is_ok());
    assert_eq!(two.cache.stats().errors, 0);
}
