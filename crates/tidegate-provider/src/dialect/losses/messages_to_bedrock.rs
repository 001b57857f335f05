//! From Anthropic's messages to Converse.

use super::Fate::{Becomes, Refused, SaidAs};
use super::Row;

/// Fields whose rows on the way to OpenAI's chat completions do not hold here.
pub(super) const OTHERWISE: &[&str] = &[
    "messages[].content[].content[]",
    "messages[].content[].is_error",
    "thinking.budget_tokens",
    "thinking",
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
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x.example"}}]}]}"#,
    ),
    (
        "messages[].content[].media_type",
        Refused,
        "of an image that is not PNG, JPEG, GIF or WebP",
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/bmp","data":"AAAA"}}]}]}"#,
    ),
    (
        "messages[].content[].id",
        Refused,
        "of a use of a tool, beyond 64 letters, digits and `_.:-`",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a b","content":"x"}]}],"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "tools[].name",
        Refused,
        "beyond 64 letters, digits, `_` and `-`",
        r#"{"tools":[{"name":"a b","input_schema":{}}]}"#,
    ),
    (
        "tools",
        Refused,
        "their absence, where the history uses tools",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}]}"#,
    ),
    (
        "tool_choice",
        Refused,
        "`none`, where the history uses tools",
        r#"{"tool_choice":{"type":"none"},"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}],"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "max_tokens",
        Refused,
        "beyond 2147483647",
        r#"{"max_tokens":2147483648}"#,
    ),
    (
        "metadata.user_id",
        Refused,
        "beyond 256 letters, or with others than Bedrock's metadata takes",
        r#"{"metadata":{"user_id":"<x>"}}"#,
    ),
    (
        "tool_choice.disable_parallel_tool_use",
        Refused,
        "for models that are not Anthropic's",
        r#"{"model":"amazon.nova-lite-v1:0","tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"name":"f","input_schema":{}}]}"#,
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
        "messages[].content[].thinking",
        SaidAs(
            r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":"y"}]}]}"#,
        ),
        "without its maker's seal it cannot be shown again",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"text","text":"y"}]}]}"#,
    ),
    (
        "tools",
        SaidAs("{}"),
        "with `tool_choice` `none`: a model that is shown none uses none",
        r#"{"tool_choice":{"type":"none"},"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "messages[].content[].thinking",
        Becomes(
            "messages[1].content[0].reasoningContent.reasoningText",
            r#"{"text":"t","signature":"s"}"#,
        ),
        "with its seal",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"}]}]}"#,
    ),
    (
        "messages[].content[].input",
        Becomes("messages[1].content[0].toolUse.input", r#"{"a":1}"#),
        "",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]}],"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "messages[].content[].is_error",
        Becomes("messages[0].content[0].toolResult.status", r#""error""#),
        "",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"no such file","is_error":true}]}],"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "messages[].content[].content[]",
        Becomes(
            "messages[0].content[0].toolResult.content[0].image.format",
            r#""png""#,
        ),
        "an image in the result of a tool",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}],"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "tool_choice.disable_parallel_tool_use",
        Becomes(
            "additionalModelRequestFields.tool_choice.disable_parallel_tool_use",
            "true",
        ),
        "for Anthropic's models",
        r#"{"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "top_k",
        Becomes("additionalModelRequestFields.top_k", "5"),
        "the same",
        r#"{"top_k":5}"#,
    ),
    (
        "thinking",
        Becomes(
            "additionalModelRequestFields.thinking.type",
            r#""disabled""#,
        ),
        "the same, and whatever its kind",
        r#"{"thinking":{"type":"disabled"}}"#,
    ),
    (
        "thinking.budget_tokens",
        Becomes(
            "additionalModelRequestFields.thinking.budget_tokens",
            "1024",
        ),
        "the same",
        r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#,
    ),
    (
        "max_tokens",
        Becomes("inferenceConfig.maxTokens", "9"),
        "",
        r#"{"max_tokens":9}"#,
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
        "stop_sequences",
        Becomes("inferenceConfig.stopSequences", r#"["x"]"#),
        "",
        r#"{"stop_sequences":["x"]}"#,
    ),
    (
        "metadata.user_id",
        Becomes("requestMetadata.user_id", r#""x""#),
        "",
        r#"{"metadata":{"user_id":"x"}}"#,
    ),
    (
        "output_config.effort",
        Becomes("outputConfig.effort", r#""low""#),
        "",
        r#"{"output_config":{"effort":"low"}}"#,
    ),
    (
        "output_config.format.schema",
        Becomes(
            "outputConfig.textFormat.structure.jsonSchema.schema",
            r#""{\"type\":\"object\"}""#,
        ),
        "in a string",
        r#"{"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#,
    ),
];
