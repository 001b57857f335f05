//! A verdict can be spoken of by its id, by whoever it was given to.

use serde_json::{Value, json};
use tidegate::{KeyRing, Pass, Role};
use tidegate_engine::{Caller, Quota};

use super::{ADDRESS, ATTACK, ATTACK_RULE, house, verdict};
use crate::gateway::{
    Folder, House, Plan, Program, Reply, ask, chat, check_refusal, get, post, request, with,
};

async fn say(house: &House, id: &str, label: &str) -> Reply {
    let path = format!("/v1/verdicts/{id}/feedback");
    house.ask(&post(&path, &json!({"label": label}))).await
}

async fn scanned(house: &House, text: &str) -> String {
    let found = verdict(house, json!({"text": text})).await;
    found["id"].as_str().unwrap().to_owned()
}

/// The counters of feedback that are not zero.
async fn counted(house: &House) -> Vec<String> {
    let metrics = house.ask(&get("/metrics")).await.text();
    let name = "tidegate_guard_feedback_total";
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_word_on_a_verdict_is_kept_and_counted_for_each_of_its_rules() {
    let house = house().await;
    let id = scanned(&house, ATTACK).await;
    let reply = say(&house, &id, "false_positive").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kept = reply.json();
    assert_eq!(
        kept,
        json!({"id": id, "label": "false_positive", "verdict": "block",
               "rules": [ATTACK_RULE], "policy": "default"})
    );
    let line = |label: &str| format!("{{rule=\"{ATTACK_RULE}\",layer=\"L1\",label=\"{label}\"}} 1");
    assert_eq!(counted(&house).await, [line("false_positive")]);
    // Said twice it counts once; another word counts as well.
    say(&house, &id, "false_positive").await;
    assert_eq!(counted(&house).await, [line("false_positive")]);
    say(&house, &id, "confirmed").await;
    let mut both = [line("false_positive"), line("confirmed")];
    let mut seen = counted(&house).await;
    both.sort();
    seen.sort();
    assert_eq!(seen, both);
}

#[tokio::test]
async fn what_was_missed_is_counted_under_no_rule_and_cannot_be_a_false_alarm() {
    let house = house().await;
    let id = scanned(&house, "hello").await;
    let refused = say(&house, &id, "false_positive").await;
    check_refusal(&refused, 400, "invalid_parameter", Some("label"));
    assert_eq!(say(&house, &id, "missed").await.status, 200);
    let flagged = scanned(&house, ADDRESS).await;
    assert_eq!(say(&house, &flagged, "missed").await.status, 200);
    let expected = "{rule=\"none\",layer=\"L1\",label=\"missed\"} 2";
    assert_eq!(counted(&house).await, [expected]);
}

#[tokio::test]
async fn an_id_that_was_not_given_is_not_found() {
    let house = house().await;
    let id = scanned(&house, ATTACK).await;
    let changed = format!("{}0", &id[..id.len() - 1]);
    let other = format!("{}1", &id[..id.len() - 1]);
    let wrong = if changed == id { other } else { changed };
    for none in [
        wrong.as_str(),
        "none",
        "0190a0b0-0000-7000-8000-000000000000",
    ] {
        let refused = say(&house, none, "confirmed").await;
        check_refusal(&refused, 404, "verdict_not_found", Some("id"));
    }
    let refused = say(&house, &id, "wrong").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .text()
            .contains("false_positive | missed | confirmed")
    );
    assert!(counted(&house).await.is_empty());
}

const ONE: &str = "key-one-of-16-or-more";
const OTHER: &str = "key-two-of-16-or-more";

async fn as_key(house: &House, key: &str, path: &str, body: Value) -> Reply {
    let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\n");
    let body = body.to_string();
    let raw = request(&format!("POST {path}"), &headers, body.as_bytes());
    house.ask(&raw).await
}

#[tokio::test]
async fn a_verdict_belongs_to_the_tenant_that_asked_for_it() {
    let mut plan = Plan::serving(&[("m", &["up/answer"])]);
    plan.keys = KeyRing::default();
    for (secret, tenant, role) in [(ONE, "a", Role::User), (OTHER, "b", Role::Admin)] {
        let pass = Pass {
            caller: Caller::new(tenant, Quota::unlimited()),
            role,
            expires_at: None,
        };
        plan.keys.add(secret, pass);
    }
    let house = House::open(plan).await;
    let found = as_key(&house, ONE, "/v1/scan", json!({"text": ATTACK})).await;
    let found = found.json();
    let path = format!("/v1/verdicts/{}/feedback", found["id"].as_str().unwrap());
    let word = json!({"label": "confirmed"});
    let refused = as_key(&house, OTHER, &path, word.clone()).await;
    check_refusal(&refused, 404, "verdict_not_found", Some("id"));
    assert_eq!(as_key(&house, ONE, &path, word).await.status, 200);
}

#[tokio::test]
async fn a_verdict_on_a_conversation_has_an_id_whether_it_is_answered_or_not() {
    let house = house().await;
    for (text, status) in [("hello", 200), (ATTACK, 403)] {
        let message = json!([{"role": "user", "content": text}]);
        let reply = house.complete(&with(chat("m"), "messages", message)).await;
        assert_eq!(reply.status, status);
        let id = reply.header("x-tidegate-verdict-id").unwrap().to_owned();
        let kept = say(&house, &id, "confirmed").await;
        assert_eq!(kept.status, 200, "{}", kept.text());
    }
}

#[tokio::test]
async fn a_verdict_can_be_spoken_of_after_a_restart() {
    let home = Folder::new();
    let store = home.path().join("data");
    let config = format!(
        "server.bind = \"127.0.0.1:0\"\nstore.url = \"sqlite:{}\"\n",
        store.display()
    );
    let begin = async || {
        let started = Program::serve(&config, &[]).await;
        started.unwrap_or_else(|(status, said)| panic!("{status}: {said}"))
    };
    let program = begin().await;
    let scan = post("/v1/scan", &json!({"text": ATTACK}));
    let found = ask(program.addr, &scan).await.json();
    program.terminate().await;
    program.ended().await;
    let program = begin().await;
    let path = format!("/v1/verdicts/{}/feedback", found["id"].as_str().unwrap());
    let word = post(&path, &json!({"label": "confirmed"}));
    let reply = ask(program.addr, &word).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["rules"], json!([ATTACK_RULE]));
}
