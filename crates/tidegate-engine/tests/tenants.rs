//! What a tenant's own limits promise, in virtual time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join;
use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Answer, AnswerBody, AnswerStream, CacheUse, Cached, Caller, ChainConfig, ChatRequest, Context,
    Deadline, Engine, EngineConfig, EngineError, EntryConfig, ProviderConfig, ProviderKind, Quota,
    Success, UnknownReservation,
};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// An engine whose models are named after what they do, without limits.
fn engine(script: Script) -> Engine {
    engine_that_trips_after(u32::MAX, script)
}

fn engine_that_trips_after(failures: u32, script: Script) -> Engine {
    let mock = Arc::new(Mock::new(script));
    let chain = |model: &str| ChainConfig {
        name: model.to_owned(),
        entries: vec![EntryConfig {
            quota: Quota::unlimited(),
            ..EntryConfig::new("up", model)
        }],
    };
    let mut config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(mock),
        }],
        chains: ["answer", "slow-700", "status-500", "error-after-content"]
            .map(chain)
            .into(),
        ..EngineConfig::default()
    };
    config.resilience.breaker.failure_threshold = failures;
    config.resilience.backoff.retries = 0;
    Engine::assemble(config).expect("a valid configuration")
}

fn steady() -> Engine {
    engine(Script::default())
}

/// A stream of 20 events, a second apart.
fn paced() -> Engine {
    engine(Script {
        event_gap: SECOND,
        ..Script::default()
    })
}

fn requests(most: u64) -> Quota {
    Quota {
        requests: Some(most),
        ..Quota::unlimited()
    }
}

fn tokens(most: u64) -> Quota {
    Quota {
        tokens: Some(most),
        ..Quota::unlimited()
    }
}

fn concurrent(most: u64) -> Quota {
    Quota {
        concurrent: Some(most),
        ..Quota::unlimited()
    }
}

fn tenant(quota: Quota) -> Caller {
    Caller::new("a", quota)
}

fn request(model: &str, fields: &str) -> ChatRequest {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{fields}}}"#
    );
    ChatRequest::parse(Bytes::from(body)).expect("a valid request")
}

/// Reserves a little over 600 tokens and uses a little over 20.
const MANY_TOKENS: &str = r#","max_tokens":500"#;
const STREAMED: &str = r#","stream":true"#;

async fn ask_with(
    engine: &Engine,
    caller: &Caller,
    request: ChatRequest,
    cache: CacheUse,
) -> Result<Answer, EngineError> {
    let mut context = Context::new(caller.clone(), Deadline::after(3600 * SECOND));
    context.cache = cache;
    engine.chat(request, &context).await
}

async fn ask(engine: &Engine, caller: &Caller, fields: &str) -> Result<Answer, EngineError> {
    ask_with(engine, caller, request("answer", fields), CacheUse::Skip).await
}

async fn stream(engine: &Engine, caller: &Caller) -> Result<Box<AnswerStream>, EngineError> {
    match ask(engine, caller, STREAMED).await?.body {
        AnswerBody::Stream(stream) => Ok(stream),
        AnswerBody::Whole(body) => panic!("no stream: {body:?}"),
    }
}

/// Which of the tenant's limits refused, and for how long.
#[track_caller]
fn limited<T>(answer: Result<T, EngineError>) -> (&'static str, Duration) {
    match answer.map(|_| ()) {
        Err(EngineError::TenantLimited {
            limit, retry_after, ..
        }) => (limit, retry_after),
        other => panic!("not refused by the tenant's limit: {other:?}"),
    }
}

