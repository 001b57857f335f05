//! What is sent to Bedrock.

use serde_json::{Value, json};

use super::{CLAUDE, parsed, provider, response};
use crate::bedrock::BedrockConfig;
use crate::dialect::Dialect;
use crate::error::ProviderError;
use crate::provider::Provider;

const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},
    "stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;

/// The bytes that go out for a request.
async fn sent(dialect: Dialect, model: &str, body: &str) -> Result<String, ProviderError> {
    let (bedrock, replay) = provider(vec![response(200, ANSWER)]);
    bedrock.complete(model, &parsed(dialect, body)).await?;
    let request = replay.actual_requests().next().unwrap();
    let body = request.body().bytes().unwrap();
    let length = request.headers().get("content-length");
    assert_eq!(length, Some(&*body.len().to_string()));
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[track_caller]
fn same(sent: &str, expected: Value) {
    let sent: Value = serde_json::from_str(sent).unwrap();
    assert_eq!(sent, expected, "{sent:#}");
}

/// The parameter and the status of a refusal that leaves the next model a chance.
async fn refused(dialect: Dialect, model: &str, body: &str) -> String {
    match sent(dialect, model, body).await {
        Err(ProviderError::NotServed(refusal)) => {
            assert_eq!(refusal.status, 400);
            assert_eq!(refusal.code.as_deref(), Some("unsupported_parameter"));
            refusal.param.unwrap()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_chat_goes_out_as_converse() {
    let body = r#"{"model":"m","messages":[
        {"role":"system","content":"Be brief."},
        {"role":"user","content":[{"type":"text","text":"what is this?"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",
            "function":{"name":"look","arguments":"{\"z\":1.0,\"a\":123456789012345678901234567890}"}}]},
        {"role":"tool","tool_call_id":"call_1","content":"a tide table"},
        {"role":"user","content":"go on"}],
        "tools":[{"type":"function","function":{"name":"look","description":"Looks.",
            "parameters":{"type":"object","properties":{"z":{},"a":{}}}}}],
        "tool_choice":"auto","max_tokens":50,"temperature":0.7,"top_p":0.9,"stop":["END"],
        "user":"user-7"}"#;
    let sent = sent(Dialect::Chat, CLAUDE, body).await.unwrap();
    let expected = concat!(
        r#"{"messages":[{"role":"user","content":[{"text":"what is this?"},"#,
        r#"{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}}]},"#,
        r#"{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"look","#,
        r#""input":{"z":1.0,"a":123456789012345678901234567890}}}]},"#,
        r#"{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","#,
        r#""content":[{"text":"a tide table"}]}},{"text":"go on"}]}],"#,
        r#""system":[{"text":"Be brief."}],"#,
        r#""inferenceConfig":{"maxTokens":50,"temperature":0.7,"topP":0.9,"stopSequences":["END"]},"#,
        r#""toolConfig":{"tools":[{"toolSpec":{"name":"look","description":"Looks.","#,
        r#""inputSchema":{"json":{"type":"object","properties":{"z":{},"a":{}}}}}}],"#,
        r#""toolChoice":{"auto":{}}},"#,
        r#""additionalModelResponseFieldPaths":["/stop_sequence"],"#,
        r#""requestMetadata":{"user_id":"user-7"}}"#,
    );
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn anthropics_messages_go_out_as_converse() {
    let body = r#"{"model":"m","max_tokens":4000,"system":"Be brief.","messages":[
        {"role":"user","content":"hello"},
        {"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"c2VhbA=="},
            {"type":"redacted_thinking","data":"AAAA"},
            {"type":"text","text":"I look."},
            {"type":"tool_use","id":"toolu_1","name":"look","input":{"at":"sea"}}]},
        {"role":"user","content":[
            {"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":"too dark"}]}],
        "tools":[{"name":"look","input_schema":{"type":"object"}}],
        "tool_choice":{"type":"tool","name":"look"},
        "thinking":{"type":"enabled","budget_tokens":2000},"top_k":5,
        "metadata":{"user_id":"user-7"}}"#;
    let sent = sent(Dialect::Messages, CLAUDE, body).await.unwrap();
    same(
        &sent,
        json!({
            "messages": [
                {"role": "user", "content": [{"text": "hello"}]},
                {"role": "assistant", "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2VhbA=="}}},
                    {"reasoningContent": {"redactedContent": "AAAA"}},
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "toolu_1", "name": "look", "input": {"at": "sea"}}},
                ]},
                {"role": "user", "content": [{"toolResult": {
                    "toolUseId": "toolu_1", "content": [{"text": "too dark"}], "status": "error",
                }}]},
            ],
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 4000},
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}],
                "toolChoice": {"tool": {"name": "look"}},
            },
            "additionalModelRequestFields": {
                "top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 2000},
            },
            "requestMetadata": {"user_id": "user-7"},
        }),
    );
}

