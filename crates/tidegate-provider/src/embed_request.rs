//! Texts to be embedded, in OpenAI's dialect.

use bytes::Bytes;
use serde::Deserialize;

use crate::raw::{RawObject, json_string};
use crate::request::{RequestError, check_keys, model_name};

/// A request for embeddings.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    raw: RawObject,
    model: String,
    items: usize,
    input_bytes: usize,
}

impl EmbedRequest {
    /// Reads and checks a request body. `input` may be a string, a list of
    /// strings, a list of token ids, or a list of such lists.
    ///
    /// # Errors
    /// [`RequestError`], as for [`ChatRequest::parse`](crate::ChatRequest::parse).
    pub fn parse(body: Bytes) -> Result<Self, RequestError> {
        let raw = RawObject::parse(&body)?;
        check_keys(&raw)?;
        let model = model_name(&raw)?;
        let input = raw
            .get("input")
            .ok_or(RequestError::Missing { param: "input" })?;
        let wrong = RequestError::Invalid {
            param: "input",
            expected: INPUT,
        };
        let shape: Input = serde_json::from_slice(input).map_err(|_| wrong.clone())?;
        let items = shape.items();
        let input_bytes = input.len();
        if items == 0 {
            return Err(wrong);
        }
        Ok(Self {
            model,
            items,
            input_bytes,
            raw,
        })
    }

    /// The model that the caller asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many texts are to be embedded.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes of JSON under `input`.
    pub fn input_bytes(&self) -> usize {
        self.input_bytes
    }

    /// What `input` holds.
    #[cfg(feature = "bedrock")]
    pub(crate) fn input(&self) -> Input {
        let json = self.raw.get("input").map_or(&b"[]"[..], |json| json);
        serde_json::from_slice(json).unwrap_or(Input::Texts(Vec::new()))
    }

    /// Every field as it came.
    pub fn raw(&self) -> &RawObject {
        &self.raw
    }

    /// Takes out a field that is not the upstream's to see.
    pub fn take(&mut self, key: &str) -> Option<Bytes> {
        self.raw.remove(key)
    }

    /// The body for an upstream that calls this model `model`.
    pub fn to_upstream(&self, model: &str) -> Bytes {
        self.raw.to_json_with(&[("model", &json_string(model))])
    }
}

pub(crate) const INPUT: &str =
    "a string, a list of strings, a list of token ids or a list of such lists, not empty";

/// Texts, or texts that are tokens already.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl Input {
    pub(crate) fn items(&self) -> usize {
        match self {
            Self::Text(text) => usize::from(!text.is_empty()),
            Self::Texts(texts) => texts.len(),
            Self::Tokens(ids) => usize::from(!ids.is_empty()),
            Self::TokenLists(lists) => lists.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_case_is_refused() {
        let body = Bytes::from_static(br#"{"model":"m","input":"a","Input":"b"}"#);
        let error = EmbedRequest::parse(body).unwrap_err();
        assert_eq!(error.to_string(), "input must be written in lower case");
    }

    #[test]
    fn every_shape_of_embedding_input_is_counted() {
        let items = |input: &str| {
            EmbedRequest::parse(Bytes::from(format!(r#"{{"model":"m","input":{input}}}"#)))
                .map(|request| request.items())
        };
        assert_eq!(items(r#""a""#), Ok(1));
        assert_eq!(items(r#"["a","b"]"#), Ok(2));
        assert_eq!(items("[64,65]"), Ok(1));
        assert_eq!(items("[[64],[65]]"), Ok(2));
        for input in ["[]", "\"\"", "7", "{}", "[{}]"] {
            assert!(items(input).is_err(), "{input}");
        }
    }
}
