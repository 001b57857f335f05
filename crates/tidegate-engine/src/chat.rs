//! One chat request, stage by stage.

use std::sync::Arc;

use tidegate_provider::ChatRequest;
use tidegate_text::estimate_tokens_of_bytes;

use crate::answer::{Answer, AnswerBody, AnswerHead, Cached};
use crate::assemble::{Engine, Rooms};
use crate::caller::Allowance;
use crate::chain::Chain;
use crate::context::Context;
use crate::error::EngineError;
use crate::generate::{Call, Generated, Job, Reply};
use crate::guard::Guarded;
use crate::policies::Terms;
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
        let terms = self.rooms.terms(&request, context)?;
        let context = &context.on(terms.clone());
        let guarded = self.rooms.guard_prompt(&request, &terms).await?;
        let request = self.rooms.redact_prompt(request, guarded.as_ref(), &terms);
        let request = request.await?;
        let chain = self.rooms.chain(request.model())?;
        let mut session = self.rooms.open_session(&request, context).await?;
        let request = gather_context(request);
        let own = Estimate::of(&request, &chain).tokens();
        let room = room_for_history(&chain, context, own);
        let request = self.rooms.with_history(request, session.as_mut(), room)?;
        let tokens = Estimate::of(&request, &chain).tokens();
        let allowance = self.rooms.allow(&context.caller, tokens).await?;
        let answer = self
            .rooms
            .answer_or_recall(chain, request, context, allowance)
            .await?;
        let answer = self.rooms.close_session(session, answer).await;
        Ok(answer.after(guarded))
    }
}

// This stage has its place in the order and nothing to do yet: sources are a
// room still to be furnished.

fn gather_context(request: ChatRequest) -> ChatRequest {
    request
}

/// Prompt bytes that a chat template adds around the JSON it is made from.
const TEMPLATE_TOKENS: u64 = 100;

impl Rooms {
    /// Step 6, without the cache.
    pub(crate) async fn answer(
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
        let settling = Settling {
            allowance,
            prompt_tokens: prompt,
            terms: self.terms(request, context)?,
        };
        self.finish(generated, request, settling).await
    }

    /// Settles what a whole answer used and looks at what it says; a stream
    /// does both as it goes.
    async fn finish(
        &self,
        generated: Generated,
        request: &ChatRequest,
        settling: Settling,
    ) -> Result<Answer, EngineError> {
        let Settling {
            allowance,
            prompt_tokens,
            terms,
        } = settling;
        let mut head = head_of(&generated);
        let body = match generated.reply {
            Reply::Whole(completion) => {
                allowance.settle_with(completion.usage);
                head.guarded = self
                    .guard_whole_answer(request.dialect(), &completion.body, &terms)
                    .await?;
                head.say_missing();
                let dialect = request.dialect();
                let guarded = head.guarded.as_ref();
                let body = self.redact_answer(dialect, completion.body, guarded, &terms);
                AnswerBody::Whole(body.await?)
            }
            Reply::Stream(committed) => {
                let watch = Watch {
                    guard: self.stream_guard(request.dialect(), terms),
                    usage: UsageWanted::of(request),
                    idle: self.generator.resilience.attempt.stream_idle,
                };
                let stream = AnswerStream::new(committed, allowance, prompt_tokens, watch);
                AnswerBody::Stream(Box::new(stream))
            }
        };
        Ok(Answer { head, body })
    }
}

/// What is left to do for an answer.
struct Settling {
    allowance: Allowance,
    prompt_tokens: u64,
    /// On what terms it is judged.
    terms: Arc<Terms>,
}

impl Answer {
    /// With what the guard made of the prompt before.
    fn after(mut self, prompt: Option<Guarded>) -> Self {
        self.head.guarded = match (prompt, self.head.guarded.take()) {
            (Some(prompt), Some(answer)) => Some(prompt.and(answer)),
            (prompt, answer) => prompt.or(answer),
        };
        self.head.say_missing();
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
