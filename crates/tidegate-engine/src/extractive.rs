//! The built-in model: answers from documents, with citations, and nothing else.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tidegate_provider::{
    ChatRequest, ChunkStream, Completion, Composer, Dialect, EmbedRequest, ErrorBody, Provider,
    ProviderError, Usage,
};
use tidegate_retrieval::{Document, Hit, Index, extract};
use tidegate_text::{Chunker, estimate_tokens};
use tidegate_work::{Pool, PoolError};

use crate::documents::SHIPPED;

/// Sentences from the shipped documents, each with its source.
///
/// It invents nothing: a question that the documents do not answer is told so.
#[derive(Debug)]
pub(crate) struct Extractive {
    index: Arc<Index>,
    pool: Arc<Pool>,
}

/// Passages that are searched for sentences, and sentences that are quoted.
const PASSAGES: usize = 8;
const SENTENCES: usize = 4;

impl Extractive {
    /// Indexes the shipped documents.
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        let documents = SHIPPED.iter().map(|(name, text)| Document {
            id: (*name).to_owned(),
            title: title(text).unwrap_or(name).to_owned(),
            source: format!("packs/documents/{name}"),
            text: (*text).to_owned(),
        });
        let index = Index::build(documents.collect(), &Chunker::default());
        Self {
            index: Arc::new(index),
            pool,
        }
    }

    async fn answer(&self, request: &ChatRequest) -> Result<Vec<String>, ProviderError> {
        only_chats(request.dialect())?;
        if request.choices() > 1 {
            return Err(unsupported(
                "n",
                "the built-in extractive model gives one answer; n must be 1",
            ));
        }
        let question = request.last_user_text().unwrap_or_default();
        let index = self.index.clone();
        let found = self.pool.run(move || quote(&index, &question)).await;
        found.map_err(|error| match error {
            PoolError::Full { .. } | PoolError::Closed => ProviderError::Throttled {
                retry_after: Some(POOL_PAUSE),
            },
            PoolError::Panicked => tidegate_provider::Unavailability::Garbage.into(),
        })
    }
}

const POOL_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

#[async_trait]
impl Provider for Extractive {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let parts = self.answer(request).await?;
        let usage = usage(request, &parts);
        Ok(composer(model).whole(&parts.concat(), usage))
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let parts = self.answer(request).await?;
        let chunks = composer(model).chunks(&parts, usage(request, &parts));
        Ok(stream::iter(chunks.into_iter().map(Ok)).boxed())
    }

    async fn embed(
        &self,
        _model: &str,
        _request: &EmbedRequest,
    ) -> Result<Completion, ProviderError> {
        let message = "the built-in extractive model has no embeddings; configure a provider";
        Err(unsupported("model", message))
    }
}

/// It speaks OpenAI's chats; what comes in other words another model may know.
fn only_chats(dialect: Dialect) -> Result<(), ProviderError> {
    let param = match dialect {
        Dialect::Chat => return Ok(()),
        Dialect::Completion => "prompt",
        Dialect::Messages => "messages",
    };
    let message = "the built-in extractive model answers chats in OpenAI's dialect only";
    Err(ProviderError::NotServed(refusal(param, message)))
}

fn unsupported(param: &str, message: &str) -> ProviderError {
    ProviderError::Rejected(refusal(param, message))
}

fn refusal(param: &str, message: &str) -> ErrorBody {
    ErrorBody {
        status: 400,
        message: message.to_owned(),
        kind: Some("invalid_request_error".to_owned()),
        code: Some("unsupported_parameter".to_owned()),
        param: Some(param.to_owned()),
    }
}

/// The answer in parts: a sentence each with its mark, then the sources.
fn quote(index: &Index, question: &str) -> Vec<String> {
    let hits = index.search(question, PASSAGES);
    let extracts = extract(question, &hits, SENTENCES);
    if extracts.is_empty() {
        return vec![NOTHING_FOUND.to_owned()];
    }
    let mut sources: Vec<&Hit> = Vec::new();
    let mut parts = Vec::new();
    for found in &extracts {
        let hit = &hits[found.hit];
        let known = sources
            .iter()
            .position(|source| source.document == hit.document);
        let number = known.unwrap_or_else(|| {
            sources.push(hit);
            sources.len() - 1
        });
        parts.push(format!("{} [{}]\n", found.sentence.trim(), number + 1));
    }
    let mut list = "\nSources:\n".to_owned();
    for (number, source) in sources.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            list,
            "[{}] {} ({})",
            number + 1,
            source.title,
            source.source
        );
    }
    parts.push(list.trim_end().to_owned());
    parts
}

const NOTHING_FOUND: &str = "The shipped documents say nothing about this. This is the built-in \
extractive model, which only quotes them; configure a provider to have a language model answer.";

fn title(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("# "))
}

fn usage(request: &ChatRequest, parts: &[String]) -> Usage {
    let question = request.last_user_text().unwrap_or_default();
    Usage {
        prompt_tokens: estimate_tokens(&question),
        completion_tokens: parts.iter().map(|part| estimate_tokens(part)).sum(),
    }
}

fn composer(model: &str) -> Composer {
    let created = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let id = format!(
        "chatcmpl-{:016x}{:016x}",
        fastrand::u64(..),
        fastrand::u64(..)
    );
    Composer {
        id,
        created,
        model: model.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_completion_is_left_to_another_model() {
        assert!(only_chats(Dialect::Chat).is_ok());
        let Err(ProviderError::NotServed(body)) = only_chats(Dialect::Completion) else {
            panic!("not left to another model")
        };
        assert_eq!(body.status, 400);
        assert_eq!(body.code.as_deref(), Some("unsupported_parameter"));
        assert_eq!(body.param.as_deref(), Some("prompt"));
    }
}
