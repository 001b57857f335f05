//! A streamed answer on its way to the caller.

use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use tidegate_provider::{ChatRequest, Chunk, ChunkStream, ProviderError, Unavailability, Usage};
use tidegate_resilience::Outcome;
use tidegate_store::Used;
use tokio::time::{Instant, Sleep};

use crate::admission::Admission;
use crate::caller::Allowance;
use crate::error::EngineError;
use crate::guard::{Guarded, Mark, StreamGuard};
use crate::held::Held;
use crate::sessions::Keeping;
use crate::stream_cache::Keeper;

/// Chunks of one answer. The first content has arrived, so no other model
/// will be tried: an upstream that dies from here on ends the stream in an
/// error.
///
/// Dropping the stream cancels the upstream call and gives everything back.
pub struct AnswerStream {
    chunks: ChunkStream,
    ready: VecDeque<Chunk>,
    held: Held,
    admission: Option<Admission>,
    allowance: Allowance,
    tally: Tally,
    usage: Option<Usage>,
    usage_wanted: UsageWanted,
    guard: Option<StreamGuard>,
    kept: Kept,
    model: Arc<str>,
    patience: Patience,
}

/// Where a stream is kept when it has ended well.
#[derive(Default)]
struct Kept {
    /// The session that it is part of, until what was said is kept there.
    session: Option<Keeping>,
    cache: Option<Box<Keeper>>,
}

/// How a stream is looked after on its way.
pub(crate) struct Watch {
    pub(crate) guard: Option<StreamGuard>,
    pub(crate) usage: UsageWanted,
    /// The longest wait between two chunks.
    pub(crate) idle: Duration,
}

/// Whether the caller asked to see the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsageWanted {
    Yes,
    No,
}

impl UsageWanted {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        if request.include_usage() {
            Self::Yes
        } else {
            Self::No
        }
    }
}

/// What a caller who leaves has used, as far as it can be told.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    prompt_tokens: u64,
    answer_tokens: u64,
    /// Bytes of the shortest chunk with content: about what one token takes.
    shortest_chunk: Option<usize>,
}

impl Tally {
    /// A token a chunk, and one for every four bytes that a chunk is longer
    /// than the shortest: some servers put many tokens into one.
    fn note(&mut self, chunk: &Chunk) {
        if !chunk.facts.has_content {
            return;
        }
        let bytes = chunk.json.len();
        let shortest = self
            .shortest_chunk
            .map_or(bytes, |shortest| shortest.min(bytes));
        self.shortest_chunk = Some(shortest);
        self.answer_tokens += 1 + (bytes - shortest) as u64 / 4;
    }

    fn used(&self) -> Used {
        Used::Tokens(self.prompt_tokens + self.answer_tokens)
    }
}

/// The longest wait between two chunks.
struct Patience {
    longest: Duration,
    sleep: Pin<Box<Sleep>>,
    running: bool,
}

impl Patience {
    fn new(longest: Duration) -> Self {
        Self {
            longest,
            sleep: Box::pin(tokio::time::sleep(longest)),
            running: true,
        }
    }

    /// Called when a chunk arrives.
    fn rest(&mut self) {
        self.running = false;
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.running {
            self.sleep.as_mut().reset(Instant::now() + self.longest);
            self.running = true;
        }
        self.sleep.poll_unpin(cx)
    }
}

/// A stream that has committed: chunks read so far, the rest, what it holds.
pub(crate) struct Committed {
    pub(crate) ready: VecDeque<Chunk>,
    pub(crate) chunks: ChunkStream,
    pub(crate) admission: Admission,
}

impl AnswerStream {
    pub(crate) fn new(
        committed: Committed,
        allowance: Allowance,
        prompt_tokens: u64,
        watch: Watch,
    ) -> Self {
        let Committed {
            ready,
            chunks,
            admission,
        } = committed;
        Self {
            chunks: chunks.fuse().boxed(),
            ready,
            held: Held::default(),
            model: admission.entry().name.clone(),
            admission: Some(admission),
            allowance,
            tally: Tally {
                prompt_tokens,
                ..Tally::default()
            },
            usage: None,
            usage_wanted: watch.usage,
            guard: watch.guard,
            kept: Kept::default(),
            patience: Patience::new(watch.idle),
        }
    }

