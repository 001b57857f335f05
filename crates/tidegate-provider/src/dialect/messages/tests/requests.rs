use bytes::Bytes;
use serde_json::Value;

use super::super::{read_request, write_request};
use crate::dialect::{
    Conversation, Effort, Image, ImageData, Json, ParallelTools, Part, Refusal, Role, Thinking,
    ToolChoice,
};
use crate::raw::RawObject;

pub(super) fn read(body: &str) -> Result<Conversation, Refusal> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    read_request(&RawObject::parse(&body).unwrap(), "another model")
}

/// A request with one short turn and these fields.
fn with(fields: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#
    )
}

/// A request with one turn of these blocks.
fn of_blocks(role: &str, blocks: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"{role}","content":[{blocks}]}}]}}"#
    )
}

fn refusal(body: &str) -> String {
    read(body).unwrap_err().to_string()
}

fn parts(role: &str, blocks: &str) -> Vec<Part> {
    let conversation = read(&of_blocks(role, blocks)).unwrap();
    conversation.turns[0].parts.clone()
}

/// Read and written again.
fn again(body: &str) -> Value {
    let bytes = write_request(&read(body).unwrap(), "up", 1).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

const FULL: &str = r#"{"model":"up","max_tokens":2000,"temperature":0.70,"top_p":0.9,"top_k":5,
"stop_sequences":["END","\n\n"],
"system":[{"type":"text","text":"rules"},{"type":"text","text":"more"}],
"messages":[
 {"role":"user","content":[{"type":"text","text":"look"},
  {"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}},
  {"type":"image","source":{"type":"url","url":"https://h/x.png"}}]},
 {"role":"assistant","content":[
  {"type":"thinking","thinking":"hm","signature":"c2ln"},
  {"type":"redacted_thinking","data":"ZGF0YQ=="},
  {"type":"text","text":"I look"},
  {"type":"tool_use","id":"toolu_1","name":"look","input":{"at":12345678901234567890123,"x":[1.0]}},
  {"type":"tool_use","id":"toolu_2","name":"look","input":{}}]},
 {"role":"user","content":[
  {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"seen"},
   {"type":"image","source":{"type":"url","url":"https://h/y.png"}}]},
  {"type":"tool_result","tool_use_id":"toolu_2","is_error":true},
  {"type":"text","text":"and?"}]}],
"tools":[{"name":"look","description":"looks","input_schema":{"type":"object","properties":{"at":{"type":"number"}}},"strict":true},
 {"name":"bare","input_schema":{"type":"object"}}],
"tool_choice":{"type":"tool","name":"look","disable_parallel_tool_use":true},
"thinking":{"type":"enabled","budget_tokens":1024},
"output_config":{"effort":"medium","format":{"type":"json_schema","schema":{"type":"object"}}},
"metadata":{"user_id":"u-1"},"stream":true}"#;

#[test]
fn a_request_with_everything_comes_out_as_it_went_in() {
    let original: Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(again(FULL), original);
}

#[test]
fn numbers_and_raw_json_keep_their_bytes() {
    let bytes = write_request(&read(FULL).unwrap(), "up", 1).unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(r#""temperature":0.70"#), "{text}");
    assert!(text.contains(r#""input":{"at":12345678901234567890123,"x":[1.0]}"#));
}

#[test]
fn everything_is_read_into_its_own_noun() {
    let read = read(FULL).unwrap();
    assert_eq!(read.system.len(), 2);
    let roles: Vec<Role> = read.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    assert_eq!(read.tool_choice, Some(ToolChoice::Tool("look".to_owned())));
    assert_eq!(read.parallel_tools, Some(ParallelTools::Forbidden));
    assert_eq!(read.sampling.max_tokens, Some(2_000));
    assert_eq!(read.sampling.stop, ["END", "\n\n"]);
    assert_eq!(read.thinking, Some(Thinking::Budget(1_024)));
    assert_eq!(read.effort, Some(Effort::Medium));
    assert_eq!(read.user.as_deref(), Some("u-1"));
    assert!(read.stream);
    assert_eq!(read.tools[1].strict, None);
}

#[test]
fn a_string_is_one_text() {
    let body = r#"{"model":"m","max_tokens":9,"system":"be brief","messages":[{"role":"user","content":"hi"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"done"}]}]}"#;
    let read = read(body).unwrap();
    assert_eq!(read.system, [Part::Text("be brief".to_owned())]);
    assert_eq!(read.turns[0].parts, [Part::Text("hi".to_owned())]);
    let Part::ToolResult(result) = &read.turns[1].parts[0] else {
        panic!("no result")
    };
    assert_eq!(result.content, [Part::Text("done".to_owned())]);
    assert!(!result.is_error);
}

#[test]
fn hints_that_change_no_answer_are_let_go() {
    let hint = r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":9,{hint},"service_tier":"auto",
        "system":[{{"type":"text","text":"a",{hint}}}],
        "tools":[{{"name":"t","input_schema":{{}},"type":"custom",{hint}}}],
        "messages":[{{"role":"assistant","content":[
         {{"type":"text","text":"b","citations":null,{hint}}},
         {{"type":"text","text":"c","citations":[]}},
         {{"type":"tool_use","id":"i","name":"t","input":{{}},"caller":{{"type":"direct"}},{hint}}}]}},
         {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"i",{hint},
          "content":[{{"type":"text","text":"d",{hint}}}]}}]}}]}}"#
    );
    let written = again(&body).to_string();
    for gone in ["cache_control", "service_tier", "citations", "caller"] {
        assert!(!written.contains(gone), "{gone} in {written}");
    }
}

