//! The body of an answer, sent at the pace of the script.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::calls::Call;
use super::play::{Answer, Kind, Tail};

const FLOOD_BYTES: u64 = 1 << 30;
const FLOOD_PIECE: &[u8] = &[b'x'; 64 << 10];
/// Between two bytes of a drip, where the script knows no gap.
const DRIP_GAP: Duration = Duration::from_millis(100);

/// Why a connection is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// With a reset.
    #[error("the mock resets the connection")]
    Reset,
    /// With an orderly close.
    #[error("the mock closes the connection")]
    Close,
}

/// What is still to be sent. The call ends with the last byte; a body that is
/// dropped before was left by its client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    frames: std::vec::IntoIter<Bytes>,
    tail: Tail,
    gap: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Exact size of a whole body.
    size_bytes: Option<u64>,
    flooded_bytes: u64,
    /// What was sent before the cut is on its way.
    flushed: bool,
    call: Option<Call>,
}

impl AnswerBody {
    /// The body of an answer that is not counted.
    pub(crate) fn uncounted(answer: Answer) -> Self {
        Self::new(answer, None, Duration::ZERO)
    }

    /// The body of the answer to `call`.
    pub(crate) fn of(answer: Answer, call: Call) -> Self {
        let gap = call.script.event_gap;
        Self::new(answer, Some(call), gap)
    }

    fn new(answer: Answer, call: Option<Call>, gap: Duration) -> Self {
        let Answer {
            mut frames,
            tail,
            kind,
            ..
        } = answer;
        // Without a gap all events are there at once, and one write is cheaper
        // than twenty.
        if gap.is_zero() && frames.len() > 1 {
            frames = vec![frames.concat().into()];
        }
        let sized = tail == Tail::Complete && kind != Kind::Events;
        let size_bytes = sized.then(|| frames.iter().map(|frame| frame.len() as u64).sum());
        let mut body = Self {
            frames: frames.into_iter(),
            tail,
            gap,
            waiting: None,
            size_bytes,
            flooded_bytes: 0,
            flushed: false,
            call,
        };
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(call) = self.call.take() {
            call.finish();
        }
    }

    fn wait(&mut self, gap: Duration) {
        if !gap.is_zero() {
            self.waiting = Some(Box::pin(tokio::time::sleep(gap)));
        }
    }

    fn poll_tail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        match self.tail {
            Tail::Complete => {
                self.finish();
                Poll::Ready(None)
            }
            Tail::Close => self.poll_cut(Cut::Close, cx),
            Tail::Reset => self.poll_cut(Cut::Reset, cx),
            Tail::Drip => {
                self.wait(if self.gap.is_zero() {
                    DRIP_GAP
                } else {
                    self.gap
                });
                Poll::Ready(Some(Ok(Bytes::from_static(b" "))))
            }
            Tail::Flood => Poll::Ready(self.flood().map(Ok)),
        }
    }

    /// Gives the connection one turn to send what it holds, then breaks it.
    fn poll_cut(&mut self, cut: Cut, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.finish();
        Poll::Ready(Some(Err(cut)))
    }

    fn flood(&mut self) -> Option<Bytes> {
        if self.flooded_bytes >= FLOOD_BYTES {
            self.finish();
            return None;
        }
        self.flooded_bytes += FLOOD_PIECE.len() as u64;
        Some(Bytes::from_static(FLOOD_PIECE))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let Some(bytes) = self.frames.next() else {
            return self
                .poll_tail(cx)
                .map(|next| next.map(|bytes| bytes.map(Frame::data)));
        };
        if self.is_end_stream() {
            self.finish();
        } else if self.frames.len() > 0 {
            let gap = self.gap;
            self.wait(gap);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.tail == Tail::Complete && self.frames.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.size_bytes
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
