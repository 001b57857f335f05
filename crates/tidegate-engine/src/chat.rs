//! One chat request, stage by stage.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_provider::ChatRequest;
use tidegate_text::estimate_tokens_of_bytes;
use tidegate_work::Deadline;

use crate::answer::{Answer, AnswerBody, AnswerHead, CacheUse, Cached, WholeAnswer};
use crate::answers_cache::CachedAnswer;
use crate::assemble::{Engine, Rooms};
use crate::chain::Chain;
use crate::config::CacheAnswers;
use crate::error::EngineError;
use crate::generate::{Call, Generated, Job, Reply};
use crate::stream::{AnswerStream, UsageWanted};

impl Engine {
    /// Answers a chat request.
    ///
    /// Dropping the future cancels the upstream call and gives back whatever
    /// the request holds; so does dropping a streamed answer.
    ///
    /// # Errors
    /// [`EngineError`] says what the caller can do.
    pub async fn chat(
        &self,
        request: ChatRequest,
        cache: CacheUse,
        deadline: Deadline,
    ) -> Result<Answer, EngineError> {
        guard_prompt(&request)?;
        open_session(&request);
        let chain = self.rooms.chain(request.model())?;
        let request = gather_context(request);
        let request = compose_prompt(request);
        let answer = match self.rooms.cache_plan(&request, cache) {
            CachePlan::Bypass => self.rooms.answer(&chain, &request, deadline).await?,
            plan => {
                self.rooms
                    .answer_cached(&chain, request, plan, deadline)
                    .await?
            }
        };
        let answer = guard_answer(answer)?;
        close_session(&answer);
        Ok(answer)
    }
}

// The stages below have their place in the order and nothing to do yet: the
// guard, sessions, sources and templates are rooms still to be furnished.

fn guard_prompt(_request: &ChatRequest) -> Result<(), EngineError> {
    Ok(())
}

fn open_session(_request: &ChatRequest) {}

fn gather_context(request: ChatRequest) -> ChatRequest {
    request
}

fn compose_prompt(request: ChatRequest) -> ChatRequest {
    request
}

fn guard_answer(answer: Answer) -> Result<Answer, EngineError> {
    Ok(answer)
}

fn close_session(_answer: &Answer) {}

/// What one request does with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CachePlan {
    Bypass,
    LookFirst,
    Replace,
}

/// Prompt bytes that a chat template adds around the JSON it is made from.
const TEMPLATE_TOKENS: u64 = 100;

impl Rooms {
    fn cache_plan(&self, request: &ChatRequest, wish: CacheUse) -> CachePlan {
        match (wish, self.cache_config.answers) {
            // A whole answer cannot be told from its stream until it ended.
            _ if request.stream() => CachePlan::Bypass,
            (CacheUse::Use, _) | (CacheUse::Default, CacheAnswers::Always) => CachePlan::LookFirst,
            (CacheUse::Refresh, _) => CachePlan::Replace,
            (CacheUse::Skip, _) | (CacheUse::Default, CacheAnswers::OnRequest) => CachePlan::Bypass,
        }
    }

    /// Steps 3 and 8: an answer from the cache, or one that goes into it.
    async fn answer_cached(
        self: &Arc<Self>,
        chain: &Arc<Chain>,
        request: ChatRequest,
        plan: CachePlan,
        deadline: Deadline,
    ) -> Result<Answer, EngineError> {
        let key = CachedAnswer::key(&request);
        if plan == CachePlan::LookFirst
            && let Some(cached) = self
                .cache
                .get(&key)
                .await
                .and_then(|bytes| CachedAnswer::decode(&bytes))
        {
            return Ok(cached.into_answer());
        }
        let budget = deadline.remaining();
        let request = Arc::new(request);
        let load = || {
            let (rooms, chain, request) = (self.clone(), chain.clone(), request.clone());
            let key = key.clone();
            async move {
                let answer = rooms.answer(&chain, &request, deadline).await?;
                let AnswerBody::Whole(body) = answer.body else {
                    return Err(EngineError::Internal);
                };
                rooms.remember(&key, &answer.head.model, &body).await;
                let head = AnswerHead {
                    cached: Cached::Miss,
                    ..answer.head
                };
                Ok(WholeAnswer { head, body })
            }
        };
        loop {
            let loaded = deadline.run(self.flights.run(&key, &load)).await;
            let loaded = loaded.map_err(|_| EngineError::DeadlineExceeded { budget })?;
            match loaded.map_err(|_| EngineError::Internal)? {
                Ok(WholeAnswer { head, body }) => {
                    return Ok(Answer {
                        head,
                        body: AnswerBody::Whole(body),
                    });
                }
                // The deadline of whoever began the call; ours is a later one.
                Err(EngineError::DeadlineExceeded { .. }) if !deadline.is_past() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn remember(&self, key: &str, model: &str, body: &Bytes) {
        let value = CachedAnswer::encode(model, body);
        self.cache.put(key, value, self.cache_config.ttl).await;
    }

    /// Step 6, without the cache.
    async fn answer(
        &self,
        chain: &Chain,
        request: &ChatRequest,
        deadline: Deadline,
    ) -> Result<Answer, EngineError> {
        let content = request.content();
        let prompt_tokens = estimate_tokens_of_bytes(content.prompt_bytes) + TEMPLATE_TOKENS;
        let job = Job {
            call: if request.stream() {
                Call::Stream(request)
            } else {
                Call::Chat(request)
            },
            prompt_tokens,
            most_output: output_bound(request),
            deadline,
            budget: deadline.remaining(),
        };
        let generated = self.generator.generate(chain, job).await?;
        let usage = if request.include_usage() {
            UsageWanted::Yes
        } else {
            UsageWanted::No
        };
        Ok(self.finish(generated, prompt_tokens, usage))
    }

    fn finish(&self, generated: Generated, prompt_tokens: u64, usage: UsageWanted) -> Answer {
        let head = head_of(&generated);
        let idle = self.generator.resilience.attempt.stream_idle;
        let body = match generated.reply {
            Reply::Whole(completion) => AnswerBody::Whole(completion.body),
            Reply::Stream(committed) => {
                let stream = AnswerStream::new(committed, prompt_tokens, usage, idle);
                AnswerBody::Stream(Box::new(stream))
            }
        };
        Answer { head, body }
    }
}

/// Each of `n` answers may be as long as the bound.
fn output_bound(request: &ChatRequest) -> Option<u64> {
    request
        .max_output_tokens()
        .map(|most| most.saturating_mul(request.choices()))
}

pub(crate) fn head_of(generated: &Generated) -> AnswerHead {
    AnswerHead {
        model: generated.entry.name.clone(),
        attempts: generated.attempts,
        degraded: generated.degraded.clone(),
        cached: Cached::Bypass,
        upstream: generated.upstream,
        waited: generated.waited,
    }
}
