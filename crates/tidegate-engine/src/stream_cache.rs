//! Streams that are kept when they have ended, and those who wait for them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_provider::{Chunk, Usage};
use tidegate_store::{Cache, Keep, Load, LoadPanicked};
use tidegate_work::Deadline;
use tokio::sync::oneshot;

use crate::answer::AnswerHead;
use crate::answers_cache::{CachedAnswer, MOST_KEPT_BYTES, chunk_bytes};
use crate::assemble::Rooms;
use crate::error::EngineError;
use crate::guard::Guarded;

/// What became of a stream that others wait for.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// It was kept: as it lies in the cache, and how it came about.
    Kept(Bytes, AnswerHead),
    /// It failed, or was blocked.
    Failed(EngineError),
    /// It is not one that is kept: everybody makes a call of their own.
    NotKept,
    /// Its client left: one of the others goes first now.
    Left,
}

/// A request's part among equal ones.
pub(crate) enum Part {
    /// It is the first.
    Leads(Lead),
    /// It has waited for the first.
    Waited(Ended),
}

/// The first of equal requests. Dropping it lets another one lead.
pub(crate) struct Lead {
    tell: oneshot::Sender<Ended>,
    /// Others find the flight for as long as somebody holds it.
    _flight: BoxFuture<'static, Result<Ended, LoadPanicked>>,
}

impl Lead {
    /// Tells those who wait.
    pub(crate) fn end(self, ended: Ended) {
        // Nobody may be waiting.
        let _ = self.tell.send(ended);
    }
}

impl Rooms {
    /// Becomes the first of equal requests, or waits for the one that is, as
    /// long as there is time for a call of one's own.
    pub(crate) async fn part(self: &Arc<Self>, flight: &str, until: Deadline) -> Part {
        let told = Arc::new(Mutex::new(None));
        let mut flight = self.clone().fly(flight.to_owned(), told.clone()).boxed();
        let first = futures_util::poll!(&mut flight);
        let tell = told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tell) = tell {
            return Part::Leads(Lead {
                tell,
                _flight: flight,
            });
        }
        let ended = match first {
            Poll::Ready(ended) => ended,
            Poll::Pending => match until.run(flight).await {
                Ok(ended) => ended,
                Err(_) => Ok(Ended::NotKept),
            },
        };
        Part::Waited(ended.unwrap_or(Ended::Left))
    }

    /// Waits until the first of equal requests tells how it ended; whoever
    /// comes first gets the means to tell.
    async fn fly(
        self: Arc<Self>,
        flight: String,
        told: Arc<Mutex<Option<oneshot::Sender<Ended>>>>,
    ) -> Result<Ended, LoadPanicked> {
        let first = || {
            let (tell, ended) = oneshot::channel();
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
            async move { ended.await.unwrap_or(Ended::Left) }
        };
        self.stream_flights.run(&flight, first).await
    }
}

/// Keeps a stream while it passes, and puts it into the cache when it has ended
/// well. Dropped before that it keeps nothing.
pub(crate) struct Keeper {
    cache: Arc<dyn Cache>,
    head: AnswerHead,
    lead: Option<Lead>,
    state: State,
}

enum State {
    /// Events so far, which share their bytes with those that were sent.
    Gathers {
        load: Load,
        keep: Keep,
        chunks: Vec<Chunk>,
        bytes: usize,
    },
    Puts {
        put: BoxFuture<'static, ()>,
        value: Bytes,
    },
    Over,
}

impl Keeper {
    pub(crate) fn new(
        cache: Arc<dyn Cache>,
        (load, keep): (Load, Keep),
        head: AnswerHead,
        lead: Option<Lead>,
    ) -> Self {
        Self {
            cache,
            head,
            lead,
            state: State::Gathers {
                load,
                keep,
                chunks: Vec::new(),
                bytes: 0,
            },
        }
    }

    /// Notes an event that the guard let pass.
    pub(crate) fn note(&mut self, chunk: &Chunk) {
        if let State::Gathers { chunks, bytes, .. } = &mut self.state {
            *bytes += chunk_bytes(chunk);
            if *bytes <= MOST_KEPT_BYTES {
                chunks.push(chunk.clone());
            } else {
                self.end(Ended::NotKept);
            }
        }
    }

    /// The stream has failed, or was blocked.
    pub(crate) fn failed(&mut self, error: &EngineError) {
        self.end(Ended::Failed(error.clone()));
    }

    /// The stream has ended well.
    pub(crate) fn complete(&mut self, guarded: Option<Guarded>, usage: Option<Usage>) {
        self.head.guarded = guarded;
        self.head.usage = usage;
        let state = std::mem::replace(&mut self.state, State::Over);
        if let State::Gathers {
            load, keep, chunks, ..
        } = state
        {
            let value = CachedAnswer::encode_stream(&self.head, &chunks);
            let (cache, kept) = (self.cache.clone(), value.clone());
            let put = async move { cache.put(load, kept, &keep).await }.boxed();
            self.state = State::Puts { put, value };
        }
    }

    /// Waits until it lies in the cache: who saw the end of a stream finds it
    /// there.
    pub(crate) fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Puts { put, value } = &mut self.state else {
            return Poll::Ready(());
        };
        if Pin::new(put).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let ended = Ended::Kept(std::mem::take(value), self.head.clone());
        self.end(ended);
        Poll::Ready(())
    }

    fn end(&mut self, ended: Ended) {
        self.state = State::Over;
        if let Some(lead) = self.lead.take() {
            lead.end(ended);
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}
