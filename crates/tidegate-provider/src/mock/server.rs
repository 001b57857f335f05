//! The mock as an HTTP/1.1 server, as light as one can be: it is what load
//! tests compare a gateway with.

use std::error::Error;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::error;
use super::ask::Ask;
use super::behavior::Behavior;
use super::body::{AnswerBody, Cut};
use super::calls::{Call, Calls};
use super::journal::Journal;
use super::play::{Answer, Kind, Play, play};
use super::script::Script;

/// The model that only ever answers.
const MODEL: &str = "mock-small";
const MOST_BODY_BYTES: usize = 64 << 20;
/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Plays `script` to everyone who connects, until `shutdown` is ready.
///
/// Serves `POST /v1/chat/completions`, `POST /v1/completions`,
/// `POST /v1/messages`, `POST /v1/embeddings`, `GET /v1/models`,
/// `GET /__mock/stats` and `POST /__mock/reset`. With a `journal`, one JSON
/// line per request is appended to that file when the request ends or its
/// client leaves. Shutting down cuts what is still in flight.
///
/// # Errors
/// When the journal cannot be opened, or could not be written as a whole.
pub async fn serve(
    listener: TcpListener,
    script: Script,
    journal: Option<PathBuf>,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let journal = journal.map(|path| Journal::append(&path)).transpose()?;
    let calls = Arc::new(Calls::new(script, journal, Instant::now()));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&calls)))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    calls.stop();
    connections.shutdown().await;
    calls.journal_outcome()
}

async fn connection(stream: TcpStream, calls: Arc<Calls>) {
    // A connection that cannot be tuned is served all the same.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, Arc::clone(&calls)));
    // Answers are small: one copied buffer is cheaper than a vectored write.
    let mut connection = http1::Builder::new()
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    if ended.is_err_and(|error| cause(&error) == Some(Cut::Reset)) {
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger();
    }
}

async fn respond(
    request: Request<Incoming>,
    calls: Arc<Calls>,
) -> Result<Response<AnswerBody>, Cut> {
    let read: fn(&[u8]) -> serde_json::Result<Ask> = match (request.method(), request.uri().path())
    {
        (&Method::POST, "/v1/chat/completions") => Ask::chat,
        (&Method::POST, "/v1/completions") => Ask::completion,
        (&Method::POST, "/v1/messages") => Ask::messages,
        (&Method::POST, "/v1/embeddings") => Ask::embed,
        (method, path) => return Ok(aside(&calls, method, path)),
    };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_BODY_BYTES).collect().await else {
        return Ok(refused(413, "the body cannot be read"));
    };
    let Ok(ask) = read(&body.to_bytes()) else {
        return Ok(refused(
            400,
            "the body is not a request that the mock understands",
        ));
    };
    let id = head
        .headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let call = calls.begin(&ask, id, Instant::now());
    perform(&ask, call).await
}

/// The cut that ended a connection, if it was one.
fn cause(error: &hyper::Error) -> Option<Cut> {
    error.source()?.downcast_ref::<Cut>().copied()
}

/// Carries out what is to happen to a call. The client's hang-up drops this
/// future or the body that it returned, and the call with it.
async fn perform(ask: &Ask, call: Call) -> Result<Response<AnswerBody>, Cut> {
    let latency = call.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match play(ask, &call) {
        Play::Hang => std::future::pending().await,
        Play::Reset => {
            call.finish();
            Err(Cut::Reset)
        }
        Play::Answer(answer) => Ok(response(answer, |answer| AnswerBody::of(answer, call))),
    }
}

/// Everything that is no call to a model; it is not counted.
fn aside(calls: &Calls, method: &Method, path: &str) -> Response<AnswerBody> {
    let json = match (method, path) {
        (&Method::GET, "/v1/models") => models(),
        (&Method::GET, "/__mock/stats") => json_of(&calls.tally().stats()),
        (&Method::POST, "/__mock/reset") => {
            calls.reset();
            Bytes::from_static(b"{}")
        }
        _ => return refused(404, "the mock serves nothing here"),
    };
    response(Answer::json(json), AnswerBody::uncounted)
}

fn models() -> Bytes {
    let words = Behavior::examples().map(|behavior| behavior.to_string());
    let model = |id: String| serde_json::json!({"id": id, "object": "model", "owned_by": "mock"});
    let data: Vec<_> = std::iter::once(MODEL.to_owned())
        .chain(words)
        .map(model)
        .collect();
    json_of(&serde_json::json!({"object": "list", "data": data}))
}

fn json_of(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("maps with string keys are always valid JSON")
        .into()
}

fn refused(status: u16, message: &str) -> Response<AnswerBody> {
    let json = error(message, "invalid_request_error", None);
    response(
        Answer {
            status,
            ..Answer::json(json)
        },
        AnswerBody::uncounted,
    )
}

fn response(answer: Answer, body: impl FnOnce(Answer) -> AnswerBody) -> Response<AnswerBody> {
    let (status, retry_after, claimed) = (answer.status, answer.retry_after, answer.claimed_bytes);
    let kind = match answer.kind {
        Kind::Json => "application/json",
        Kind::Events => "text/event-stream",
        Kind::Html => "text/html",
    };
    let mut response = Response::new(body(answer));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(bytes) = claimed {
        headers.insert(CONTENT_LENGTH, bytes.into());
    }
    if let Some(wait) = retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
        // A limit knows better than to the second.
        if wait.subsec_nanos() > 0 {
            let millis = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER_MS, millis.into());
        }
    }
    response
}
