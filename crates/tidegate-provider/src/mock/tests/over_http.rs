use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chat_json;
use crate::mock::{Limit, Script, serve};

/// Far beyond what any step takes; only a hanging test meets it.
const SAFETY: Duration = Duration::from_secs(20);

/// A mock on a port of its own.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinSet<std::io::Result<()>>,
}

/// What a client saw of one connection.
struct Seen {
    head: String,
    body: String,
    failure: Option<ErrorKind>,
}

impl Server {
    pub(super) async fn start(script: Script) -> Self {
        Self::with_journal(script, None).await
    }

    async fn with_journal(script: Script, journal: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, script, journal, async {
            drop(stopped.await)
        }));
        Self {
            address,
            stop,
            serving,
        }
    }

    async fn stop(mut self) {
        self.stop.send(()).unwrap();
        self.serving.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Sends a request and leaves the answer to the caller.
    async fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: mock\r\nx-request-id: r-1\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Seen {
        see(self.send(method, path, body).await).await
    }

    async fn whole(&self, model: &str) -> Seen {
        self.call("POST", "/v1/chat/completions", &chat_json(model, ""))
            .await
    }

    async fn streamed(&self, model: &str) -> Seen {
        let body = chat_json(model, r#","stream":true"#);
        self.call("POST", "/v1/chat/completions", &body).await
    }

    async fn stats(&self) -> Value {
        let seen = self.call("GET", "/__mock/stats", "").await;
        serde_json::from_str(&seen.body).unwrap()
    }

    /// Asks for the stats until nothing is in flight any more.
    async fn settled(&self) -> Value {
        let settled = async {
            loop {
                let stats = self.stats().await;
                if stats["in_flight"] == 0 {
                    return stats;
                }
            }
        };
        timeout(SAFETY, settled).await.unwrap()
    }
}

async fn see(mut stream: TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let ended = timeout(SAFETY, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Seen {
        head: head.to_owned(),
        body: body.to_owned(),
        failure: ended.err().map(|error| error.kind()),
    }
}

impl Seen {
    #[track_caller]
    fn is(&self, status: u16) -> &Self {
        assert!(
            self.head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{}",
            self.head
        );
        assert_eq!(self.failure, None);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn events(&self) -> usize {
        self.body.matches("data: {").count()
    }

    /// True when the chunked body came to its proper end.
    fn ended_well(&self) -> bool {
        self.failure.is_none() && self.body.ends_with("0\r\n\r\n")
    }
}

fn four() -> Script {
    Script {
        events: 4,
        ..Script::default()
    }
}

#[tokio::test]
async fn an_ordinary_answer_comes_whole_or_as_events() {
    let server = Server::start(four()).await;
    let whole = server.whole("m").await;
    assert_eq!(whole.is(200).json()["choices"][0]["finish_reason"], "stop");
    assert!(whole.head.contains("content-type: application/json"));
    let streamed = server.streamed("m").await;
    assert!(streamed.is(200).ended_well());
    assert!(streamed.head.contains("content-type: text/event-stream"));
    assert_eq!(
        (
            streamed.events(),
            streamed.body.contains("data: [DONE]\n\n")
        ),
        (1 + 4 + 1, true)
    );
    let stats = server.stats().await;
    assert_eq!(
        (&stats["requests"], &stats["disconnects"]),
        (&2.into(), &0.into())
    );
    server.stop().await;
}

#[tokio::test]
async fn events_come_one_by_one_when_there_is_a_gap() {
    let script = Script {
        event_gap: Duration::from_millis(1),
        ..four()
    };
    let server = Server::start(script).await;
    let streamed = server.streamed("m").await;
    assert!(streamed.is(200).ended_well());
    assert_eq!(streamed.events(), 6);
    assert_eq!(server.stats().await["in_flight"], 0);
}

#[tokio::test]
async fn refusals_have_their_status_and_say_how_long_to_wait() {
    let server = Server::start(four()).await;
    let throttle = server.whole("throttle-3").await;
    assert_eq!(throttle.is(429).json()["error"]["type"], "rate_limit_error");
    assert!(throttle.head.contains("retry-after: 3"));
    assert!(
        !server
            .streamed("throttle")
            .await
            .is(429)
            .head
            .contains("retry-after")
    );
    server.whole("overloaded").await.is(529);
    server.whole("unavailable").await.is(503);
    let teapot = server.streamed("status-418").await.is(418).json();
    assert_eq!(
        teapot["error"]["message"],
        "the mock answers with status 418"
    );
    assert!(
        server
            .whole("html")
            .await
            .is(502)
            .body
            .starts_with("<html>")
    );
    server.whole("slow-1").await.is(200);
}

#[tokio::test]
async fn a_limit_tells_the_wait_to_the_millisecond() {
    let window = Duration::from_secs(60);
    let limit = Limit {
        requests: 1,
        tokens: None,
        window,
        retry_after: true,
    };
    let server = Server::start(Script {
        limit: Some(limit),
        ..four()
    })
    .await;
    server.whole("m").await.is(200);
    let refused = server.whole("m").await;
    assert!(
        refused.is(429).head.contains("retry-after: "),
        "{}",
        refused.head
    );
    assert!(
        refused.head.contains("retry-after-ms: "),
        "{}",
        refused.head
    );
    let by_behavior = serde_json::json!({"answer": 1, "over-limit": 1});
    assert_eq!(server.stats().await["by_behavior"], by_behavior);
}

#[tokio::test]
async fn a_reset_is_seen_as_one_before_and_amid_the_answer() {
    let server = Server::start(four()).await;
    let before = server.whole("reset").await;
    assert_eq!(
        (&*before.head, before.failure),
        ("", Some(ErrorKind::ConnectionReset))
    );
    let whole = server.whole("reset-mid").await;
    assert!(whole.head.contains("content-length: ") && whole.body.starts_with("{\"id\""));
    assert_eq!(whole.failure, Some(ErrorKind::ConnectionReset));
    let streamed = server.streamed("reset-mid").await;
    assert_eq!(
        (streamed.events(), streamed.failure),
        (3, Some(ErrorKind::ConnectionReset))
    );
    assert_eq!(server.settled().await["disconnects"], 0);
}

#[tokio::test]
async fn a_truncated_answer_ends_too_early_but_orderly() {
    let server = Server::start(four()).await;
    let streamed = server.streamed("truncate").await;
    assert!(streamed.is(200).ended_well());
    assert_eq!(
        (streamed.events(), streamed.body.contains("[DONE]")),
        (3, false)
    );
    assert!(!streamed.body.contains("\"stop\""));
    let whole = server.whole("truncate").await;
    let claimed = whole.is(200).head.split("content-length: ").nth(1).unwrap();
    let claimed: usize = claimed.lines().next().unwrap().parse().unwrap();
    assert_eq!(whole.body.len(), claimed / 2);
}

#[tokio::test]
async fn a_200_need_not_be_an_answer() {
    let server = Server::start(four()).await;
    for seen in [
        server.whole("garbage").await,
        server.streamed("garbage").await,
    ] {
        assert!(seen.is(200).body.contains("<<<"));
    }
    assert!(
        server
            .whole("empty")
            .await
            .is(200)
            .head
            .contains("content-length: 0")
    );
    assert_eq!(server.streamed("empty").await.is(200).body, "");
    for seen in [
        server.whole("error-in-answer").await,
        server.streamed("error-in-answer").await,
    ] {
        assert_eq!(seen.is(200).json()["error"]["code"], "server_error");
    }
}

#[tokio::test]
async fn a_stream_can_turn_into_an_error() {
    let server = Server::start(four()).await;
    for (model, content) in [("error-in-stream", 0), ("error-after-content", 2)] {
        let seen = server.streamed(model).await;
        assert!(seen.is(200).ended_well());
        assert_eq!(seen.body.matches("token ").count(), content);
        assert!(seen.body.contains(r#"data: {"error":{"#));
        assert!(seen.body.contains(r#""code":"insufficient_quota""#));
    }
    let without_done = server.streamed("no-done").await;
    assert!(without_done.is(200).ended_well() && without_done.body.contains("\"stop\""));
    assert!(!without_done.body.contains("[DONE]"));
}

#[tokio::test]
async fn a_client_that_leaves_a_hang_is_noticed() {
    let server = Server::start(four()).await;
    let waiting = server
        .send("POST", "/v1/chat/completions", &chat_json("hang", ""))
        .await;
    let arrived = async { while server.stats().await["in_flight"] == 0 {} };
    timeout(SAFETY, arrived).await.unwrap();
    drop(waiting);
    let stats = server.settled().await;
    assert_eq!(
        (&stats["disconnects"], &stats["max_in_flight"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_drip_drips_until_the_client_leaves() {
    let server = Server::start(Script {
        event_gap: Duration::from_millis(1),
        ..four()
    })
    .await;
    let body = chat_json("drip", r#","stream":true"#);
    let mut stream = server.send("POST", "/v1/chat/completions", &body).await;
    let mut seen = String::new();
    while seen.matches("1\r\n \r\n").count() < 5 {
        let mut bytes = [0; 512];
        let length = timeout(SAFETY, stream.read(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        seen.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    assert!(!seen.contains("data:"));
    drop(stream);
    assert_eq!(server.settled().await["disconnects"], 1);
}

#[tokio::test]
async fn a_huge_line_comes_until_the_client_has_enough() {
    let server = Server::start(four()).await;
    for fields in ["", r#","stream":true"#] {
        let body = chat_json("huge-line", fields);
        let mut stream = server.send("POST", "/v1/chat/completions", &body).await;
        let mut bytes = vec![0; 4 << 20];
        timeout(SAFETY, stream.read_exact(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        let long_line = bytes.iter().filter(|byte| **byte == b'x').count();
        assert!(long_line > bytes.len() / 100 * 99, "{long_line}");
    }
    assert_eq!(server.settled().await["disconnects"], 2);
}

#[tokio::test]
async fn tool_calls_and_embeddings_are_served() {
    let server = Server::start(four()).await;
    let tools = r#","tools":[{"type":"function","function":{"name":"look"}}]"#;
    let seen = server
        .call("POST", "/v1/chat/completions", &chat_json("m", tools))
        .await;
    let call = &seen.is(200).json()["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "look");
    let embed = async |format: &str| {
        let body = format!(r#"{{"model":"e","input":"tide","encoding_format":"{format}"}}"#);
        server
            .call("POST", "/v1/embeddings", &body)
            .await
            .is(200)
            .json()
    };
    assert_eq!(
        embed("float").await["data"][0]["embedding"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    // 32 bytes in base64.
    assert_eq!(
        embed("base64").await["data"][0]["embedding"]
            .as_str()
            .unwrap()
            .len(),
        44
    );
}

#[tokio::test]
async fn a_legacy_completion_is_served() {
    let server = Server::start(four()).await;
    let body = r#"{"model":"m","prompt":"echo:x"}"#;
    let seen = server.call("POST", "/v1/completions", body).await;
    let answer = seen.is(200).json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["text"], "x");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_call_is_answered_aside_and_not_counted() {
    let server = Server::start(four()).await;
    let models = server.call("GET", "/v1/models", "").await.is(200).json();
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert!(ids.contains(&&"mock-small".into()) && ids.contains(&&"throttle-2".into()));
    assert!(server.call("GET", "/nowhere", "").await.is(404).json()["error"].is_object());
    server
        .call("POST", "/v1/chat/completions", "{")
        .await
        .is(400);
    assert_eq!(server.stats().await["requests"], 0);
    server.whole("m").await.is(200);
    server.call("POST", "/__mock/reset", "").await.is(200);
    assert_eq!(server.stats().await["requests"], 0);
}

#[tokio::test]
async fn the_journal_tells_of_every_request_how_it_ended() {
    let name = format!("tidegate-mock-journal-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let server = Server::with_journal(four(), Some(path.clone())).await;
    server.whole("m").await.is(200);
    server.streamed("throttle-1").await.is(429);
    let body = chat_json("hang", "");
    let waiting = server.send("POST", "/v1/chat/completions", &body).await;
    let arrived = async { while server.stats().await["in_flight"] == 0 {} };
    timeout(SAFETY, arrived).await.unwrap();
    drop(waiting);
    server.settled().await;
    server.stop().await;
    let journal = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = |at: usize| {
        let line = &lines[at];
        let word = |key: &str| line[key].as_str().unwrap().to_owned();
        (
            line["n"].as_u64().unwrap(),
            word("model"),
            word("behavior"),
            word("ended"),
        )
    };
    let expected = [
        (1, "m", "answer", "complete"),
        (2, "throttle-1", "throttle-1", "faulted"),
        (3, "hang", "hang", "client_left"),
    ];
    assert_eq!(lines.len(), expected.len());
    for (at, (n, model, behavior, ended)) in expected.into_iter().enumerate() {
        assert_eq!(
            told(at),
            (n, model.to_owned(), behavior.to_owned(), ended.to_owned())
        );
    }
    assert_eq!(
        (&lines[0]["x_request_id"], &lines[1]["stream"]),
        (&"r-1".into(), &true.into())
    );
    // A quarter of the body's bytes, and four tokens.
    assert_eq!(lines[0]["tokens"], chat_json("m", "").len() / 4 + 4);
    assert_eq!(
        (&lines[0]["in_flight"], lines[0]["at_ms"].is_u64()),
        (&1.into(), true)
    );
}
