//! What travels with a request besides its body.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_provider::{ProviderError, Usage};
use tidegate_work::Deadline;
use tokio::time::Instant;

use crate::answer::CacheUse;
use crate::caller::Caller;
use crate::generate::Reply;
use crate::policies::Terms;

/// On whose behalf, until when, and how.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks.
    pub caller: Caller,
    /// Until when.
    pub deadline: Deadline,
    /// What the request says about the cache.
    pub cache: CacheUse,
    /// The domain that its answer belongs to, where it is kept.
    pub domain: Option<Arc<str>>,
    /// The id of the session that it is part of.
    pub session: Option<String>,
    /// The policy that the request asks for, by its name.
    pub policy: Option<String>,
    /// Where the calls that are made for it are noted.
    pub trail: Trail,
    /// What it has waited for so far.
    pub spent: Spent,
    /// How its texts are judged, once that is known.
    pub(crate) terms: Option<Arc<Terms>>,
}

impl Context {
    /// A request of `caller` that is to be answered until `deadline`.
    pub fn new(caller: Caller, deadline: Deadline) -> Self {
        Self {
            caller,
            deadline,
            cache: CacheUse::Default,
            domain: None,
            session: None,
            policy: None,
            trail: Trail::default(),
            spent: Spent::default(),
            terms: None,
        }
    }

    /// The same request, judged on these terms from here on.
    pub(crate) fn on(&self, terms: Arc<Terms>) -> Self {
        Self {
            terms: Some(terms),
            ..self.clone()
        }
    }
}

/// What a request has waited for, whether or not it was answered in the end.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Waits>);

#[derive(Debug, Default)]
struct Waits {
    calls: AtomicU32,
    upstream_nanos: AtomicU64,
    room_nanos: AtomicU64,
}

impl Spent {
    /// Calls that were sent.
    pub fn calls(&self) -> u32 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Time spent waiting for upstreams.
    pub fn upstream(&self) -> Duration {
        Duration::from_nanos(self.0.upstream_nanos.load(Ordering::Relaxed))
    }

    /// Time spent waiting for room.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.room_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn add_call(&self, took: Duration) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        add(&self.0.upstream_nanos, took);
    }

    pub(crate) fn add_wait(&self, took: Duration) {
        add(&self.0.room_nanos, took);
    }
}

fn add(nanos: &AtomicU64, took: Duration) {
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    nanos.fetch_add(took, Ordering::Relaxed);
}

/// The calls that were sent for one request, for whoever traces it. By default
/// nothing is noted.
#[derive(Debug, Clone, Default)]
pub struct Trail(Option<Arc<Mutex<Vec<Attempt>>>>);

/// One call to an upstream.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The `provider/model` that was called.
    pub entry: Arc<str>,
    /// When it was sent.
    pub sent_at: std::time::Instant,
    /// Until the answer was there; for a stream until its first content.
    pub took: Duration,
    /// The stable word for what went wrong, if something did.
    pub error: Option<&'static str>,
    /// Tokens, where the answer is whole and the upstream reports them.
    pub usage: Option<Usage>,
}

impl Trail {
    /// A trail that is kept. A call whose answer nobody waited for is noted as
    /// `abandoned`.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// The calls so far, in the order in which they were sent.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.as_ref().map_or_else(Vec::new, |attempts| {
            attempts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    /// Begins to note a call; it is noted when it ends, or when it is dropped.
    pub(crate) fn begin<'a>(
        &'a self,
        entry: &'a Arc<str>,
        sent_at: Instant,
    ) -> Option<Underway<'a>> {
        self.0.as_deref().map(|attempts| Underway {
            attempts,
            entry,
            sent_at,
            error: Some(ABANDONED),
            usage: None,
        })
    }
}

/// What is noted for a call that nobody waited for to the end.
const ABANDONED: &str = "abandoned";

/// A call that has not ended.
pub(crate) struct Underway<'a> {
    attempts: &'a Mutex<Vec<Attempt>>,
    entry: &'a Arc<str>,
    sent_at: Instant,
    error: Option<&'static str>,
    usage: Option<Usage>,
}

impl Underway<'_> {
    /// Notes how the call ended, where it is noted at all.
    pub(crate) fn end(noted: Option<Self>, outcome: &Result<Reply, ProviderError>) {
        let Some(mut noted) = noted else { return };
        (noted.error, noted.usage) = match outcome {
            Ok(Reply::Whole(completion)) => (None, completion.usage),
            Ok(Reply::Stream(_)) => (None, None),
            Err(error) => (Some(error.code()), None),
        };
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let attempt = Attempt {
            entry: self.entry.clone(),
            sent_at: self.sent_at.into_std(),
            took: self.sent_at.elapsed(),
            error: self.error,
            usage: self.usage,
        };
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }
}
