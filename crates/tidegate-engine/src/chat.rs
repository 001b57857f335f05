//! One chat request, stage by stage.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_provider::ChatRequest;
use tidegate_store::{Keep, Name, Used};
use tidegate_text::estimate_tokens_of_bytes;

use crate::answer::{Answer, AnswerBody, AnswerHead, CacheUse, Cached, WholeAnswer};
use crate::answers_cache::CachedAnswer;
use crate::assemble::{Engine, Rooms};
use crate::caller::Allowance;
use crate::chain::Chain;
use crate::config::CacheAnswers;
use crate::context::Context;
use crate::error::EngineError;
use crate::generate::{Call, Generated, Job, Reply};
use crate::guard::Guarded;
use crate::sessions::room_for_history;
use crate::stream::{AnswerStream, UsageWanted, Watch};

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
        context: &Context,
    ) -> Result<Answer, EngineError> {
        let guarded = self.rooms.guard_prompt(&request).await?;
        let chain = self.rooms.chain(request.model())?;
        let mut session = self.rooms.open_session(&request, context).await?;
        let request = gather_context(request);
        let own = Estimate::of(&request, &chain).tokens();
        let room = room_for_history(&chain, context, own);
        let request = self.rooms.with_history(request, session.as_mut(), room)?;
        let tokens = Estimate::of(&request, &chain).tokens();
        let allowance = self.rooms.allow(&context.caller, tokens).await?;
        let answer = match self.rooms.cache_plan(&request, context.cache) {
            CachePlan::Bypass => {
                self.rooms
                    .answer(&chain, &request, context, allowance)
                    .await?
            }
            plan => {
                self.rooms
                    .answer_cached(&chain, request, (plan, context), allowance)
                    .await?
            }
        };
        let answer = self.rooms.close_session(session, answer).await;
        Ok(answer.after(guarded))
    }
}

// This stage has its place in the order and nothing to do yet: sources are a
// room still to be furnished.

