use std::time::SystemTime;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_provider::Dialect;

use super::*;

fn kept(dialect: Dialect, json: &Value) -> SessionMessage {
    SessionMessage {
        said: Message {
            dialect,
            json: json.to_string().into(),
        },
        at: SystemTime::now(),
        metadata: serde_json::Map::new(),
    }
}

fn chat(json: Value) -> SessionMessage {
    kept(Dialect::Chat, &json)
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn model(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn calls(id: &str) -> Value {
    let function = json!({"name": "look", "arguments": "{}"});
    let call = json!({"id": id, "type": "function", "function": function});
    json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "calm"})
}

/// The messages of a request that says `own` after `history`, and whether
/// something was left out for want of room.
#[track_caller]
fn composed(history: &[SessionMessage], own: &[Value], budget: u64) -> (Vec<Value>, bool) {
    let body = json!({"model": "m", "messages": own}).to_string();
    let request = ChatRequest::parse(Bytes::from(body)).unwrap();
    let composed = compose(&request, history, budget).unwrap();
    (messages(&composed.request), composed.is_cut)
}

fn messages(request: &ChatRequest) -> Vec<Value> {
    serde_json::from_slice(request.raw().get("messages").unwrap()).unwrap()
}

#[test]
fn history_stands_between_instructions_and_what_is_said_now() {
    let history = [chat(user("a")), chat(model("b"))];
    let system = json!({"role": "system", "content": "be kind"});
    let told = composed(&history, &[system.clone(), user("c")], 1_000);
    assert_eq!(
        told,
        (vec![system, user("a"), model("b"), user("c")], false)
    );
}

#[test]
fn the_newest_turns_win_and_only_whole_ones_are_told() {
    let long = "x".repeat(400);
    let history = [
        chat(user("first")),
        chat(model("1")),
        chat(user("second")),
        chat(model(&long)),
        chat(user("third")),
        chat(model("3")),
    ];
    let (told, is_cut) = composed(&history, &[user("now")], 60);
    assert_eq!(told, [user("third"), model("3"), user("now")]);
    assert!(is_cut);
    let (told, is_cut) = composed(&history, &[user("now")], 1_000);
    assert_eq!((told.len(), is_cut), (7, false));
    assert_eq!(
        composed(&history, &[user("now")], 0),
        (vec![user("now")], true)
    );
}

#[test]
fn a_turn_with_tools_is_told_whole() {
    let history = [
        chat(user("weather?")),
        chat(calls("c1")),
        chat(result("c1")),
        chat(model("calm")),
    ];
    let (told, _) = composed(&history, &[user("thanks")], 1_000);
    assert_eq!(told.len(), 5);
    assert_eq!(
        composed(&history, &[user("thanks")], 20).0,
        [user("thanks")]
    );
}

#[test]
fn a_call_that_nobody_answers_is_not_told() {
    let history = [chat(user("weather?")), chat(calls("c1"))];
    let (told, is_cut) = composed(&history, &[user("never mind")], 1_000);
    assert_eq!(
        (told, is_cut),
        (vec![user("weather?"), user("never mind")], false)
    );
}

#[test]
fn results_of_a_call_that_is_not_told_are_not_told_either() {
    let two = json!({"role": "assistant", "content": null, "tool_calls": [
        calls("c1")["tool_calls"][0], calls("c2")["tool_calls"][0]
    ]});
    let history = [chat(user("weather?")), chat(two), chat(result("c1"))];
    let (told, _) = composed(&history, &[user("never mind")], 1_000);
    assert_eq!(told, [user("weather?"), user("never mind")]);
}

#[test]
fn a_call_that_is_answered_now_is_told_whatever_it_costs() {
    let history = [chat(user(&"x".repeat(4_000))), chat(calls("c1"))];
    let (told, is_cut) = composed(&history, &[result("c1")], 10);
    assert_eq!((told.len(), is_cut), (3, false));
    assert_eq!(told[1], calls("c1"));
}

#[test]
fn what_was_said_in_another_dialect_is_told_in_the_request_s() {
    let block = json!({"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sea"}});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "calm"});
    let history = [
        kept(Dialect::Messages, &user("weather?")),
        kept(
            Dialect::Messages,
            &json!({"role": "assistant", "content": [block]}),
        ),
        kept(
            Dialect::Messages,
            &json!({"role": "user", "content": [result]}),
        ),
        kept(
            Dialect::Messages,
            &json!({"role": "assistant", "content": [{"type": "text", "text": "calm"}]}),
        ),
    ];
    let (told, is_cut) = composed(&history, &[user("thanks")], 1_000);
    assert!(!is_cut);
    assert_eq!(told[0], user("weather?"));
    assert_eq!(told[1]["tool_calls"][0]["id"], "t1");
    assert_eq!(told[2]["tool_call_id"], "t1");
    assert_eq!(told[3..], [model("calm"), user("thanks")]);
}

#[test]
fn what_cannot_be_told_in_a_dialect_ends_the_history_there() {
    let audio = json!({"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    ]});
    let history = [
        chat(audio),
        chat(model("a song")),
        chat(user("whose?")),
        chat(model("nobody knows")),
    ];
    let body = json!({"model": "m", "max_tokens": 9, "messages": [user("now")]}).to_string();
    let request = ChatRequest::parse_as(Dialect::Messages, Bytes::from(body)).unwrap();
    let composed = compose(&request, &history, 10_000).unwrap();
    let told = messages(&composed.request);
    assert!(composed.is_cut);
    assert_eq!(told[0]["role"], "user");
    assert_eq!(told.len(), 3);
}

proptest! {
    /// However long the history: what is told of it costs no more than the
    /// budget, is its end, and begins with what a person said.
    #[test]
    fn what_is_told_is_a_suffix_within_the_budget(
        lengths in prop::collection::vec(1..300_usize, 0..20),
        budget in 0..500_u64,
    ) {
        let history: Vec<SessionMessage> = lengths.iter().enumerate().map(|(at, length)| {
            let text = format!("{at}{}", "x".repeat(*length));
            chat(if at % 2 == 0 { user(&text) } else { model(&text) })
        }).collect();
        let (told, is_cut) = composed(&history, &[user("now")], budget);
        let past = &told[..told.len() - 1];
        let all: Vec<Value> = history.iter()
            .map(|message| serde_json::from_slice(&message.said.json).unwrap())
            .collect();
        prop_assert_eq!(past, &all[all.len() - past.len()..]);
        prop_assert_eq!(is_cut, past.len() < all.len());
        if let Some(first) = past.first() {
            prop_assert_eq!(&first["role"], "user");
        }
        let bytes: usize = past.iter().map(|said| said["content"].as_str().unwrap().len()).sum();
        prop_assert!(bytes as u64 / 4 <= budget);
    }
}
