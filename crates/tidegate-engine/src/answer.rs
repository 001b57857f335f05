//! What the engine gives back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use tidegate_provider::Usage;

use crate::guard::Guarded;
use crate::stream::AnswerStream;

/// An answer and how it came about.
#[derive(Debug)]
pub struct Answer {
    /// How it came about.
    pub head: AnswerHead,
    /// The answer itself.
    pub body: AnswerBody,
}

/// The answer itself, in OpenAI's dialect.
#[derive(Debug)]
pub enum AnswerBody {
    /// A whole JSON body.
    Whole(Bytes),
    /// Chunks as they come; the first content is there already.
    Stream(Box<AnswerStream>),
}

/// An answer that several callers can share.
#[derive(Debug, Clone)]
pub(crate) struct WholeAnswer {
    pub(crate) head: AnswerHead,
    pub(crate) body: Bytes,
}

/// How an answer came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerHead {
    /// The `provider/model` that answered.
    pub model: Arc<str>,
    /// Calls that were sent for it; 0 from the cache.
    pub attempts: u32,
    /// What was skipped or weakened.
    pub degraded: Vec<String>,
    /// Whether the cache was used.
    pub cached: Cached,
    /// Time spent waiting for upstreams.
    pub upstream: Duration,
    /// Time spent waiting for room.
    pub waited: Duration,
    /// What the guard made of it; nothing where it is off.
    pub guarded: Option<Guarded>,
    /// Tokens, where the answer is whole and the upstream reports them.
    pub usage: Option<Usage>,
}

impl AnswerHead {
    /// Lists what of the guard was missing. An answer that says so is not kept.
    pub(crate) fn say_missing(&mut self) {
        let missing = self.guarded.iter().flat_map(|guarded| &guarded.degraded);
        for word in missing {
            if !self.degraded.iter().any(|known| known == word) {
                self.degraded.push((*word).to_owned());
            }
        }
    }
}

/// Whether an answer came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// It did.
    Hit,
    /// It did not, and is there now if it is one that is kept.
    Miss,
    /// The cache was not asked.
    Bypass,
}

impl Cached {
    /// `hit`, `miss` or `bypass`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// What a request says about the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheUse {
    /// As configured.
    #[default]
    Default,
    /// Look in it and add to it.
    Use,
    /// Leave it alone.
    Skip,
    /// Do not look in it, but replace what is there.
    Refresh,
}
