//! What another configuration keeps of the engine before it, and what not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Answer, AssembleError, CacheUse, Cached, Caller, ChainConfig, ChatRequest, Context, Deadline,
    Engine, EngineConfig, EngineError, EntryConfig, EntryHealth, Health, ProviderConfig,
    ProviderKind, Quota, Success,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn upstream() -> Arc<Mock> {
    Arc::new(Mock::new(Script::default()))
}

/// The chain `m` over models of one upstream, without limits.
fn config(upstream: &Arc<Mock>, models: &[&str]) -> EngineConfig {
    let entries = models.iter().map(|model| EntryConfig {
        quota: Quota::unlimited(),
        ..EntryConfig::new("up", model)
    });
    let mut config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(upstream.clone()),
        }],
        chains: vec![ChainConfig {
            name: "m".to_owned(),
            entries: entries.collect(),
        }],
        ..EngineConfig::default()
    };
    config.resilience.backoff.retries = 0;
    config.resilience.breaker.failure_threshold = 1;
    config
}

fn limited(upstream: &Arc<Mock>, model: &str, quota: Quota) -> EngineConfig {
    let mut config = config(upstream, &[model]);
    config.chains[0].entries[0].quota = quota;
    config
}

fn requests(limit: u64) -> Quota {
    Quota {
        requests: Some(limit),
        ..Quota::unlimited()
    }
}

fn places(limit: u64) -> Quota {
    Quota {
        concurrent: Some(limit),
        ..Quota::unlimited()
    }
}

fn context(patience: Duration) -> Context {
    Context::new(Caller::default(), Deadline::after(patience))
}

fn request(model: &str) -> ChatRequest {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}],"max_tokens":10}}"#
    );
    ChatRequest::parse(Bytes::from(body)).expect("a valid request")
}

async fn ask_for(engine: &Engine, model: &str, patience: Duration) -> Result<Answer, EngineError> {
    let mut context = context(patience);
    context.cache = CacheUse::Skip;
    engine.chat(request(model), &context).await
}

async fn ask(engine: &Engine, patience: Duration) -> Result<Answer, EngineError> {
    ask_for(engine, "m", patience).await
}

async fn entry(engine: &Engine, name: &str) -> EntryHealth {
    let entries = engine.health().await.entries;
    let found = entries.into_iter().find(|entry| entry.name == name);
    found.unwrap_or_else(|| panic!("no entry {name}"))
}

