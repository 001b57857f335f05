//! Conversations that came from elsewhere, said in this dialect.

use serde_json::{Value, json};

use super::super::write_request;
use crate::dialect::{
    Conversation, Image, ImageData, Json, OutputSchema, ParallelTools, Part, Refusal, Role,
    Sampling, Tool, ToolChoice, ToolResult, Turn,
};

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn turn(role: Role, parts: impl Into<Vec<Part>>) -> Turn {
    let parts = parts.into();
    Turn { role, parts }
}

fn conversation(turns: impl Into<Vec<Turn>>) -> Conversation {
    Conversation {
        turns: turns.into(),
        ..Conversation::default()
    }
}

fn asked() -> Conversation {
    conversation([turn(Role::User, [text("hi")])])
}

fn written(conversation: &Conversation) -> Value {
    let bytes = write_request(conversation, "up", 77).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn refusal(conversation: &Conversation) -> String {
    let refusal = write_request(conversation, "up", 77).unwrap_err();
    assert!(matches!(refusal, Refusal::Unsupported { .. }), "{refusal}");
    refusal.to_string()
}

fn result(id: &str, content: impl Into<Vec<Part>>) -> Part {
    Part::ToolResult(ToolResult {
        id: id.to_owned(),
        content: content.into(),
        is_error: false,
    })
}

#[test]
fn a_short_question_is_these_bytes() {
    let bytes = write_request(&asked(), "up", 77).unwrap();
    let expected = r#"{"model":"up","max_tokens":77,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
    assert_eq!(bytes, expected);
}

#[test]
fn the_callers_bound_goes_before_ours() {
    let mut asked = asked();
    asked.sampling.max_tokens = Some(5);
    assert_eq!(written(&asked)["max_tokens"], 5);
}

#[test]
fn results_of_several_turns_come_together_and_first() {
    let conversation = conversation([
        turn(Role::User, [text("go")]),
        turn(Role::Assistant, [text("a")]),
        turn(Role::Assistant, [text("b")]),
        turn(Role::User, [result("1", [text("x")])]),
        turn(Role::User, [text("by the way")]),
        turn(Role::User, [result("2", [])]),
    ]);
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}]},
            {"type": "tool_result", "tool_use_id": "2"},
            {"type": "text", "text": "by the way"},
        ]},
    ]);
    assert_eq!(written(&conversation)["messages"], expected);
}

#[test]
fn empty_texts_are_left_out_and_an_empty_turn_is_refused() {
    let mut asked = asked();
    asked.system = vec![text(""), text("rules")];
    asked.turns[0].parts.push(text(""));
    asked.turns[0].parts.push(result("1", [text("")]));
    let written = written(&asked);
    assert_eq!(
        written["system"],
        json!([{"type": "text", "text": "rules"}])
    );
    let expected = json!([
        {"type": "tool_result", "tool_use_id": "1"},
        {"type": "text", "text": "hi"},
    ]);
    assert_eq!(written["messages"][0]["content"], expected);
    asked.turns.push(turn(Role::Assistant, [text("")]));
    assert_eq!(
        refusal(&asked),
        "messages[1].content cannot be said to an Anthropic model, which takes no empty message"
    );
    assert_eq!(
        refusal(&conversation([])),
        "messages cannot be said to an Anthropic model, which takes no empty message"
    );
}

#[test]
fn a_refusal_is_text_and_the_detail_of_an_image_is_left_out() {
    let image = Part::Image(Image {
        data: ImageData::Url("https://h".to_owned()),
        detail: Some("high".to_owned()),
    });
    let conversation = conversation([
        turn(Role::User, [image]),
        turn(Role::Assistant, [Part::Refusal("no".to_owned())]),
    ]);
    let expected = json!([
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://h"}},
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]);
    assert_eq!(written(&conversation)["messages"], expected);
}

#[test]
fn a_temperature_beyond_the_range_is_refused_with_the_range() {
    let with = |temperature| Conversation {
        sampling: Sampling {
            temperature: Json::parse(temperature),
            ..Sampling::default()
        },
        ..asked()
    };
    assert_eq!(
        refusal(&with("1.01")),
        "temperature cannot be said to an Anthropic model, whose range is 0 to 1"
    );
    assert_eq!(written(&with("1"))["temperature"], 1);
}

fn tool(schema: Option<Json>) -> Tool {
    Tool {
        name: "t".to_owned(),
        description: None,
        schema,
        strict: None,
    }
}

