//! What is kept of answers and who gets it, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tidegate_engine::mock::{Behavior, Mock, Script};
use tidegate_engine::{
    Answer, AnswerBody, AnswerStream, CacheStats, CacheUse, Cached, Caller, ChainConfig,
    ChatRequest, Chunk, Context, Deadline, Dialect, Engine, EngineConfig, EngineError, EntryConfig,
    OpenAiConfig, ProviderConfig, ProviderKind, Quota,
};
use tidegate_store::{
    Cache, CacheHealth, Freshness, Hit, Keep, Load, MemoryCache, Name, Selector, Store, StoreError,
    Turn,
};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A mock behind an engine with one chain, `m`.
struct Gate {
    mock: Arc<Mock>,
    engine: Engine,
}

fn config(mock: &Arc<Mock>, models: &[&str]) -> EngineConfig {
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
    config.resilience.backoff.retries = 0;
    config
}

impl Gate {
    fn new(models: &[&str]) -> Self {
        Self::with(models, Script::default(), |_| {})
    }

    fn with(models: &[&str], script: Script, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mock = Arc::new(Mock::new(script));
        let mut config = config(&mock, models);
        change(&mut config);
        let engine = Engine::assemble(config).expect("a valid configuration");
        Self { mock, engine }
    }

    async fn ask(&self, asked: &Asked) -> Result<Answer, EngineError> {
        let deadline = Deadline::after(60 * SECOND);
        let mut context = Context::new(Caller::new(asked.tenant, Quota::unlimited()), deadline);
        context.cache = asked.cache;
        context.domain = asked.domain.map(Into::into);
        self.engine.chat(asked.request(), &context).await
    }

    async fn read(&self, asked: &Asked) -> Read {
        read(self.ask(asked).await.expect("an answer")).await
    }
}

#[derive(Clone, Copy)]
struct Asked {
    tenant: &'static str,
    dialect: Dialect,
    fields: &'static str,
    cache: CacheUse,
    domain: Option<&'static str>,
}

impl Asked {
    fn request(&self) -> ChatRequest {
        let body = format!(
            r#"{{"model":"m","max_tokens":64,"messages":[{{"role":"user","content":"hello"}}]{}}}"#,
            self.fields
        );
        ChatRequest::parse_as(self.dialect, Bytes::from(body)).expect("a valid request")
    }
}

const WHOLE: Asked = Asked {
    tenant: "t",
    dialect: Dialect::Chat,
    fields: "",
    cache: CacheUse::Use,
    domain: None,
};
const STREAM: Asked = Asked {
    fields: r#","stream":true"#,
    ..WHOLE
};
const WITH_USAGE: Asked = Asked {
    fields: r#","stream":true,"stream_options":{"include_usage":true}"#,
    ..WHOLE
};

/// An answer that was read to its end.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    cached: Cached,
    attempts: u32,
    /// Event names and JSON; one for a whole answer.
    events: Vec<(Option<String>, String)>,
    error: Option<EngineError>,
}

