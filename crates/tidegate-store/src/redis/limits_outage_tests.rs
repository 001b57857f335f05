//! Several nodes on one server, and what they do while it is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::limits::RedisLimits;
use crate::config::{OnUnreachable, StoreConfig};
use crate::limits::{Cooling, Grantor, Limits, Quota, Refused, Reservation, Used};
use crate::servers::RedisServer;

const KEY: &str = "*/limit/up/model";
const WINDOW: Duration = Duration::from_secs(2);

fn requests(requests: u64) -> Quota {
    Quota {
        requests: Some(requests),
        window: WINDOW,
        ..Quota::unlimited()
    }
}

async fn node(server: &RedisServer, policy: OnUnreachable) -> RedisLimits {
    let config = StoreConfig {
        url: server.url().parse().expect("the address is one"),
        on_unreachable: policy,
        // Questions that wait for a busy machine are not what is tested.
        timeout: Duration::from_secs(2),
        ..StoreConfig::default()
    };
    RedisLimits::open(&config)
        .await
        .expect("the server lets us in")
}

/// Nodes that know of each other, on a server that is older than a window.
async fn nodes(server: &RedisServer, count: u32) -> Vec<RedisLimits> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node(server, OnUnreachable::LocalShare).await);
    }
    until(async || nodes.iter().all(|node| node.seen_nodes() == count)).await;
    let began = Instant::now();
    while began.elapsed() < LONG + Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes
}