#[test]
fn a_tool_without_parameters_gets_an_empty_schema() {
    let mut asked = asked();
    asked.tools = vec![tool(None)];
    let expected = json!([{"name": "t", "input_schema": {"type": "object", "properties": {}}}]);
    assert_eq!(written(&asked)["tools"], expected);
}

#[track_caller]
fn check_choice(choice: Option<ToolChoice>, parallel: Option<ParallelTools>, expected: Value) {
    let mut asked = asked();
    asked.tools = vec![tool(None)];
    asked.tool_choice = choice;
    asked.parallel_tools = parallel;
    assert_eq!(written(&asked)["tool_choice"], expected);
}

#[test]
fn whether_several_tools_run_at_once_is_said_with_the_choice() {
    let forbidden = Some(ParallelTools::Forbidden);
    check_choice(None, None, json!(null));
    check_choice(
        None,
        forbidden,
        json!({"type": "auto", "disable_parallel_tool_use": true}),
    );
    check_choice(
        Some(ToolChoice::Any),
        Some(ParallelTools::Allowed),
        json!({"type": "any", "disable_parallel_tool_use": false}),
    );
    check_choice(Some(ToolChoice::None), forbidden, json!({"type": "none"}));
    check_choice(
        Some(ToolChoice::Tool("t".to_owned())),
        None,
        json!({"type": "tool", "name": "t"}),
    );
}

#[test]
fn without_tools_there_is_no_choice_to_make() {
    let with = |choice| Conversation {
        tool_choice: Some(choice),
        parallel_tools: Some(ParallelTools::Forbidden),
        ..asked()
    };
    for choice in [ToolChoice::Auto, ToolChoice::None] {
        assert_eq!(written(&with(choice))["tool_choice"], json!(null));
    }
    let refusal = write_request(&with(ToolChoice::Any), "up", 7).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "tool_choice must be absent where there are no tools"
    );
}

#[test]
fn thoughts_without_a_seal_are_left_out_and_sealed_ones_stay() {
    let thought = |signature: Option<&str>| Part::Thinking {
        text: "hm".to_owned(),
        signature: signature.map(str::to_owned),
    };
    let parts = [thought(None), thought(Some("seal")), text("a")];
    let said = written(&conversation([turn(Role::Assistant, parts)]));
    assert_eq!(
        said["messages"][0]["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": "seal"},
            {"type": "text", "text": "a"}])
    );
    let nothing_else = conversation([turn(Role::Assistant, [thought(None)])]);
    assert_eq!(
        refusal(&nothing_else),
        "messages[0].content cannot be said to an Anthropic model, which takes no empty message"
    );
}

#[test]
fn only_text_is_said_as_instructions() {
    let mut asked = asked();
    asked.system = vec![text("a"), Part::RedactedThinking("eA==".to_owned())];
    assert_eq!(
        refusal(&asked),
        "system[1] cannot be said to an Anthropic model"
    );
}

/// What the schema becomes that OpenAI describes beside it, or the refusal.
fn described(schema: &str) -> Result<Value, Refusal> {
    let mut asked = asked();
    asked.output_schema = Some(OutputSchema {
        name: Some("answer".to_owned()),
        description: Some("a \"tide\"".to_owned()),
        schema: Json::parse(schema).unwrap(),
        strict: Some(true),
    });
    let bytes = write_request(&asked, "up", 77)?;
    let said: Value = serde_json::from_slice(&bytes).unwrap();
    Ok(said["output_config"]["format"]["schema"].clone())
}

#[test]
fn an_output_schema_loses_its_label_and_keeps_nothing_back() {
    let mut asked = asked();
    asked.output_schema = Some(OutputSchema {
        name: Some("answer".to_owned()),
        description: None,
        schema: Json::parse(r#"{"type":"object"}"#).unwrap(),
        strict: Some(true),
    });
    let expected = json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    assert_eq!(written(&asked)["output_config"], expected);
}

#[test]
fn the_description_of_an_output_schema_goes_into_the_schema() {
    let said = json!({"type": "object", "description": "a \"tide\""});
    assert_eq!(described(r#"{"type":"object"}"#), Ok(said.clone()));
    let the_same = r#"{"description":"a \"tide\"","type":"object"}"#;
    assert_eq!(described(the_same), Ok(said));
    let alone = json!({"description": "a \"tide\""});
    assert_eq!(described("{}"), Ok(alone));
}

#[test]
fn a_second_description_of_an_output_schema_is_refused_and_not_lost() {
    for schema in [r#"{"description":"x"}"#, r#"{"description":7}"#] {
        assert_eq!(
            described(schema).unwrap_err().to_string(),
            "response_format.json_schema.description cannot be said to an Anthropic model"
        );
    }
}
