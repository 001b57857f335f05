//! Leases in real servers: what the suite of all homes does not see.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use redis::cmd;

use super::*;
use crate::lasting::link;
use crate::redis::LinkConfig;
use crate::servers::{Cluster, RedisServer};
use crate::{LeaseError, StoreUrl};

const TTL: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(30);

async fn leases(server: &RedisServer) -> RedisLeases {
    RedisLeases::new(link(&server.url()).await)
}

async fn taken(leases: &RedisLeases, key: &str, ttl: Duration) -> Option<Lease> {
    let answer = leases.try_acquire(key, ttl).await;
    answer.expect("the server answers")
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The key that everything is about here.
fn key(leases: &RedisLeases) -> String {
    Claim::new(leases.book.link(), "k", TTL).key
}

async fn holder(leases: &RedisLeases) -> Option<String> {
    let holder = leases.book.link().run(cmd("GET").arg(key(leases))).await;
    holder.expect("the server answers")
}

#[tokio::test]
async fn a_lease_that_ended_and_was_taken_by_another_is_lost_and_giving_it_back_takes_nothing() {
    let server = RedisServer::start();
    let (one, other) = (leases(&server).await, leases(&server).await);
    let ours = taken(&one, "k", LONG).await.expect("it is free");
    let expire = cmd("PEXPIRE").arg(key(&one)).arg(1).to_owned();
    one.book
        .link()
        .run::<()>(&expire)
        .await
        .expect("it is there");
    until("it has ended", async || holder(&one).await.is_none()).await;
    let theirs = taken(&other, "k", LONG).await.expect("it has ended");
    let token = holder(&one).await;
    drop(ours);
    // The book is empty when the server has answered.
    until("it was given back", async || one.book.is_empty()).await;
    assert_eq!(holder(&one).await, token, "it is theirs");
    assert!(taken(&one, "k", LONG).await.is_none());
    assert!(!theirs.is_lost());
}

#[tokio::test]
async fn a_holder_learns_that_its_lease_is_anothers() {
    let server = RedisServer::start();
    let (one, other) = (leases(&server).await, leases(&server).await);
    let ours = taken(&one, "k", TTL).await.expect("it is free");
    let del = cmd("DEL").arg(key(&one)).to_owned();
    one.book.link().run::<()>(&del).await.expect("it is there");
    let theirs = taken(&other, "k", TTL).await.expect("it is gone");
    until("it is lost", async || ours.is_lost()).await;
    assert!(!theirs.is_lost(), "the other one is not");
    drop((ours, theirs));
}

#[tokio::test]
async fn a_lease_that_could_not_be_extended_for_its_time_is_lost_before_it_ends() {
    let server = RedisServer::start();
    let Ok(StoreUrl::Redis(url)) = server.url().parse() else {
        panic!("it is a Redis");
    };
    let (db, timeout) = (0, Duration::from_millis(50));
    let link = Link::open(LinkConfig { url, db, timeout }).await;
    let leases = RedisLeases::new(link.expect("it answers"));
    let ours = taken(&leases, "k", TTL).await.expect("it is free");
    assert!(!ours.is_lost());
    server.pause();
    until("it is lost", async || ours.is_lost()).await;
    let error = leases.try_acquire("k", TTL).await.map(drop);
    assert_eq!(
        error.expect_err("nobody answers").code(),
        "store_unreachable"
    );
    server.resume();
    let home: &dyn Leases = &leases;
    until("it is found again", async || {
        let until = Instant::now() + LONG;
        match home.acquire("k", TTL, until).await {
            Ok(_) => true,
            Err(LeaseError::Store(_)) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    assert!(ours.is_lost(), "what was lost stays lost");
}

#[tokio::test]
async fn one_task_extends_all_leases_of_a_node_and_ends_with_the_last() {
    let server = RedisServer::start();
    let leases = leases(&server).await;
    let mut held = Vec::new();
    for n in 0..200 {
        held.push(
            taken(&leases, &n.to_string(), TTL)
                .await
                .expect("it is free"),
        );
    }
    let began = Instant::now();
    while began.elapsed() < TTL * 4 {
        assert!(held.iter().all(|lease| !lease.is_lost()));
        tokio::time::sleep(TTL / 10).await;
    }
    drop(held);
    until("they were given back", async || leases.book.is_empty()).await;
    let keys: Vec<String> = leases
        .book
        .link()
        .run(cmd("KEYS").arg("tidegate:lease:*"))
        .await
        .unwrap();
    assert_eq!(keys, [""; 0]);
    assert!(
        taken(&leases, "k", TTL).await.is_some(),
        "the task starts again"
    );
}

#[tokio::test]
async fn leases_of_a_cluster_lie_anywhere_in_it() {
    let cluster = Cluster::start();
    let leases = RedisLeases::new(link(&cluster.url()).await);
    let mut held = Vec::new();
    for n in 0..50 {
        held.push(
            taken(&leases, &n.to_string(), TTL)
                .await
                .expect("it is free"),
        );
        assert!(taken(&leases, &n.to_string(), TTL).await.is_none());
    }
    let began = Instant::now();
    while began.elapsed() < TTL * 3 {
        assert!(held.iter().all(|lease| !lease.is_lost()));
        tokio::time::sleep(TTL / 10).await;
    }
    drop(held);
    until("they were given back", async || leases.book.is_empty()).await;
    assert!(taken(&leases, "0", TTL).await.is_some());
}

#[tokio::test]
async fn a_lease_that_is_dropped_outside_of_a_runtime_is_given_back() {
    let server = RedisServer::start();
    let leases = leases(&server).await;
    let lease = taken(&leases, "k", LONG).await.expect("it is free");
    std::thread::spawn(move || drop(lease))
        .join()
        .expect("it does not panic");
    until("it is free", async || holder(&leases).await.is_none()).await;
}

const HOLD: &str = "TIDEGATE_TEST_HOLD";

/// This is what runs in the process that is killed; by itself it takes a lease
/// and gives it back.
#[tokio::test]
async fn a_holder_says_that_it_holds() {
    let Ok(url) = std::env::var(HOLD) else {
        let server = RedisServer::start();
        let leases = leases(&server).await;
        let lease = taken(&leases, "k", TTL).await.expect("it is free");
        assert!(holder(&leases).await.is_some());
        return drop(lease);
    };
    let leases = RedisLeases::new(link(&url).await);
    let _lease = taken(&leases, "k", TTL).await.expect("it is free");
    // Longer than its time: it is extended.
    tokio::time::sleep(TTL * 3).await;
    println!("held");
    std::future::pending().await
}

#[tokio::test]
async fn a_lease_whose_holder_was_killed_is_free_when_its_time_is_over() {
    let server = RedisServer::start();
    let leases = leases(&server).await;
    let name = "redis::leases::tests::a_holder_says_that_it_holds";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--quiet"]);
    command.env(HOLD, server.url()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == "held")));
    assert!(taken(&leases, "k", TTL).await.is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    // Its time is bounded by the server, whatever was extended last.
    let left: i64 = leases
        .book
        .link()
        .run(cmd("PTTL").arg(key(&leases)))
        .await
        .unwrap();
    assert!(left <= 400, "{left} ms are more than its time");
    until("it is free", async || {
        taken(&leases, "k", TTL).await.is_some()
    })
    .await;
}