fn gather_context(request: ChatRequest) -> ChatRequest {
    request
}

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
        (plan, context): (CachePlan, &Context),
        mut allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let deadline = context.deadline;
        let key = CachedAnswer::key(context.caller.tenant(), &self.guard.version(), &request);
        if plan == CachePlan::LookFirst
            && let Some(cached) = self
                .store
                .cache
                .get(&key)
                .await
                .and_then(|hit| CachedAnswer::decode(&hit.value))
        {
            allowance.settle(Used::Tokens(0));
            return Ok(cached.into_answer());
        }
        // From here on a call is made on this caller's behalf, be it by another.
        allowance.spend();
        let budget = deadline.remaining();
        let flight = format!("{}/{}", key.owner, key.key);
        let request = Arc::new(request);
        let load = || {
            self.clone().load(
                chain.clone(),
                request.clone(),
                (key.clone(), context.clone()),
            )
        };
        loop {
            let loaded = deadline.run(self.flights.run(&flight, &load)).await;
            let loaded = loaded.map_err(|_| EngineError::DeadlineExceeded { budget })?;
            match loaded.map_err(|_| EngineError::Internal)? {
                Ok(WholeAnswer { head, body }) => {
                    allowance.settle_with(head.usage);
                    return Ok(Answer {
                        head,
                        body: AnswerBody::Whole(body),
                    });
                }
                // The deadline of whoever began the call; ours is a later one.
                Err(EngineError::DeadlineExceeded { .. }) if !deadline.is_past() => {}
                // What was blocked was answered before: its tokens stand.
                Err(error @ EngineError::Blocked { .. }) => return Err(error),
                Err(error) => {
                    allowance.settle(Used::Tokens(0));
                    return Err(error);
                }
            }
        }
    }

    /// One call whose answer is kept, on behalf of all who wait for it.
    async fn load(
        self: Arc<Self>,
        chain: Arc<Chain>,
        request: Arc<ChatRequest>,
        (key, context): (Name, Context),
    ) -> Result<WholeAnswer, EngineError> {
        // The allowance is the caller's, and several may share this call.
        let allowance = Allowance::default();
        let answer = self.answer(&chain, &request, &context, allowance).await?;
        let AnswerBody::Whole(body) = answer.body else {
            return Err(EngineError::Internal);
        };
        self.remember(&key, &answer.head, &body).await;
        let head = AnswerHead {
            cached: Cached::Miss,
            ..answer.head
        };
        Ok(WholeAnswer { head, body })
    }

    async fn remember(&self, key: &Name, head: &AnswerHead, body: &Bytes) {
        let value = CachedAnswer::encode(head, body);
        let keep = Keep {
            ttl: self.cache_config.ttl,
            ..Keep::default()
        };
        let load = self.store.cache.begin(key).await;
        self.store.cache.put(load, value, &keep).await;
    }

    /// Step 6, without the cache.
    async fn answer(
        &self,
        chain: &Chain,
        request: &ChatRequest,
        context: &Context,
        mut allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let Estimate { prompt, output, .. } = Estimate::of(request, chain);
        let job = Job {
            call: if request.stream() {
                Call::Stream(request)
            } else {
                Call::Chat(request)
            },
            prompt_tokens: prompt,
            most_output: output,
            deadline: context.deadline,
            trail: &context.trail,
            spent: &context.spent,
            budget: context.deadline.remaining(),
        };
        let generated = allowance.over(self.generator.generate(chain, job)).await?;
        self.finish(generated, request, prompt, allowance).await
    }

    /// Settles what a whole answer used and looks at what it says; a stream
    /// does both as it goes.
    async fn finish(
        &self,
        generated: Generated,
        request: &ChatRequest,
        prompt_tokens: u64,
        allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let mut head = head_of(&generated);
        let body = match generated.reply {
            Reply::Whole(completion) => {
                allowance.settle_with(completion.usage);
                head.guarded = self
                    .guard_whole_answer(request.dialect(), &completion.body)
                    .await?;
                AnswerBody::Whole(completion.body)
            }
            Reply::Stream(committed) => {
                let watch = Watch {
                    guard: self.stream_guard(request.dialect()),
                    usage: if request.include_usage() {
                        UsageWanted::Yes
                    } else {
                        UsageWanted::No
                    },
                    idle: self.generator.resilience.attempt.stream_idle,
                };
                let stream = AnswerStream::new(committed, allowance, prompt_tokens, watch);
                AnswerBody::Stream(Box::new(stream))
            }
        };
        Ok(Answer { head, body })
    }
}

impl Answer {
    /// With what the guard made of the prompt before.
    fn after(mut self, prompt: Option<Guarded>) -> Self {
        self.head.guarded = match (prompt, self.head.guarded.take()) {
            (Some(prompt), Some(answer)) => Some(prompt.and(answer)),
            (prompt, answer) => prompt.or(answer),
        };
        self
    }
}

/// What a request may use.
struct Estimate {
    prompt: u64,
    /// The caller's own bound, if there is one.
    output: Option<u64>,
    /// What stands for it otherwise, at the first entry of the chain.
    default_output: u64,
}

impl Estimate {
    fn of(request: &ChatRequest, chain: &Chain) -> Self {
        let prompt = estimate_tokens_of_bytes(request.content().prompt_bytes) + TEMPLATE_TOKENS;
        // Each of several answers may be as long as the bound.
        let output = request
            .max_output_tokens()
            .map(|most| most.saturating_mul(request.choices()));
        let first = chain.entries.first();
        Self {
            prompt,
            output,
            default_output: first.map_or(0, |entry| entry.default_output_tokens),
        }
    }

    fn tokens(&self) -> u64 {
        self.prompt
            .saturating_add(self.output.unwrap_or(self.default_output))
    }
}

pub(crate) fn head_of(generated: &Generated) -> AnswerHead {
    AnswerHead {
        model: generated.entry.name.clone(),
        attempts: generated.attempts,
        degraded: generated.degraded.clone(),
        cached: Cached::Bypass,
        upstream: generated.upstream,
        waited: generated.waited,
        guarded: None,
        usage: match &generated.reply {
            Reply::Whole(completion) => completion.usage,
            Reply::Stream(_) => None,
        },
    }
}
