//! What is not taken, and how that is said.

use serde_json::{Value, json};

use crate::gateway::{Scene, check_refusal, get, with};
use crate::{Story, look, question};

/// How a task is refused that nobody may run.
async fn refused(story: &Story, task: &Value, expected: (u16, &str, Option<&str>)) -> String {
    let reply = story.submit(task).await;
    check_refusal(&reply, expected.0, expected.1, expected.2)
}

#[tokio::test]
async fn a_task_that_cannot_be_done_is_refused_with_the_field_that_is_wrong() {
    let story = Story::begin_with(vec![Scene::answer()], "tasks.concurrency = 0\n").await;
    let many = json!({"tasks": [look(), with(look(), "priority", "asap")]});
    let rows = [
        (
            json!({"kind": "brew", "input": {}}),
            "unknown_kind",
            "kind",
            "there are chat, monitor_health",
        ),
        (
            json!({"kind": "chat", "input": {"mesages": []}}),
            "invalid_input",
            "input.mesages",
            "unknown field `mesages`",
        ),
        (
            json!({"kind": "chat", "input": {"messages": [{"role": 7}]}}),
            "invalid_input",
            "input.messages[0].role",
            "invalid type",
        ),
        (
            json!({"kind": "scan_batch", "input": {"texts": ["a", null]}}),
            "invalid_input",
            "input.texts[1]",
            "invalid type",
        ),
        (
            json!({"kind": "chat"}),
            "invalid_parameter",
            "body",
            "missing field `input`",
        ),
        (
            with(look(), "prio", 1),
            "unknown_parameter",
            "prio",
            "unknown field `prio`",
        ),
        (
            with(look(), "priority", "asap"),
            "invalid_parameter",
            "priority",
            "unknown variant",
        ),
        (
            with(look(), "run_at", "soon"),
            "invalid_parameter",
            "run_at",
            "run_at must be a time such as",
        ),
        (
            with(look(), "max_retries", 1_001),
            "invalid_task",
            "max_retries",
            "max_retries must be 0 to 1000",
        ),
        (
            with(look(), "timeout_ms", 0),
            "invalid_task",
            "timeout_ms",
            "timeout_ms must be more than 0",
        ),
        (
            with(look(), "id", "a b"),
            "invalid_task",
            "id",
            "id must be 1 to 64 letters",
        ),
        (
            with(look(), "depends_on", json!(["gone"])),
            "dependency_missing",
            "depends_on",
            "there is no task gone",
        ),
        (
            with(with(look(), "id", "a"), "depends_on", json!(["a"])),
            "dependency_cycle",
            "depends_on",
            "a -> a",
        ),
        (
            many,
            "invalid_parameter",
            "tasks[1].priority",
            "tasks[1].priority: unknown variant",
        ),
    ];
    for (task, code, param, says) in rows {
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
async fn a_question_without_words_fails_and_says_so() {
    let story = Story::begin(vec![Scene::answer()]).await;
    let empty = json!({"kind": "chat", "input": {}});
    let path = story.submitted(&empty).await;
    let task = story.ended(&path).await;
    assert_eq!(crate::state_and_code(&task), ("failed", "invalid_input"));
    let unknown = json!({"kind": "chat", "input": {"query": "?", "model": "none"}});
    let path = story.submitted(&unknown).await;
    let task = story.ended(&path).await;
    assert_eq!(crate::state_and_code(&task), ("failed", "unknown_model"));
    let path = story.submitted(&question()).await;
    assert_eq!(story.ended(&path).await["state"], "succeeded");
}