    /// A stream that was kept, again. It holds nothing and waits for nobody.
    pub(crate) fn replay(chunks: VecDeque<Chunk>, model: Arc<str>, usage: UsageWanted) -> Self {
        Self {
            chunks: Box::pin(futures_util::stream::empty()),
            ready: chunks,
            held: Held::default(),
            model,
            admission: None,
            allowance: Allowance::default(),
            tally: Tally::default(),
            usage: None,
            usage_wanted: usage,
            guard: None,
            kept: Kept::default(),
            patience: Patience::new(Duration::ZERO),
        }
    }

    /// Has the stream kept in the cache when it has ended well.
    pub(crate) fn remember(&mut self, keeper: Keeper) {
        self.kept.cache = Some(Box::new(keeper));
    }

    /// Keeps what is said in a session, before the stream may end.
    pub(crate) fn keep(&mut self, keeping: Keeping) {
        self.kept.session = Some(keeping);
    }

    /// Tokens as the upstream reported them; complete once the stream ended.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn take_in(&mut self, chunk: Chunk) -> Option<Chunk> {
        self.usage = chunk.facts.usage.or(self.usage);
        self.tally.note(&chunk);
        let only_usage = chunk.facts.without_choices && chunk.facts.usage.is_some();
        (self.usage_wanted == UsageWanted::Yes || !only_usage).then_some(chunk)
    }

    /// What was used: the upstream's word. Without it the reservation stands:
    /// chunks cannot be counted as tokens, since servers put many into one and
    /// do not stream all of them.
    fn used(&self) -> Used {
        self.usage
            .map_or(Used::Unknown, |usage| Used::Tokens(usage.total()))
    }

    fn complete(&mut self, guarded: Option<Guarded>) {
        if let Some(keeper) = &mut self.kept.cache {
            keeper.complete(guarded, self.usage);
        }
        if let Some(admission) = self.admission.take() {
            let latency = admission.elapsed();
            admission.finish(Outcome::Success { latency }, self.used());
            take(&mut self.allowance).settle(self.used());
        }
    }

    /// The last step, after the upstream has ended: nothing that says so is sent
    /// until the session holds what was said.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<Option<EngineError>> {
        let Some(keeping) = &mut self.kept.session else {
            return Poll::Ready(None);
        };
        let saved = ready!(keeping.poll_saved(cx));
        self.kept.session = None;
        match saved {
            Ok(()) => self.held.release_all(),
            Err(_) => self.held = Held::default(),
        }
        Poll::Ready(saved.err())
    }

    /// Lets a chunk pass, unless the guard has something against it.
    fn guarded(&mut self, chunk: &Chunk) -> Result<Mark, EngineError> {
        match &mut self.guard {
            Some(guard) if chunk.facts.has_content => guard.check(chunk),
            Some(_) | None => Ok(Mark::default()),
        }
    }

    /// Takes a chunk of the upstream's; what nobody holds is sent at once.
    fn pass(&mut self, chunk: Chunk) -> Result<Option<Chunk>, EngineError> {
        self.patience.rest();
        let mark = self.guarded(&chunk).map_err(|error| self.stopped(error))?;
        if let Some(keeper) = &mut self.kept.cache {
            keeper.note(&chunk);
        }
        if let Some(keeping) = &mut self.kept.session {
            keeping.hear(&chunk);
        }
        let holds = self.guard.is_some() || self.kept.session.is_some();
        let passed = self.take_in(chunk);
        if !holds {
            return Ok(passed);
        }
        if let Some(chunk) = passed {
            self.held.take(chunk, mark);
        }
        self.held.release(self.guard.as_ref());
        Ok(None)
    }

    /// The guard stops the answer: the upstream has done nothing wrong.
    fn stopped(&mut self, error: EngineError) -> EngineError {
        if let Some(admission) = self.admission.take() {
            let used = self
                .usage
                .map_or(self.tally.used(), |usage| Used::Tokens(usage.total()));
            admission.finish(Outcome::Ignored, used);
            take(&mut self.allowance).settle(used);
        }
        self.kept.session = None;
        self.ready.clear();
        self.held = Held::default();
        self.chunks = Box::pin(futures_util::stream::empty());
        self.not_kept(&error);
        error
    }

    fn broken(&mut self, error: &ProviderError) -> EngineError {
        self.kept.session = None;
        if let Some(admission) = self.admission.take() {
            let latency = admission.elapsed();
            let outcome = match error {
                ProviderError::Throttled { retry_after } => Outcome::Throttled {
                    retry_after: *retry_after,
                },
                ProviderError::Unavailable(_) => Outcome::Failure { latency },
                ProviderError::NotServed(_) | ProviderError::Rejected(_) => Outcome::Ignored,
            };
            admission.finish(outcome, self.used());
            take(&mut self.allowance).settle(self.used());
        }
        self.chunks = Box::pin(futures_util::stream::empty());
        let reason = match error {
            ProviderError::Unavailable(reason) => reason.clone(),
            ProviderError::Throttled { .. }
            | ProviderError::NotServed(_)
            | ProviderError::Rejected(_) => Unavailability::ErrorInAnswer,
        };
        let error = EngineError::Upstream {
            model: self.model.to_string(),
            reason,
        };
        self.not_kept(&error);
        error
    }

    /// What came before an upstream died is said first, if the guard lets it pass.
    fn end_broken(&mut self, error: EngineError) {
        match self.guard.as_mut().map(StreamGuard::end) {
            Some(Err(blocked)) => self.held.drop_for(blocked),
            Some(Ok(_)) | None => self.held.release_before(error),
        }
    }

    fn not_kept(&mut self, error: &EngineError) {
        if let Some(keeper) = &mut self.kept.cache {
            keeper.failed(error);
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Chunk, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(next) = this.held.pop() {
                return Poll::Ready(Some(next));
            }
            let next = match this.ready.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(chunk))),
                None if this.admission.is_none() => match ready!(this.poll_kept(cx)) {
                    Some(error) => return Poll::Ready(Some(Err(error))),
                    None if !this.held.has_released() => {
                        let kept = this.kept.cache.as_mut().map(|keeper| keeper.poll_kept(cx));
                        return kept.unwrap_or(Poll::Ready(())).map(|()| None);
                    }
                    None => continue,
                },
                None => this.chunks.as_mut().poll_next(cx),
            };
            match next {
                Poll::Ready(Some(Ok(chunk))) => {
                    if let Some(passed) = this.pass(chunk).transpose() {
                        return Poll::Ready(Some(passed));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = this.broken(&error);
                    this.end_broken(error);
                }
                Poll::Ready(None) => {
                    match this.guard.as_mut().map(StreamGuard::end).transpose() {
                        Ok(guarded) => this.complete(guarded),
                        Err(error) => return Poll::Ready(Some(Err(this.stopped(error)))),
                    }
                    if this.kept.session.is_none() {
                        this.held.release_all();
                    }
                }
                Poll::Pending if this.held.poll_late(cx).is_ready() => {
                    this.held.release(this.guard.as_ref());
                }
                Poll::Pending => {
                    if this.patience.poll_lost(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let error = this.broken(&Unavailability::TimedOut.into());
                    this.end_broken(error);
                }
            }
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        // The caller left, and the upstream stops: what was streamed was used.
        if let Some(admission) = self.admission.take() {
            let reported = self.usage.map(|usage| Used::Tokens(usage.total()));
            let used = reported.unwrap_or(self.tally.used());
            admission.finish(Outcome::Ignored, used);
            take(&mut self.allowance).settle(used);
        }
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
