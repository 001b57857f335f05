//! What a policy redacts goes on without it, in both directions and every
//! dialect; what cannot be redacted is held up.

use serde_json::{Value, json};
use tidegate_engine::Policy;

use super::{anthropic, before, message, says};
use crate::gateway::{Plan, Scene, chat, with};

const CARD: &str = "4111 1111 1111 1111";
const HIDDEN: &str = "[redacted:pii.payment_card]";

fn redacting(plan: &mut Plan) {
    let text = "[policy]\nid = 'own'\nbase = 'default'\n\
        [[rules]]\nrules = ['pii.payment_card']\naction = 'redact'";
    plan.guard.chosen.policy = Policy::load("own.toml", text).unwrap();
}

fn paying() -> String {
    format!("pay with {CARD}, please")
}

fn hidden() -> String {
    format!("pay with {HIDDEN}, please")
}

#[tokio::test]
async fn a_prompt_goes_on_without_what_is_redacted() {
    let (house, stage) = before(vec![Scene::answer()], redacting).await;
    let body = json!([
        {"role": "system", "content": paying()},
        {"role": "user", "content": [{"type": "text", "text": paying(), "x": 1.0}]},
        {"role": "tool", "tool_call_id": "1", "content": paying()},
    ]);
    let asked = with(with(chat("m"), "messages", body), "seed", 7);
    let reply = house.complete(&asked).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-tidegate-verdict"), Some("redact"));
    let seen = stage.seen().remove(0).body;
    assert_eq!(seen["messages"][0]["content"], paying());
    let part = json!({"type": "text", "text": hidden(), "x": 1.0});
    assert_eq!(seen["messages"][1]["content"], json!([part]));
    assert_eq!(seen["messages"][2]["content"], hidden());
    assert_eq!(seen["seed"], 7);
}

#[tokio::test]
async fn a_whole_answer_comes_without_what_is_redacted_in_both_dialects() {
    let (house, _stage) = before(vec![Scene::saying(&paying())], redacting).await;
    let reply = house.complete(&says("hello")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = &reply.json()["choices"][0]["message"]["content"];
    assert_eq!(*said, hidden());
    let user = json!([{"role": "user", "content": "hello"}]);
    let reply = message(&house, &anthropic(user)).await;
    assert_eq!(reply.json()["content"][0]["text"], hidden());
}

#[tokio::test]
async fn what_is_kept_of_an_answer_is_redacted_too() {
    let (house, stage) = before(vec![Scene::saying(&paying())], redacting).await;
    let asked = with(says(&paying()), "tidegate", json!({"cache": "use"}));
    for _ in 0..2 {
        let reply = house.complete(&asked).await;
        let said = reply.json()["choices"][0]["message"]["content"].clone();
        assert_eq!(said, hidden());
        assert_eq!(reply.header("x-tidegate-verdict"), Some("redact"));
    }
    assert_eq!(stage.seen().len(), 1);
}

#[tokio::test]
async fn a_stream_that_would_have_to_be_redacted_ends_and_says_so() {
    let deltas: Vec<Value> = ["pay with ", CARD, ", please"]
        .iter()
        .map(|piece| json!({"content": piece}))
        .collect();
    let (house, _stage) = before(vec![Scene::streaming(&deltas)], redacting).await;
    let reply = house.complete(&with(says("hello"), "stream", true)).await;
    let text = reply.text();
    let last: Value = serde_json::from_str(&reply.events().pop().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "blocked_by_guard", "{text}");
    let said = last["error"]["message"].as_str().unwrap();
    assert!(said.contains("ask for the answer whole"), "{said}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_chat_asks_for_a_policy_by_name() {
    let (house, stage) = before(vec![Scene::answer()], |plan| {
        let mut own = Plan::serving(&[]);
        redacting(&mut own);
        plan.guard.policies = vec![own.guard.chosen.policy];
    })
    .await;
    let asked = |policy| with(says(&paying()), "tidegate", json!({"policy": policy}));
    let status = async |policy| {
        let reply = house.complete(&asked(policy)).await;
        (
            reply.status,
            reply.header("x-tidegate-verdict").map(str::to_owned),
        )
    };
    assert_eq!(status("own").await, (200, Some("redact".to_owned())));
    assert_eq!(stage.seen()[0].body["messages"][0]["content"], hidden());
    assert_eq!(status("default").await, (200, Some("flag".to_owned())));
    assert_eq!(status("strict").await, (403, Some("block".to_owned())));
    assert_eq!(status("none").await, (400, None));
}
