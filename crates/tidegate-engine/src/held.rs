//! Chunks of a streamed answer that may not be sent yet.
//!
//! Two things hold a chunk back: text in it that may still become something the
//! guard blocks, for a while, and that it says how the answer ended, until the
//! guard has seen all of it. Chunks are sent in the order in which they came.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_provider::Chunk;
use tokio::time::{Instant, Sleep};

use crate::error::EngineError;
use crate::guard::{Mark, StreamGuard};

/// How long text that may still become something is held back: a reader does not
/// notice it. After that it is sent, and what it becomes still ends the answer.
const LONGEST: Duration = Duration::from_millis(100);

/// Chunks between the upstream and the caller.
#[derive(Debug, Default)]
pub(crate) struct Held {
    waiting: VecDeque<Waiting>,
    /// How many of those that wait do not say that the answer is over, and stand
    /// before none that does.
    going_on: usize,
    /// To be sent next.
    released: VecDeque<Chunk>,
    /// What ended the answer, to be said after them.
    error: Option<EngineError>,
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Waiting {
    chunk: Chunk,
    /// Where its text ends.
    mark: Mark,
    since: Instant,
}

impl Held {
    /// Takes a chunk that the guard let pass. Where several answers are
    /// streamed side by side, one of them may go on after the end of another.
    pub(crate) fn take(&mut self, chunk: Chunk, mark: Mark) {
        let ends = chunk.facts.finished > 0 || chunk.event.as_deref() == Some("message_delta");
        let goes_on = chunk.facts.has_content && !ends;
        let is_last_before_an_end = self.going_on == self.waiting.len() && !ends;
        let since = Instant::now();
        self.waiting.push_back(Waiting { chunk, mark, since });
        if goes_on || is_last_before_an_end {
            self.going_on = self.waiting.len();
        }
    }

    /// Lets go what nothing speaks against any more.
    pub(crate) fn release(&mut self, guard: Option<&StreamGuard>) {
        let now = Instant::now();
        while let Some(first) = self.waiting.front().filter(|_| self.going_on > 0) {
            let is_clear = guard.is_none_or(|guard| guard.is_clear(&first.mark));
            if !is_clear && now < first.since + LONGEST {
                break;
            }
            self.released
                .extend(self.waiting.pop_front().map(|first| first.chunk));
            self.going_on -= 1;
        }
    }

    /// Lets go what does not say that the answer is over, and then the error.
    pub(crate) fn release_before(&mut self, error: EngineError) {
        let going_on = self.waiting.drain(..self.going_on);
        self.released.extend(going_on.map(|waiting| waiting.chunk));
        self.drop_for(error);
    }

    /// Lets nothing go of what waits, but the error.
    pub(crate) fn drop_for(&mut self, error: EngineError) {
        self.waiting.clear();
        self.going_on = 0;
        self.error = Some(error);
    }

    /// Lets everything go: all of it was seen.
    pub(crate) fn release_all(&mut self) {
        let waiting = self.waiting.drain(..).map(|waiting| waiting.chunk);
        self.released.extend(waiting);
        self.going_on = 0;
    }

    /// The next one to be sent, and the error after all others.
    pub(crate) fn pop(&mut self) -> Option<Result<Chunk, EngineError>> {
        let next = self.released.pop_front().map(Ok);
        next.or_else(|| self.error.take().map(Err))
    }

    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// Ready when the first chunk was held for as long as it may be.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(first) = self.waiting.front().filter(|_| self.going_on > 0) else {
            return Poll::Pending;
        };
        let until = first.since + LONGEST;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.poll_unpin(cx)
    }
}
