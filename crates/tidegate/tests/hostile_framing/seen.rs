//! Everything that comes back over one connection, answer by answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::PATIENCE;

/// Silence after which nothing more is expected while both sides stay; longer
/// than the deadline of a request and the time that unread bodies get.
const SILENCE: Duration = Duration::from_millis(2_500);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its `x-request-id`, or nothing.
    pub(crate) id: String,
}

/// All answers of a connection.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    /// The connection stayed open after we had closed our side.
    pub(crate) hung: bool,
}

/// Sends `raw` and reads until the server closes, or has been silent and then
/// learns that nothing more comes.
pub(crate) async fn exchange(addr: SocketAddr, raw: &[u8]) -> Seen {
    let stream = TcpStream::connect(addr).await.expect("the server listens");
    let (mut from, mut to) = stream.into_split();
    let mut came = Vec::new();
    let reading = async {
        // A server that closes early resets what is still on its way.
        while let Ok(read) = timeout(SILENCE, from.read_buf(&mut came)).await {
            if !read.is_ok_and(|bytes| bytes > 0) {
                return true;
            }
        }
        false
    };
    let writing = async {
        let _ = to.write_all(raw).await;
    };
    let (closed, ()) = tokio::join!(reading, writing);
    let mut hung = false;
    if !closed {
        let _ = to.shutdown().await;
        let rest = async { while from.read_buf(&mut came).await.is_ok_and(|bytes| bytes > 0) {} };
        hung = timeout(PATIENCE, rest).await.is_err();
    }
    let answers = answers(&came);
    Seen { answers, hung }
}

/// Cuts what came into answers; those without a body of a known length end it.
fn answers(mut rest: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut found = lines.filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| value.to_owned())
        };
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.unwrap_or(0);
        if status != 100 {
            let id = header("x-request-id").unwrap_or_default();
            answers.push(Answer { status, id });
        }
        let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
        let chunked = header("transfer-encoding").is_some();
        let body = &rest[end + 4..];
        let length = match length {
            _ if chunked => chunked_length(body),
            Some(length) => length,
            None if status == 100 => 0,
            None => body.len(),
        };
        rest = &body[length.min(body.len())..];
    }
    answers
}

fn chunked_length(body: &[u8]) -> usize {
    let end = body.windows(5).position(|window| window == b"0\r\n\r\n");
    end.map_or(body.len(), |end| end + 5)
}