#[tokio::test]
async fn the_call_is_signed_and_names_the_model_in_its_path() {
    let (bedrock, replay) = provider(vec![response(200, ANSWER)]);
    let request = super::hello(Dialect::Chat);
    bedrock.complete(CLAUDE, &request).await.unwrap();
    let sent = replay.actual_requests().next().unwrap();
    assert_eq!(
        sent.uri(),
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse"
    );
    let signed = sent.headers().get("authorization").unwrap();
    assert!(
        signed.contains("/eu-west-1/bedrock/aws4_request"),
        "{signed}"
    );
    assert!(signed.contains("content-length") || signed.contains("content-type"));
}

#[tokio::test]
async fn a_bound_of_the_configuration_holds_where_the_caller_sets_none() {
    let hello = |extra: &str| {
        format!(r#"{{"model":"m"{extra},"messages":[{{"role":"user","content":"hello"}}]}}"#)
    };
    for (extra, expected) in [("", 77), (r#","max_tokens":5"#, 5)] {
        let (mut bedrock, replay) = provider(vec![response(200, ANSWER)]);
        bedrock.config = BedrockConfig {
            default_max_tokens: Some(77),
            ..BedrockConfig::default()
        };
        let request = parsed(Dialect::Chat, &hello(extra));
        bedrock.complete(CLAUDE, &request).await.unwrap();
        let sent = replay.actual_requests().next().unwrap();
        let sent: Value = serde_json::from_slice(sent.body().bytes().unwrap()).unwrap();
        assert_eq!(sent["inferenceConfig"]["maxTokens"], expected);
    }
}

#[tokio::test]
async fn turns_of_one_speaker_become_one_message_and_results_come_first() {
    let body = r#"{"model":"m","messages":[
        {"role":"user","content":"a"},{"role":"user","content":"b"},
        {"role":"assistant","content":"c"},{"role":"assistant","content":"d","tool_calls":[
            {"id":"1","type":"function","function":{"name":"t","arguments":"{}"}}]},
        {"role":"user","content":"e"},{"role":"tool","tool_call_id":"1","content":""}],
        "tools":[{"type":"function","function":{"name":"t"}}]}"#;
    let sent = sent(Dialect::Chat, CLAUDE, body).await.unwrap();
    same(
        &sent,
        json!({
            "messages": [
                {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
                {"role": "assistant", "content": [{"text": "c"}, {"text": "d"},
                    {"toolUse": {"toolUseId": "1", "name": "t", "input": {}}}]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "1", "content": []}}, {"text": "e"}]},
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "t",
                "inputSchema": {"json": {"type": "object", "properties": {}}}}}]},
        }),
    );
}

