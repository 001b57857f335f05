//! Tasks whose gate or worker dies, ends, or leaves them to others.

use serde_json::{Value, json};

use crate::gateway::{Program, Running, Scene, ask, get, post, until, with};
use crate::servers::RedisServer;
use crate::{Story, has_ended, look, path_of, question, slow};

const FILE: &str = "store.url = \"sqlite:data\"\ntasks.lease_ms = 500\n";

/// Waits until the upstream has been asked so often.
async fn asked(story: &Story, times: usize) {
    let asked = async {
        while story.stage.seen().len() < times {
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(crate::gateway::PATIENCE, asked);
    asked.await.expect("the upstream is asked");
}

#[tokio::test]
async fn nothing_that_was_taken_is_lost_when_the_gate_is_killed() {
    let settings = format!("{FILE}tasks.concurrency = 1\n");
    let story = Story::begin_with(vec![slow(), Scene::saying("At five.")], &settings).await;
    let runs = story.submitted(&question()).await;
    asked(&story, 1).await;
    let mut paths = Vec::new();
    for number in 0..20 {
        let id = format!("later-{number}");
        paths.push(story.submitted(&with(look(), "id", id)).await);
    }
    let Story { program, stage } = story;
    let program = Program::serve_in(program.killed().await, &[])
        .await
        .unwrap();
    let story = Story { program, stage };
    let task = story.ended(&runs).await;
    assert_eq!(
        (&task["state"], &task["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(task["result"]["response"], "At five.");
    for path in paths {
        assert_eq!(story.ended(&path).await["state"], "succeeded", "{path}");
    }
}

#[tokio::test]
async fn a_gate_that_is_told_to_end_gives_back_what_does_not_end_in_time() {
    // So long a lease would keep it for an hour, were it not given back.
    let settings = "store.url = \"sqlite:data\"\ntasks.lease_ms = 3600000\n\
                    tasks.concurrency = 1\nserver.drain_ms = 200\n";
    let story = Story::begin_with(vec![slow(), Scene::answer()], settings).await;
    let runs = story.submitted(&question()).await;
    asked(&story, 1).await;
    let waits = story.submitted(&look()).await;
    let Story { program, stage } = story;
    program.terminate().await;
    let folder = program.folder().to_owned();
    let (status, said, kept) = program.ended_in_place().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(folder.join("data").exists());
    let program = Program::serve_in(kept, &[]).await.unwrap();
    let story = Story { program, stage };
    let task = story.ended(&runs).await;
    assert_eq!(
        (&task["state"], &task["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(story.ended(&waits).await["attempt"], 1);
}

#[tokio::test]
async fn a_worker_does_what_a_gate_leaves_to_others() {
    let settings = format!("{FILE}tasks.concurrency = 0\n");
    let story = Story::begin_with(vec![Scene::saying("At five.")], &settings).await;
    let chat = story.submitted(&question()).await;
    let health = story.submitted(&look()).await;
    let args = ["worker", "--concurrency", "2", "--kinds", "chat", "--json"];
    let mut worker = Running::start(story.program.folder(), &args, &[]);
    worker.until("working at chat").await;
    let task = story.ended(&chat).await;
    assert_eq!(task["result"]["response"], "At five.");
    worker.until("{\"kind\":\"chat\"").await;
    assert_eq!(
        story.task(&health).await["state"],
        "queued",
        "no kind of its own"
    );
    worker.signal("TERM").await;
    let (status, said) = worker.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let end = said
        .lines()
        .find(|line| line.starts_with("{\"kind\""))
        .unwrap();
    let end: Value = serde_json::from_str(end).unwrap();
    assert_eq!(end["state"], "succeeded");
    assert!(end["run_ms"].is_u64() && end["wait_ms"].is_u64());
}

#[tokio::test]
async fn workers_and_gates_meet_in_redis() {
    let redis = RedisServer::start();
    let settings = format!(
        "store.url = \"redis://127.0.0.1:{}\"\nstore.timeout_ms = 2000\ntasks.concurrency = 0\n\
         tasks.lease_ms = 500\n",
        redis.port
    );
    let story = Story::begin_with(vec![slow(), Scene::saying("At five.")], &settings).await;
    let path = story.submitted(&question()).await;
    let first = Running::start(story.program.folder(), &["worker"], &[]);
    asked(&story, 1).await;
    first.signal("KILL").await;
    first.ended().await;
    let mut second = Running::start(story.program.folder(), &["worker"], &[]);
    second.until("working at").await;
    let task = story.ended(&path).await;
    assert_eq!(task["result"]["response"], "At five.", "{task:#}");
    assert_eq!(task["attempt"], 2);
    second.signal("TERM").await;
    second.until("waiting for what runs").await;
    let (status, said) = second.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn a_task_of_a_killed_worker_is_begun_again_by_another() {
    let settings = format!("{FILE}tasks.concurrency = 0\n");
    let story = Story::begin_with(vec![slow(), Scene::saying("At five.")], &settings).await;
    let path = story.submitted(&question()).await;
    let first = Running::start(story.program.folder(), &["worker"], &[]);
    asked(&story, 1).await;
    first.signal("KILL").await;
    first.ended().await;
    let mut second = Running::start(story.program.folder(), &["worker"], &[]);
    second.until("working at").await;
    let task = story.ended(&path).await;
    assert_eq!(
        (&task["state"], &task["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
}

#[tokio::test]
async fn a_worker_that_is_told_twice_ends_at_once() {
    let settings = format!("{FILE}tasks.concurrency = 0\n");
    let story = Story::begin_with(vec![slow()], &settings).await;
    let path = story.submitted(&question()).await;
    let mut worker = Running::start(story.program.folder(), &["worker"], &[]);
    asked(&story, 1).await;
    worker.signal("TERM").await;
    worker.until("waiting for what runs").await;
    worker.signal("INT").await;
    let (status, said) = worker.ended().await;
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(story.task(&path).await["state"], "running");
}

#[tokio::test]
async fn a_worker_refuses_what_it_cannot_work_at() {
    let folder = crate::gateway::Folder::with_config("store.url = \"memory:\"\n");
    let refused = crate::gateway::run(&folder, &["worker"]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("memory:, which no other process can see"),
        "{said}"
    );
    let file = "store.url = \"sqlite:data\"\n";
    let brew = "[[schedules]]\nname = \"tea\"\nkind = \"brew\"\nevery = \"1h\"\n";
    let scheduled = crate::gateway::Folder::with_config(&(file.to_owned() + brew));
    for args in [&["worker"][..], &["serve", "--bind", "127.0.0.1:0"]] {
        let refused = crate::gateway::run(&scheduled, args).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        let tea = "schedules.tea: kind: there is no \"brew\"; there are chat, ";
        assert!(said.contains(tea), "{said}");
    }
    let folder = crate::gateway::Folder::with_config(file);
    let refused = crate::gateway::run(&folder, &["worker", "--kinds", "brew"]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there is no \"brew\"; there are chat, "),
        "{said}"
    );
}

#[tokio::test]
async fn a_task_may_be_submitted_at_one_gate_and_seen_at_another() {
    let story = Story::begin_with(vec![Scene::answer()], FILE).await;
    let reply = ask(story.addr(), &post("/v1/tasks", &look())).await;
    let path = path_of(&reply.json());
    let args = ["serve", "--set", "tasks.concurrency=0"];
    let mut other = Running::start(story.program.folder(), &args, &[]);
    other.until("curl http://").await;
    let said = other.said();
    let addr = said
        .split_once("curl http://")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0;
    let task = until(addr.parse().unwrap(), &path, has_ended).await;
    assert_eq!(task["state"], "succeeded");
    let gone = ask(addr.parse().unwrap(), &get("/v1/tasks/none")).await;
    assert_eq!(gone.status, 404);
}
