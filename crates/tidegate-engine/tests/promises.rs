//! One promise of the request path per test, in virtual time.
//!
//! The upstream is one mock whose models are named after what they do, so a
//! chain reads like the story: `["throttle-7", "answer"]`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tidegate_engine::mock::{Behavior, Mock, Outage, Script};
use tidegate_engine::{
    Answer, AnswerBody, AnswerStream, CacheUse, Cached, Caller, ChainConfig, ChatRequest, Context,
    Deadline, Engine, EngineConfig, EngineError, EntryConfig, EntryHealth, Health, ProviderConfig,
    ProviderKind, Quota, Unavailability,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A mock behind an engine with one chain, `m`.
struct Gate {
    mock: Arc<Mock>,
    engine: Engine,
}

impl Gate {
    fn new(models: &[&str]) -> Self {
        Self::with(models, Script::default(), |_| {})
    }

    fn with(models: &[&str], script: Script, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mock = Arc::new(Mock::new(script));
        let entries = models.iter().map(|model| EntryConfig {
            quota: Quota::unlimited(),
            ..EntryConfig::new("up", model)
        });
        let mut config = EngineConfig {
            providers: vec![ProviderConfig {
                name: "up".to_owned(),
                kind: ProviderKind::Custom(mock.clone()),
            }],
            chains: vec![ChainConfig {
                name: "m".to_owned(),
                entries: entries.collect(),
            }],
            ..EngineConfig::default()
        };
        change(&mut config);
        let engine = Engine::assemble(config).expect("a valid configuration");
        Self { mock, engine }
    }

    async fn ask(&self, fields: &str) -> Result<Answer, EngineError> {
        self.ask_with(fields, CacheUse::Skip).await
    }

    async fn ask_with(&self, fields: &str, cache: CacheUse) -> Result<Answer, EngineError> {
        let request = request(fields);
        let deadline = Deadline::after(60 * SECOND);
        let mut context = Context::new(Caller::default(), deadline);
        context.cache = cache;
        self.engine.chat(request, &context).await
    }

    async fn stream(&self, fields: &str) -> Box<AnswerStream> {
        let answer = self.ask(&format!(r#""stream":true{fields}"#)).await;
        match answer.expect("the stream begins").body {
            AnswerBody::Stream(stream) => stream,
            AnswerBody::Whole(body) => panic!("no stream: {body:?}"),
        }
    }

    async fn first_entry(&self) -> EntryHealth {
        let mut entries = self.engine.health().await.entries;
        entries.swap_remove(0)
    }

    /// Time between the first call that reached the upstream and the second.
    fn pause(&self) -> Duration {
        let log = self.mock.log();
        log[1].0 - log[0].0
    }
}

fn request(fields: &str) -> ChatRequest {
    let comma = if fields.is_empty() { "" } else { "," };
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hello"}}]{comma}{fields}}}"#
    );
    ChatRequest::parse(Bytes::from(body)).expect("a valid request")
}

fn tokens(most: u64) -> impl FnOnce(&mut EngineConfig) {
    move |config| config.chains[0].entries[0].quota.tokens = Some(most)
}

/// Every chunk as text, and how the stream ended.
async fn drain(stream: &mut AnswerStream) -> (Vec<String>, Option<EngineError>) {
    let mut chunks = Vec::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(chunk) => chunks.push(String::from_utf8_lossy(&chunk.json).into_owned()),
            Err(error) => return (chunks, Some(error)),
        }
    }
    (chunks, None)
}