#[tokio::test]
async fn a_schema_and_an_effort_go_into_the_output_config() {
    let body = r#"{"model":"m","reasoning_effort":"low","messages":[{"role":"user","content":"x"}],
        "response_format":{"type":"json_schema","json_schema":{"name":"tide","description":"D.",
            "schema":{"type":"object","properties":{"b":{},"a":{}}},"strict":true}}}"#;
    let sent = sent(Dialect::Chat, CLAUDE, body).await.unwrap();
    same(
        &sent,
        json!({
            "messages": [{"role": "user", "content": [{"text": "x"}]}],
            "outputConfig": {
                "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
                    "schema": r#"{"type":"object","properties":{"b":{},"a":{}}}"#,
                    "name": "tide", "description": "D.",
                }}},
                "effort": "low",
            },
        }),
    );
}

#[tokio::test]
async fn no_tool_at_all_is_said_by_showing_none() {
    let tools = r#""tools":[{"type":"function","function":{"name":"t"}}]"#;
    let fresh = format!(
        r#"{{"model":"m",{tools},"tool_choice":"none","parallel_tool_calls":false,
            "messages":[{{"role":"user","content":"x"}}]}}"#
    );
    let sent = sent(Dialect::Chat, CLAUDE, &fresh).await.unwrap();
    assert!(!sent.contains("toolConfig"), "{sent}");
    let with_history = format!(
        r#"{{"model":"m",{tools},"tool_choice":"none","messages":[{{"role":"user","content":"x"}},
            {{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":{{"name":"t","arguments":"{{}}"}}}}]}},
            {{"role":"tool","tool_call_id":"1","content":"y"}}]}}"#
    );
    assert_eq!(
        refused(Dialect::Chat, CLAUDE, &with_history).await,
        "tool_choice"
    );
}

