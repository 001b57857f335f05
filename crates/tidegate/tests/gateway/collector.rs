//! An OpenTelemetry collector that keeps what it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

/// A collector that listens. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) addr: SocketAddr,
    kept: Arc<Kept>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Kept {
    posts: Mutex<Vec<Post>>,
    more: Notify,
}

/// A batch as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Collector {
    /// One that answers every batch with 200.
    pub(crate) async fn open() -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), 200).await
    }

    /// One on an address of its own choice that answers with `status`.
    pub(crate) async fn at(addr: SocketAddr, status: u16) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let kept = Arc::new(Kept::default());
        let (mut tasks, keeper) = (JoinSet::new(), kept.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(keeper.clone().serve(stream, status));
            }
        });
        Self {
            addr,
            kept,
            _tasks: tasks,
        }
    }

    /// The variable that sends traces here.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.kept.posts.lock().unwrap().clone()
    }

    /// All spans so far, in the order of their beginning.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.posts();
        let requests = requests
            .iter()
            .map(|post| ExportTraceServiceRequest::decode(&*post.body).expect("spans"));
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let mut spans: Vec<_> = scopes.flat_map(|scope| scope.spans).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    /// Attributes of the program itself.
    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        let post = self.posts().pop().expect("a batch");
        let request = ExportTraceServiceRequest::decode(&*post.body).expect("spans");
        let resource = request.resource_spans.into_iter().next();
        resource
            .and_then(|first| first.resource)
            .unwrap()
            .attributes
    }

    /// Waits until there are `count` spans.
    pub(crate) async fn until(&self, count: usize) -> Vec<Span> {
        let all = async {
            loop {
                let more = self.kept.more.notified();
                let spans = self.spans();
                if spans.len() >= count {
                    return spans;
                }
                more.await;
            }
        };
        let all = timeout(PATIENCE, all).await;
        all.unwrap_or_else(|_| panic!("only {:#?}", self.spans()))
    }
}

impl Kept {
    async fn serve(self: Arc<Self>, mut stream: TcpStream, status: u16) {
        let mut raw = Vec::new();
        loop {
            while let Some((post, rest)) = parse(&raw) {
                raw = rest;
                self.posts.lock().unwrap().push(post);
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                self.more.notify_waiters();
                self.more.notify_one();
            }
            if !matches!(stream.read_buf(&mut raw).await, Ok(1..)) {
                return;
            }
        }
    }
}

fn parse(raw: &[u8]) -> Option<(Post, Vec<u8>)> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&raw[..end]).to_ascii_lowercase();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| *name == "content-length")?.1;
    let stop = end + length.parse::<usize>().ok()?;
    let body = raw.get(end..stop)?.to_vec();
    Some((Post { head, body }, raw[stop..].to_vec()))
}

/// The value of an attribute, as text.
pub(crate) fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == name);
    Some(shown(found?.value.as_ref()?))
}

fn shown(value: &Any) -> String {
    match value.value.as_ref() {
        Some(AnyValue::StringValue(text)) => text.clone(),
        Some(AnyValue::BoolValue(is)) => is.to_string(),
        Some(AnyValue::IntValue(number)) => number.to_string(),
        Some(AnyValue::DoubleValue(number)) => number.to_string(),
        Some(AnyValue::ArrayValue(list)) => {
            let list: Vec<_> = list.values.iter().map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// A pair as `name = value`.
pub(crate) fn pair(pair: &KeyValue) -> String {
    let value = pair.value.as_ref().map(shown).unwrap_or_default();
    format!("{} = {value}", pair.key)
}