/// Looks again until it is so.
async fn until(so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "it never was so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes until it is refused; drops what it was granted.
async fn drain(node: &RedisLimits, quota: &Quota) -> (u64, u64) {
    let (mut by_home, mut here) = (0, 0);
    loop {
        match node.reserve(KEY, quota, 1).await {
            Ok(reservation) => match reservation.granted_by() {
                Grantor::Home => by_home += 1,
                Grantor::ThisNode => here += 1,
            },
            Err(Refused::Throttled { .. }) => return (by_home, here),
            // A question was lost: the next one may not be.
            Err(Refused::Unreachable { retry_after }) => tokio::time::sleep(retry_after).await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn away(nodes: &[RedisLimits]) {
    until(async || nodes.iter().all(|node| !node.is_live())).await;
}

async fn back(nodes: &[RedisLimits]) {
    until(async || nodes.iter().all(RedisLimits::is_live)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_race_for_one_limit_get_exactly_that_much() {
    let server = RedisServer::start();
    let nodes = Arc::new(nodes(&server, 3).await);
    let mut tasks = JoinSet::new();
    for number in 0..24_usize {
        let nodes = nodes.clone();
        tasks.spawn(async move { drain(&nodes[number % 3], &long(50)).await });
    }
    let granted: u64 = tasks
        .join_all()
        .await
        .iter()
        .map(|(home, here)| home + here)
        .sum();
    assert_eq!(granted, 50);
}

/// A window that does not end while a test looks at it. A server younger than
/// that has nodes keep to their shares.
const LONG: Duration = Duration::from_secs(15);

fn long(most: u64) -> Quota {
    Quota {
        window: LONG,
        ..requests(most)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_all_nodes_together_grant_the_limit_and_no_more() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 3).await;
    server.kill();
    away(&nodes).await;
    let mut sum = 0;
    for node in &nodes {
        let (by_home, here) = drain(node, &long(50)).await;
        assert_eq!(by_home, 0);
        assert!((16..=17).contains(&here), "{here} of 50 on one of three");
        sum += here;
    }
    assert_eq!(sum, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_was_granted_before_is_not_granted_again_by_another_after_the_loss() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 3).await;
    // Every node knows the limit; the first one has all of it.
    for node in &nodes {
        drop(node.reserve(KEY, &long(60), 1).await.expect("it is empty"));
    }
    assert_eq!(drain(&nodes[0], &long(60)).await, (57, 0));
    for node in &nodes {
        assert_eq!(drain(node, &long(60)).await, (0, 0));
    }
    server.kill();
    away(&nodes).await;
    for node in &nodes {
        assert_eq!(drain(node, &long(60)).await, (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_grants_nothing_twice() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 3).await;
    for node in &nodes {
        drop(node.reserve(KEY, &long(60), 1).await.expect("it is empty"));
    }
    assert_eq!(drain(&nodes[0], &long(60)).await, (57, 0));
    for node in &nodes {
        assert_eq!(drain(node, &long(60)).await, (0, 0));
    }
    server.restart();
    back(&nodes).await;
    let mut granted = 0;
    for node in &nodes {
        let (by_home, here) = drain(node, &long(60)).await;
        granted += by_home + here;
    }
    assert_eq!(granted, 0, "granted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_window_redis_alone_counts_again() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 2).await;
    server.restart();
    back(&nodes).await;
    // One node alone gets more than its share once everything that may have
    // been granted in between is over.
    until(async || drain(&nodes[0], &requests(40)).await.0 > 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_grant_everything_or_nothing_and_say_so() {
    let mut server = RedisServer::start();
    let open = node(&server, OnUnreachable::FailOpen).await;
    let closed = node(&server, OnUnreachable::FailClosed).await;
    server.kill();
    until(async || !open.is_live() && !closed.is_live()).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let granted = open.reserve(KEY, &long(5), 1).await.expect("everything is");
        assert_eq!(granted.granted_by(), Grantor::ThisNode);
        held.push(granted);
        let refused = closed.reserve(KEY, &long(5), 1).await.map(drop);
        assert!(
            matches!(refused, Err(Refused::Unreachable { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(open.level(KEY).await.requests, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_over_a_restart_is_counted_again() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 2).await;
    let quota = Quota {
        concurrent: Some(10),
        window: WINDOW,
        ..Quota::unlimited()
    };
    let held: Vec<Reservation> = {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(
                nodes[0]
                    .reserve(KEY, &quota, 1)
                    .await
                    .expect("there is room"),
            );
        }
        held
    };
    server.restart();
    back(&nodes).await;
    until(async || nodes[1].level(KEY).await.concurrent == 4).await;
    drop(held);
    until(async || nodes[1].level(KEY).await.concurrent == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_remembered_until_room_comes_and_costs_no_trip() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server, 1).await;
    drain(&nodes[0], &long(3)).await;
    let calls = |server: &RedisServer| {
        let said = server.cli(&["INFO", "commandstats"]);
        let line = said
            .lines()
            .find(|line| line.starts_with("cmdstat_evalsha:"));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
        calls
            .and_then(|calls| calls.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let before = calls(&server);
    for _ in 0..10_000 {
        assert!(nodes[0].reserve(KEY, &long(3), 1).await.is_err());
    }
    let trips = calls(&server) - before;
    assert!(trips < 200, "{trips} trips for 10000 refusals");
    server.kill();
}

// On one thread: on two, the answer may be there before the first look ends.
#[tokio::test]
async fn a_caller_who_leaves_while_redis_is_asked_takes_nothing() {
    let server = RedisServer::start();
    let nodes = nodes(&server, 1).await;
    // Nothing may be gone because its time was over.
    let quota = Quota {
        window: Duration::from_secs(3_600),
        ..long(1_000)
    };
    for _ in 0..20 {
        let mut asked = nodes[0].reserve(KEY, &quota, 7);
        // Sent, and not heard.
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    until(async || {
        let level = nodes[0].level(KEY).await;
        (level.requests, level.tokens, level.concurrent) == (0, 0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_leaves_alone_all_do_until_one_says_otherwise() {
    let server = RedisServer::start();
    let nodes = nodes(&server, 2).await;
    nodes[0].cool(KEY, Duration::from_secs(600), Cooling::Throttled);
    until(async || {
        matches!(
            nodes[1].reserve(KEY, &long(5), 1).await,
            Err(Refused::Cooling {
                cooling: Cooling::Throttled,
                ..
            })
        )
    })
    .await;
    assert!(nodes[1].level(KEY).await.cooling.is_some());
    nodes[1].warm(KEY);
    until(async || nodes[0].reserve(KEY, &long(5), 1).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_settled_from_any_node_once() {
    let server = RedisServer::start();
    let nodes = nodes(&server, 2).await;
    let quota = Quota {
        tokens: Some(100),
        ..long(10)
    };
    let first = nodes[0]
        .reserve(KEY, &quota, 60)
        .await
        .expect("there is room");
    let tenant = nodes[0]
        .reserve("tenant/limit", &quota, 60)
        .await
        .expect("there is room");
    let lease = Duration::from_secs(600);
    let id = nodes[0]
        .hold("acme", "up/model", tenant.and(first), lease)
        .await
        .expect("few are");
    let stranger = nodes[1].settle("other", &id, Used::Nothing).await;
    assert!(stranger.is_err());
    let label = nodes[1].settle("acme", &id, Used::Tokens(10)).await;
    assert_eq!(label.as_deref(), Ok("up/model"));
    assert!(nodes[0].settle("acme", &id, Used::Tokens(0)).await.is_err());
    for key in [KEY, "tenant/limit"] {
        let level = nodes[0].level(key).await;
        assert_eq!(
            (level.requests, level.tokens, level.concurrent),
            (1, 10, 0),
            "{key}"
        );
    }
}
