//! Embeddings of Titan and Cohere through InvokeModel, in OpenAI's dialect.

use aws_smithy_types::base64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::Heard;
use super::request::BEDROCK;
use crate::dialect::{Fields, Refusal};
use crate::embed_request::{EmbedRequest, Input};
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::provider::Completion;
use crate::usage::Usage;

/// Cohere's bound on the texts of one call.
const MOST_TEXTS: usize = 96;

/// What is to be called, and how the vectors are to be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// One body for each call, in the order of the texts.
    pub(super) bodies: Vec<Bytes>,
    family: Family,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Titan,
    Cohere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

impl Plan {
    /// Which calls answer `request`.
    ///
    /// # Errors
    /// [`ProviderError::NotServed`] for a model that embeds nothing that we
    /// know, and a refusal for what this model cannot be told.
    pub(super) fn of(model: &str, request: &EmbedRequest) -> Result<Self, ProviderError> {
        let family = family(model)?;
        let texts = texts(request)?;
        let mut fields = Fields::new(request.raw().clone(), "");
        let _: Option<serde::de::IgnoredAny> = fields.take("input", "")?;
        let _: Option<serde::de::IgnoredAny> = fields.take("model", "")?;
        let encoding = fields.take("encoding_format", "float or base64")?;
        let dimensions = fields.take("dimensions", "a whole number")?;
        fields.end(BEDROCK)?;
        check_dimensions(model, dimensions)?;
        let bodies = match family {
            Family::Titan => texts.iter().map(|text| titan(text, dimensions)).collect(),
            Family::Cohere => texts
                .chunks(MOST_TEXTS)
                .map(|texts| cohere(texts, dimensions))
                .collect(),
        };
        Ok(Self {
            bodies,
            family,
            encoding: encoding.unwrap_or(Encoding::Float),
        })
    }

    /// One answer of all that was heard, in the order of the calls.
    pub(super) fn answer(&self, model: &str, heard: &[Heard]) -> Result<Completion, ProviderError> {
        let mut tokens = 0;
        let mut vectors = Vec::new();
        for answer in heard {
            tokens += self.read(answer, &mut vectors)?;
        }
        let data: Result<Vec<_>, _> = vectors
            .iter()
            .enumerate()
            .map(|(index, vector)| item(index, vector, self.encoding))
            .collect();
        let answer = Answer {
            object: "list",
            data: data?,
            model,
            usage: Total {
                prompt_tokens: tokens,
                total_tokens: tokens,
            },
        };
        let body = serde_json::to_vec(&answer).expect("numbers and strings are always JSON");
        Ok(Completion {
            body: Bytes::from(body),
            usage: Some(Usage {
                prompt_tokens: tokens,
                completion_tokens: 0,
            }),
        })
    }

    /// Reads one call's vectors; returns its tokens.
    fn read<'a>(
        &self,
        heard: &'a Heard,
        vectors: &mut Vec<&'a RawValue>,
    ) -> Result<u64, ProviderError> {
        let counted = match self.family {
            Family::Titan => {
                let answer: TitanAnswer<'_> = read(&heard.body)?;
                vectors.push(answer.embedding);
                answer.input_text_token_count
            }
            Family::Cohere => {
                let answer: CohereAnswer<'_> = read(&heard.body)?;
                vectors.extend(match answer.embeddings {
                    CohereVectors::Plain(all) | CohereVectors::ByType { float: all } => all,
                });
                None
            }
        };
        Ok(counted.or(heard.input_tokens).unwrap_or(0))
    }
}

fn family(model: &str) -> Result<Family, ProviderError> {
    if model.contains("amazon.titan-embed-") {
        return Ok(Family::Titan);
    }
    if model.contains("cohere.embed-") {
        return Ok(Family::Cohere);
    }
    Err(ProviderError::NotServed(ErrorBody {
        status: 404,
        message: format!(
            "{model} is none of the embedding models known on Bedrock: amazon.titan-embed-*, cohere.embed-*"
        ),
        kind: Some("invalid_request_error".to_owned()),
        code: Some("model_not_found".to_owned()),
        param: Some("model".to_owned()),
    }))
}

fn texts(request: &EmbedRequest) -> Result<Vec<String>, Refusal> {
    match request.input() {
        Input::Text(text) => Ok(vec![text]),
        Input::Texts(texts) => Ok(texts),
        // The ids are of a tokenizer that these models do not have.
        Input::Tokens(_) | Input::TokenLists(_) => Err(Refusal::unsupported("input", BEDROCK)),
    }
}

fn check_dimensions(model: &str, dimensions: Option<u32>) -> Result<(), Refusal> {
    let Some(dimensions) = dimensions else {
        return Ok(());
    };
    let expected: (&[u32], _) = if model.contains("titan-embed-text-v2") {
        (&[256, 512, 1024], "256, 512 or 1024")
    } else if model.contains("cohere.embed-v4") {
        (&[256, 512, 1024, 1536], "256, 512, 1024 or 1536")
    } else {
        return Err(Refusal::unsupported("dimensions", BEDROCK));
    };
    if expected.0.contains(&dimensions) {
        Ok(())
    } else {
        Err(Refusal::invalid("dimensions", expected.1))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TitanBody<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Serialize)]
struct CohereBody<'a> {
    texts: &'a [String],
    /// OpenAI's dialect does not say what a text is for.
    input_type: &'static str,
    /// A text that is too long is refused, as OpenAI does it, and not cut.
    truncate: &'static str,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
}

fn titan(input_text: &str, dimensions: Option<u32>) -> Bytes {
    json(&TitanBody {
        input_text,
        dimensions,
    })
}

fn cohere(texts: &[String], output_dimension: Option<u32>) -> Bytes {
    json(&CohereBody {
        texts,
        input_type: "search_document",
        truncate: "NONE",
        embedding_types: ["float"],
        output_dimension,
    })
}

fn json(body: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(body).expect("strings and numbers are always JSON"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
    input_text_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct CohereAnswer<'a> {
    #[serde(borrow)]
    embeddings: CohereVectors<'a>,
}

enum CohereVectors<'a> {
    Plain(Vec<&'a RawValue>),
    ByType { float: Vec<&'a RawValue> },
}

impl<'de: 'a, 'a> Deserialize<'de> for CohereVectors<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum cannot hold slices of what is read.
        #[derive(Deserialize)]
        struct ByType<'a> {
            #[serde(borrow)]
            float: Vec<&'a RawValue>,
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('[') {
            serde_json::from_str(raw.get()).map(Self::Plain)
        } else {
            let all: Result<ByType<'a>, _> = serde_json::from_str(raw.get());
            all.map(|all| Self::ByType { float: all.float })
        }
        .map_err(serde::de::Error::custom)
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(|_| Unavailability::Garbage.into())
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Total,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    /// As the model wrote it.
    Float(&'a RawValue),
    Base64(String),
}

#[derive(Serialize)]
struct Total {
    prompt_tokens: u64,
    total_tokens: u64,
}

fn item(index: usize, vector: &RawValue, encoding: Encoding) -> Result<Item<'_>, ProviderError> {
    let embedding = match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => Vector::Base64(encoded(vector)?),
    };
    Ok(Item {
        object: "embedding",
        index,
        embedding,
    })
}

/// Little-endian f32 in base64, as OpenAI sends them.
fn encoded(vector: &RawValue) -> Result<String, ProviderError> {
    let floats: Vec<f32> =
        serde_json::from_str(vector.get()).map_err(|_| Unavailability::Garbage)?;
    let bytes: Vec<u8> = floats
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Ok(base64::encode(bytes))
}
