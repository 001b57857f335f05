//! A client gets its answer although the first model fails, and where none is
//! left it learns in one shape what happened.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::collections::BTreeSet;
use std::time::Duration;

use gateway::{
    House, Plan, Program, Reply, Scene, Stage, chat, complete, post, start_mock, stream,
};
use serde_json::{Value, json};
use tidegate_engine::mock::{Behavior, Script};
use tokio::task::JoinSet;

/// What becomes of a request whose only model behaves like that.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// An answer.
    Answered,
    /// An error instead of an answer.
    Refused(u16, &'static str),
    /// A stream that ends in an error.
    Broken(&'static str),
}

use Fate::{Answered, Broken, Refused};

const NO_ROOM: Fate = Refused(429, "rate_limit_exceeded");
const TOO_LATE: Fate = Refused(504, "deadline_exceeded");
const GARBAGE: Fate = Refused(502, "upstream_garbage");
const STATUS: Fate = Refused(502, "upstream_status");
const LOST: Fate = Refused(502, "upstream_reset");
const ERROR: Fate = Refused(502, "upstream_error_in_answer");

/// How a model behaves, and the fate of a request for a whole answer and of one
/// for a stream.
const FATES: [(&str, Fate, Fate); 22] = [
    ("answer", Answered, Answered),
    ("slow-100", Answered, Answered),
    ("no-done", Answered, Answered),
    ("throttle", NO_ROOM, NO_ROOM),
    ("throttle-2", NO_ROOM, NO_ROOM),
    ("overloaded", NO_ROOM, NO_ROOM),
    ("unavailable", NO_ROOM, NO_ROOM),
    ("status-500", STATUS, STATUS),
    (
        "status-401",
        Refused(502, "upstream_unauthorized"),
        Refused(502, "upstream_unauthorized"),
    ),
    (
        "status-404",
        Refused(404, "model_not_found"),
        Refused(404, "model_not_found"),
    ),
    ("status-408", STATUS, STATUS),
    ("html", STATUS, STATUS),
    ("hang", TOO_LATE, TOO_LATE),
    ("drip", TOO_LATE, TOO_LATE),
    ("reset", LOST, LOST),
    ("reset-mid", LOST, Broken("upstream_truncated")),
    ("truncate", LOST, Broken("upstream_truncated")),
    ("garbage", GARBAGE, GARBAGE),
    ("empty", GARBAGE, Refused(502, "upstream_truncated")),
    ("error-in-answer", ERROR, ERROR),
    ("error-in-stream", ERROR, NO_ROOM),
    (
        "error-after-content",
        ERROR,
        Broken("upstream_error_in_answer"),
    ),
];
/// Apart, because it takes as long as reading 32 MiB does.
const HUGE: (&str, Fate) = ("huge-line", Refused(502, "upstream_too_large"));

const SOON: Duration = Duration::from_millis(150);

/// `m` is served by one entry that behaves like that.
fn alone(behavior: &str) -> Plan {
    let mut plan = Plan::serving(&[("m", &[&format!("up/{behavior}")])]);
    if matches!(behavior, "hang" | "drip") {
        plan.settings.deadline = SOON;
    }
    plan
}

/// `m` is served by one entry that behaves like that, and then by a good one.
fn backed(behavior: &str) -> Plan {
    let mut plan = Plan::serving(&[("m", &[&format!("up/{behavior}"), "up/answer"])]);
    plan.resilience.attempt.first_content = SOON;
    plan
}

#[track_caller]
fn check(behavior: &str, reply: &Reply, fate: Fate) {
    let text = reply.text();
    match fate {
        Answered => assert_eq!(reply.status, 200, "{behavior}: {text}"),
        Refused(status, code) => {
            assert_eq!(
                reply.outcome(),
                (status, code.to_owned()),
                "{behavior}: {text}"
            );
            check_error(&reply.json());
        }
        Broken(code) => {
            assert_eq!(reply.status, 200, "{behavior}: {text}");
            let events = reply.events();
            assert!(!events.contains(&"[DONE]".to_owned()), "{behavior}: {text}");
            let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
            assert_eq!(last["error"]["code"], code, "{behavior}: {text}");
            check_error(&last);
        }
    }
}

#[track_caller]
fn check_error(json: &Value) {
    let fields: BTreeSet<&String> = json["error"].as_object().unwrap().keys().collect();
    let fields: Vec<&String> = fields.into_iter().collect();
    assert_eq!(fields, ["code", "message", "param", "type"]);
    assert!(!json.to_string().contains("sk-of-the-operator"));
}

/// The content of all events.
fn content(reply: &Reply) -> String {
    let json = reply.events().into_iter().filter(|event| event != "[DONE]");
    let json = json.map(|event| serde_json::from_str::<Value>(&event).unwrap());
    json.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

/// The last event before `[DONE]`.
#[track_caller]
fn closing(reply: &Reply) -> Value {
    let events = reply.events();
    assert_eq!(
        events.last().map(String::as_str),
        Some("[DONE]"),
        "{}",
        reply.text()
    );
    serde_json::from_str(&events[events.len() - 2]).unwrap()
}

#[test]
fn every_behavior_of_an_upstream_has_its_row() {
    let rows: BTreeSet<&str> = FATES.iter().map(|row| row.0).chain([HUGE.0]).collect();
    for behavior in Behavior::examples() {
        let word = behavior.to_string();
        assert!(rows.contains(word.as_str()), "{word} has no row");
    }
}

#[tokio::test]
async fn a_chain_of_one_tells_what_its_model_did() {
    for (behavior, whole, _) in FATES {
        let house = House::open(alone(behavior)).await;
        check(behavior, &house.complete(&chat("m")).await, whole);
    }
}

#[tokio::test]
async fn a_chain_of_one_tells_what_its_model_did_to_a_stream() {
    for (behavior, _, streamed) in FATES {
        let house = House::open(alone(behavior)).await;
        check(behavior, &house.complete(&stream("m")).await, streamed);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_at_a_size() {
    let (behavior, fate) = HUGE;
    let house = House::open(alone(behavior)).await;
    check(behavior, &house.complete(&chat("m")).await, fate);
    check(behavior, &house.complete(&stream("m")).await, fate);
    house.until_upstream(|stats| stats["in_flight"] == 0).await;
}

#[tokio::test]
async fn the_next_model_answers_where_the_first_one_fails() {
    let faults = FATES.into_iter().filter(|row| row.1 != Answered);
    for behavior in faults.map(|row| row.0).chain([HUGE.0]) {
        let house = House::open(backed(behavior)).await;
        let reply = house.complete(&chat("m")).await;
        check(behavior, &reply, Answered);
        check_degraded(behavior, &reply);
        assert!(reply.json()["choices"][0]["message"]["content"].is_string());
    }
}

#[tokio::test]
async fn the_next_model_streams_where_the_first_one_fails_before_its_first_content() {
    let faults = FATES.into_iter().filter(|row| matches!(row.2, Refused(..)));
    for behavior in faults.map(|row| row.0).chain([HUGE.0]) {
        let house = House::open(backed(behavior)).await;
        let reply = house.complete(&stream("m")).await;
        check(behavior, &reply, Answered);
        check_degraded(behavior, &reply);
        assert_eq!(content(&reply), "token ".repeat(20), "{behavior}");
        let end = &closing(&reply)["tidegate"];
        assert_eq!(
            (&end["model"], &end["attempts"]),
            (&"up/answer".into(), &2.into())
        );
        assert_eq!(end["degraded"][0], "fallback:up/answer");
    }
}

#[track_caller]
fn check_degraded(behavior: &str, reply: &Reply) {
    let header = |name| reply.header(name).unwrap_or_default();
    assert_eq!(header("x-tidegate-model"), "up/answer", "{behavior}");
    assert_eq!(header("x-tidegate-attempts"), "2", "{behavior}");
    assert_eq!(
        header("x-tidegate-degraded"),
        "fallback:up/answer",
        "{behavior}"
    );
}

#[tokio::test]
async fn a_first_model_that_answers_is_not_degraded() {
    let house = House::open(backed("no-done")).await;
    for request in [chat("m"), stream("m")] {
        let reply = house.complete(&request).await;
        assert_eq!(reply.header("x-tidegate-model"), Some("up/no-done"));
        assert_eq!(reply.header("x-tidegate-attempts"), Some("1"));
        assert_eq!(reply.header("x-tidegate-degraded"), None);
    }
}

#[tokio::test]
async fn embeddings_come_from_the_next_model_too() {
    let request = json!({"model": "m", "input": ["a", "b"]});
    for behavior in ["throttle", "hang", "reset", "garbage", "error-in-answer"] {
        let house = House::open(backed(behavior)).await;
        let reply = house.ask(&post("/v1/embeddings", &request)).await;
        check(behavior, &reply, Answered);
        check_degraded(behavior, &reply);
        assert_eq!(reply.json()["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_upstream_that_nobody_listens_at_is_skipped() {
    let house = House::open(Plan::serving(&[
        ("backed", &["gone/a", "up/answer"]),
        ("alone", &["gone/b"]),
    ]))
    .await;
    let reply = house.complete(&chat("backed")).await;
    check_degraded("gone", &reply);
    let reply = house.complete(&chat("alone")).await;
    check("gone", &reply, Refused(502, "upstream_connect"));
}

#[tokio::test]
async fn what_an_upstream_refuses_for_good_is_asked_only_once() {
    for status in [400, 403, 413, 422] {
        let house = House::open(backed(&format!("status-{status}"))).await;
        for request in [chat("m"), stream("m")] {
            let reply = house.complete(&request).await;
            check("rejected", &reply, Refused(status, "upstream_rejected"));
            assert_eq!(reply.header("x-tidegate-error-source"), Some("provider"));
            let words = format!("the mock answers with status {status}");
            assert_eq!(reply.json()["error"]["message"], words);
        }
        let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
        assert_eq!(stats["requests"], 2);
    }
}

#[tokio::test]
async fn a_throttle_is_passed_on_with_its_time() {
    let mut plan = alone("throttle-2");
    plan.settings.deadline = Duration::from_secs(1);
    let house = House::open(plan).await;
    let reply = house.complete(&chat("m")).await;
    assert_eq!(reply.header("retry-after"), Some("2"));
    assert_eq!(reply.header("retry-after-ms"), Some("2000"));
    // The entry is left alone for that time, which is longer than the deadline.
    let reply = house.complete(&chat("m")).await;
    check("throttle-2", &reply, NO_ROOM);
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(stats["requests"], 1);
}

#[tokio::test]
async fn a_chain_whose_breakers_are_open_is_not_asked() {
    let mut plan = Plan::serving(&[("m", &["up/status-500", "up/html"])]);
    plan.resilience.breaker.failure_threshold = 1;
    plan.settings.deadline = SOON;
    let house = House::open(plan).await;
    check("open", &house.complete(&chat("m")).await, STATUS);
    let reply = house.complete(&chat("m")).await;
    check("open", &reply, Refused(503, "no_healthy_model"));
    assert!(reply.header("retry-after").is_some());
    let stats = house.until_upstream(|stats| stats["in_flight"] == 0).await;
    assert_eq!(stats["requests"], 2);
}

const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const CONTENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"tide\"},\"finish_reason\":null}]}\n\n";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn events_before_the_first_content_commit_to_nothing() {
    let lifecycle = format!(": a comment\n\nevent: ping\ndata: {{\"choices\":[]}}\n\n{ROLE}{ROLE}");
    let stage = Stage::open(vec![
        Scene::events_without_end(&lifecycle),
        Scene::events(&format!("{ROLE}{CONTENT}{END}")),
    ])
    .await;
    let mut plan = backed("silent");
    plan.upstream = Some(stage.addr);
    let house = House::open(plan).await;
    let reply = house.complete(&stream("m")).await;
    check_degraded("silent", &reply);
    assert_eq!(content(&reply), "tide");
    assert_eq!(closing(&reply)["tidegate"]["attempts"], 2);
}

#[tokio::test]
async fn a_stream_that_falls_silent_after_content_ends_in_an_error() {
    let stage = Stage::open(vec![Scene::events_without_end(&format!("{ROLE}{CONTENT}"))]).await;
    let mut plan = backed("silent");
    plan.resilience.attempt.stream_idle = SOON;
    plan.upstream = Some(stage.addr);
    let house = House::open(plan).await;
    let reply = house.complete(&stream("m")).await;
    assert_eq!(content(&reply), "tide");
    check("silent", &reply, Broken("upstream_timed_out"));
    assert_eq!(stage.seen().len(), 1);
}

/// The program, over an upstream that behaves as the model's name says.
async fn program(upstream: std::net::SocketAddr) -> Program {
    let config = format!(
        "[server]\nbind = \"127.0.0.1:0\"\ndeadline_ms = 600\n\
         [resilience]\nfailure_threshold = 1000\nbackoff_ms.base = 1\nbackoff_ms.retries = 2\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n"
    );
    Program::serve(&config, &[]).await.expect("it starts")
}

#[tokio::test]
async fn a_client_is_told_not_to_repeat_what_was_repeated_for_it() {
    let mut tasks = JoinSet::new();
    let upstream = start_mock(Script::default(), &mut tasks).await;
    let program = program(upstream).await;
    let hint = async |request: Value| {
        let reply = complete(program.addr, &request).await;
        let hint = reply.header("x-should-retry").map(str::to_owned);
        (reply.status, hint)
    };
    let no = || Some("false".to_owned());
    for (model, status) in [
        ("status-500", 502),
        ("reset", 502),
        ("garbage", 502),
        ("hang", 504),
    ] {
        assert_eq!(hint(chat(model)).await, (status, no()), "{model}");
        assert_eq!(hint(stream(model)).await, (status, no()), "{model}");
    }
    // An answer, a judgement of the request and a wait speak for themselves.
    for (model, status) in [("answer", 200), ("status-400", 400), ("throttle-60", 429)] {
        assert_eq!(hint(chat(model)).await, (status, None), "{model}");
    }
}

#[tokio::test]
async fn what_a_client_sees_once_was_tried_as_often_as_is_configured() {
    let stage = Stage::open(vec![Scene::status(500)]).await;
    let program = program(stage.addr).await;
    let reply = complete(program.addr, &chat("m")).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(stage.seen().len(), 3);
}