async fn read(answer: Answer) -> Read {
    let (cached, attempts) = (answer.head.cached, answer.head.attempts);
    let (events, error) = match answer.body {
        AnswerBody::Whole(body) => (vec![(None, text(&body))], None),
        AnswerBody::Stream(mut stream) => drain(&mut stream).await,
    };
    Read {
        cached,
        attempts,
        events,
        error,
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn event(chunk: &Chunk) -> (Option<String>, String) {
    (
        chunk.event.as_ref().map(ToString::to_string),
        text(&chunk.json),
    )
}

async fn drain(stream: &mut AnswerStream) -> (Vec<(Option<String>, String)>, Option<EngineError>) {
    let (mut events, mut error) = (Vec::new(), None);
    // To the very end: what comes after an error must not keep anything.
    while let Some(next) = stream.next().await {
        match next {
            Ok(chunk) => events.push(event(&chunk)),
            Err(reason) => error = Some(reason),
        }
    }
    (events, error)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ended_is_replayed_event_by_event() {
    for dialect in [Dialect::Chat, Dialect::Messages] {
        let gate = Gate::new(&["answer"]);
        let asked = Asked { dialect, ..STREAM };
        let first = gate.read(&asked).await;
        assert_eq!((first.cached, first.attempts), (Cached::Miss, 1));
        assert!(first.events.len() > 3, "{:?}", first.events);
        let again = gate.read(&asked).await;
        assert_eq!((again.cached, again.attempts), (Cached::Hit, 0));
        assert_eq!(again.events, first.events, "{dialect:?}");
        assert_eq!(gate.mock.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_reports_its_usage_to_those_who_ask() {
    let gate = Gate::new(&["answer"]);
    for (asked, reports) in [(STREAM, 0), (WITH_USAGE, 1)] {
        for cached in [Cached::Miss, Cached::Hit] {
            let read = gate.read(&asked).await;
            assert_eq!(read.cached, cached);
            let usage = |(_, json): &&(Option<String>, String)| json.contains("prompt_tokens");
            assert_eq!(read.events.iter().filter(usage).count(), reports);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_and_a_whole_answer_do_not_stand_for_each_other() {
    let gate = Gate::new(&["answer"]);
    for asked in [WHOLE, STREAM] {
        assert_eq!(gate.read(&asked).await.cached, Cached::Miss);
    }
    for asked in [WHOLE, STREAM] {
        assert_eq!(gate.read(&asked).await.cached, Cached::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_not_kept() {
    for behavior in ["reset-mid", "truncate", "error-after-content"] {
        let gate = Gate::new(&[behavior]);
        let read = gate.read(&STREAM).await;
        assert_eq!(read.cached, Cached::Miss, "{behavior}");
        assert!(read.events.len() > 3, "{behavior}");
        assert!(read.error.is_some(), "{behavior}");
        // The entry may be left alone for a while now.
        let again = gate.ask(&STREAM).await;
        let hit = again.is_ok_and(|answer| answer.head.cached == Cached::Hit);
        assert!(!hit, "{behavior}");
        assert_eq!(gate.engine.health().await.cache.sets, 0, "{behavior}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_leaves_is_not_kept() {
    let gate = Gate::new(&["answer"]);
    let whole = gate.read(&STREAM).await.events.len();
    for taken in 0..whole {
        let gate = Gate::new(&["answer"]);
        let answer = gate.ask(&STREAM).await.expect("a stream");
        let AnswerBody::Stream(mut stream) = answer.body else {
            panic!("no stream");
        };
        for _ in 0..taken {
            stream.next().await.expect("an event").expect("no error");
        }
        drop(stream);
        assert_eq!(gate.read(&STREAM).await.cached, Cached::Miss, "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_too_long_is_not_kept_and_arrives_whole() {
    let script = Script {
        events: 10_000,
        ..Script::default()
    };
    let gate = Gate::with(&["answer"], script, |_| {});
    let asked = Asked {
        fields: r#","max_completion_tokens":10000,"stream":true"#,
        ..STREAM
    };
    for _ in 0..2 {
        let read = gate.read(&asked).await;
        assert_eq!((read.cached, read.error), (Cached::Miss, None));
        assert!(read.events.len() >= 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_equal_requests_make_one_call() {
    for asked in [WHOLE, STREAM] {
        let gate = Gate::new(&["slow-1000"]);
        let reads = join_all((0..1_000).map(|_| gate.read(&asked))).await;
        for read in &reads {
            assert_eq!(read, &reads[0]);
        }
        assert_eq!((reads[0].cached, &reads[0].error), (Cached::Miss, &None));
        assert_eq!(gate.mock.calls(), 1);
        assert_eq!(gate.read(&asked).await.cached, Cached::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_first_of_equal_streams_leaves_one_other_goes_first() {
    let gate = Gate::new(&["slow-1000"]);
    let first = gate.ask(&STREAM).await.expect("a stream");
    let leaves = async {
        sleep(SECOND).await;
        drop(first);
    };
    let others = join_all((0..100).map(|_| gate.read(&STREAM)));
    let ((), others) = tokio::join!(leaves, others);
    for read in &others {
        assert_eq!((&read.events, &read.error), (&others[0].events, &None));
    }
    assert_eq!(gate.mock.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn equal_streams_share_an_error_as_equal_whole_answers_do() {
    for asked in [WHOLE, STREAM] {
        let script = Script {
            latency: SECOND,
            ..Script::default()
        };
        let gate = Gate::with(&["status-400"], script, |_| {});
        let asked = join_all((0..10).map(|_| gate.ask(&asked))).await;
        for answer in asked {
            assert!(matches!(answer, Err(EngineError::Rejected(_))));
        }
        assert_eq!(gate.mock.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_stream_for_too_long_makes_a_call_of_its_own() {
    let gate = Gate::new(&["answer"]);
    let first = gate.ask(&STREAM).await.expect("a stream");
    let second = gate.read(&STREAM).await;
    assert_eq!((second.cached, second.error), (Cached::Bypass, None));
    assert_eq!(gate.mock.calls(), 2);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_stand_in_is_not_kept() {
    for asked in [WHOLE, STREAM] {
        let gate = Gate::new(&["status-500", "answer"]);
        for calls in [2, 4] {
            let read = gate.read(&asked).await;
            assert_eq!((read.cached, read.attempts), (Cached::Miss, 2));
            assert_eq!(gate.mock.calls(), calls);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_tenant_was_told_no_other_finds() {
    let gate = Gate::new(&["answer"]);
    for asked in [WHOLE, STREAM] {
        for tenant in ["a", "b", "c"] {
            let asked = Asked { tenant, ..asked };
            assert_eq!(gate.read(&asked).await.cached, Cached::Miss);
            assert_eq!(gate.read(&asked).await.cached, Cached::Hit);
        }
    }
    assert_eq!(gate.mock.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_answer_belongs_to_the_domain_that_it_was_asked_for_in() {
    let gate = Gate::new(&["answer"]);
    for domain in [None, Some("tax"), Some("law")] {
        let asked = Asked { domain, ..WHOLE };
        assert_eq!(gate.read(&asked).await.cached, Cached::Miss);
        assert_eq!(gate.read(&asked).await.cached, Cached::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_pointed_elsewhere_finds_no_old_answer() {
    let gate = Gate::new(&["answer"]);
    assert_eq!(gate.read(&WHOLE).await.cached, Cached::Miss);
    let elsewhere = |engine: &Engine, models: &[&str]| Gate {
        mock: gate.mock.clone(),
        engine: engine
            .reassemble(config(&gate.mock, models))
            .expect("a valid configuration"),
    };
    let moved = elsewhere(&gate.engine, &["slow-1"]);
    assert_eq!(moved.read(&WHOLE).await.cached, Cached::Miss);
    let longer = elsewhere(&moved.engine, &["answer", "slow-1"]);
    assert_eq!(longer.read(&WHOLE).await.cached, Cached::Miss);
    let back = elsewhere(&longer.engine, &["answer"]);
    assert_eq!(back.read(&WHOLE).await.cached, Cached::Hit);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_moves_takes_its_answers_along() {
    let openai = |base_url: &'static str| {
        ProviderKind::OpenAi(OpenAiConfig {
            base_url: base_url.parse().expect("a URL"),
            api_key: None,
            headers: Vec::new(),
            stream_usage: true,
            max_tokens_field: tidegate_engine::MaxTokensField::default(),
        })
    };
    let mut names = Vec::new();
    for kind in [
        openai("http://a/v1"),
        openai("http://b/v1"),
        openai("http://a/v1"),
    ] {
        let seen = Arc::new(Spy::default());
        let mut config = config(&Arc::new(Mock::new(Script::default())), &["answer"]);
        config.providers[0].kind = kind;
        config.store = Some(spied(&seen));
        let engine = Engine::assemble(config).expect("a valid configuration");
        let mut context = Context::new(Caller::default(), Deadline::after(SECOND));
        context.cache = CacheUse::Use;
        let _ = engine.chat(WHOLE.request(), &context).await;
        names.push(seen.asked.lock().expect("no panic")[0].clone());
    }
    assert_eq!(names[0], names[2]);
    assert_ne!(names[0], names[1]);
}

/// A memory cache of which a test sees and says a little more.
#[derive(Debug)]
struct Spy {
    memory: MemoryCache,
    due: AtomicBool,
    turns: AtomicU64,
    asked: std::sync::Mutex<Vec<Name>>,
    kept: std::sync::Mutex<Vec<Keep>>,
}

impl Default for Spy {
    fn default() -> Self {
        Self {
            memory: MemoryCache::new(1 << 20, 0.1),
            due: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            asked: std::sync::Mutex::default(),
            kept: std::sync::Mutex::default(),
        }
    }
}

fn spied(spy: &Arc<Spy>) -> Store {
    let mut store = Store::memory(1 << 20);
    store.cache = spy.clone();
    store
}

#[async_trait]
impl Cache for Spy {
    async fn get(&self, name: &Name) -> Option<Hit> {
        self.asked.lock().expect("no panic").push(name.clone());
        let hit = self.memory.get(name).await?;
        let freshness = if self.due.load(Ordering::SeqCst) {
            Freshness::RefreshDue
        } else {
            hit.freshness
        };
        Some(Hit { freshness, ..hit })
    }

    async fn begin(&self, name: &Name) -> Load {
        self.memory.begin(name).await
    }

    async fn turn(&self, name: &Name) -> Turn {
        self.memory.turn(name).await
    }

    /// For the first who asks.
    async fn turn_to_refresh(&self, name: &Name) -> Option<Load> {
        match self.turns.fetch_add(1, Ordering::SeqCst) {
            0 => Some(self.memory.begin(name).await),
            _ => None,
        }
    }

    async fn put(&self, load: Load, value: Bytes, keep: &Keep) {
        self.due.store(false, Ordering::SeqCst);
        self.kept.lock().expect("no panic").push(keep.clone());
        self.memory.put(load, value, keep).await;
    }

    async fn invalidate(&self, owner: Option<&str>, what: &Selector) -> Result<u64, StoreError> {
        self.memory.invalidate(owner, what).await
    }

    fn resize(&self, max_bytes: u64) {
        self.memory.resize(max_bytes);
    }

    fn stats(&self) -> CacheStats {
        self.memory.stats()
    }

    async fn check(&self) -> CacheHealth {
        self.memory.check().await
    }
}

fn spied_on(spy: &Arc<Spy>, model: &str) -> Gate {
    Gate::with(&[model], Script::default(), |config| {
        config.store = Some(spied(spy));
    })
}

#[tokio::test(start_paused = true)]
async fn what_expires_soon_is_made_anew_by_one_while_the_others_go_on_with_it() {
    for asked in [WHOLE, STREAM] {
        let spy = Arc::new(Spy::default());
        let gate = spied_on(&spy, "slow-1000");
        let old = gate.read(&asked).await;
        spy.due.store(true, Ordering::SeqCst);
        let reads = join_all((0..100).map(|_| gate.read(&asked))).await;
        let (hits, fresh): (Vec<&Read>, Vec<&Read>) =
            reads.iter().partition(|read| read.cached == Cached::Hit);
        assert_eq!((hits.len(), fresh.len()), (99, 1));
        assert!(hits.iter().all(|hit| hit.events == old.events));
        assert_ne!(fresh[0].events, old.events);
        assert_eq!(gate.mock.calls(), 2);
        assert_eq!(gate.read(&asked).await.events, fresh[0].events);
    }
}

#[tokio::test(start_paused = true)]
async fn when_it_cannot_be_made_anew_what_is_there_is_good_still() {
    for asked in [WHOLE, STREAM] {
        let spy = Arc::new(Spy::default());
        let gate = spied_on(&spy, "model");
        let old = gate.read(&asked).await;
        spy.due.store(true, Ordering::SeqCst);
        gate.mock.set_script(Script {
            faults: vec![(Behavior::Status(500), 1.0)],
            ..Script::default()
        });
        let read = gate.read(&asked).await;
        assert_eq!((read.cached, &read.events), (Cached::Hit, &old.events));
        assert_eq!(gate.mock.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_carries_its_model_and_its_domain() {
    for asked in [WHOLE, STREAM] {
        let spy = Arc::new(Spy::default());
        let gate = spied_on(&spy, "answer");
        let domain = Some("tax");
        gate.read(&Asked { domain, ..asked }).await;
        let kept = spy.kept.lock().expect("no panic")[0].clone();
        assert_eq!(kept.tags, ["model:m"]);
        assert_eq!(kept.domain.as_deref(), Some("tax"));
        assert_eq!(kept.ttl, Duration::from_secs(3_600));
    }
}
