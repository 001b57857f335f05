//! What stands between hyper and the socket: a body for the errors that hyper
//! answers itself, and an end for clients that do not read.
//!
//! A request that cannot be parsed reaches no handler: hyper answers 400, 414
//! or 431 with an empty body and closes. This wrapper sees such an answer go
//! by and puts the error object of the contract behind it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::{bare_error, new_request_id};

/// How long a client may leave an answer unread. A slot, a lease and perhaps
/// the only probe of a breaker wait for it meanwhile.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// A stream whose bodiless errors get a body, and which breaks when nobody
/// reads from its other end.
#[derive(Debug)]
pub(super) struct PlainErrors<S> {
    stream: S,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The answer that is written instead of the one that hyper handed over.
    instead: Option<Bytes>,
}

impl<S: AsyncWrite + Unpin> PlainErrors<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            stalled: None,
            instead: None,
        }
    }

    /// Passes on what a write came to, and breaks off one that waits too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the replacement to its end, then owns up to the original's length.
    fn poll_instead(&mut self, cx: &mut Context<'_>, original: usize) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.instead.as_mut().filter(|rest| rest.has_remaining()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.advance(written);
        }
        self.instead = None;
        Poll::Ready(Ok(original))
    }
}

/// The same answer with a body, if `answer` is an error without one.
fn with_body(answer: &[u8]) -> Option<Bytes> {
    let status = answer.strip_prefix(b"HTTP/1.1 4")?;
    let status = 400
        + u16::from(status.first()?.wrapping_sub(b'0')) * 10
        + u16::from(status.get(1)?.wrapping_sub(b'0'));
    let body = bare_error(status)?;
    let text = std::str::from_utf8(answer).ok()?;
    let head = text.strip_suffix("\r\n\r\n")?;
    let length = "content-length: 0";
    if !head.contains(length) {
        return None;
    }
    let (id, bytes) = (new_request_id(), body.len());
    let with_length =
        format!("x-request-id: {id}\r\ncontent-type: application/json\r\ncontent-length: {bytes}");
    let mut whole = head.replacen(length, &with_length, 1).into_bytes();
    whole.extend_from_slice(b"\r\n\r\n");
    whole.extend_from_slice(&body);
    Some(whole.into())
}

impl<S: AsyncRead + Unpin> AsyncRead for PlainErrors<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PlainErrors<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            self.instead = with_body(buf);
        }
        if self.instead.is_some() {
            return self.poll_instead(cx, buf.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut stream = PlainErrors::new(ours);
        let start = tokio::time::Instant::now();
        let error = stream.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), WRITE_STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = PlainErrors::new(ours);
        let slow = async {
            let mut byte = [0; 10];
            for _ in 0..100 {
                sleep(WRITE_STALL - Duration::from_secs(1)).await;
                theirs.read_exact(&mut byte).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(stream.write_all(&[0; 1_000]), slow);
        written.unwrap();
    }

    #[test]
    fn an_error_without_a_body_gets_one() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let whole = with_body(bare).unwrap();
        let text = std::str::from_utf8(&whole).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert!(body.contains(r#""code":"headers_too_large""#), "{body}");
    }

    #[test]
    fn every_other_answer_goes_by_untouched() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 4",
            b"data: x\n\n",
            b"",
        ] {
            assert_eq!(with_body(answer), None);
        }
    }
}
