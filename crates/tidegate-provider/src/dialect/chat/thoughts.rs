//! What a model thought, in the words that servers in OpenAI's dialect share.

use serde::{Deserialize, Serialize};

use crate::dialect::{Fields, Part, Refusal};

/// The fields of a message, or of a delta, that hold thoughts.
#[derive(Debug, Default, Serialize)]
pub(super) struct Thoughts {
    /// All that can be read of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    /// The same with its seals, where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock>,
}

/// One thought as Anthropic's models seal it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ThinkingBlock {
    Thinking {
        #[serde(default)]
        thinking: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    RedactedThinking {
        data: String,
    },
}

impl Thoughts {
    /// What is thought in `parts`.
    pub(super) fn of(parts: &[Part]) -> Self {
        let blocks: Vec<ThinkingBlock> = parts.iter().filter_map(ThinkingBlock::of).collect();
        let text: String = blocks.iter().map(ThinkingBlock::text).collect();
        let sealed = blocks.iter().any(ThinkingBlock::is_sealed);
        Self {
            reasoning_content: (!text.is_empty()).then_some(text),
            thinking_blocks: if sealed { blocks } else { Vec::new() },
        }
    }
}

impl ThinkingBlock {
    fn of(part: &Part) -> Option<Self> {
        match part {
            Part::Thinking { text, signature } => Some(Self::Thinking {
                thinking: text.clone(),
                signature: signature.clone(),
            }),
            Part::RedactedThinking(data) => Some(Self::RedactedThinking { data: data.clone() }),
            Part::Text(_)
            | Part::Image(_)
            | Part::ToolUse { .. }
            | Part::ToolResult(_)
            | Part::Refusal(_) => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Thinking { thinking, .. } => thinking,
            Self::RedactedThinking { .. } => "",
        }
    }

    fn is_sealed(&self) -> bool {
        match self {
            Self::Thinking { signature, .. } => signature.is_some(),
            Self::RedactedThinking { .. } => true,
        }
    }
}

impl From<ThinkingBlock> for Part {
    fn from(block: ThinkingBlock) -> Self {
        match block {
            ThinkingBlock::Thinking {
                thinking: text,
                signature,
            } => Self::Thinking { text, signature },
            ThinkingBlock::RedactedThinking { data } => Self::RedactedThinking(data),
        }
    }
}

/// The parts that both fields together are: where there are blocks, the plain
/// text only repeats them.
pub(super) fn parts(plain: Option<String>, blocks: Vec<ThinkingBlock>) -> Vec<Part> {
    if !blocks.is_empty() {
        return blocks.into_iter().map(Part::from).collect();
    }
    let plain = plain.filter(|text| !text.is_empty());
    let thinking = |text| Part::Thinking {
        text,
        signature: None,
    };
    plain.map(thinking).into_iter().collect()
}

/// Takes the thoughts out of an assistant's message in a request.
pub(super) fn read(message: &mut Fields, by: &'static str) -> Result<Vec<Part>, Refusal> {
    let plain: Option<String> = message.take("reasoning_content", "a string")?;
    let other: Option<String> = message.take("reasoning", "a string")?;
    let blocks = message.list("thinking_blocks")?.into_iter();
    let blocks = blocks.map(|(path, json)| block(Fields::read(&json, path)?, by));
    Ok(parts(plain.or(other), blocks.collect::<Result<_, _>>()?))
}

fn block(mut fields: Fields, by: &'static str) -> Result<ThinkingBlock, Refusal> {
    let kind: String = fields.require("type", "a string")?;
    let block = match &*kind {
        "thinking" => ThinkingBlock::Thinking {
            thinking: fields.require("thinking", "a string")?,
            signature: fields.take("signature", "a string")?,
        },
        "redacted_thinking" => ThinkingBlock::RedactedThinking {
            data: fields.require("data", "a string")?,
        },
        _ => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    };
    fields.end(by)?;
    Ok(block)
}
