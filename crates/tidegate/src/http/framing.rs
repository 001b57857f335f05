//! Where a request ends, and whether another one may follow it.
//!
//! Two programs that disagree about the end of a request let one caller write
//! another caller's next request. hyper finds the end; what could be read in
//! two ways is the last request of its connection here, and what a handler
//! leaves unread is read away or closes the connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tidegate_engine::Deadline;

use super::error::ApiError;

/// How much of an unread body is read away, and for how long, so that the
/// connection can be used again.
const MOST_UNREAD_BYTES: u64 = 64 << 10;
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// Refuses every coding of the transfer but `chunked`, said once.
///
/// hyper takes whatever ends in `chunked`; a program in front of the gate may
/// have taken one of the others for the end of the body.
pub(super) fn check_framing(head: &Request) -> Result<(), ApiError> {
    let mut codings = head.headers().get_all(TRANSFER_ENCODING).iter();
    let fits = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if fits(coding) => Ok(()),
        (Some(_), _) => {
            let message = "transfer-encoding must be chunked, and said once";
            Err(ApiError::invalid("bad_framing", message).about("transfer-encoding"))
        }
    }
}

/// What becomes of a connection after a request.
#[derive(Debug)]
pub(super) struct Framing {
    /// The request can be read in two ways, or its sender expects another
    /// protocol after it.
    last: bool,
    /// The sender waits for a word before it sends the body.
    expects: bool,
    rest: Rest,
}

/// What a handler has left of the body.
type Rest = Arc<Mutex<Left>>;

#[derive(Debug, Default)]
enum Left {
    #[default]
    Nothing,
    /// The body broke off or was malformed.
    Broken,
    Some(Body),
}

impl Framing {
    /// Watches what is read of a request's body.
    pub(super) fn watch(request: Request) -> (Self, Request) {
        let headers = request.headers();
        let framing = Self {
            // hyper hides a length that came along with a coding, and such a
            // request has to be the last one.
            last: headers.contains_key(TRANSFER_ENCODING)
                || headers.contains_key(UPGRADE)
                || request.method() == Method::CONNECT,
            expects: headers.contains_key(EXPECT),
            rest: Rest::default(),
        };
        if request.body().is_end_stream() {
            return (framing, request);
        }
        let rest = framing.rest.clone();
        let lent = |body| {
            Body::new(Lent {
                body: Some(body),
                rest,
            })
        };
        (framing, request.map(lent))
    }

    /// Reads away what is left of the body, and says in `response` where that
    /// does not lead to its end.
    pub(super) async fn settle(self, response: &mut Response) {
        let left = std::mem::take(&mut *lock(&self.rest));
        let ended = match left {
            Left::Nothing => true,
            Left::Broken => false,
            // Who still waits for a word has not sent anything.
            Left::Some(_) if self.expects => false,
            Left::Some(body) => read_away(body).await,
        };
        if self.last || !ended {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}

/// Whether `body` came to its end soon enough.
async fn read_away(mut body: Body) -> bool {
    if body.size_hint().lower() > MOST_UNREAD_BYTES {
        return false;
    }
    let rest = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len) as u64;
            if read > MOST_UNREAD_BYTES {
                return false;
            }
        }
        true
    };
    Deadline::after(UNREAD_TIME)
        .run(rest)
        .await
        .unwrap_or(false)
}

fn lock(rest: &Rest) -> std::sync::MutexGuard<'_, Left> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that is given back as far as it was not read.
struct Lent {
    /// Absent once it has ended.
    body: Option<Body>,
    rest: Rest,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        if matches!(frame, Some(Err(_))) {
            *lock(&self.rest) = Left::Broken;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *lock(&self.rest) = Left::Some(body);
        }
    }
}