/// Asks until a limit refuses, and again a moment before and exactly when the
/// wait is over.
async fn check_wait(quota: Quota, expected: &str) {
    let (engine, caller) = (steady(), tenant(quota));
    let mut granted = 0;
    let (limit, wait) = loop {
        match ask(&engine, &caller, MANY_TOKENS).await {
            Ok(_) => granted += 1,
            refused => break limited(refused),
        }
        sleep(SECOND / 7).await;
    };
    assert!(granted > 0, "nothing was granted");
    assert_eq!(limit, expected);
    assert!(wait > SECOND, "{wait:?}");
    sleep(wait - MOMENT).await;
    let (_, rest) = limited(ask(&engine, &caller, MANY_TOKENS).await);
    assert_eq!(rest, MOMENT);
    sleep(rest).await;
    let answer = ask(&engine, &caller, MANY_TOKENS).await;
    assert!(answer.is_ok(), "refused after exactly {wait:?}: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_exactly_as_long_as_told_is_admitted() {
    check_wait(requests(1), "requests").await;
    check_wait(requests(30), "requests").await;
    check_wait(tokens(700), "tokens").await;
    check_wait(tokens(5_000), "tokens").await;
}

/// A request that uses about 600 tokens, at once or half a window later than
/// one that uses few; then the limits come down, and both of them are exceeded.
async fn check_longer_wait(order: [u64; 2], most: u64, expected: (&str, u64)) {
    let engine = steady();
    let wide = Quota {
        requests: Some(1_000),
        ..tokens(1_000_000)
    };
    for words in order {
        let content = "word ".repeat(usize::try_from(words).unwrap());
        let fields = format!(r#","user":"{content}""#);
        ask(&engine, &tenant(wide), &fields).await.unwrap();
        sleep(30 * SECOND).await;
    }
    let caller = tenant(Quota {
        requests: Some(most),
        ..tokens(1_000)
    });
    let (limit, wait) = limited(ask(&engine, &caller, MANY_TOKENS).await);
    assert_eq!((limit, wait.as_secs()), expected);
    sleep(wait).await;
    let answer = ask(&engine, &caller, MANY_TOKENS).await;
    assert!(answer.is_ok(), "refused after exactly {wait:?}: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_over_two_limits_is_told_the_longer_wait() {
    // The window of 60 s is kept 1 % longer; the second request is 30 s old.
    check_longer_wait([500, 1], 1, ("requests", 30)).await;
    check_longer_wait([1, 500], 2, ("tokens", 30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_fits_is_not_told_to_wait() {
    let answer = ask(&steady(), &tenant(tokens(500)), MANY_TOKENS).await;
    assert!(
        matches!(answer, Err(EngineError::TenantTooLarge { limit: 500, .. })),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_holds_its_place_until_it_is_answered() {
    let (engine, caller) = (steady(), tenant(concurrent(1)));
    let slow = ask_with(&engine, &caller, request("slow-700", ""), CacheUse::Skip);
    let second = async {
        sleep(MOMENT).await;
        let (limit, hint) = limited(ask(&engine, &caller, "").await);
        assert_eq!((limit, hint), ("concurrency", SECOND));
        sleep(hint).await;
        ask(&engine, &caller, "").await
    };
    let (slow, second) = join(slow, second).await;
    assert!(slow.is_ok() && second.is_ok(), "{slow:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_holds_its_place_until_it_ends() {
    let (engine, caller) = (paced(), tenant(concurrent(1)));
    let start = Instant::now();
    let mut answer = stream(&engine, &caller).await.unwrap();
    while let Some(chunk) = answer.next().await {
        chunk.unwrap();
        if answer.usage().is_none() {
            assert_eq!(limited(ask(&engine, &caller, "").await).0, "concurrency");
        }
    }
    assert!(start.elapsed() >= 19 * SECOND);
    assert!(ask(&engine, &caller, "").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_gives_its_place_back() {
    let (engine, caller) = (steady(), tenant(concurrent(1)));
    let broken = request("error-after-content", STREAMED);
    let answer = ask_with(&engine, &caller, broken, CacheUse::Skip).await;
    let AnswerBody::Stream(mut answer) = answer.unwrap().body else {
        panic!("no stream")
    };
    while answer.next().await.is_some_and(|chunk| chunk.is_ok()) {}
    assert!(ask(&engine, &caller, "").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_gives_the_place_back_at_once() {
    let (engine, caller) = (paced(), tenant(concurrent(1)));
    for _ in 0..50 {
        let mut answer = stream(&engine, &caller).await.unwrap();
        answer.next().await.unwrap().unwrap();
        drop(answer);
        let slow = request("slow-700", "");
        let left = ask_with(&engine, &caller, slow, CacheUse::Skip);
        assert!(timeout(SECOND / 10, left).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_counts_what_was_streamed_and_no_more() {
    let (engine, caller) = (paced(), tenant(tokens(1_300)));
    // Each sets aside more than 1100 tokens and streams one.
    let long = r#","stream":true,"max_tokens":1000"#;
    for _ in 0..2 {
        let answer = ask(&engine, &caller, long).await.unwrap();
        let AnswerBody::Stream(mut answer) = answer.body else {
            panic!("no stream")
        };
        answer.next().await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failed_calls_give_their_tokens_back_and_count_as_requests() {
    // Whatever the request says about the cache.
    for cache in [CacheUse::Skip, CacheUse::Use, CacheUse::Refresh] {
        let engine = steady();
        let caller = tenant(Quota {
            requests: Some(50),
            ..tokens(700)
        });
        for _ in 0..49 {
            let failing = request("status-500", MANY_TOKENS);
            let failed = ask_with(&engine, &caller, failing, cache).await;
            assert!(
                matches!(failed, Err(EngineError::Upstream { .. })),
                "{failed:?}"
            );
        }
        assert!(ask(&engine, &caller, MANY_TOKENS).await.is_ok());
        let refused = ask(&engine, &caller, MANY_TOKENS).await;
        assert_eq!(limited(refused).0, "requests");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_has_used_what_was_set_aside_whatever_the_cache() {
    for cache in [CacheUse::Skip, CacheUse::Use, CacheUse::Refresh] {
        let (engine, caller) = (steady(), tenant(tokens(1_000)));
        let slow = request("slow-700", MANY_TOKENS);
        let left = ask_with(&engine, &caller, slow, cache);
        assert!(timeout(SECOND / 10, left).await.is_err());
        let refused = ask(&engine, &caller, MANY_TOKENS).await;
        assert_eq!(limited(refused).0, "tokens", "{cache:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_word_of_one_tenant_does_not_close_a_model_to_others() {
    let fail_often = async |caller: &Caller| {
        let engine = engine_that_trips_after(5, Script::default());
        for _ in 0..10 {
            let context = Context::new(caller.clone(), Deadline::after(SECOND));
            let Ok(held) = engine.reserve("answer", 1, &context).await else {
                break;
            };
            let settled = engine.settle(caller, &held.id, 1, Success::Failed).await;
            assert_eq!(settled, Ok(()));
        }
        let health = engine.health().await;
        health
            .entries
            .iter()
            .map(|entry| entry.breaker.trips)
            .sum::<u64>()
    };
    assert_eq!(fail_often(&tenant(Quota::unlimited())).await, 0);
    assert_eq!(fail_often(&tenant(Quota::unlimited()).trusted()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_gives_back_the_tokens_that_it_did_not_use() {
    let (engine, caller) = (steady(), tenant(tokens(1_000)));
    // 600 are set aside and less than 50 used, each time.
    for _ in 0..8 {
        ask(&engine, &caller, MANY_TOKENS).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn answers_from_the_cache_cost_no_tokens() {
    let (engine, caller) = (steady(), tenant(tokens(1_000)));
    let cached = || {
        ask_with(
            &engine,
            &caller,
            request("answer", MANY_TOKENS),
            CacheUse::Use,
        )
    };
    assert_eq!(cached().await.unwrap().head.cached, Cached::Miss);
    for _ in 0..1_000 {
        assert_eq!(cached().await.unwrap().head.cached, Cached::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn two_tenants_do_not_touch_each_other() {
    let engine = paced();
    let quota = Quota {
        requests: Some(2),
        tokens: Some(100_000),
        concurrent: Some(1),
        window: 60 * SECOND,
    };
    let (one, other) = (Caller::new("a", quota), Caller::new("b", quota));
    let held = stream(&engine, &one).await.unwrap();
    assert_eq!(limited(stream(&engine, &one).await).0, "concurrency");
    let others = stream(&engine, &other).await.unwrap();
    drop(held);
    stream(&engine, &one).await.unwrap();
    assert_eq!(limited(stream(&engine, &one).await).0, "requests");
    drop(others);
    assert!(stream(&engine, &other).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_one_tenant_is_never_served_to_another() {
    let engine = steady();
    let (one, other) = (
        Caller::new("a", Quota::unlimited()),
        Caller::new("b", Quota::unlimited()),
    );
    let cached = |caller: Caller| {
        let engine = &engine;
        async move {
            let answer = ask_with(engine, &caller, request("answer", ""), CacheUse::Use).await;
            answer.unwrap().head.cached
        }
    };
    assert_eq!(cached(one.clone()).await, Cached::Miss);
    assert_eq!(cached(other.clone()).await, Cached::Miss);
    assert_eq!(cached(one).await, Cached::Hit);
    assert_eq!(cached(other).await, Cached::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_settled_by_its_tenant_and_nobody_else() {
    let engine = steady();
    let (one, other) = (tenant(concurrent(1)), Caller::new("b", concurrent(1)));
    let context = Context::new(one.clone(), Deadline::after(SECOND));
    let held = engine.reserve("answer", 10, &context).await.unwrap();
    assert_eq!(limited(ask(&engine, &one, "").await).0, "concurrency");
    let answered = Success::Answered;
    let stolen = engine.settle(&other, &held.id, 10, answered).await;
    assert_eq!(stolen, Err(UnknownReservation));
    assert_eq!(limited(ask(&engine, &one, "").await).0, "concurrency");
    assert_eq!(engine.settle(&one, &held.id, 10, answered).await, Ok(()));
    assert!(ask(&engine, &one, "").await.is_ok());
}
