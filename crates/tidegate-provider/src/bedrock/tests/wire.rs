//! The other side of Converse: a reader of its requests and a writer of its
//! answers that share nothing with what they test.

use serde_json::{Value, json};

use super::event;
use crate::dialect::{
    Conversation, Effort, Event, Image, ImageData, Json, Opening, OutputSchema, Part, Piece, Reply,
    Role, Sampling, Stop, Thinking, Tokens, Tool, ToolChoice, ToolResult, Turn,
};

/// The conversation that a request's body holds.
pub(super) fn conversation_of(body: &[u8]) -> Conversation {
    let body: Value = serde_json::from_slice(body).unwrap();
    let additional = &body["additionalModelRequestFields"];
    let output = &body["outputConfig"];
    let choice = body["toolConfig"]["toolChoice"].as_object();
    Conversation {
        system: list(&body["system"], |it| Part::Text(string(&it["text"]))),
        turns: list(&body["messages"], turn),
        tools: list(&body["toolConfig"]["tools"], tool),
        tool_choice: choice.map(|choice| match choice.iter().next().unwrap() {
            (kind, _) if kind == "auto" => ToolChoice::Auto,
            (kind, _) if kind == "any" => ToolChoice::Any,
            (_, tool) => ToolChoice::Tool(string(&tool["name"])),
        }),
        parallel_tools: None,
        sampling: sampling(&body["inferenceConfig"], additional),
        thinking: additional["thinking"]["budget_tokens"]
            .as_u64()
            .map(Thinking::Budget),
        effort: output["effort"].as_str().map(|word| match word {
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            _ => Effort::High,
        }),
        output_schema: schema(&output["textFormat"]),
        user: optional(&body["requestMetadata"]["user_id"]),
        stream: false,
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(read).collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn optional(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<Json> {
    value.is_number().then(|| Json::from(value))
}

fn turn(message: &Value) -> Turn {
    Turn {
        role: match message["role"].as_str() {
            Some("user") => Role::User,
            _ => Role::Assistant,
        },
        parts: list(&message["content"], part),
    }
}

fn part(block: &Value) -> Part {
    let (kind, inner) = block.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "text" => Part::Text(string(inner)),
        "image" => Part::Image(Image {
            data: ImageData::Base64 {
                media_type: format!("image/{}", string(&inner["format"])),
                data: string(&inner["source"]["bytes"]),
            },
            detail: None,
        }),
        "toolUse" => Part::ToolUse {
            id: string(&inner["toolUseId"]),
            name: string(&inner["name"]),
            input: Json::from(&inner["input"]),
        },
        "toolResult" => Part::ToolResult(ToolResult {
            id: string(&inner["toolUseId"]),
            content: list(&inner["content"], part),
            is_error: inner["status"] == "error",
        }),
        "reasoningContent" => match optional(&inner["redactedContent"]) {
            Some(sealed) => Part::RedactedThinking(sealed),
            None => Part::Thinking {
                text: string(&inner["reasoningText"]["text"]),
                signature: optional(&inner["reasoningText"]["signature"]),
            },
        },
        other => panic!("an unknown block: {other}"),
    }
}

fn tool(entry: &Value) -> Tool {
    let spec = &entry["toolSpec"];
    Tool {
        name: string(&spec["name"]),
        description: optional(&spec["description"]),
        schema: Some(Json::from(&spec["inputSchema"]["json"])),
        strict: spec["strict"].as_bool(),
    }
}

fn sampling(inference: &Value, additional: &Value) -> Sampling {
    Sampling {
        max_tokens: inference["maxTokens"].as_u64(),
        temperature: number(&inference["temperature"]),
        top_p: number(&inference["topP"]),
        top_k: additional["top_k"].as_u64(),
        stop: list(&inference["stopSequences"], string),
    }
}

fn schema(format: &Value) -> Option<OutputSchema> {
    let inner = format["structure"]["jsonSchema"].as_object()?;
    assert_eq!(format["type"], "json_schema");
    Some(OutputSchema {
        name: inner.get("name").and_then(optional),
        description: inner.get("description").and_then(optional),
        schema: Json::parse(inner["schema"].as_str()?).unwrap(),
        strict: None,
    })
}

/// The body of a whole answer.
pub(super) fn body_of(reply: &Reply) -> Vec<u8> {
    let (reason, met) = reason(&reply.stop);
    let content: Vec<Value> = reply.parts.iter().map(block).collect();
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": usage(reply.tokens),
        "metrics": {"latencyMs": 12},
        "additionalModelResponseFields": {"stop_sequence": met},
    });
    serde_json::to_vec(&answer).unwrap()
}

