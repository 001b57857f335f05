//! The end of a task, told to who wants to know.

use serde_json::{Value, json};

use crate::gateway::{Scene, Stage, check_refusal, with};
use crate::signed::is_signed;
use crate::{Story, look};

const SECRET: &str = "hook-secret-0123456789";
const ENV: [(&str, &str); 1] = [("HOOK_SECRET", SECRET)];

/// A gate that may tell this stage.
async fn told(hook: &Stage) -> Story {
    let row = format!(
        "[[webhooks]]\nhost = \"{}\"\nsecret = \"env:HOOK_SECRET\"\n",
        hook.addr
    );
    Story::begin_in(vec![Scene::answer()], &row, &ENV).await
}

fn asking_for(hook: &Stage) -> Value {
    with(look(), "webhook", format!("http://{}/ends?a=b", hook.addr))
}

#[tokio::test]
async fn the_end_of_a_task_is_told_and_signed() {
    let hook = Stage::open(vec![Scene::answer()]).await;
    let story = told(&hook).await;
    let path = story.submitted(&asking_for(&hook)).await;
    let webhook = story.ended(&format!("{path}.webhook")).await;
    assert_eq!(webhook["state"], "succeeded", "{webhook:#}");
    assert_eq!(webhook["result"], json!({"status": 200}));
    let seen = hook.seen().remove(0);
    assert!(
        seen.head.starts_with("POST /ends?a=b HTTP/1.1"),
        "{}",
        seen.head
    );
    assert_eq!(seen.body["task"], story.task(&path).await);
    assert_eq!(
        seen.header("webhook-id"),
        webhook["id"].as_str().map(str::to_owned)
    );
    assert!(is_signed(&seen, SECRET.as_bytes()), "{}", seen.head);
    assert!(!is_signed(&seen, b"another-secret-0123456789"));
}

#[tokio::test]
async fn a_message_is_repeated_under_the_same_id_until_it_is_taken() {
    let scenes = vec![Scene::status(500), Scene::status(404), Scene::answer()];
    let hook = Stage::open(scenes).await;
    let story = told(&hook).await;
    let path = story.submitted(&asking_for(&hook)).await;
    let webhook = story.ended(&format!("{path}.webhook")).await;
    assert_eq!(webhook["state"], "succeeded", "{webhook:#}");
    assert_eq!(webhook["attempt"], 3);
    let ids: Vec<_> = hook
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(
        ids.iter().all(|id| *id == ids[0] && id.is_some()),
        "{ids:?}"
    );
    assert!(
        hook.seen()
            .iter()
            .all(|seen| is_signed(seen, SECRET.as_bytes()))
    );
}

#[tokio::test]
async fn nobody_else_is_told() {
    let (hook, stranger) = (
        Stage::open(vec![Scene::answer()]).await,
        Stage::open(vec![Scene::answer()]).await,
    );
    let story = told(&hook).await;
    for url in [
        format!("http://{}/", stranger.addr),
        format!("http://{}@{}/", hook.addr, stranger.addr),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "no address".to_owned(),
    ] {
        let reply = story.submit(&with(look(), "webhook", url.as_str())).await;
        let message = check_refusal(&reply, 400, "invalid_task", Some("webhook"));
        assert!(
            message.starts_with("webhook must be an address"),
            "{message}"
        );
    }
    // Nor by a task that says to be such a message.
    let forged = json!({"kind": "webhook", "input":
        {"url": format!("http://{}/", stranger.addr), "task": "x"}});
    let path = story.submitted(&with(forged, "max_retries", 0)).await;
    assert_ne!(story.ended(&path).await["state"], "succeeded");
    assert!(stranger.seen().is_empty());
}
