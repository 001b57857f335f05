//! The gate speaks HTTP/1.1 only. Who begins in HTTP/2 is let go at once, so
//! that none of its floods has anything to fill, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "hostile_http2/frames.rs"]
mod frames;
mod gateway;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use gateway::{Call, PATIENCE, Program, Scene, Stage, ask, chat, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use frames::{PREFACE, Script, scripts};

/// Connections of one script at once, and how often they come back.
const CONNECTIONS: usize = 20;
const ROUNDS: usize = 25;
/// What one connection tries to send: far more than sockets hold.
const FLOOD_BYTES: usize = 16 << 20;
/// What the gate may grow by; to keep what is sent would take twenty times as much.
const MOST_GROWTH_KIB: usize = 16 << 10;
/// So many honest requests come first: what they build stays.
const HONEST_FIRST: usize = 20;
/// What the gate may have taken in before it closed, per connection: the
/// buffers of both sockets, not what was to be sent.
const MOST_TAKEN_BYTES: usize = 12 << 20;

async fn stand() -> (Program, Stage) {
    let stage = Stage::open(vec![Scene::answer()]).await;
    let upstream = stage.addr;
    let config = format!(
        "server.bind = \"127.0.0.1:0\"\nlog.access = false\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [\"up/answer\"]\n\
         requests_per_minute = \"unlimited\"\ntokens_per_minute = \"unlimited\"\n\
         max_concurrent = \"unlimited\"\n"
    );
    let program = Program::serve(&config, &[]).await.expect("it starts");
    (program, stage)
}

/// What became of one connection.
#[derive(Debug)]
struct Flooded {
    taken_bytes: usize,
    answered: Vec<u8>,
}

/// Sends the beginning and then the same frames over and over, until the
/// gate has closed.
async fn flood(addr: SocketAddr, begin: &[u8], frames: &[u8]) -> Flooded {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let mut taken_bytes = 0;
    let mut answered = Vec::new();
    let writing = async {
        if to.write_all(begin).await.is_err() {
            return;
        }
        while taken_bytes < FLOOD_BYTES && to.write_all(frames).await.is_ok() {
            taken_bytes += frames.len();
        }
    };
    let reading = async {
        while from
            .read_buf(&mut answered)
            .await
            .is_ok_and(|bytes| bytes > 0)
        {}
    };
    let both = async { tokio::join!(writing, reading) };
    let closed = timeout(PATIENCE, both).await;
    assert!(closed.is_ok(), "the connection stays open");
    Flooded {
        taken_bytes,
        answered,
    }
}

/// Resident memory of a process.
fn rss_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse().unwrap()
}

/// Asks honestly until told to stop; gives how often it was answered.
async fn ask_meanwhile(addr: SocketAddr, over: &AtomicBool) -> usize {
    let answered = AtomicUsize::new(0);
    while !over.load(Ordering::SeqCst) {
        let reply = ask(addr, &post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        answered.fetch_add(1, Ordering::SeqCst);
    }
    answered.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flood_of_http2_ends_before_it_begins() {
    let (program, _stage) = stand().await;
    let addr = program.addr;
    for _ in 0..HONEST_FIRST {
        let reply = ask(addr, &post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let before_kib = rss_kib(program.id());
    let scripts = scripts();
    assert!(scripts.len() >= 7);
    for Script { name, frames } in &scripts {
        let over = AtomicBool::new(false);
        let floods = async {
            let mut flooded = Vec::new();
            for _ in 0..ROUNDS {
                let floods = (0..CONNECTIONS).map(|_| flood(addr, PREFACE, frames));
                flooded.extend(join_all(floods).await);
            }
            over.store(true, Ordering::SeqCst);
            flooded
        };
        let (flooded, honest) = tokio::join!(floods, ask_meanwhile(addr, &over));
        for Flooded {
            taken_bytes,
            answered,
        } in &flooded
        {
            assert!(answered.is_empty(), "{name}: {answered:?}");
            assert!(
                *taken_bytes < MOST_TAKEN_BYTES,
                "{name}: {taken_bytes} bytes"
            );
        }
        let most = flooded.iter().map(|flooded| flooded.taken_bytes).max();
        let grown = rss_kib(program.id()).saturating_sub(before_kib);
        println!(
            "{name}: {} connections closed, at most {} KiB each on the way, \
             {honest} honest requests answered, {grown} KiB grown",
            flooded.len(),
            most.unwrap_or(0) >> 10
        );
        assert!(honest > 1, "{name}: nobody else was answered");
        assert!(grown <= MOST_GROWTH_KIB, "{name}: {grown} KiB");
    }
}

#[tokio::test]
async fn a_preface_of_http2_is_no_request() {
    let (program, stage) = stand().await;
    let whole = PREFACE;
    let cut = b"PRI * HTTP/2.0\r\n\r\n";
    let mut with_request = PREFACE.to_vec();
    with_request.extend_from_slice(&post("/v1/chat/completions", &chat("m")));
    for sent in [whole, &cut[..], &with_request] {
        let rest = Call::open(program.addr, sent).await.rest().await;
        let status = rest.get(..12).unwrap_or_default();
        let refused = rest.is_empty() || status == "HTTP/1.1 400";
        assert!(
            refused && rest.matches("content-length").count() <= 1,
            "{rest}"
        );
    }
    assert!(stage.seen().is_empty());
}

#[tokio::test]
async fn an_upgrade_to_http2_is_answered_in_the_old_protocol_and_ends_there() {
    let (program, _stage) = stand().await;
    let upgrade = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\
                   connection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    let reply = ask(program.addr, upgrade.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(reply.header("upgrade"), None);
    // And the frames that were sent in the hope of more are not looked at.
    for Script { name, frames } in scripts() {
        let mut begin = upgrade.as_bytes().to_vec();
        begin.extend_from_slice(PREFACE);
        let flooded = flood(program.addr, &begin, &frames).await;
        let text = String::from_utf8_lossy(&flooded.answered);
        assert!(text.matches("HTTP/1.1").count() <= 1, "{name}: {text}");
        assert!(!text.contains(" 101 "), "{name}: {text}");
        assert!(flooded.taken_bytes < MOST_TAKEN_BYTES, "{name}");
    }
}
