//! An engine with sessions, an upstream that repeats what it is asked, and a
//! store that can be slowed and broken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tidegate_engine::{
    Answer, AnswerBody, AnswerStream, Caller, ChainConfig, Change, ChatRequest, Context, Deadline,
    Dialect, EmbedRequest, Engine, EngineConfig, EngineError, EntryConfig, Message, NewMessage,
    Provider, ProviderConfig, ProviderError, ProviderKind, Quota, SessionPatch, Store,
    Unavailability, Usage,
};
use tidegate_provider::{ChunkStream, Completion, Composer};
use tidegate_store::{
    Expect, Hold, Lease, Leases, MemoryLeases, MemoryRecords, Page, Record, Records, Row, RowKey,
    StoreError, WriteError,
};
use tokio::time::sleep;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Answers `re: …` after a second, and remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    asked: Mutex<Vec<Value>>,
    pub(crate) fails: AtomicBool,
}

impl Upstream {
    pub(crate) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The texts of the last request's messages.
    pub(crate) fn heard(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let last = asked.last().expect("it was asked");
        let messages = last["messages"].as_array().unwrap().iter();
        messages
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn hear(&self, request: &ChatRequest) -> Result<(Composer, String), ProviderError> {
        let asked = serde_json::from_slice(&request.to_upstream("m")).unwrap();
        self.asked.lock().unwrap().push(asked);
        sleep(SECOND).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(Unavailability::Reset.into());
        }
        let composer = Composer {
            id: "x".to_owned(),
            created: 1,
            model: "m".to_owned(),
        };
        let text = request.last_user_text().unwrap_or_default();
        Ok((composer, format!("re: {text}")))
    }
}

#[async_trait]
impl Provider for Upstream {
    async fn complete(&self, _: &str, request: &ChatRequest) -> Result<Completion, ProviderError> {
        let (composer, text) = self.hear(request).await?;
        Ok(composer.whole(&text, Usage::default()))
    }

    async fn stream(&self, _: &str, request: &ChatRequest) -> Result<ChunkStream, ProviderError> {
        let (composer, text) = self.hear(request).await?;
        let (first, second) = text.split_at(text.len() / 2);
        let parts = [first.to_owned(), second.to_owned()];
        let chunks = composer.chunks(&parts, Usage::default());
        let slowly = stream::iter(chunks).then(|chunk| async move {
            sleep(SECOND / 10).await;
            Ok(chunk)
        });
        Ok(slowly.boxed())
    }

    async fn embed(&self, _: &str, _: &EmbedRequest) -> Result<Completion, ProviderError> {
        Err(Unavailability::Reset.into())
    }
}

/// The memory home, slower and with faults.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    inner: MemoryRecords,
    /// Milliseconds that each question may take; how many it takes is chance.
    pub(crate) pause_ms: AtomicU64,
    pub(crate) refuses_writes: AtomicBool,
    /// What becomes of the next questions.
    pub(crate) fates: Mutex<VecDeque<Fate>>,
}

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered.
    Answered,
    /// It was heard, and its answer lost.
    Heard,
    /// It never arrived.
    Lost,
}

fn unanswered() -> StoreError {
    let reason = "no answer in time".to_owned();
    StoreError::Unreachable { reason }
}

impl Rows {
    fn fate(&self) -> Fate {
        let next = self.fates.lock().unwrap().pop_front();
        next.unwrap_or(Fate::Answered)
    }

    /// Lets a question meet its fate.
    async fn meet<T, E: From<StoreError>>(
        &self,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.fate() {
            Fate::Answered => question.await,
            Fate::Heard => question.await.and(Err(unanswered().into())),
            Fate::Lost => Err(unanswered().into()),
        }
    }

    async fn pause(&self) {
        let most = self.pause_ms.load(Ordering::SeqCst);
        if most > 0 {
            sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
        }
    }
}

#[async_trait]
impl Records for Rows {
    async fn get(&self, key: RowKey<'_>) -> Result<Option<Record>, StoreError> {
        self.pause().await;
        self.meet(self.inner.get(key)).await
    }

    async fn put(&self, key: RowKey<'_>, row: Row<'_>, expect: Expect) -> Result<u64, WriteError> {
        self.pause().await;
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(unanswered().into());
        }
        self.meet(self.inner.put(key, row, expect)).await
    }

    async fn touch(&self, key: RowKey<'_>, ttl: Duration) -> Result<bool, StoreError> {
        self.meet(self.inner.touch(key, ttl)).await
    }

    async fn delete(&self, key: RowKey<'_>, expect: Expect) -> Result<bool, WriteError> {
        self.meet(self.inner.delete(key, expect)).await
    }

    async fn list(
        &self,
        table: &'static str,
        owner: &str,
        group: &str,
        page: Page<'_>,
    ) -> Result<Vec<Record>, StoreError> {
        self.meet(self.inner.list(table, owner, group, page)).await
    }
}

