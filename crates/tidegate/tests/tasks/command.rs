//! `tidegate tasks`: the same, without a server.

use std::process::Output;

use serde_json::{Value, json};

use crate::gateway::{Folder, Running, Scene, Stage, run, run_with_input};
use crate::{config, slow};

/// A folder whose configuration names an upstream.
struct Desk {
    folder: Folder,
    _stage: Stage,
}

impl Desk {
    async fn open(scenes: Vec<Scene>) -> Self {
        let stage = Stage::open(scenes).await;
        let text = config(
            "store.url = \"sqlite:data\"\nlog.level = \"warn\"\n",
            stage.addr,
        );
        let folder = Folder::with_config(&text);
        Self {
            folder,
            _stage: stage,
        }
    }

    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        seen(run(&self.folder, &[&["tasks"], args].concat()).await)
    }

    /// What a command prints that works.
    async fn good(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args).await;
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(args).await).unwrap()
    }

    fn worker(&self) -> Running {
        Running::start(self.folder.path(), &["worker"], &[])
    }
}

fn seen(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn a_task_is_submitted_and_shown_without_a_server() {
    let desk = Desk::open(vec![Scene::answer()]).await;
    let submit = [
        "submit",
        "chat",
        "--input",
        r#"{"query":  "hello"}"#,
        "--id",
        "one",
        "--priority",
        "high",
        "--max-retries",
        "1",
        "--backoff-ms",
        "5",
        "--timeout-ms",
        "6",
        "--tag",
        "a",
        "--tag",
        "b",
        "--run-at",
        "2999-01-01T00:00:00Z",
        "--idempotency-key",
        "k",
        "--result-ttl-s",
        "7",
    ];
    assert_eq!(desk.good(&submit).await, "one");
    let (code, out, err) = desk.run(&submit).await;
    assert_eq!((code, out.trim_end()), (0, "one"));
    assert_eq!(err, "it was there before\n");
    let shown = desk.json(&["show", "one", "--json"]).await;
    assert_eq!(shown["input"], json!({"query": "hello"}));
    assert_eq!(
        (&shown["priority"], &shown["tags"]),
        (&json!("high"), &json!(["a", "b"]))
    );
    assert_eq!(shown["run_at"], "2999-01-01T00:00:00.000Z");
    let text = desk.good(&["show", "one"]).await;
    for part in [
        "task      one",
        "state     queued",
        "tags      a, b",
        "input:\n{",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[tokio::test]
async fn tasks_are_listed_counted_and_cancelled_without_a_server() {
    let desk = Desk::open(vec![Scene::answer()]).await;
    let chat = [
        "submit",
        "chat",
        "--input",
        r#"{"query":"?"}"#,
        "--id",
        "one",
        "--priority",
        "high",
        "--tag",
        "b",
    ];
    desk.good(&chat).await;
    desk.good(&["submit", "monitor_health", "--depends-on", "one"])
        .await;
    let list = desk.good(&["ls"]).await;
    assert!(list.starts_with("ID "), "{list}");
    assert_eq!(list.lines().count(), 3, "{list}");
    let waiting = desk.json(&["ls", "--state", "waiting", "--json"]).await;
    assert_eq!(waiting["depends_on"], json!(["one"]));
    let tagged = desk
        .json(&["ls", "--tag", "b", "--kind", "chat", "--all", "--json"])
        .await;
    assert_eq!(tagged["id"], "one");
    let stats = desk.json(&["stats", "--json"]).await;
    assert_eq!(stats["depth"], 2);
    assert!(
        desk.good(&["stats"])
            .await
            .contains("not ended: 1 high, 1 normal")
    );
    assert_eq!(desk.good(&["cancel", "one"]).await, "one is cancelled");
    let again = desk.good(&["cancel", "one"]).await;
    assert_eq!(again, "one had ended before: cancelled");
}

#[tokio::test]
async fn a_command_may_wait_for_a_task_and_says_how_it_ended() {
    let desk = Desk::open(vec![Scene::saying("At five."), Scene::status(400)]).await;
    let _worker = desk.worker();
    let submit = [
        "submit",
        "chat",
        "--input",
        r#"{"query":"?"}"#,
        "--wait",
        "--json",
    ];
    let task = desk.json(&submit).await;
    assert_eq!(task["result"]["response"], "At five.");
    let (code, out, _) = desk.run(&submit).await;
    let task: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &task["state"]), (1, &json!("failed")));
    let id = task["id"].as_str().unwrap();
    let (code, out, _) = desk.run(&["watch", id]).await;
    assert_eq!(code, 1);
    assert!(out.starts_with("failed after "), "{out}");
    assert!(out.contains(": rejected: "), "{out}");
    let (code, out, _) = desk.run(&["watch", id, "--json"]).await;
    let event: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &event["event"]), (1, &json!("end")));
    assert_eq!(event["task"]["id"], id);
    assert_eq!(
        desk.good(&["retry", id]).await,
        format!("{id} is queued again")
    );
}

