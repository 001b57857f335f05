//! A gateway that is told to stop lets out what it has taken in, and no longer
//! than it was told.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::time::Duration;

use gateway::{Call, PATIENCE, Program, post, start_mock, stream, until};
use serde_json::Value;
use tidegate_engine::mock::Script;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A gateway with this drain time before an upstream that takes its time.
async fn begin(model: &str, drain_ms: u64, tasks: &mut JoinSet<()>) -> (Program, Upstream) {
    let script = Script {
        event_gap: Duration::from_millis(100),
        events: 5,
        ..Script::default()
    };
    let upstream = start_mock(script, tasks).await;
    let config = format!(
        "server.bind = \"127.0.0.1:0\"\nserver.drain_ms = {drain_ms}\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [\"up/{model}\"]\n"
    );
    let program = Program::serve(&config, &[]).await.expect("it starts");
    (program, Upstream(upstream))
}

struct Upstream(std::net::SocketAddr);

impl Upstream {
    async fn until(&self, wanted: impl Fn(&Value) -> bool) {
        until(self.0, "/__mock/stats", wanted).await;
    }
}

async fn open_stream(program: &Program) -> Call {
    Call::open(program.addr, &post("/v1/chat/completions", &stream("m"))).await
}

/// Waits until nobody gets in any more.
async fn until_refused(program: &Program) {
    let refused = async { while TcpStream::connect(program.addr).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nobody gets in");
}

#[tokio::test]
async fn an_open_stream_is_let_out_while_nobody_gets_in() {
    let mut tasks = JoinSet::new();
    let (program, _) = begin("answer", 20_000, &mut tasks).await;
    let mut call = open_stream(&program).await;
    call.until("token").await;
    program.terminate().await;
    until_refused(&program).await;
    let reply = call.reply().await;
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    let (status, said) = program.ended().await;
    assert!(status.success(), "{status}: {said}");
    assert!(
        said.contains("SIGTERM: draining") && !said.contains("were cut"),
        "{said}"
    );
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_let_out() {
    let mut tasks = JoinSet::new();
    let (program, upstream) = begin("slow-300", 20_000, &mut tasks).await;
    let request = post("/v1/chat/completions", &gateway::chat("m"));
    let call = Call::open(program.addr, &request).await;
    upstream.until(|stats| stats["in_flight"] == 1).await;
    program.terminate().await;
    assert_eq!(call.reply().await.status, 200);
    assert!(program.ended().await.0.success());
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_time_is_cut_here_and_upstream() {
    let mut tasks = JoinSet::new();
    let (program, upstream) = begin("hang", 200, &mut tasks).await;
    let call = open_stream(&program).await;
    upstream.until(|stats| stats["in_flight"] == 1).await;
    let start = Instant::now();
    program.terminate().await;
    assert_eq!(call.rest().await, "");
    let (status, said) = program.ended().await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("1 connections were cut"), "{said}");
    upstream.until(|stats| stats["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_connection_that_lies_idle_holds_nobody_up() {
    let mut tasks = JoinSet::new();
    let (program, _) = begin("answer", 600_000, &mut tasks).await;
    let silent = TcpStream::connect(program.addr).await.unwrap();
    let mut kept = Call::open(
        program.addr,
        b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    kept.until("live").await;
    program.terminate().await;
    let (status, said) = program.ended().await;
    assert!(status.success(), "{status}: {said}");
    drop((silent, kept));
}

#[tokio::test]
async fn a_gateway_without_work_stops_at_once() {
    let mut tasks = JoinSet::new();
    let (program, _) = begin("answer", 600_000, &mut tasks).await;
    program.terminate().await;
    assert!(program.ended().await.0.success());
}