/// Leases that everybody gets, and has lost: what is left where a node could
/// not reach the store in time.
#[derive(Debug)]
pub(crate) struct LostLeases;

struct Lost;

impl Hold for Lost {
    fn is_lost(&self) -> bool {
        true
    }

    fn release(self: Box<Self>) {}
}

#[async_trait]
impl Leases for LostLeases {
    async fn try_acquire(&self, _: &str, _: Duration) -> Result<Option<Lease>, StoreError> {
        Ok(Some(Lease::new(Box::new(Lost))))
    }
}

pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) caller: Caller,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(MemoryLeases::default()), |_| {})
    }

    pub(crate) fn with(leases: Arc<dyn Leases>, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let (upstream, rows) = (Arc::new(Upstream::default()), Arc::new(Rows::default()));
        let mut store = Store::memory(1 << 20);
        (store.records, store.leases) = (rows.clone(), leases);
        let entry = EntryConfig {
            quota: Quota::unlimited(),
            ..EntryConfig::new("up", "m")
        };
        let mut config = EngineConfig {
            providers: vec![ProviderConfig {
                name: "up".to_owned(),
                kind: ProviderKind::Custom(upstream.clone()),
            }],
            chains: vec![ChainConfig {
                name: "m".to_owned(),
                entries: vec![entry],
            }],
            store: Some(store),
            ..EngineConfig::default()
        };
        config.resilience.backoff.retries = 0;
        change(&mut config);
        Self {
            engine: Engine::assemble(config).expect("a valid configuration"),
            upstream,
            rows,
            caller: Caller::default(),
        }
    }

    /// Makes a session.
    pub(crate) async fn made(&self) -> String {
        let made = self
            .engine
            .create_session(&self.caller, SessionPatch::default());
        made.await.expect("it is made").id
    }

    pub(crate) async fn say(&self, id: &str, text: &str) -> Result<Answer, EngineError> {
        self.say_within(id, text, 60 * SECOND).await
    }

    pub(crate) async fn say_within(
        &self,
        id: &str,
        text: &str,
        budget: Duration,
    ) -> Result<Answer, EngineError> {
        self.ask(id, &json!({"messages": [user(text)]}), budget)
            .await
    }

    pub(crate) async fn ask(
        &self,
        id: &str,
        fields: &Value,
        budget: Duration,
    ) -> Result<Answer, EngineError> {
        let mut body = fields.clone();
        body["model"] = "m".into();
        let request = ChatRequest::parse(Bytes::from(body.to_string())).unwrap();
        let mut context = Context::new(self.caller.clone(), Deadline::after(budget));
        context.session = Some(id.to_owned());
        self.engine.chat(request, &context).await
    }

    pub(crate) async fn stream(&self, id: &str, text: &str) -> Box<AnswerStream> {
        let fields = json!({"messages": [user(text)], "stream": true});
        match self.ask(id, &fields, 60 * SECOND).await.unwrap().body {
            AnswerBody::Stream(stream) => stream,
            AnswerBody::Whole(body) => panic!("no stream: {body:?}"),
        }
    }

    /// Appends a message that the application wrote.
    pub(crate) async fn put(&self, id: &str, text: &str, key: &str) -> Result<(), EngineError> {
        let json = user(text).to_string().into();
        let dialect = Dialect::Chat;
        let data = json!({(key): text}).as_object().cloned().unwrap();
        let patch = SessionPatch {
            messages: vec![NewMessage {
                said: Message { dialect, json },
                metadata: serde_json::Map::new(),
            }],
            data: Change::To(data),
            ..SessionPatch::default()
        };
        let deadline = Deadline::after(600 * SECOND);
        let changed = self
            .engine
            .update_session(&self.caller, id, patch, deadline);
        changed.await.map(drop)
    }

    /// What the session holds, as texts.
    pub(crate) async fn texts(&self, id: &str) -> Vec<String> {
        let session = self.engine.session(&self.caller, id).await.unwrap();
        let said = session.messages.iter();
        said.map(|message| {
            let json: Value = serde_json::from_slice(&message.said.json).unwrap();
            json["content"].as_str().unwrap().to_owned()
        })
        .collect()
    }
}

pub(crate) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}
