//! From Anthropic's messages to OpenAI's chat completions.

use super::Fate::{Becomes, Default, Dropped, Refused};
use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "messages[].role",
        Refused,
        "`system` between turns",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"system","content":"y"}]}"#,
    ),
    (
        "messages[].content[].type",
        Refused,
        "`document`, `search_result` and the tools of Anthropic's own servers",
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{}}]}]}"#,
    ),
    (
        "messages[].content[].citations",
        Refused,
        "unless empty",
        r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"x","citations":[{}]}]}]}"#,
    ),
    (
        "messages[].content[].source.type",
        Refused,
        "`file`",
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"x"}}]}]}"#,
    ),
    (
        "messages[].content[].content[]",
        Refused,
        "an image in the result of a tool",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"image","source":{"type":"url","url":"https://x.example"}}]}]}]}"#,
    ),
    (
        "tools[].type",
        Refused,
        "the tools of Anthropic's own servers",
        r#"{"tools":[{"type":"web_search_20250305","name":"web_search","input_schema":{}}]}"#,
    ),
    (
        "thinking.budget_tokens",
        Refused,
        "a bound on thoughts alone; `output_config.effort` can be said",
        r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#,
    ),
    (
        "output_config.effort",
        Refused,
        "anything but `low`, `medium` and `high`",
        r#"{"output_config":{"effort":"max"}}"#,
    ),
    (
        "service_tier",
        Refused,
        "unless `auto`",
        r#"{"service_tier":"standard_only"}"#,
    ),
    (
        "metadata.x",
        Refused,
        "anything but `user_id`",
        r#"{"metadata":{"x":"y"}}"#,
    ),
    ("container", Refused, "", r#"{"container":"x"}"#),
    ("mcp_servers", Refused, "", r#"{"mcp_servers":[{}]}"#),
    (
        "context_management",
        Refused,
        "",
        r#"{"context_management":{}}"#,
    ),
    (
        "cache_control",
        Dropped,
        "caches work by themselves there",
        r#"{"cache_control":{"type":"ephemeral"}}"#,
    ),
    (
        "system[].cache_control",
        Dropped,
        "the same",
        r#"{"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}"#,
    ),
    (
        "messages[].content[].cache_control",
        Dropped,
        "the same",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]}"#,
    ),
    (
        "tools[].cache_control",
        Dropped,
        "the same",
        r#"{"tools":[{"name":"f","input_schema":{},"cache_control":{"type":"ephemeral"}}]}"#,
    ),
    (
        "messages[].content[].is_error",
        Dropped,
        "there is no flag; what the tool said is kept",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"no such file","is_error":true}]}]}"#,
    ),
    (
        "thinking",
        Default,
        "`disabled`",
        r#"{"thinking":{"type":"disabled"}}"#,
    ),
    (
        "thinking",
        Default,
        "`adaptive`: the model thinks as it sees fit there as well",
        r#"{"thinking":{"type":"adaptive"}}"#,
    ),
    (
        "service_tier",
        Default,
        "`auto`",
        r#"{"service_tier":"auto"}"#,
    ),
    (
        "system",
        Becomes("messages[0].role", r#""system""#),
        "",
        r#"{"system":"x"}"#,
    ),
    (
        "messages[].content[]",
        Becomes("messages[0].role", r#""tool""#),
        "`tool_result`: a message of its own, in front of what else the user says",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"1","content":"y"}]}]}"#,
    ),
    (
        "messages[].content[]",
        Becomes("messages[0].content[1].text", r#""y""#),
        "of an assistant: thoughts, then texts, then uses of tools, whatever their order",
        r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"1","name":"f","input":{}},{"type":"text","text":"y"}]}]}"#,
    ),
    (
        "messages[].content[].input",
        Becomes(
            "messages[0].tool_calls[0].function.arguments",
            r#""{\"a\":1}""#,
        ),
        "in a string",
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]}]}"#,
    ),
    (
        "messages[].content[].thinking",
        Becomes("messages[0].reasoning_content", r#""y""#),
        "with `thinking_blocks` beside it where there is a seal",
        r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"y","signature":""}]}]}"#,
    ),
    (
        "messages[].content[].source",
        Becomes(
            "messages[0].content[0].image_url.url",
            r#""data:image/png;base64,AA""#,
        ),
        "",
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]}]}"#,
    ),
    (
        "max_tokens",
        Becomes("max_completion_tokens", "9"),
        "",
        r#"{"max_tokens":9}"#,
    ),
    (
        "stop_sequences",
        Becomes("stop", r#"["x"]"#),
        "",
        r#"{"stop_sequences":["x"]}"#,
    ),
    (
        "metadata.user_id",
        Becomes("user", r#""x""#),
        "",
        r#"{"metadata":{"user_id":"x"}}"#,
    ),
    (
        "top_k",
        Becomes("top_k", "5"),
        "not OpenAI's, but what other servers take",
        r#"{"top_k":5}"#,
    ),
    (
        "output_config.effort",
        Becomes("reasoning_effort", r#""low""#),
        "",
        r#"{"output_config":{"effort":"low"}}"#,
    ),
    (
        "output_config.format",
        Becomes("response_format.json_schema.name", r#""answer""#),
        "a name must be there",
        r#"{"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#,
    ),
    (
        "tool_choice",
        Becomes("tool_choice", r#""required""#),
        "`any`",
        r#"{"tool_choice":{"type":"any"},"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "tool_choice.disable_parallel_tool_use",
        Becomes("parallel_tool_calls", "false"),
        "",
        r#"{"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"name":"f","input_schema":{}}]}"#,
    ),
    (
        "stream",
        Becomes("stream_options.include_usage", "true"),
        "limits are settled with it",
        r#"{"stream":true}"#,
    ),
];
