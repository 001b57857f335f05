//! What is not taken, and how that is said.

use serde_json::{Value, json};

use crate::gateway::{Scene, check_refusal, get, with};
use crate::{Story, look, question};

/// How a task is refused that nobody may run.
async fn refused(story: &Story, task: &Value, expected: (u16, &str, Option<&str>)) -> String {
    let reply = story.submit(task).await;
    check_refusal(&reply, expected.0, expected.1, expected.2)
}

/// A task, the code and the field of its refusal, and a part of what is said.
type Row = (Value, &'static str, &'static str, &'static str);

fn wrong_inputs() -> Vec<Row> {
    let of = |kind: &str, input: Value| json!({"kind": kind, "input": input});
    let role = json!({"messages": [{"role": 7}]});
    let role_at = "input.messages[0].role";
    let texts = json!({"texts": ["a", null]});
    let typo = json!({"mesages": []});
    let kinds = "there are chat, monitor_health";
    vec![
        (of("brew", json!({})), "unknown_kind", "kind", kinds),
        (
            of("chat", typo),
            "invalid_input",
            "input.mesages",
            "unknown field",
        ),
        (
            of("chat", json!({})),
            "invalid_input",
            "input",
            "messages, at least one, or a query is wanted",
        ),
        (of("chat", role), "invalid_input", role_at, "invalid type"),
        (
            of("scan_batch", texts),
            "invalid_input",
            "input.texts[1]",
            "invalid type",
        ),
    ]
}

fn wrong_fields() -> Vec<Row> {
    const READ: &str = "invalid_parameter";
    const TASK: &str = "invalid_task";
    let look = |field: &str, value: Value| with(look(), field, value);
    let of_itself = with(look("id", json!("a")), "depends_on", json!(["a"]));
    let many = json!({"tasks": [look("id", json!("a")), look("priority", json!("asap"))]});
    let (gone, asap) = (json!(["gone"]), json!("asap"));
    vec![
        (
            json!({"kind": "chat"}),
            READ,
            "body",
            "missing field `input`",
        ),
        (
            look("prio", json!(1)),
            "unknown_parameter",
            "prio",
            "unknown field",
        ),
        (look("priority", asap), READ, "priority", "unknown variant"),
        (
            look("run_at", json!("soon")),
            READ,
            "run_at",
            "run_at must be a time",
        ),
        (
            look("max_retries", json!(1_001)),
            TASK,
            "max_retries",
            "must be 0 to 1000",
        ),
        (
            look("timeout_ms", json!(0)),
            TASK,
            "timeout_ms",
            "must be more than 0",
        ),
        (
            look("id", json!("a b")),
            TASK,
            "id",
            "id must be 1 to 64 letters",
        ),
        (
            look("depends_on", gone),
            "dependency_missing",
            "depends_on",
            "no task gone",
        ),
        (of_itself, "dependency_cycle", "depends_on", "a -> a"),
        (
            many,
            READ,
            "tasks[1].priority",
            "tasks[1].priority: unknown",
        ),
    ]
}

#[tokio::test]
async fn a_task_that_cannot_be_done_is_refused_with_the_field_that_is_wrong() {
    let story = Story::begin_with(vec![Scene::answer()], "tasks.concurrency = 0\n").await;
    for (task, code, param, says) in wrong_inputs().into_iter().chain(wrong_fields()) {
        let message = refused(&story, &task, (400, code, Some(param))).await;
        assert!(message.contains(says), "{says:?} is not in {message:?}");
    }
    let list = story.task("/v1/tasks").await;
    assert_eq!(list["tasks"], json!([]), "something was taken");
}

#[tokio::test]
async fn a_circle_of_tasks_is_named() {
    let story = Story::begin_with(vec![Scene::answer()], "tasks.concurrency = 0\n").await;
    let task = |id: &str, after: &str| with(with(look(), "id", id), "depends_on", json!([after]));
    let circle = json!({"tasks": [task("a", "c"), task("b", "a"), task("c", "b")]});
    let message = refused(
        &story,
        &circle,
        (400, "dependency_cycle", Some("depends_on")),
    )
    .await;
    for id in ["a", "b", "c"] {
        assert!(message.contains(id), "{message}");
    }
}

#[tokio::test]
async fn an_input_that_is_too_large_is_refused_before_and_after_it_is_read() {
    let story = Story::begin_with(vec![Scene::answer()], "tasks.concurrency = 0\n").await;
    let long = |bytes: usize| json!({"kind": "chat", "input": {"query": "x".repeat(bytes)}});
    let ten = story.submit(&long(10 << 20)).await;
    assert_eq!(ten.status, 413, "{}", ten.text());
    let nine = refused(
        &story,
        &long(9 << 20),
        (413, "input_too_large", Some("input")),
    )
    .await;
    assert!(
        nine.contains("8388608") && nine.contains("keep large data elsewhere"),
        "{nine}"
    );
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let settings = "tasks.concurrency = 0\ntasks.max_waiting = 1\n";
    let story = Story::begin_with(vec![Scene::answer()], settings).await;
    let first = story.submitted(&look()).await;
    let full = story.submit(&look()).await;
    let message = check_refusal(&full, 503, "queue_full", None);
    assert!(message.contains("tasks.max_waiting"), "{message}");
    assert_eq!(full.header("retry-after"), Some("1"));
    story.send("DELETE", &first).await;
    story.submitted(&look()).await;
}

#[tokio::test]
async fn what_is_asked_of_a_task_that_is_not_there_is_not_found() {
    let story = Story::begin_with(vec![Scene::answer()], "tasks.concurrency = 0\n").await;
    for (method, path) in [
        ("GET", "/v1/tasks/none"),
        ("DELETE", "/v1/tasks/none"),
        ("POST", "/v1/tasks/none/retry"),
        ("GET", "/v1/tasks/none/events"),
    ] {
        let reply = story.send(method, path).await;
        check_refusal(&reply, 404, "task_not_found", Some("id"));
    }
    let bad = crate::ask(story.addr(), &get("/v1/tasks?state=done")).await;
    check_refusal(&bad, 400, "invalid_parameter", Some("state"));
    let unknown = crate::ask(story.addr(), &get("/v1/tasks?order=asc")).await;
    check_refusal(&unknown, 400, "unknown_parameter", Some("order"));
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_fails_and_says_so() {
    let story = Story::begin(vec![Scene::answer()]).await;
    let unknown = json!({"kind": "chat", "input": {"query": "?", "model": "none"}});
    let path = story.submitted(&unknown).await;
    let task = story.ended(&path).await;
    assert_eq!(crate::state_and_code(&task), ("failed", "unknown_model"));
    let path = story.submitted(&question()).await;
    assert_eq!(story.ended(&path).await["state"], "succeeded");
}
