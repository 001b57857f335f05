//! From OpenAI's chat completions to Converse.

use super::Fate::{Becomes, Dropped, Refused};
use super::Row;

/// Fields whose rows on the way to Anthropic's messages do not hold here.
pub(super) const OTHERWISE: &[&str] = &[
    "response_format.json_schema.name",
    "response_format.json_schema.description",
];

pub(super) const ROWS: &[Row] = &[
    (
        "messages[].role",
        Refused,
        "an assistant who speaks first",
        r#"{"messages":[{"role":"assistant","content":"x"}]}"#,
    ),
    (
        "messages[].content",
        Refused,
        "nothing but empty texts and thoughts without a seal",
        r#"{"messages":[{"role":"user","content":""}]}"#,
    ),
    (
        "messages[].content[].url",
        Refused,
        "of an image: Bedrock fetches none",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.example"}}]}]}"#,
    ),
    (
        "messages[].content[].media_type",
        Refused,
        "of an image that is not PNG, JPEG, GIF or WebP",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AAAA"}}]}]}"#,
    ),
    (
        "messages[].content[].id",
        Refused,
        "of a tool call, beyond 64 letters, digits and `_.:-`",
        r#"{"messages":[{"role":"tool","tool_call_id":"a b","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "tools[].name",
        Refused,
        "beyond 64 letters, digits, `_` and `-`",
        r#"{"tools":[{"type":"function","function":{"name":"a b"}}]}"#,
    ),
    (
        "tools",
        Refused,
        "their absence, where the history uses tools",
        r#"{"messages":[{"role":"tool","tool_call_id":"1","content":"x"}]}"#,
    ),
    (
        "tool_choice",
        Refused,
        "`none`, where the history uses tools",
        r#"{"tool_choice":"none","messages":[{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "max_tokens",
        Refused,
        "beyond 2147483647",
        r#"{"max_tokens":2147483648}"#,
    ),
    (
        "user",
        Refused,
        "beyond 256 letters, or with others than the metadata takes",
        r#"{"user":"<x>"}"#,
    ),
    (
        "parallel_tool_calls",
        Refused,
        "`false`, for models that are not Anthropic's",
        r#"{"model":"amazon.nova-lite-v1:0","parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "top_k",
        Refused,
        "the same",
        r#"{"model":"amazon.nova-lite-v1:0","top_k":5}"#,
    ),
    (
        "thinking",
        Refused,
        "the same, unless `disabled`",
        r#"{"model":"amazon.nova-lite-v1:0","thinking":{"type":"adaptive"}}"#,
    ),
    (
        "tools",
        Dropped,
        "with `tool_choice` `none`: a model that is shown none uses none",
        r#"{"tool_choice":"none","tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "messages[]",
        Becomes("system[0].text", r#""y""#),
        "`system` and `developer` in front of all others",
        r#"{"messages":[{"role":"developer","content":"y"},{"role":"user","content":"x"}]}"#,
    ),
    (
        "messages[]",
        Becomes("messages[0].content[1].text", r#""y""#),
        "of one role after each other are one",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"user","content":"y"}]}"#,
    ),
    (
        "messages[].tool_calls[]",
        Becomes(
            "messages[1].content[0].toolUse",
            r#"{"toolUseId":"1","name":"f","input":{"a":1}}"#,
        ),
        "arguments must be a JSON object",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "messages[].tool_call_id",
        Becomes("messages[0].content[0].toolResult.toolUseId", r#""1""#),
        "",
        r#"{"messages":[{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "messages[].refusal",
        Becomes("messages[1].content[0].text", r#""no""#),
        "",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","refusal":"no"}]}"#,
    ),
    (
        "messages[].thinking_blocks[]",
        Becomes(
            "messages[1].content[0].reasoningContent.reasoningText.signature",
            r#""s""#,
        ),
        "with their seal",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"x","thinking_blocks":[{"type":"thinking","thinking":"y","signature":"s"}]}]}"#,
    ),
    (
        "tools[].function.parameters",
        Becomes(
            "toolConfig.tools[0].toolSpec.inputSchema.json",
            r#"{"type":"object","properties":{}}"#,
        ),
        "an object without properties where there are none",
        r#"{"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "tool_choice",
        Becomes("toolConfig.toolChoice", r#"{"any":{}}"#),
        "`required`",
        r#"{"tool_choice":"required","tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "parallel_tool_calls",
        Becomes(
            "additionalModelRequestFields.tool_choice.disable_parallel_tool_use",
            "true",
        ),
        "`false`, for Anthropic's models",
        r#"{"parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}}]}"#,
    ),
    (
        "top_k",
        Becomes("additionalModelRequestFields.top_k", "5"),
        "for Anthropic's models",
        r#"{"top_k":5}"#,
    ),
    (
        "thinking",
        Becomes(
            "additionalModelRequestFields.thinking.type",
            r#""adaptive""#,
        ),
        "the same",
        r#"{"thinking":{"type":"adaptive"}}"#,
    ),
    (
        "max_completion_tokens",
        Becomes("inferenceConfig.maxTokens", "9"),
        "and so does `max_tokens`",
        r#"{"max_completion_tokens":9}"#,
    ),
    (
        "temperature",
        Becomes("inferenceConfig.temperature", "0.5"),
        "",
        r#"{"temperature":0.5}"#,
    ),
    (
        "top_p",
        Becomes("inferenceConfig.topP", "0.5"),
        "",
        r#"{"top_p":0.5}"#,
    ),
    (
        "stop",
        Becomes("inferenceConfig.stopSequences", r#"["x"]"#),
        "",
        r#"{"stop":"x"}"#,
    ),
    (
        "user",
        Becomes("requestMetadata.user_id", r#""x""#),
        "",
        r#"{"user":"x"}"#,
    ),
    (
        "reasoning_effort",
        Becomes("outputConfig.effort", r#""low""#),
        "",
        r#"{"reasoning_effort":"low"}"#,
    ),
    (
        "response_format.json_schema.name",
        Becomes(
            "outputConfig.textFormat.structure.jsonSchema.name",
            r#""x""#,
        ),
        "",
        r#"{"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}}"#,
    ),
    (
        "response_format.json_schema.description",
        Becomes(
            "outputConfig.textFormat.structure.jsonSchema.description",
            r#""y""#,
        ),
        "whatever the schema has inside",
        r#"{"response_format":{"type":"json_schema","json_schema":{"name":"x","description":"y","schema":{"type":"object","description":"z"}}}}"#,
    ),
    (
        "response_format.json_schema.schema",
        Becomes(
            "outputConfig.textFormat.structure.jsonSchema.schema",
            r#""{\"type\":\"object\"}""#,
        ),
        "in a string",
        r#"{"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}}"#,
    ),
];
