//! Several parts at once, with the failed ones named.
//!
//! All parts run inside the caller's task: they may borrow, they need no
//! runtime of their own, and dropping the stream drops them. They share one
//! thread for the same reason, so CPU work belongs in the [`Pool`](crate::Pool).
//! What a part does and what its name means stays with the caller.

use crate::Deadline;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use futures_util::{FutureExt, ready};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

#[cfg(test)]
mod tests;

/// The order in which finished parts are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they finish, the fastest first.
    AsTheyCome,
    /// As they were given. A finished part that waits for an earlier one takes
    /// no place away from parts that have not started.
    AsGiven,
}

/// How parts are run.
#[derive(Clone, Copy, Debug)]
pub struct FanOut {
    /// The most parts that run at once; 0 counts as 1.
    pub limit: usize,
    /// When every part that is not done is reported as timed out.
    pub deadline: Option<Deadline>,
    /// The order of the results.
    pub order: Order,
}

/// One part's name and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<N, T, E> {
    /// The name that the caller gave the part.
    pub name: N,
    /// What the part returned, or why it returned nothing.
    pub result: Result<T, PartError<E>>,
}

/// Why a part gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError<E> {
    /// The part ran and returned this error.
    #[error(transparent)]
    Failed(E),
    /// The deadline came before the part was done, or before it could start.
    #[error("not done at the deadline")]
    TimedOut,
    /// The part panicked; the panic hook has reported where.
    #[error("panicked")]
    Panicked,
}

/// What came of all parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered<N, T, E> {
    /// The parts that gave a result.
    pub ok: Vec<(N, T)>,
    /// The parts that gave none, and why.
    pub failed: Vec<(N, PartError<E>)>,
}

/// Runs named `jobs` at once and yields each one's outcome, none left out.
///
/// `jobs` is read to its end at once. Parts make progress only while the stream
/// is polled. Dropping the stream drops every part that is not done.
pub fn fan_out<N, T, E, F>(
    jobs: impl IntoIterator<Item = (N, F)>,
    how: FanOut,
) -> impl Stream<Item = Part<N, T, E>> + Unpin
where
    F: Future<Output = Result<T, E>>,
{
    let waiting: Vec<_> = jobs.into_iter().collect();
    Parts {
        waiting: waiting.into_iter(),
        start: run_part,
        running: FuturesUnordered::new(),
        finished: BTreeMap::new(),
        started: 0,
        yielded: 0,
        how,
    }
}

/// Runs named `jobs` at once and returns when all have ended, results apart
/// from failures; both lists are in the order that `how` asks for.
///
/// Dropping the future drops every part that is not done.
pub fn gather<N, T, E, F>(
    jobs: impl IntoIterator<Item = (N, F)>,
    how: FanOut,
) -> impl Future<Output = Gathered<N, T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    // Not an `async fn`: that would keep `jobs` itself in the future, and a
    // lazy iterator with a borrowing closure makes such a future hard to send.
    let parts = fan_out(jobs, how);
    collect(parts)
}

async fn collect<N, T, E>(
    mut parts: impl Stream<Item = Part<N, T, E>> + Unpin,
) -> Gathered<N, T, E> {
    let (mut ok, mut failed) = (Vec::new(), Vec::new());
    while let Some(Part { name, result }) = parts.next().await {
        match result {
            Ok(value) => ok.push((name, value)),
            Err(error) => failed.push((name, error)),
        }
    }
    Gathered { ok, failed }
}

async fn run_part<N, T, E, F>(
    index: usize,
    (name, job): (N, F),
    deadline: Option<Deadline>,
) -> (usize, Part<N, T, E>)
where
    F: Future<Output = Result<T, E>>,
{
    // A part that panicked is never polled again, so no broken state of its own
    // is seen; what it shares with others is guarded by their poisoned locks.
    let job = AssertUnwindSafe(job).catch_unwind();
    let outcome = match deadline {
        Some(deadline) => deadline.run(job).await,
        None => Ok(job.await),
    };
    let result = match outcome {
        Ok(Ok(returned)) => returned.map_err(PartError::Failed),
        Ok(Err(_panic)) => Err(PartError::Panicked),
        Err(_elapsed) => Err(PartError::TimedOut),
    };
    (index, Part { name, result })
}

/// How a waiting part becomes a running one.
type Start<N, F, R> = fn(usize, (N, F), Option<Deadline>) -> R;

/// The stream behind [`fan_out`]; a struct without closures, because those keep
/// the compiler from seeing that streams of borrowing parts can be sent.
struct Parts<N, T, E, F, R> {
    waiting: vec::IntoIter<(N, F)>,
    start: Start<N, F, R>,
    running: FuturesUnordered<R>,
    finished: BTreeMap<usize, Part<N, T, E>>,
    started: usize,
    yielded: usize,
    how: FanOut,
}

// Nothing is pinned in place: running parts live in their own allocations, and
// waiting ones have not been polled.
impl<N, T, E, F, R> Unpin for Parts<N, T, E, F, R> {}

impl<N, T, E, F, R> Parts<N, T, E, F, R> {
    fn start_up_to_limit(&mut self) {
        while self.running.len() < self.how.limit.max(1) {
            let Some(job) = self.waiting.next() else {
                return;
            };
            let part = (self.start)(self.started, job, self.how.deadline);
            self.running.push(part);
            self.started += 1;
        }
    }

    fn take_due(&mut self) -> Option<Part<N, T, E>> {
        let due = match self.how.order {
            Order::AsTheyCome => self.finished.pop_first().map(|(_, part)| part),
            Order::AsGiven => self.finished.remove(&self.yielded),
        };
        self.yielded += usize::from(due.is_some());
        due
    }
}

impl<N, T, E, F, R> Stream for Parts<N, T, E, F, R>
where
    R: Future<Output = (usize, Part<N, T, E>)>,
{
    type Item = Part<N, T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let parts = self.get_mut();
        loop {
            if let Some(part) = parts.take_due() {
                return Poll::Ready(Some(part));
            }
            parts.start_up_to_limit();
            match ready!(parts.running.poll_next_unpin(cx)) {
                Some((index, part)) => parts.finished.insert(index, part),
                None => return Poll::Ready(None),
            };
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.waiting.len() + self.running.len() + self.finished.len();
        (left, Some(left))
    }
}