#[track_caller]
fn check_throttled(answer: Result<Answer, EngineError>) {
    let is = matches!(answer, Err(EngineError::Throttled { .. }));
    assert!(is, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_used_of_a_limit_stays_used_and_another_limit_holds_from_then_on() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "answer", requests(3))).expect("it fits");
    for _ in 0..3 {
        ask(&first, SECOND).await.expect("there is room");
    }
    let same = first.reassemble(limited(&upstream, "answer", requests(3)));
    let same = same.expect("it fits");
    check_throttled(ask(&same, SECOND).await);
    let more = same.reassemble(limited(&upstream, "answer", requests(5)));
    let more = more.expect("it fits");
    for _ in 0..2 {
        ask(&more, SECOND).await.expect("there is more room");
    }
    check_throttled(ask(&more, SECOND).await);
    let fewer = more.reassemble(limited(&upstream, "answer", requests(2)));
    check_throttled(ask(&fewer.expect("it fits"), SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_limit_stays_used_even_where_the_upstream_is_another() {
    let first = Engine::assemble(limited(&upstream(), "answer", requests(1))).expect("it fits");
    ask(&first, SECOND).await.expect("there is room");
    let next = first.reassemble(limited(&upstream(), "answer", requests(1)));
    check_throttled(ask(&next.expect("it fits"), SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_still_with_the_old_engine_do_not_bring_its_limits_back() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "answer", requests(1))).expect("it fits");
    let longer = Quota {
        window: 120 * SECOND,
        ..requests(1)
    };
    let next = first.reassemble(limited(&upstream, "answer", longer));
    let next = next.expect("it fits");
    ask(&next, SECOND).await.expect("there is room");
    // Asking with windows of another length would empty them.
    check_throttled(ask(&first, SECOND).await);
    check_throttled(ask(&next, SECOND).await);
    sleep(90 * SECOND).await;
    check_throttled(ask(&next, SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_and_the_counters_outlive_a_reload() {
    let upstream = upstream();
    let first = Engine::assemble(config(&upstream, &["status-500"])).expect("it fits");
    ask(&first, SECOND).await.expect_err("it fails");
    let mut other = config(&upstream, &["status-500", "answer"]);
    other.resilience.max_waiting = 7;
    let next = first.reassemble(other).expect("it fits");
    let row = entry(&next, "up/status-500").await;
    assert_eq!(
        (row.breaker.state, row.counts.failed),
        (Health::CircuitOpen, 1)
    );
    let answer = ask(&next, SECOND).await.expect("the next entry answers");
    assert_eq!(
        (&*answer.head.model, answer.head.attempts),
        ("up/answer", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_at_another_upstream_starts_healthy() {
    let first = Engine::assemble(config(&upstream(), &["status-500"])).expect("it fits");
    ask(&first, SECOND).await.expect_err("it fails");
    let next = first.reassemble(config(&upstream(), &["status-500"]));
    let row = entry(&next.expect("it fits"), "up/status-500").await;
    assert_eq!((row.breaker.state, row.counts.failed), (Health::Healthy, 0));
}

#[tokio::test(start_paused = true)]
async fn entries_that_the_wildcard_made_are_known_after_a_reload() {
    let upstream = upstream();
    let wildcard = || {
        let mut config = config(&upstream, &["*"]);
        config.chains[0].name = "*".to_owned();
        config.chains[0].entries[0].quota = requests(1);
        config
    };
    let first = Engine::assemble(wildcard()).expect("it fits");
    ask_for(&first, "answer", SECOND)
        .await
        .expect("there is room");
    let next = first.reassemble(wildcard()).expect("it fits");
    drop(first);
    assert_eq!(entry(&next, "up/answer").await.counts.successful, 1);
    check_throttled(ask_for(&next, "answer", SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_answered_under_is_not_carried_on() {
    let upstream = upstream();
    let wildcard = || {
        let mut config = config(&upstream, &["*"]);
        config.chains[0].name = "*".to_owned();
        config
    };
    let first = Engine::assemble(wildcard()).expect("it fits");
    let answer = ask_for(&first, "status-500", SECOND).await;
    answer.expect_err("it fails");
    let next = first.reassemble(wildcard()).expect("it fits");
    assert!(next.health().await.entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_takes_its_place_under_the_new_configuration_too() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "slow-5000", places(1))).expect("it fits");
    let call = ask(&first, 60 * SECOND);
    let next = async {
        sleep(SECOND).await;
        let next = first.reassemble(limited(&upstream, "slow-5000", places(1)));
        let next = next.expect("it fits");
        assert_eq!(entry(&next, "up/slow-5000").await.active_requests, 1);
        check_throttled(ask(&next, SECOND).await);
        next
    };
    let (answer, next) = tokio::join!(call, next);
    answer.expect("the call ends under the old one");
    assert_eq!(entry(&next, "up/slow-5000").await.active_requests, 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_by_the_room_that_a_reload_makes() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "slow-30000", places(1))).expect("it fits");
    let start = Instant::now();
    let calls = join_all((0..2).map(|_| async {
        ask(&first, 100 * SECOND).await.expect("both are answered");
        start.elapsed()
    }));
    let reload = async {
        sleep(SECOND).await;
        first.reassemble(limited(&upstream, "slow-30000", places(2)))
    };
    let (ends, _next) = tokio::join!(calls, reload);
    assert!(ends[1] < 32 * SECOND, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_next_window_hears_at_once_of_a_higher_limit() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "answer", requests(1))).expect("it fits");
    ask(&first, SECOND).await.expect("there is room");
    let start = Instant::now();
    let waiting = async {
        ask(&first, 100 * SECOND).await.expect("it is answered");
        start.elapsed()
    };
    let reload = async {
        sleep(SECOND).await;
        first.reassemble(limited(&upstream, "answer", requests(2)))
    };
    let (end, _next) = tokio::join!(waiting, reload);
    assert_eq!(end, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake_who_waited_before_the_reload() {
    let upstream = upstream();
    let quota = places(1);
    let first = Engine::assemble(limited(&upstream, "slow-5000", quota)).expect("it fits");
    let start = Instant::now();
    let old = join_all((0..3).map(|_| async {
        ask(&first, 100 * SECOND).await.expect("it is answered");
        start.elapsed()
    }));
    let new = async {
        sleep(SECOND).await;
        let next = first.reassemble(limited(&upstream, "slow-5000", quota));
        let next = next.expect("it fits");
        assert_eq!(next.health().await.waiting, 2);
        ask(&next, 100 * SECOND).await.expect("it is answered");
        start.elapsed()
    };
    let (old, new) = tokio::join!(old, new);
    assert!(old.iter().all(|end| *end < new), "{old:?} {new:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_entry_that_is_gone_does_not_hold_up_newcomers() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "slow-50000", places(1))).expect("it fits");
    let old = join_all((0..2).map(|_| ask(&first, 200 * SECOND)));
    let new = async {
        sleep(SECOND).await;
        let next = first.reassemble(limited(&upstream, "answer", places(1)));
        let start = Instant::now();
        let answer = ask(&next.expect("it fits"), 100 * SECOND).await;
        answer.expect("there is room");
        start.elapsed()
    };
    let (old, new) = tokio::join!(old, new);
    assert!(new < SECOND, "{new:?}");
    assert!(old.iter().all(Result::is_ok), "{old:?}");
}

#[tokio::test(start_paused = true)]
async fn a_held_reservation_can_be_settled_after_a_reload_and_keeps_its_place() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "answer", places(1))).expect("it fits");
    let held = first.reserve("m", 10, &context(SECOND)).await;
    let held = held.expect("there is room");
    let next = first.reassemble(limited(&upstream, "answer", places(1)));
    let next = next.expect("it fits");
    drop(first);
    check_throttled(ask(&next, SECOND).await);
    let caller = Caller::default();
    let settled = next.settle(&caller, &held.id, 10, Success::Answered).await;
    settled.expect("it is still held");
    ask(&next, SECOND).await.expect("its place is free");
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_until_the_size_of_the_cache_changes() {
    let upstream = upstream();
    let of_size = |max_bytes| {
        let mut config = config(&upstream, &["answer"]);
        config.cache.max_bytes = max_bytes;
        config
    };
    let ask = async |engine: &Engine| {
        let mut context = context(SECOND);
        context.cache = CacheUse::Use;
        let answer = engine.chat(request("m"), &context).await;
        answer.expect("it is answered").head.cached
    };
    let first = Engine::assemble(of_size(1 << 20)).expect("it fits");
    assert_eq!(ask(&first).await, Cached::Miss);
    let same = first.reassemble(of_size(1 << 20)).expect("it fits");
    assert_eq!(ask(&same).await, Cached::Hit);
    let larger = same.reassemble(of_size(2 << 20)).expect("it fits");
    assert_eq!(ask(&larger).await, Cached::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_does_not_fit_together_changes_nothing() {
    let upstream = upstream();
    let first = Engine::assemble(limited(&upstream, "answer", requests(1))).expect("it fits");
    let mut broken = limited(&upstream, "answer", requests(100));
    broken.chains.push(ChainConfig {
        name: "n".to_owned(),
        entries: vec![EntryConfig::new("nowhere", "x")],
    });
    let refused = first.reassemble(broken).expect_err("nowhere is not there");
    assert!(matches!(refused, AssembleError::UnknownProvider { .. }));
    ask(&first, SECOND).await.expect("there is room");
    check_throttled(ask(&first, SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_thousand_revisions_is_kept() {
    let mut upstreams = Vec::new();
    let mut engine = Engine::assemble(config(&upstream(), &["answer"])).expect("it fits");
    for revision in 0..1_000 {
        let upstream = upstream();
        // Some names stay, some are new, some chains change.
        let model = format!("model-{revision}");
        let models: &[&str] = if revision % 2 == 0 {
            &["answer"]
        } else {
            &["answer", &model]
        };
        let next = engine.reassemble(config(&upstream, models));
        engine = next.expect("it fits");
        ask(&engine, SECOND).await.expect("there is room");
        upstreams.push(Arc::downgrade(&upstream));
    }
    let alive = upstreams.iter().filter(|known| known.strong_count() > 0);
    assert_eq!(alive.count(), 1);
}
