use super::*;

fn message(dialect: Dialect, json: &str) -> Message {
    Message {
        dialect,
        json: Bytes::copy_from_slice(json.as_bytes()),
    }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    let text = |message: &Message| std::str::from_utf8(message.json.as_ref().to_vec().leak());
    messages
        .iter()
        .map(|message| text(message).unwrap())
        .collect()
}

#[test]
fn calls_and_their_results_are_found_in_both_dialects() {
    let chat = |json| message(Dialect::Chat, json).facts();
    let call = chat(
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
    );
    assert_eq!(
        (call.calls, call.beside_bytes > 50),
        (vec!["c1".to_owned()], true)
    );
    let result = chat(r#"{"role":"tool","tool_call_id":"c1","content":"7"}"#);
    assert_eq!(result.results, ["c1"]);
    let messages = |json| message(Dialect::Messages, json).facts();
    let call = messages(
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]}"#,
    );
    assert_eq!(call.calls, ["t1"]);
    let result = messages(
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"7"}]}"#,
    );
    assert_eq!(
        (result.begins_turn(), result.results),
        (false, vec!["t1".to_owned()])
    );
    assert!(chat(r#"{"role":"user","content":"hello"}"#).begins_turn());
    assert!(chat(r#"{"role":"developer","content":"be kind"}"#).instructs());
}

#[test]
fn other_messages_leave_every_other_field_as_it_came() {
    let body = r#"{"model":"m","seed":12345678901234567890123,"messages":[{"role":"user","content":"b"}],"x":1.0}"#;
    let request = ChatRequest::parse(Bytes::from_static(body.as_bytes())).unwrap();
    let mut messages = vec![message(Dialect::Chat, r#"{"role":"user","content":"a"}"#)];
    messages.extend(request.messages());
    let request = request.with_messages(&messages).unwrap();
    assert_eq!(
        request.to_upstream("m"),
        body.replace(
            r#"{"role":"user","content":"b"}"#,
            r#"{"role":"user","content":"a"},{"role":"user","content":"b"}"#
        )
    );
    assert_eq!(request.content().messages, 2);
}

#[test]
fn a_conversation_with_tools_is_told_in_the_other_dialect_and_back() {
    let chat = [
        r#"{"role":"user","content":"weather?"}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"at\":\"sea\"}"}}]}"#,
        r#"{"role":"tool","tool_call_id":"c1","content":"calm"}"#,
        r#"{"role":"assistant","content":"It is calm."}"#,
    ];
    let said: Vec<Message> = chat.map(|json| message(Dialect::Chat, json)).to_vec();
    let told = Message::retell(&said, Dialect::Messages).unwrap();
    assert!(
        told.iter()
            .all(|message| message.dialect == Dialect::Messages)
    );
    assert_eq!(told[1].facts().calls, ["c1"]);
    assert_eq!(told[2].facts().results, ["c1"]);
    let back = Message::retell(&told, Dialect::Chat).unwrap();
    let expected = chat.join("\n").replace(r#""content":null,"#, "");
    assert_eq!(texts(&back).join("\n"), expected);
}

#[test]
fn what_has_no_word_in_the_other_dialect_is_not_told() {
    let audio = r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}"#;
    let said = [message(Dialect::Chat, audio)];
    assert_eq!(Message::retell(&said, Dialect::Messages), None);
    assert_eq!(
        Message::retell(&said, Dialect::Chat).as_deref(),
        Some(&said[..])
    );
}
