//! Answers in OpenAI's dialect from plain text, for models that are no server.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::chunk::{Chunk, ChunkFacts};
use crate::provider::Completion;
use crate::usage::Usage;

/// What every part of one answer repeats.
#[derive(Debug, Clone)]
pub struct Composer {
    /// `chatcmpl-…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The name that the answer carries.
    pub model: String,
}

impl Composer {
    /// A whole `chat.completion` with one choice.
    pub fn whole(&self, text: &str, usage: Usage) -> Completion {
        let body = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": usage_json(usage),
        });
        Completion {
            body: bytes(&body),
            usage: Some(usage),
        }
    }

    /// The chunks of a streamed answer: the role, each part, the end, the usage.
    pub fn chunks(&self, parts: &[String], usage: Usage) -> Vec<Chunk> {
        let mut chunks = vec![self.delta(json!({"role": "assistant", "content": ""}), None)];
        chunks.extend(
            parts
                .iter()
                .map(|part| self.delta(json!({"content": part}), None)),
        );
        chunks.push(self.delta(json!({}), Some("stop")));
        let mut end = self.envelope(json!([]));
        end["usage"] = usage_json(usage);
        let facts = ChunkFacts {
            without_choices: true,
            usage: Some(usage),
            ..Default::default()
        };
        chunks.push(Chunk {
            event: None,
            json: bytes(&end),
            facts,
        });
        chunks
    }

    fn delta(&self, delta: serde_json::Value, finish: Option<&str>) -> Chunk {
        let has_content = delta["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let facts = ChunkFacts {
            has_content,
            finished: u64::from(finish.is_some()),
            ..ChunkFacts::default()
        };
        Chunk {
            event: None,
            json: bytes(&self.envelope(json!([choice]))),
            facts,
        }
    }

    fn envelope(&self, choices: serde_json::Value) -> serde_json::Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

fn usage_json(usage: Usage) -> serde_json::Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total(),
    })
}

fn bytes(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("composed answers are valid JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composer() -> Composer {
        Composer {
            id: "chatcmpl-1".to_owned(),
            created: 7,
            model: "m".to_owned(),
        }
    }

    #[test]
    fn composed_chunks_mean_what_they_say() {
        let usage = Usage {
            prompt_tokens: 3,
            completion_tokens: 2,
        };
        for chunk in composer().chunks(&["a".to_owned(), "b".to_owned()], usage) {
            assert_eq!(Chunk::parse(chunk.json.clone()).unwrap().facts, chunk.facts);
        }
    }

    #[test]
    fn a_composed_answer_is_one_line_of_openai_json() {
        let whole = composer().whole("x\ny", Usage::default());
        let value: serde_json::Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(value["choices"][0]["message"]["content"], "x\ny");
        assert!(!whole.body.contains(&b'\n'));
    }
}
