//! The events of an answer as they arrive, in any dialect.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt, Stream};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::chunk::Chunk;
use crate::error::{ProviderError, Unavailability};
use crate::sse::{SseDecoder, SseEvent};

/// Largest single event that we accept.
const MOST_EVENT_BYTES: usize = 2 << 20;

/// How long the end of the body may lag behind the last event before the
/// connection is given up instead of being used again.
const END_GRACE: Duration = Duration::from_millis(10);

/// What the events of a dialect mean.
pub(crate) trait Grammar {
    /// What the next event means.
    fn read(&mut self, event: SseEvent) -> Result<Step, ProviderError>;

    /// Whether the body may end here although no event said so.
    fn is_complete(&self) -> bool;
}

/// What one event means.
#[derive(Debug)]
pub(crate) enum Step {
    /// A part of the answer.
    Chunk(Chunk),
    /// The last part; the body should end now.
    Last(Chunk),
    /// No part, and the body should end now.
    End,
}

/// The chunks of one event stream.
pub(crate) struct Events<G> {
    body: Incoming,
    decoder: SseDecoder,
    grammar: G,
    end: End,
}

enum End {
    NotYet,
    /// The last event was read; the body should end now.
    Draining(Option<Pin<Box<Sleep>>>),
    Over,
}

impl<G: Grammar> Events<G> {
    pub(crate) fn new(body: Incoming, grammar: G) -> Self {
        Self {
            body,
            decoder: SseDecoder::new(MOST_EVENT_BYTES),
            grammar,
            end: End::NotYet,
        }
    }

    /// The next decoded chunk, `Ok(None)` when more bytes are needed or no
    /// more will come.
    fn decode(&mut self) -> Result<Option<Chunk>, ProviderError> {
        let event = self.decoder.next_named_event();
        let event = event.map_err(|_| Unavailability::TooLarge {
            limit_bytes: MOST_EVENT_BYTES,
        })?;
        let Some(event) = event else { return Ok(None) };
        match self.grammar.read(event)? {
            Step::Chunk(chunk) => Ok(Some(chunk)),
            Step::Last(chunk) => {
                self.end = End::Draining(None);
                Ok(Some(chunk))
            }
            Step::End => {
                self.end = End::Draining(None);
                Ok(None)
            }
        }
    }

    fn body_ended(&mut self) -> Option<Result<Chunk, ProviderError>> {
        self.end = End::Over;
        (!self.grammar.is_complete()).then(|| Err(Unavailability::Truncated.into()))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if !matches!(frame, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        let End::Draining(grace) = &mut self.end else {
            return Poll::Ready(());
        };
        let grace = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(END_GRACE)));
        grace.poll_unpin(cx)
    }
}

impl<G: Grammar + Unpin> Stream for Events<G> {
    type Item = Result<Chunk, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.end {
                End::Over => return Poll::Ready(None),
                End::Draining(_) => {
                    ready!(self.poll_drained(cx));
                    self.end = End::Over;
                    return Poll::Ready(None);
                }
                End::NotYet => {}
            }
            match self.decode() {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Ok(None) if matches!(self.end, End::Draining(_)) => continue,
                Ok(None) => {}
                Err(error) => {
                    self.end = End::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.feed(data);
                    }
                }
                Some(Err(_)) => {
                    self.end = End::Over;
                    return Poll::Ready(Some(Err(Unavailability::Truncated.into())));
                }
                None => return Poll::Ready(self.body_ended()),
            }
        }
    }
}