#[test]
fn thinking_and_tool_choice_have_each_of_their_forms() {
    let thinking = |json: &str| {
        read(&with(&format!(r#""thinking":{json}"#)))
            .unwrap()
            .thinking
    };
    assert_eq!(thinking(r#"{"type":"adaptive"}"#), Some(Thinking::Adaptive));
    assert_eq!(thinking(r#"{"type":"disabled"}"#), Some(Thinking::Disabled));
    assert_eq!(thinking("null"), None);
    let choice = |json: &str| {
        let read = read(&with(&format!(r#""tool_choice":{json}"#))).unwrap();
        (read.tool_choice, read.parallel_tools)
    };
    assert_eq!(choice(r#"{"type":"auto"}"#), (Some(ToolChoice::Auto), None));
    assert_eq!(choice(r#"{"type":"none"}"#), (Some(ToolChoice::None), None));
    assert_eq!(
        choice(r#"{"type":"any","disable_parallel_tool_use":false}"#),
        (Some(ToolChoice::Any), Some(ParallelTools::Allowed))
    );
}

#[test]
fn an_empty_signature_is_none() {
    let thinking = parts(
        "assistant",
        r#"{"type":"thinking","thinking":"t","signature":""}"#,
    );
    let expected = Part::Thinking {
        text: "t".to_owned(),
        signature: None,
    };
    assert_eq!(thinking, [expected]);
}

#[test]
fn an_image_is_data_or_an_address() {
    let image = |source: &str| parts("user", &format!(r#"{{"type":"image","source":{source}}}"#));
    let expected = |data| [Part::Image(Image { data, detail: None })];
    assert_eq!(
        image(r#"{"type":"url","url":"https://h"}"#),
        expected(ImageData::Url("https://h".to_owned()))
    );
    assert_eq!(
        image(r#"{"type":"base64","media_type":"image/gif","data":"aA=="}"#),
        expected(ImageData::Base64 {
            media_type: "image/gif".to_owned(),
            data: "aA==".to_owned(),
        })
    );
}

#[track_caller]
fn check_unsaid(body: &str, path: &str) {
    let expected = format!("{path} cannot be said to another model");
    assert_eq!(refusal(body), expected, "{body}");
}

#[test]
fn fields_that_no_other_dialect_has_are_refused_by_name() {
    for (field, path) in [
        (r#""container":"c""#, "container"),
        (r#""mcp_servers":[]"#, "mcp_servers"),
        (r#""betas":["b"]"#, "betas"),
        (r#""context_management":{}"#, "context_management"),
        (r#""speed":"fast""#, "speed"),
        (r#""service_tier":"standard_only""#, "service_tier"),
        (r#""metadata":{"user_id":"u","team":"t"}"#, "metadata.team"),
        (r#""thinking":{"type":"between_tools"}"#, "thinking.type"),
        (
            r#""thinking":{"type":"adaptive","display":"omitted"}"#,
            "thinking.display",
        ),
        (
            r#""output_config":{"effort":"max"}"#,
            "output_config.effort",
        ),
        (
            r#""output_config":{"format":{"type":"xml"}}"#,
            "output_config.format.type",
        ),
        (r#""output_config":{"tone":1}"#, "output_config.tone"),
        (r#""tool_choice":{"type":"some"}"#, "tool_choice.type"),
        (
            r#""tool_choice":{"type":"auto","name":"x"}"#,
            "tool_choice.name",
        ),
        (
            r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#,
            "tools[0].type",
        ),
        (
            r#""tools":[{"name":"t","input_schema":{},"defer_loading":true}]"#,
            "tools[0].defer_loading",
        ),
        (
            r#""system":[{"type":"image","source":{"type":"url","url":"u"}}]"#,
            "system[0].type",
        ),
    ] {
        check_unsaid(&with(field), path);
    }
}

#[test]
fn blocks_that_no_other_dialect_has_are_refused_by_name() {
    let at = |rest: &str| format!("messages[0].content[1]{rest}");
    let text = r#"{"type":"text","text":"a"}"#;
    for (block, rest) in [
        (r#"{"type":"document","source":{}}"#, ".type"),
        (
            r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#,
            ".type",
        ),
        (r#"{"type":"search_result"}"#, ".type"),
        (
            r#"{"type":"text","text":"a","citations":[{}]}"#,
            ".citations",
        ),
        (r#"{"type":"text","text":"a","tone":"sad"}"#, ".tone"),
        (
            r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
            ".source.type",
        ),
        (
            r#"{"type":"image","source":{"type":"url","url":"u","x":1}}"#,
            ".source.x",
        ),
        (
            r#"{"type":"image","source":{"type":"url","url":"u"},"transformations":{}}"#,
            ".transformations",
        ),
        (
            r#"{"type":"tool_use","id":"i","name":"n","input":{},"caller":{"type":"code_execution_20250825"}}"#,
            ".caller.type",
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"i","content":[{"type":"document"}]}"#,
            ".content[0].type",
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"i","content":[{"type":"tool_result"}]}"#,
            ".content[0].type",
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"i","toolset_name":"x"}"#,
            ".toolset_name",
        ),
    ] {
        check_unsaid(&of_blocks("user", &format!("{text},{block}")), &at(rest));
    }
    let system = r#"{"model":"m","max_tokens":1,"messages":[{"role":"system","content":"x"}]}"#;
    check_unsaid(system, "messages[0].role");
}

#[test]
fn wrong_fields_are_named_with_what_they_must_be() {
    for (body, expected) in [
        (
            with(r#""temperature":"hot""#),
            "temperature must be a number",
        ),
        (
            with(r#""top_k":-1"#),
            "top_k must be an integer of at least 0",
        ),
        (
            with(r#""thinking":{"type":"enabled"}"#),
            "thinking.budget_tokens must be an integer",
        ),
        (
            with(r#""tools":[{"name":"t"}]"#),
            "tools[0].input_schema must be an object",
        ),
        (
            with(r#""system":7"#),
            "system must be a string or a list of blocks",
        ),
        (
            of_blocks("user", "7"),
            "messages[0].content[0] must be an object",
        ),
        (
            of_blocks("cook", ""),
            "messages[0].role must be user or assistant",
        ),
        (
            of_blocks("user", r#"{"type":"image"}"#),
            "messages[0].content[0].source must be an object",
        ),
        (
            of_blocks(
                "user",
                r#"{"type":"tool_use","id":"i","name":"n","input":"{}"}"#,
            ),
            "messages[0].content[0].input must be an object",
        ),
        (
            r#"{"model":"m","messages":[]}"#.to_owned(),
            "max_tokens must be an integer of at least 1",
        ),
    ] {
        assert_eq!(refusal(&body), expected);
    }
}

#[test]
fn a_deep_nest_of_results_is_refused_and_not_followed() {
    let begin = r#"{"type":"tool_result","tool_use_id":"i","content":["#.repeat(20_000);
    let block = format!(
        r#"{begin}{{"type":"text","text":"x"}}{}"#,
        "]}".repeat(20_000)
    );
    let path = "messages[0].content[0].content[0].type";
    check_unsaid(&of_blocks("user", &block), path);
}

#[test]
fn the_number_of_a_large_schema_is_not_rounded() {
    let schema = r#"{"type":"object","maximum":123456789012345678901234567890}"#;
    let read = read(&with(&format!(
        r#""tools":[{{"name":"t","input_schema":{schema}}}]"#
    )));
    let tools = read.unwrap().tools;
    assert_eq!(tools[0].schema.as_ref().map(Json::as_str), Some(schema));
}
