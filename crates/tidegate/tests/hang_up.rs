//! A client that hangs up costs nothing from then on: not at the gateway, and
//! not upstream. Clients that asked the same thing do not suffer from it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::time::Duration;

use futures_util::future::join_all;
use gateway::{
    Call, House, Plan, Scene, Stage, cached, chat, entry_stats, post, row, stream, until, with,
};
use serde_json::{Value, json};

/// One model with limits, so that what is held can be seen to come back.
async fn limited(model: &str, gap: Duration) -> House {
    let mut plan = Plan::serving(&[("m", &[&format!("up/{model}")])]);
    plan.script.event_gap = gap;
    plan.chains[0].entries[0].quota.concurrent = Some(4);
    plan.chains[0].entries[0].quota.tokens = Some(1_000_000);
    House::open(plan).await
}

async fn begin(house: &House, request: &Value) -> Call {
    Call::open(house.addr, &post("/v1/chat/completions", request)).await
}

/// Nothing is under way any more, and every place is free.
async fn check_idle(house: &House, name: &str) {
    until(house.addr, "/v1/stats", |stats| {
        let entry = row(stats, name);
        entry["active_requests"] == 0 && entry["headroom"]["concurrent"] == 4
    })
    .await;
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_call_that_hangs_upstream() {
    let house = limited("hang", Duration::ZERO).await;
    for (number, request) in [chat("m"), stream("m")].iter().enumerate() {
        let call = begin(&house, request).await;
        house.until_upstream(|stats| stats["in_flight"] == 1).await;
        let held = entry_stats(house.addr, "up/hang").await;
        assert_eq!(
            (&held["active_requests"], &held["headroom"]["concurrent"]),
            (&json!(1), &json!(3))
        );
        drop(call);
        let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
        assert_eq!(stats["disconnects"], number + 1);
        check_idle(&house, "up/hang").await;
    }
    let entry = entry_stats(house.addr, "up/hang").await;
    assert_eq!(
        (&entry["abandoned"], &entry["failed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(entry["state"], "healthy");
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_stream_ends_it_upstream() {
    let house = limited("answer", Duration::from_millis(50)).await;
    let mut call = begin(&house, &stream("m")).await;
    call.until("token").await;
    drop(call);
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(
        (&stats["requests"], &stats["disconnects"]),
        (&json!(1), &json!(1))
    );
    check_idle(&house, "up/answer").await;
    let entry = entry_stats(house.addr, "up/answer").await;
    assert_eq!(
        (&entry["abandoned"], &entry["successful"]),
        (&json!(1), &json!(0))
    );
    // What was streamed has been used; what was set aside beyond it is free again.
    let tokens = entry["tokens_last_minute"].as_u64().unwrap();
    assert!((1..500).contains(&tokens), "{tokens}");
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_for_room_leaves_the_line() {
    let mut plan = Plan::serving(&[("m", &["up/hang"])]);
    plan.chains[0].entries[0].quota.concurrent = Some(1);
    let house = House::open(plan).await;
    let first = begin(&house, &chat("m")).await;
    house.until_upstream(|stats| stats["in_flight"] == 1).await;
    let second = begin(&house, &chat("m")).await;
    let waiting = |count: u64| move |stats: &Value| stats["waiting_requests"] == count;
    until(house.addr, "/v1/stats", waiting(1)).await;
    drop(second);
    until(house.addr, "/v1/stats", waiting(0)).await;
    drop(first);
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(stats["requests"], 1);
}

#[tokio::test]
async fn a_shared_call_ends_only_when_its_last_client_hangs_up() {
    let house = limited("hang", Duration::ZERO).await;
    let request = cached(chat("m"), "use");
    let first = begin(&house, &request).await;
    house.until_upstream(|stats| stats["in_flight"] == 1).await;
    let second = begin(&house, &request).await;
    until(house.addr, "/v1/stats", |stats| {
        stats["cache"]["misses"] == 2
    })
    .await;
    drop(first);
    // Another request comes and goes after the first one left: the shared call
    // is still there.
    let other = begin(&house, &with(chat("m"), "seed", 1)).await;
    house.until_upstream(|stats| stats["in_flight"] == 2).await;
    drop(other);
    let stats = house
        .until_upstream(|stats| stats["disconnects"] == 1)
        .await;
    assert_eq!(stats["in_flight"], 1);
    drop(second);
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(
        (&stats["requests"], &stats["disconnects"]),
        (&json!(2), &json!(2))
    );
    check_idle(&house, "up/hang").await;
}

#[tokio::test]
async fn a_shared_call_goes_on_when_the_client_that_began_it_hangs_up() {
    let stage = Stage::open(vec![Scene::answer().after(Duration::from_millis(300))]).await;
    let mut plan = Plan::serving(&[("m", &["up/a"])]);
    plan.upstream = Some(stage.addr);
    let house = House::open(plan).await;
    let request = cached(chat("m"), "use");
    let first = begin(&house, &request).await;
    until(house.addr, "/v1/stats", |stats| {
        stats["cache"]["misses"] == 1
    })
    .await;
    let second = begin(&house, &request).await;
    until(house.addr, "/v1/stats", |stats| {
        stats["cache"]["misses"] == 2
    })
    .await;
    drop(first);
    let reply = second.reply().await;
    assert_eq!((reply.status, stage.seen().len()), (200, 1));
}

#[tokio::test]
async fn fifty_equal_requests_at_once_make_one_call() {
    let house = limited("slow-300", Duration::ZERO).await;
    let request = cached(chat("m"), "use");
    let replies = join_all((0..50).map(|_| house.complete(&request))).await;
    for reply in &replies {
        assert_eq!((reply.status, &reply.body), (200, &replies[0].body));
        assert_eq!(reply.header("x-tidegate-cache"), Some("miss"));
    }
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(stats["requests"], 1);
}

#[tokio::test]
async fn equal_requests_that_do_not_ask_for_the_cache_share_nothing() {
    let house = limited("slow-50", Duration::ZERO).await;
    let request = chat("m");
    let replies = join_all((0..3).map(|_| house.complete(&request))).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.header("x-tidegate-cache") == Some("bypass"))
    );
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(stats["requests"], 3);
}

/// What the cache did for a request, and the number of the upstream call that
/// its answer came from.
async fn cache_and_answer(house: &House, request: &Value) -> (String, String) {
    let reply = house.complete(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let cache = reply.header("x-tidegate-cache").unwrap().to_owned();
    (
        cache,
        reply.json()["id"]
            .as_str()
            .unwrap()
            .replace("chatcmpl-mock-", ""),
    )
}

#[tokio::test]
async fn the_cache_is_used_skipped_and_refreshed_as_a_request_says() {
    let house = limited("answer", Duration::ZERO).await;
    for (word, cache, call) in [
        ("use", "miss", "1"),
        ("use", "hit", "1"),
        ("skip", "bypass", "2"),
        ("use", "hit", "1"),
        ("refresh", "miss", "3"),
        ("use", "hit", "3"),
    ] {
        let seen = cache_and_answer(&house, &cached(chat("m"), word)).await;
        assert_eq!(seen, (cache.to_owned(), call.to_owned()), "{word}");
    }
    let seen = cache_and_answer(&house, &chat("m")).await;
    assert_eq!(seen, ("bypass".to_owned(), "4".to_owned()));
}

#[tokio::test]
async fn requests_that_differ_do_not_share_an_answer() {
    let house = limited("answer", Duration::ZERO).await;
    let used = cached(chat("m"), "use");
    for (number, (field, value)) in [
        ("temperature", json!(0)),
        ("n", json!(2)),
        ("user", json!("a")),
    ]
    .into_iter()
    .enumerate()
    {
        let seen = cache_and_answer(&house, &with(used.clone(), field, value)).await;
        assert_eq!(
            seen,
            ("miss".to_owned(), (number + 1).to_string()),
            "{field}"
        );
    }
}

#[tokio::test]
async fn a_hit_says_that_nobody_was_asked() {
    let house = limited("answer", Duration::ZERO).await;
    let request = cached(chat("m"), "use");
    house.complete(&request).await;
    let reply = house.complete(&request).await;
    assert_eq!(reply.header("x-tidegate-attempts"), Some("0"));
    assert_eq!(reply.header("x-tidegate-model"), Some("up/answer"));
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let stage = Stage::open(vec![Scene::status(500), Scene::answer()]).await;
    let mut plan = Plan::serving(&[("m", &["up/a"])]);
    plan.upstream = Some(stage.addr);
    let house = House::open(plan).await;
    let request = cached(chat("m"), "use");
    let outcome = house.complete(&request).await.outcome();
    assert_eq!(outcome, (502, "upstream_status".to_owned()));
    for cache in ["miss", "hit"] {
        let reply = house.complete(&request).await;
        assert_eq!(
            (reply.status, reply.header("x-tidegate-cache")),
            (200, Some(cache))
        );
    }
    assert_eq!(stage.seen().len(), 2);
}