#[tokio::test]
async fn what_converse_cannot_say_is_refused_by_its_path() {
    let user = r#"{"role":"user","content":"x"}"#;
    let tools = r#""tools":[{"type":"function","function":{"name":"t"}}]"#;
    let cases = [
        (format!(r#""messages":[{user}],"user":"eve <eve@sea>""#), "user"),
        (format!(r#""messages":[{user}],"max_tokens":2147483648"#), "max_tokens"),
        (format!(r#""messages":[{user}],"temperature":1.5"#), "temperature"),
        (
            format!(r#""messages":[{user}],"tools":[{{"type":"function","function":{{"name":"a b"}}}}]"#),
            "tools[0].name",
        ),
        (
            format!(
                r#""messages":[{{"role":"tool","tool_call_id":"{}","content":"y"}}],{tools}"#,
                "x".repeat(65)
            ),
            "messages[0].content[0].id",
        ),
        (r#""messages":[{"role":"assistant","content":"x"}]"#.to_owned(), "messages[0].role"),
        (r#""messages":[{"role":"user","content":""}]"#.to_owned(), "messages[0].content"),
        (
            r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/b.png"}}]}]"#.to_owned(),
            "messages[0].content[0].url",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AAAA"}}]}]"#.to_owned(),
            "messages[0].content[0].media_type",
        ),
        (
            format!(
                r#""messages":[{user},{{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":{{"name":"t","arguments":"{{}}"}}}}]}},
                {{"role":"tool","tool_call_id":"1","content":"y"}}]"#
            ),
            "tools",
        ),
    ];
    for (fields, param) in cases {
        let body = format!(r#"{{"model":"m",{fields}}}"#);
        assert_eq!(refused(Dialect::Chat, CLAUDE, &body).await, param, "{body}");
    }
    let prompt = r#"{"model":"m","prompt":"x"}"#;
    assert_eq!(refused(Dialect::Completion, CLAUDE, prompt).await, "prompt");
}

#[tokio::test]
async fn what_only_anthropics_models_take_is_refused_for_others() {
    let body = |field: &str| {
        format!(
            r#"{{"model":"m","max_tokens":9000,"messages":[{{"role":"user","content":"x"}}],{field}}}"#
        )
    };
    let top_k = body(r#""top_k":5"#);
    let thinking = body(r#""thinking":{"type":"enabled","budget_tokens":2000}"#);
    for model in ["amazon.nova-lite-v1:0", "eu.meta.llama3-2-3b-instruct-v1:0"] {
        assert_eq!(refused(Dialect::Messages, model, &top_k).await, "top_k");
        assert_eq!(
            refused(Dialect::Messages, model, &thinking).await,
            "thinking"
        );
    }
    // A profile's ARN does not tell whose model stands behind it.
    let profile = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    for model in [profile, "eu.anthropic.claude-sonnet-4-20250514-v1:0"] {
        let sent = sent(Dialect::Messages, model, &top_k).await.unwrap();
        assert!(
            sent.contains(r#""additionalModelRequestFields":{"top_k":5}"#),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn one_tool_at_a_time_reaches_anthropics_models_in_their_own_words() {
    let choices = [
        (
            "",
            r#"{"type":"auto","disable_parallel_tool_use":true}"#,
            None,
        ),
        (
            r#","tool_choice":"auto""#,
            r#"{"type":"auto","disable_parallel_tool_use":true}"#,
            None,
        ),
        (
            r#","tool_choice":"required""#,
            r#"{"disable_parallel_tool_use":true}"#,
            Some(r#""toolChoice":{"any":{}}"#),
        ),
        (
            r#","tool_choice":{"type":"function","function":{"name":"t"}}"#,
            r#"{"disable_parallel_tool_use":true}"#,
            Some(r#""toolChoice":{"tool":{"name":"t"}}"#),
        ),
    ];
    for (choice, theirs, converses) in choices {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"parallel_tool_calls":false,
                "tools":[{{"type":"function","function":{{"name":"t"}}}}]{choice}}}"#
        );
        let said = sent(Dialect::Chat, CLAUDE, &body).await.unwrap();
        let theirs = format!(r#""additionalModelRequestFields":{{"tool_choice":{theirs}}}"#);
        assert!(said.contains(&theirs), "{choice}: {said}");
        // The kind of choice stands in one of the two places, never in both.
        let at = said.find(r#""toolChoice""#);
        match converses {
            Some(choice) => assert!(said.contains(choice), "{said}"),
            None => assert_eq!(at, None, "{said}"),
        }
    }
}

#[tokio::test]
async fn one_tool_at_a_time_is_refused_for_models_of_others() {
    let nova = "amazon.nova-lite-v1:0";
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"parallel_tool_calls":false,
        "tools":[{"type":"function","function":{"name":"t"}}]}"#;
    let param = refused(Dialect::Chat, nova, body).await;
    assert_eq!(param, "parallel_tool_calls");
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],
        "tools":[{"name":"t","input_schema":{"type":"object"}}],
        "tool_choice":{"type":"auto","disable_parallel_tool_use":true}}"#;
    let param = refused(Dialect::Messages, nova, body).await;
    assert_eq!(param, "tool_choice.disable_parallel_tool_use");
}

#[tokio::test]
async fn thoughts_without_a_seal_are_left_out() {
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"},
        {"role":"assistant","content":"y","reasoning_content":"hm"},{"role":"user","content":"z"}]}"#;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
            {"type":"text","text":"y"}]},{"role":"user","content":"z"}]}"#;
    for (dialect, body) in [(Dialect::Chat, chat), (Dialect::Messages, messages)] {
        let sent = sent(dialect, CLAUDE, body).await.unwrap();
        let sent: Value = serde_json::from_str(&sent).unwrap();
        let answer = &sent["messages"][1];
        assert_eq!(
            *answer,
            json!({"role": "assistant", "content": [{"text": "y"}]})
        );
    }
}

#[tokio::test]
async fn an_image_that_is_no_base64_is_wrong_for_every_model() {
    for data in ["AAA", "A===", "AA A", "AAA-"] {
        let body = format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"image",
            "source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]}}]}}"#
        );
        let error = sent(Dialect::Messages, CLAUDE, &body).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Rejected(_)),
            "{data}: {error:?}"
        );
    }
}
