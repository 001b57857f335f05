use super::*;

fn whole(dialect: Dialect, body: &str) -> Option<String> {
    let message = Message::of_answer(dialect, &Bytes::copy_from_slice(body.as_bytes()))?;
    Some(String::from_utf8(message.json.to_vec()).unwrap())
}

fn told(dialect: Dialect, most_bytes: usize, chunks: &[&str]) -> Result<Option<String>, TooLong> {
    let mut scribe = Scribe::new(dialect, most_bytes);
    for json in chunks {
        let json = Bytes::copy_from_slice(json.as_bytes());
        let facts = crate::chunk::ChunkFacts {
            has_content: true,
            ..Default::default()
        };
        scribe.hear(&Chunk {
            event: None,
            json,
            facts,
        });
    }
    let message = scribe.message()?;
    Ok(message.map(|message| String::from_utf8(message.json.to_vec()).unwrap()))
}

const MOST: usize = 1 << 20;

#[test]
fn a_whole_answer_keeps_what_was_said_and_no_remarks() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,"annotations":[],"audio":null}}]}"#;
    let said = r#"{"role":"assistant","content":"hi"}"#;
    assert_eq!(whole(Dialect::Chat, body).as_deref(), Some(said));
    let body = r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","x":1.0}]}}]}"#;
    let said = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","x":1.0}]}"#;
    assert_eq!(whole(Dialect::Chat, body).as_deref(), Some(said));
    let body = r#"{"content":[{"type":"text","text":""},{"type":"text","text":"hi"}],"usage":{}}"#;
    let said = r#"{"role":"assistant","content":[{"type":"text","text":"hi"}]}"#;
    assert_eq!(whole(Dialect::Messages, body).as_deref(), Some(said));
}

#[test]
fn an_answer_that_says_nothing_is_no_message() {
    for body in [
        "",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":{"role":"assistant","content":""}}]}"#,
    ] {
        assert_eq!(whole(Dialect::Chat, body), None, "{body}");
    }
    for body in [
        r#"{"content":[]}"#,
        r#"{"content":[{"type":"text","text":""}]}"#,
    ] {
        assert_eq!(whole(Dialect::Messages, body), None, "{body}");
    }
    assert_eq!(told(Dialect::Chat, MOST, &[]), Ok(None));
    assert_eq!(told(Dialect::Messages, MOST, &[]), Ok(None));
}

#[test]
fn a_stream_of_chunks_is_told_as_one_message() {
    let chunks = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"It "}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"another"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"is"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
    ];
    let said = r#"{"role":"assistant","content":"It is","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#;
    assert_eq!(
        told(Dialect::Chat, MOST, &chunks),
        Ok(Some(said.to_owned()))
    );
}

#[test]
fn a_stream_of_blocks_is_told_as_one_message() {
    let chunks = [
        r#"{"type":"message_start","message":{"content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"It "}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"is"}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
    ];
    let said = r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"It is"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]}"#;
    assert_eq!(
        told(Dialect::Messages, MOST, &chunks),
        Ok(Some(said.to_owned()))
    );
}

#[test]
fn no_more_is_written_down_than_there_is_room_for() {
    let chunk = r#"{"choices":[{"delta":{"content":"four"}}]}"#;
    assert!(told(Dialect::Chat, 8, &[chunk, chunk]).is_ok());
    assert_eq!(told(Dialect::Chat, 7, &[chunk, chunk]), Err(TooLong));
    let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":7}]}}]}"#;
    assert_eq!(told(Dialect::Chat, 8, &[call]), Err(TooLong));
}
