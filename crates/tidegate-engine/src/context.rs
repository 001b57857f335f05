//! What travels with a request besides its body.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_provider::Usage;
use tidegate_work::Deadline;
use tokio::time::Instant;

use crate::answer::CacheUse;
use crate::caller::Caller;

/// On whose behalf, until when, and how.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks.
    pub caller: Caller,
    /// Until when.
    pub deadline: Deadline,
    /// What the request says about the cache.
    pub cache: CacheUse,
    /// Where the calls that are made for it are noted.
    pub trail: Trail,
}

impl Context {
    /// A request of `caller` that is to be answered until `deadline`.
    pub fn new(caller: Caller, deadline: Deadline) -> Self {
        Self {
            caller,
            deadline,
            cache: CacheUse::Default,
            trail: Trail::default(),
        }
    }
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
    /// A trail that is kept.
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

    pub(crate) fn note(
        &self,
        entry: &Arc<str>,
        sent_at: Instant,
        error: Option<&'static str>,
        usage: Option<Usage>,
    ) {
        let Some(attempts) = &self.0 else { return };
        let attempt = Attempt {
            entry: entry.clone(),
            sent_at: sent_at.into_std(),
            took: sent_at.elapsed(),
            error,
            usage,
        };
        attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }
}