#[tokio::test(start_paused = true)]
async fn a_throttled_primary_hands_over_to_the_next_model() {
    for first in ["throttle", "throttle-7", "overloaded", "unavailable"] {
        let gate = Gate::new(&[first, "answer"]);
        let head = gate.ask("").await.expect("the second answers").head;
        assert_eq!((&*head.model, head.attempts), ("up/answer", 2), "{first}");
        assert_eq!(head.degraded, ["fallback:up/answer"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_rejected_is_sent_once_and_hurts_nobodys_health() {
    let gate = Gate::new(&["status-400", "answer"]);
    for _ in 0..10 {
        let error = gate.ask("").await.map(|answer| answer.head).unwrap_err();
        assert!(matches!(error, EngineError::Rejected(body) if body.status == 400));
    }
    assert_eq!(gate.mock.calls(), 10);
    assert_eq!(
        gate.engine.health().await.entries[1].breaker.state,
        Health::Healthy
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_upstream_is_called_again_exactly_when_it_asked() {
    let script = Script {
        outages: vec![Outage {
            from: Duration::ZERO,
            until: SECOND,
            behavior: Behavior::Throttle {
                retry_after: Some(17 * SECOND),
            },
        }],
        ..Script::default()
    };
    let gate = Gate::with(&["x"], script, |_| {});
    let head = gate.ask("").await.expect("answered after the wait").head;
    assert_eq!(head.attempts, 2);
    assert_eq!(gate.pause().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn repeats_stay_within_a_fifth_of_the_traffic() {
    let gate = Gate::with(&["status-500"], Script::default(), |config| {
        let resilience = &mut config.resilience;
        resilience.breaker.failure_threshold = u32::MAX;
        resilience.backoff.base = Duration::from_millis(100);
    });
    let answers = join_all((0..400).map(|_| gate.ask(""))).await;
    assert!(answers.iter().all(Result::is_err));
    // A fifth of the requests, and ten that are free.
    let most = 400 + 400 / 5 + 10;
    let calls = gate.mock.calls();
    assert!(
        (480..=most).contains(&calls),
        "{calls} calls for 400 requests"
    );
}

#[tokio::test(start_paused = true)]
async fn repeats_of_one_request_are_spread_at_random_within_the_backoff() {
    let gate = Gate::with(&["reset"], Script::default(), |config| {
        config.resilience.breaker.failure_threshold = u32::MAX;
    });
    let start = Instant::now();
    gate.ask("").await.map(|answer| answer.head).unwrap_err();
    assert_eq!(gate.mock.calls(), 4);
    assert!(
        start.elapsed() <= (2 + 4 + 8) * SECOND,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_before_its_first_content_is_answered_by_the_next_model() {
    let gate = Gate::new(&["error-in-stream", "answer"]);
    let answer = gate.ask(r#""stream":true"#).await.expect("a stream");
    assert_eq!(&*answer.head.model, "up/answer");
    let AnswerBody::Stream(mut stream) = answer.body else {
        panic!("no stream")
    };
    let (chunks, error) = drain(&mut stream).await;
    assert_eq!(error, None);
    let text = chunks.iter().filter(|chunk| chunk.contains("token "));
    assert_eq!(text.count(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_after_content_ends_in_an_error_and_never_cleanly() {
    for (model, reason) in [
        ("truncate", Unavailability::Truncated),
        ("reset-mid", Unavailability::Truncated),
        ("error-after-content", Unavailability::ErrorInAnswer),
    ] {
        let gate = Gate::new(&[model, "answer"]);
        let (chunks, error) = drain(&mut *gate.stream("").await).await;
        assert!(chunks.len() > 5, "{model}: {} chunks", chunks.len());
        let Some(EngineError::Upstream { reason: found, .. }) = error else {
            panic!("{model}: {error:?}")
        };
        assert_eq!(found, reason, "{model}");
        assert_eq!(gate.mock.calls(), 1, "{model}: no second model is asked");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_streamed_only_to_those_who_asked_for_it() {
    let gate = Gate::new(&["answer"]);
    let is_usage = |chunk: &String| chunk.contains("completion_tokens");
    let (chunks, _) = drain(&mut *gate.stream("").await).await;
    assert_eq!(chunks.iter().filter(|chunk| is_usage(chunk)).count(), 0);
    let wish = r#","stream_options":{"include_usage":true}"#;
    let (chunks, _) = drain(&mut *gate.stream(wish).await).await;
    assert_eq!(chunks.iter().filter(|chunk| is_usage(chunk)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_finished_call_counts_what_it_used_and_not_what_was_reserved() {
    let gate = Gate::with(&["answer"], Script::default(), tokens(100_000));
    gate.ask(r#""max_tokens":50000"#).await.expect("an answer");
    let whole = gate.first_entry().await.level;
    assert!((20..200).contains(&whole.tokens), "{whole:?}");
    let mut stream = gate.stream(r#","max_tokens":50000"#).await;
    assert!(gate.first_entry().await.level.tokens > 50_000);
    drain(&mut stream).await;
    let streamed = stream.usage().expect("the upstream reported it").total();
    let both = gate.first_entry().await.level;
    assert_eq!((both.tokens, both.concurrent), (whole.tokens + streamed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_gives_everything_back_and_counts_what_was_streamed() {
    let script = Script {
        event_gap: SECOND,
        ..Script::default()
    };
    let gate = Gate::with(&["answer"], script, tokens(100_000));
    let mut stream = gate.stream(r#","max_tokens":50000"#).await;
    for _ in 0..5 {
        stream.next().await.expect("a chunk").expect("a good one");
    }
    drop(stream);
    assert_eq!((gate.mock.cancelled(), gate.mock.in_flight()), (1, 0));
    let entry = gate.first_entry().await;
    assert_eq!((entry.active_requests, entry.level.concurrent), (0, 0));
    let counted = entry.level.tokens;
    assert!(
        (100..200).contains(&counted),
        "{counted} tokens are counted"
    );
    assert_eq!(entry.counts.abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_cancels_the_call_and_gives_its_place_back() {
    let gate = Gate::with(&["hang"], Script::default(), |config| {
        config.chains[0].entries[0].quota.concurrent = Some(1);
    });
    for round in 1..=3 {
        let call = tokio::time::timeout(SECOND, gate.ask(""));
        assert!(call.await.is_err(), "the upstream never answers");
        assert_eq!(gate.mock.cancelled(), round);
        let entry = gate.first_entry().await;
        assert_eq!((entry.active_requests, entry.level.concurrent), (0, 0));
        assert_eq!(entry.breaker.state, Health::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_of_one_question_cause_one_call() {
    let script = Script {
        latency: SECOND,
        ..Script::default()
    };
    let gate = Gate::with(&["answer"], script, |_| {});
    let callers = (0..100).map(|_| gate.ask_with("", CacheUse::Use));
    let answers = join_all(callers).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(gate.mock.calls(), 1);
    let later = gate.ask_with("", CacheUse::Use).await.expect("an answer");
    assert_eq!((later.head.cached, gate.mock.calls()), (Cached::Hit, 1));
}

#[tokio::test(start_paused = true)]
async fn questions_that_differ_in_any_field_share_no_answer() {
    let gate = Gate::new(&["answer"]);
    let questions = [
        "",
        r#""temperature":0"#,
        r#""temperature":1"#,
        r#""seed":1"#,
    ];
    for question in questions {
        let answer = gate.ask_with(question, CacheUse::Use).await;
        let head = answer.expect("an answer").head;
        assert_eq!(head.cached, Cached::Miss, "{question}");
    }
    assert_eq!(gate.mock.calls(), questions.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_cached() {
    let gate = Gate::new(&["status-400"]);
    for _ in 0..3 {
        assert!(gate.ask_with("", CacheUse::Use).await.is_err());
    }
    assert_eq!(gate.mock.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_small_newcomer_does_not_overtake_a_large_request_that_waits() {
    let gate = Gate::with(&["slow-10000"], Script::default(), tokens(10_000));
    let large = || gate.ask(r#""max_tokens":6000"#);
    let waiting = async {
        sleep(SECOND).await;
        large().await
    };
    let newcomer = async {
        sleep(2 * SECOND).await;
        let answer = gate.ask(r#""max_tokens":500"#).await;
        answer.map(|answer| answer.head.waited.as_secs())
    };
    let look = async {
        sleep(5 * SECOND).await;
        gate.mock.calls()
    };
    let ((first, second), (waited, calls)) =
        join(join(large(), waiting), join(newcomer, look)).await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(calls, 1, "calls while the large request waits");
    assert_eq!(waited, Ok(8));
}

#[tokio::test(start_paused = true)]
async fn a_failing_model_is_left_alone_and_probed_by_one_call_after_the_cooldown() {
    let script = Script {
        latency: SECOND,
        outages: vec![Outage {
            from: Duration::ZERO,
            until: 30 * SECOND,
            behavior: Behavior::Status(500),
        }],
        ..Script::default()
    };
    let gate = Gate::with(&["x"], script, |config| {
        config.resilience.backoff.retries = 0;
    });
    for _ in 0..5 {
        assert!(gate.ask("").await.is_err());
    }
    assert_eq!(gate.first_entry().await.breaker.state, Health::CircuitOpen);
    sleep(61 * SECOND).await;
    let crowd = join_all((0..50).map(|_| gate.ask("")));
    let look = async {
        sleep(SECOND / 2).await;
        gate.mock.in_flight()
    };
    let (answers, probes) = join(crowd, look).await;
    assert_eq!(probes, 1);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(gate.first_entry().await.breaker.state, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_by_a_throttle_without_a_time_is_told_the_cooldown() {
    let gate = Gate::new(&["throttle"]);
    for _ in 0..2 {
        let refused = gate.ask("").await.unwrap_err();
        let EngineError::Throttled { retry_after, .. } = refused else {
            panic!("{refused:?}")
        };
        assert!(retry_after > 50 * SECOND, "{retry_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_names_do_not_keep_out_the_next_one() {
    for upstream_model in ["*", "fixed"] {
        let config = EngineConfig {
            providers: vec![ProviderConfig {
                name: "p".to_owned(),
                kind: ProviderKind::Mock(Script::default()),
            }],
            chains: vec![ChainConfig {
                name: "*".to_owned(),
                entries: vec![EntryConfig {
                    quota: Quota::unlimited(),
                    ..EntryConfig::new("p", upstream_model)
                }],
            }],
            ..EngineConfig::default()
        };
        let engine = Engine::assemble(config).unwrap();
        for number in 0..1_000 {
            let body = format!(r#"{{"model":"n{number}","messages":[{{"role":"user"}}]}}"#);
            let request = ChatRequest::parse(Bytes::from(body)).unwrap();
            let deadline = Deadline::after(SECOND);
            engine
                .chat(request, &Context::new(Caller::default(), deadline))
                .await
                .unwrap();
        }
        let known = engine.health().await.entries.len();
        assert!(known <= 300, "{known} entries are kept");
    }
}
