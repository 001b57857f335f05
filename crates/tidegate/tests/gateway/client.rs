//! An HTTP/1.1 client that shows the wire: what is sent is given as bytes, and
//! what comes back can be looked at before it is complete.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An exchange under way; dropping it hangs up.
#[derive(Debug)]
pub(crate) struct Call {
    stream: TcpStream,
    seen: Vec<u8>,
}

/// A request that asks the server to close after its answer.
pub(crate) fn request(head: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut raw = format!(
        "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    )
    .into_bytes();
    raw.extend_from_slice(body);
    raw
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    request(&format!("GET {path}"), "", b"")
}

pub(crate) fn post(path: &str, body: &Value) -> Vec<u8> {
    let json = "content-type: application/json\r\n";
    request(&format!("POST {path}"), json, body.to_string().as_bytes())
}

/// Sends a request and reads its whole answer.
pub(crate) async fn ask(addr: SocketAddr, raw: &[u8]) -> Reply {
    Call::open(addr, raw).await.reply().await
}

impl Call {
    /// Connects and sends. A server that answers before it has read everything
    /// may close meanwhile; what it said is still there to be read.
    pub(crate) async fn open(addr: SocketAddr, raw: &[u8]) -> Self {
        let mut stream = TcpStream::connect(addr).await.expect("the server listens");
        let _ = stream.write_all(raw).await;
        let seen = Vec::new();
        Self { stream, seen }
    }

    /// Sends more.
    pub(crate) async fn send(&mut self, raw: &[u8]) {
        self.stream.write_all(raw).await.expect("it still listens");
    }

    /// Reads until `text` has come by.
    pub(crate) async fn until(&mut self, text: &str) {
        while !contains(&self.seen, text) {
            let more = self.read_more().await;
            assert!(more, "the answer ended before {text:?}: {}", self.shown());
        }
    }

    /// Reads until the server closes.
    pub(crate) async fn reply(mut self) -> Reply {
        while self.read_more().await {}
        Reply::parse(&self.seen).unwrap_or_else(|| panic!("no answer: {:?}", self.shown()))
    }

    /// Everything that came until the server closed, complete or not.
    pub(crate) async fn rest(mut self) -> String {
        while self.read_more().await {}
        self.shown()
    }

    /// False once the server has closed or reset the connection.
    async fn read_more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.seen));
        let read = read
            .await
            .unwrap_or_else(|_| panic!("silence after {}", self.shown()));
        read.is_ok_and(|bytes| bytes > 0)
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

impl Reply {
    fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()?
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| head.strip_prefix("HTTP/1.0 "))?
            .get(..3)?
            .parse()
            .ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Self {
            status,
            headers,
            body: raw[end + 4..].to_vec(),
        };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = unchunked(&reply.body);
        }
        Some(reply)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.text()))
    }

    /// The status, and the code of the error if it is one.
    pub(crate) fn outcome(&self) -> (u16, String) {
        if self.status < 400 {
            return (self.status, String::new());
        }
        let code = self.json()["error"]["code"].clone();
        (self.status, code.as_str().unwrap_or("no code").to_owned())
    }

    /// The data of each event of a stream.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(str::to_owned).collect()
    }
}

/// The data of a chunked body, as far as it came.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else {
            break;
        };
        let start = (end + 2).min(rest.len());
        let stop = (start + size).min(rest.len());
        data.extend_from_slice(&rest[start..stop]);
        rest = &rest[(stop + 2).min(rest.len())..];
    }
    data
}
