//! What operators ask of the cache: how it is doing, to forget, and to know
//! answers before anybody has asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tidegate_provider::ChatRequest;
use tidegate_store::{CacheHealth, CacheStats, Keep, Selector, StoreError};

use crate::answer::{AnswerBody, AnswerHead, CacheUse, Cached};
use crate::answers_cache::{CachedAnswer, MOST_KEPT_BYTES};
use crate::assemble::Engine;
use crate::context::Context;
use crate::error::EngineError;

/// What came of an answer that was to be known before anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warmed {
    /// It is in the cache now.
    Kept,
    /// One was there already.
    There,
}

/// Why an answer is not in the cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WarmError {
    /// As for a request that is answered.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A whole answer cannot stand for a stream.
    #[error("an answer can be given for requests without stream only; leave out one of the two")]
    Stream,
    /// It was made, and is not one that is kept.
    #[error(
        "the answer is not one that is kept: a stand-in gave it, or it is longer than {most_bytes} bytes"
    )]
    NotKept {
        /// The longest that is kept.
        most_bytes: usize,
    },
}

impl Engine {
    /// What the cache has done so far, in this process.
    pub fn cache_stats(&self) -> CacheStats {
        self.rooms.store.cache.stats()
    }

    /// Whether the cache can be used now.
    pub async fn cache_health(&self) -> CacheHealth {
        self.rooms.store.cache.check().await
    }

    /// Forgets what a tenant keeps, or everybody where none is named. Returns
    /// how many values were there. When it returns, this process finds none of
    /// them any more.
    ///
    /// # Errors
    /// [`StoreError`] when other nodes may still find them.
    pub async fn forget(&self, tenant: Option<&str>, what: &Selector) -> Result<u64, StoreError> {
        self.rooms.store.cache.invalidate(tenant, what).await
    }

    /// Sees to it that a request is answered from the cache from now on: by
    /// the answer that is given, once the guard has seen both, or by a call
    /// under the limits that hold for every request.
    ///
    /// # Errors
    /// [`WarmError`] says why it is not.
    pub async fn warm(
        &self,
        request: ChatRequest,
        answer: Option<Bytes>,
        context: &Context,
    ) -> Result<Warmed, WarmError> {
        let chain = self.rooms.chain(request.model())?;
        let name = self.rooms.answer_name(&chain, &request, context)?;
        if self.rooms.store.cache.get(&name).await.is_some() {
            return Ok(Warmed::There);
        }
        match answer {
            Some(answer) => self.keep_given(request, answer, context).await?,
            None => self.make(request, context).await?,
        }
        match self.rooms.store.cache.get(&name).await {
            Some(_) => Ok(Warmed::Kept),
            None => Err(WarmError::NotKept {
                most_bytes: MOST_KEPT_BYTES,
            }),
        }
    }

    /// Asks a model, and reads the answer to its end.
    async fn make(&self, request: ChatRequest, context: &Context) -> Result<(), EngineError> {
        let context = Context {
            cache: CacheUse::Use,
            ..context.clone()
        };
        match self.chat(request, &context).await?.body {
            AnswerBody::Whole(_) => Ok(()),
            AnswerBody::Stream(mut stream) => {
                while let Some(chunk) = stream.next().await {
                    chunk?;
                }
                Ok(())
            }
        }
    }

    async fn keep_given(
        &self,
        request: ChatRequest,
        answer: Bytes,
        context: &Context,
    ) -> Result<(), WarmError> {
        if request.stream() {
            return Err(WarmError::Stream);
        }
        let rooms = &self.rooms;
        let terms = rooms.terms(&request, context)?;
        // What is given goes by no model: it is kept as it is, or not at all.
        let prompt = rooms.guard_prompt(&request, &terms).await?;
        prompt
            .map(|found| found.must_not_redact("given request"))
            .transpose()?;
        let guarded = rooms
            .guard_whole_answer(request.dialect(), &answer, &terms)
            .await?;
        let guarded = guarded.map(|found| found.must_not_redact("given answer"));
        let guarded = guarded.transpose()?;
        // What was judged without a part of the guard is not kept.
        if guarded.iter().any(|found| !found.degraded.is_empty()) {
            return Err(EngineError::Busy {
                retry_after: Duration::from_secs(1),
            }
            .into());
        }
        if answer.len() > MOST_KEPT_BYTES {
            return Ok(());
        }
        let chain = rooms.chain(request.model())?;
        let name = rooms.answer_name(&chain, &request, context)?;
        let head = AnswerHead {
            // No entry of a chain has given it.
            model: Arc::from(format!("given/{}", request.model())),
            attempts: 0,
            degraded: Vec::new(),
            cached: Cached::Miss,
            upstream: Duration::ZERO,
            waited: Duration::ZERO,
            guarded,
            usage: None,
        };
        let keep = Keep {
            ttl: rooms.cache_config.ttl,
            tags: vec![format!("model:{}", request.model())],
            domain: context.domain.as_deref().map(str::to_owned),
        };
        let load = rooms.store.cache.begin(&name).await;
        let value = CachedAnswer::encode_whole(&head, &answer);
        rooms.store.cache.put(load, value, &keep).await;
        Ok(())
    }
}