#[tokio::test]
async fn a_watched_task_is_told_as_it_goes_and_goes_on_when_nobody_watches() {
    let desk = Desk::open(vec![slow()]).await;
    let _worker = desk.worker();
    let submit = ["submit", "chat", "--input", r#"{"query":"?"}"#];
    let id = desk.good(&submit).await;
    let args = ["tasks", "watch", id.as_str(), "--json"];
    let mut watch = Running::start(desk.folder.path(), &args, &[]);
    watch.until("asking the model").await;
    watch.signal("INT").await;
    let (status, said) = watch.ended().await;
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("the task goes on"), "{said}");
    assert_eq!(
        desk.json(&["show", &id, "--json"]).await["state"],
        "running"
    );
    let stopping = desk.good(&["cancel", &id]).await;
    assert_eq!(stopping, format!("{id} runs, and was told to stop"));
    let (code, out, _) = desk.run(&["watch", &id]).await;
    assert_eq!(code, 1);
    assert!(out.contains("cancelled"), "{out}");
}

#[tokio::test]
async fn many_tasks_are_submitted_from_standard_input() {
    let desk = Desk::open(vec![Scene::answer()]).await;
    let line = |number: usize| {
        format!("{{\"kind\":\"monitor_health\",\"input\":{{}},\"id\":\"n-{number}\"}}\n")
    };
    let lines: String = (0..1_500).map(line).collect();
    let args = ["tasks", "submit", "--batch"];
    let (code, out, err) = seen(run_with_input(&desk.folder, &args, lines.as_bytes()).await);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().count(), 1_500);
    assert_eq!(out.lines().nth(1_001), Some("n-1001"));
    let all = desk.good(&["ls", "--all", "--json"]).await;
    assert_eq!(all.lines().count(), 1_500);
    assert_eq!(desk.good(&["ls", "--json"]).await.lines().count(), 50);
    let bad = format!("{}{{\"kind\":7,\"input\":1}}\n", line(9_000));
    let (code, _, err) = seen(run_with_input(&desk.folder, &args, bad.as_bytes()).await);
    assert_eq!(code, 2);
    assert!(
        err.contains("tasks 1 to 2: tasks[1].kind: invalid type"),
        "{err}"
    );
    let (code, _, _) = desk.run(&["show", "n-9000"]).await;
    assert_eq!(code, 2, "all or none");
}

#[tokio::test]
async fn an_input_may_stand_in_a_file_or_on_standard_input() {
    let desk = Desk::open(vec![Scene::answer()]).await;
    std::fs::write(desk.folder.path().join("input.json"), r#"{"texts":["a"]}"#).unwrap();
    let id = desk
        .good(&["submit", "scan_batch", "--input", "@input.json"])
        .await;
    let shown = desk.json(&["show", &id, "--json"]).await;
    assert_eq!(shown["input"], json!({"texts": ["a"]}));
    let args = ["tasks", "submit", "scan_batch", "--input", "-"];
    let (code, id, err) = seen(run_with_input(&desk.folder, &args, br#"{"texts":["b"]}"#).await);
    assert_eq!(code, 0, "{err}");
    let shown = desk.json(&["show", id.trim(), "--json"]).await;
    assert_eq!(shown["input"], json!({"texts": ["b"]}));
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said_with_the_right_exit_code() {
    let desk = Desk::open(vec![Scene::answer()]).await;
    for (args, code, says) in [
        (&["show", "none"][..], 2, "there is no task \"none\""),
        (&["cancel", "none"], 2, "there is no task \"none\""),
        (&["retry", "none"], 2, "none: there is no such task"),
        (&["watch", "none"], 2, "there is no task \"none\""),
        (
            &["submit", "brew"],
            2,
            "there is no \"brew\"; there are chat",
        ),
        (&["submit", "chat", "--input", "{"], 2, "--input is no JSON"),
        (
            &["submit", "chat", "--input", "@none"],
            2,
            "none cannot be read",
        ),
        (
            &["submit", "chat", "--input", "{\"x\":1}"],
            2,
            "input.x: unknown field",
        ),
        (
            &["submit", "chat", "--priority", "asap"],
            2,
            "critical, high, normal, low",
        ),
        (
            &["submit", "chat", "--webhook", "http://x/"],
            2,
            "webhook must be an address",
        ),
        (
            &["ls", "--tenant", "nobody"],
            2,
            "no [[keys]] table names the tenant",
        ),
        (
            &["ls", "--set", "store.url=memory:"],
            2,
            "tasks are shared through store.url",
        ),
        (
            &["ls", "--set", "store.url=redis://127.0.0.1:1"],
            3,
            "error: ",
        ),
    ] {
        let (seen, _, err) = desk.run(args).await;
        assert_eq!(seen, code, "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {says:?} is not in {err}");
    }
}
