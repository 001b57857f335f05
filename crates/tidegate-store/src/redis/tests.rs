//! The link against real servers.

use std::time::{Duration, Instant};

use redis::cmd;

use super::{Link, LinkConfig, TopicEvent};
use crate::error::{OpenError, StoreError};
use crate::servers::{Cluster, RedisServer, Sentinels};
use crate::url::RedisUrl;
use crate::{StoreUrl, state::Reach};

fn address(url: &str) -> RedisUrl {
    match url.parse() {
        Ok(StoreUrl::Redis(url)) => url,
        other => panic!("{url}: {other:?}"),
    }
}

async fn try_link(url: &str) -> Result<Link, OpenError> {
    Link::open(LinkConfig {
        url: address(url),
        db: 0,
        timeout: Duration::from_millis(50),
    })
    .await
}

pub(super) async fn link(url: &str) -> Link {
    try_link(url).await.expect("the server lets us in")
}

async fn set(link: &Link, key: &str) -> Result<String, StoreError> {
    link.run(cmd("SET").arg(key).arg("1")).await
}

/// Asks until it works; how long that took.
async fn until_set(link: &Link) -> Duration {
    let began = Instant::now();
    while let Err(error) = set(link, "tidegate:a").await {
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let mut server = RedisServer::start();
    let link = link(&server.url()).await;
    assert_eq!(set(&link, "tidegate:a").await.as_deref(), Ok("OK"));
    server.kill();
    let error = set(&link, "tidegate:a").await.expect_err("nobody is there");
    assert_eq!(error.code(), "store_unreachable");
    server.restart();
    until_set(&link).await;
    assert_eq!(link.reach(), Reach::Live);
    link.close().await;
}

#[tokio::test]
async fn a_paused_server_costs_each_caller_the_time_limit_and_then_nothing() {
    let server = RedisServer::start();
    let link = link(&server.url()).await;
    server.pause();
    while link.is_live() {
        assert!(set(&link, "tidegate:a").await.is_err());
    }
    let before = Instant::now();
    for _ in 0..1_000 {
        assert!(set(&link, "tidegate:a").await.is_err());
    }
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "a thousand trips"
    );
    assert!(matches!(link.reach(), Reach::Unreachable { .. }));
    server.resume();
    until_set(&link).await;
    link.close().await;
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_later() {
    let mut server = RedisServer::start();
    server.kill();
    let link = link(&server.url()).await;
    assert!(matches!(link.reach(), Reach::Unreachable { .. }));
    server.restart();
    until_set(&link).await;
    link.close().await;
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut group = Sentinels::start();
    let link = link(&group.url()).await;
    until_set(&link).await;
    group.servers[0].kill();
    until_set(&link).await;
    assert_eq!(group.servers[1].cli(&["GET", "tidegate:a"]), "1");
    link.close().await;
}

#[tokio::test]
async fn a_primary_that_was_demoted_is_left() {
    let group = Sentinels::start();
    let link = link(&group.url()).await;
    until_set(&link).await;
    group.sentinels[0].cli(&["SENTINEL", "FAILOVER", "primary"]);
    group.servers[1].wait_for(&["ROLE"], |role| role.starts_with("master"));
    group.servers[0].wait_for(&["ROLE"], |role| role.starts_with("slave"));
    until_set(&link).await;
    link.close().await;
}

#[tokio::test]
async fn a_cluster_is_asked_where_the_key_lies() {
    let mut cluster = Cluster::start();
    let link = link(&cluster.url()).await;
    for number in 0..100 {
        let key = format!("tidegate:{number}");
        assert_eq!(set(&link, &key).await.as_deref(), Ok("OK"), "{key}");
    }
    cluster.servers[0].kill();
    let began = Instant::now();
    for number in 0..100 {
        let key = format!("tidegate:{number}");
        while let Err(error) = set(&link, &key).await {
            assert!(began.elapsed() < Duration::from_secs(60), "{key}: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    link.close().await;
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_sent_again() {
    let server = RedisServer::start();
    let link = link(&server.url()).await;
    let script = redis::Script::new("return 7");
    for _ in 0..2 {
        let answer: Result<u32, _> = link.invoke(&script.prepare_invoke()).await;
        assert_eq!(answer, Ok(7));
        server.cli(&["SCRIPT", "FLUSH"]);
    }
    link.close().await;
}

#[tokio::test]
async fn a_server_without_rights_says_what_to_grant() {
    let server = RedisServer::start();
    let narrow = [
        "ACL",
        "SETUSER",
        "narrow",
        "on",
        ">pw",
        "~tidegate:*",
        "+@all",
    ];
    for (rights, what) in [("-@scripting", "scripts"), ("-time", "scripts")] {
        server.cli(&[&narrow[..], &[rights]].concat());
        let url = format!("redis://narrow:pw@127.0.0.1:{}", server.port);
        let error = try_link(&url).await.expect_err("scripts are forbidden");
        let text = error.to_string();
        assert!(
            text.contains(what) && text.contains("ACL SETUSER"),
            "{text}"
        );
        assert!(!text.contains("pw"), "{text}");
        server.cli(&["ACL", "DELUSER", "narrow"]);
    }
    let wrong = format!("redis://narrow:secret@127.0.0.1:{}", server.port);
    let text = try_link(&wrong)
        .await
        .expect_err("no such user")
        .to_string();
    assert!(
        text.contains("password") && !text.contains("secret"),
        "{text}"
    );
}

/// The rights that the message names are enough.
#[tokio::test]
async fn the_rights_that_are_asked_for_are_enough() {
    let server = RedisServer::start();
    let mut grant: Vec<&str> = super::GRANT.split_whitespace().collect();
    grant[2] = "app";
    grant[4] = ">pw";
    assert_eq!(server.cli(&grant), "OK");
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    assert_eq!(set(&link, "tidegate:a").await.as_deref(), Ok("OK"));
    let mut heard = link.subscribe("tidegate:test");
    assert_eq!(heard.recv().await, Some(TopicEvent::Resumed));
    link.close().await;
}

#[tokio::test]
async fn nodes_count_each_other_and_agree_on_their_order() {
    let server = RedisServer::start();
    let links = [link(&server.url()).await, link(&server.url()).await];
    while links.iter().any(|link| link.nodes().count != 2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut ranks = links.each_ref().map(|link| link.nodes().rank);
    ranks.sort_unstable();
    assert_eq!(ranks, [0, 1]);
    links[0].close().await;
    while links[1].nodes().count != 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    links[1].close().await;
}

#[tokio::test]
async fn whoever_listens_learns_what_it_may_have_missed() {
    for url in ["single", "cluster"] {
        let single = RedisServer::start();
        let cluster = (url == "cluster").then(Cluster::start);
        let url = cluster.as_ref().map_or(single.url(), Cluster::url);
        let link = link(&url).await;
        let mut heard = link.subscribe("tidegate:test");
        assert_eq!(heard.recv().await, Some(TopicEvent::Resumed));
        let said: Result<u32, _> = link
            .run(cmd("PUBLISH").arg("tidegate:test").arg("one"))
            .await;
        said.expect("it is there");
        assert_eq!(heard.recv().await, Some(TopicEvent::Message("one".into())));
        let servers = cluster
            .as_ref()
            .map_or(std::slice::from_ref(&single), |all| &all.servers);
        for server in servers {
            server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
        assert_eq!(heard.recv().await, Some(TopicEvent::Lost));
        assert_eq!(heard.recv().await, Some(TopicEvent::Resumed));
        link.close().await;
    }
}
