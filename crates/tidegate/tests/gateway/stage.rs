//! An upstream that plays one scene per request, in order, and remembers what
//! it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is done with one request.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    after: Duration,
    bytes: String,
    stays: Stays,
}

/// Whether the connection is kept open after the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    Closed,
    Open,
}

const ANSWER: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

impl Scene {
    /// A good answer.
    pub(crate) fn answer() -> Self {
        Self::json(200, ANSWER)
    }

    /// A good answer with this text.
    pub(crate) fn saying(text: &str) -> Self {
        let mut answer: Value = serde_json::from_str(ANSWER).unwrap();
        answer["choices"][0]["message"]["content"] = text.into();
        Self::json(200, &answer.to_string())
    }

    /// A good stream, an event for each of these deltas.
    pub(crate) fn streaming(deltas: &[Value]) -> Self {
        let event = |delta: &Value, finish: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1,
                "model": "x", "choices": [choice]});
            format!("data: {chunk}\n\n")
        };
        let events = deltas.iter().map(|delta| event(delta, Value::Null));
        let events: String = events.collect();
        let last = event(&json!({}), "stop".into());
        Self::events(&format!("{events}{last}data: [DONE]\n\n"))
    }

    /// An error of this status.
    pub(crate) fn status(status: u16) -> Self {
        Self::json(
            status,
            r#"{"error":{"message":"no","type":"server_error"}}"#,
        )
    }

    /// A throttle that says when to come back.
    pub(crate) fn throttled(seconds: u64) -> Self {
        let mut scene = Self::status(429);
        let header = format!("content-type: application/json\r\nretry-after: {seconds}");
        scene.bytes = scene
            .bytes
            .replacen("content-type: application/json", &header, 1);
        scene
    }

    /// The same scene, later.
    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// Events, and then the end.
    pub(crate) fn events(events: &str) -> Self {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream";
        Self {
            after: Duration::ZERO,
            bytes: format!("{head}\r\n\r\n{events}"),
            stays: Stays::Closed,
        }
    }

    /// Events, and then silence.
    pub(crate) fn events_without_end(events: &str) -> Self {
        Self {
            stays: Stays::Open,
            ..Self::events(events)
        }
    }

    /// A document in XML.
    pub(crate) fn xml(body: &str) -> Self {
        Self::whole(200, "text/xml", body)
    }

    fn json(status: u16, body: &str) -> Self {
        Self::whole(status, "application/json", body)
    }

    fn whole(status: u16, kind: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        Self {
            after: Duration::ZERO,
            bytes,
            stays: Stays::Closed,
        }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

impl Seen {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    }
}

/// The upstream. After the last scene of its script it plays that one again.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) addr: SocketAddr,
    book: Arc<Book>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Book {
    scenes: Vec<Scene>,
    seen: Mutex<Vec<Seen>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Stage {
    pub(crate) async fn open(scenes: Vec<Scene>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let book = Arc::new(Book {
            scenes,
            seen: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        let played = book.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(played.clone().play(stream));
            }
        });
        Self {
            addr,
            book,
            _tasks: tasks,
        }
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.book.seen.lock().unwrap().clone()
    }

    /// Most requests at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.book.most_in_flight.load(Ordering::SeqCst)
    }
}

impl Book {
    async fn play(self: Arc<Self>, mut stream: TcpStream) {
        let Some(seen) = read(&mut stream).await else {
            return;
        };
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let scene = {
            let mut all = self.seen.lock().unwrap();
            all.push(seen);
            self.scenes[(all.len() - 1).min(self.scenes.len() - 1)].clone()
        };
        tokio::time::sleep(scene.after).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.write_all(scene.bytes.as_bytes()).await;
        if scene.stays == Stays::Open {
            // Until the client leaves.
            let _ = stream.read_u8().await;
        }
    }
}

/// One request, if it is a whole one.
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut raw = Vec::new();
    loop {
        if let Some(seen) = parse(&raw) {
            return Some(seen);
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(raw: &[u8]) -> Option<Seen> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut seen = Seen {
        head,
        body: Value::Null,
        text: String::new(),
    };
    let length: usize = seen.header("content-length")?.parse().ok()?;
    let body = raw.get(end + 4..end + 4 + length)?;
    seen.text = String::from_utf8_lossy(body).into_owned();
    seen.body = serde_json::from_slice(body).unwrap_or_else(|_| seen.text.clone().into());
    Some(seen)
}