fn reason(stop: &Stop) -> (&'static str, Option<&str>) {
    match stop {
        Stop::End => ("end_turn", None),
        Stop::MaxTokens => ("max_tokens", None),
        Stop::Sequence(met) => ("stop_sequence", met.as_deref()),
        Stop::ToolUse => ("tool_use", None),
        Stop::Filtered => ("content_filtered", None),
        Stop::ContextFull => ("model_context_window_exceeded", None),
        Stop::Paused => ("pause_turn", None),
    }
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.cache_read + tokens.cache_write + tokens.output,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": tokens.cache_write,
    })
}

fn block(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"text": text}),
        Part::ToolUse { id, name, input } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input}})
        }
        Part::Thinking { text, signature } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
        Part::RedactedThinking(data) => json!({"reasoningContent": {"redactedContent": data}}),
        Part::Image(_) | Part::ToolResult(_) | Part::Refusal(_) => panic!("no part of an answer"),
    }
}

/// The frames of a streamed answer, as Bedrock writes them: only tools have a
/// start of their own, and the counts come last.
pub(super) fn frames_of(events: &[Event]) -> Vec<u8> {
    let mut kinds: Vec<&Opening> = Vec::new();
    let mut frames = Vec::new();
    let mut say = |kind: &str, payload: Value| frames.extend(event(kind, &payload.to_string()));
    for step in events {
        match step {
            Event::Start { .. } => say("messageStart", json!({"role": "assistant"})),
            Event::Open { index, opening } => {
                kinds.push(opening);
                for (kind, payload) in opened(*index, opening) {
                    say(kind, payload);
                }
            }
            Event::Piece { index, piece } => {
                let delta = delta(kinds[*index], piece);
                say(
                    "contentBlockDelta",
                    json!({"contentBlockIndex": index, "delta": delta}),
                );
            }
            Event::Close { index } => say("contentBlockStop", json!({"contentBlockIndex": index})),
            Event::Stop(stop) => say("messageStop", json!({"stopReason": reason(stop).0})),
            Event::Tokens(tokens) => say("metadata", json!({"usage": usage(*tokens)})),
            Event::End => {}
        }
    }
    frames
}

fn opened(index: usize, opening: &Opening) -> Vec<(&'static str, Value)> {
    let delta = |delta: Value| {
        let payload = json!({"contentBlockIndex": index, "delta": delta});
        ("contentBlockDelta", payload)
    };
    match opening {
        Opening::ToolUse { id, name } => {
            let start = json!({"toolUse": {"toolUseId": id, "name": name}});
            let start = json!({"contentBlockIndex": index, "start": start});
            let empty = delta(json!({"toolUse": {"input": ""}}));
            vec![("contentBlockStart", start), empty]
        }
        Opening::RedactedThinking(data) => {
            let (first, second) = data.split_at(4);
            let sealed = |part| delta(json!({"reasoningContent": {"redactedContent": part}}));
            vec![sealed(first), sealed(second)]
        }
        Opening::Text | Opening::Thinking | Opening::Refusal => Vec::new(),
    }
}

fn delta(opening: &Opening, piece: &Piece) -> Value {
    match piece {
        Piece::Text(text) if *opening == Opening::Thinking => {
            json!({"reasoningContent": {"text": text}})
        }
        Piece::Text(text) => json!({"text": text}),
        Piece::Input(json) => json!({"toolUse": {"input": json}}),
        Piece::Signature(seal) => json!({"reasoningContent": {"signature": seal}}),
    }
}
