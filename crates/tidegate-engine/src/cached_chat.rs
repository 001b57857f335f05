//! Steps 3 and 8 of a chat request: an answer from the cache, or one that goes
//! into it.

use std::sync::Arc;

use tidegate_provider::ChatRequest;
use tidegate_store::{Freshness, Keep, Load, Name, Turn, Used};
use tidegate_work::Deadline;

use crate::answer::{Answer, AnswerBody, AnswerHead, CacheUse, Cached, WholeAnswer};
use crate::answers_cache::{CachedAnswer, Circumstances, MOST_KEPT_BYTES};
use crate::assemble::Rooms;
use crate::caller::Allowance;
use crate::chain::Chain;
use crate::config::CacheAnswers;
use crate::context::Context;
use crate::error::EngineError;
use crate::stream::UsageWanted;
use crate::stream_cache::{Ended, Keeper, Lead, Part};

/// What one request does with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CachePlan {
    Bypass,
    LookFirst,
    Replace,
}

/// A request whose answer may be kept.
pub(crate) struct Asked {
    chain: Arc<Chain>,
    request: ChatRequest,
    context: Context,
    plan: CachePlan,
    name: Name,
}

impl Asked {
    /// How an answer to it is kept.
    fn keep(&self, rooms: &Rooms) -> Keep {
        Keep {
            ttl: rooms.cache_config.ttl,
            tags: vec![format!("model:{}", self.request.model())],
            domain: self.context.domain.as_deref().map(str::to_owned),
        }
    }

    fn usage(&self) -> UsageWanted {
        UsageWanted::of(&self.request)
    }

    /// Equal requests of one tenant have one flight.
    fn flight(&self) -> String {
        format!("{}/{}", self.name.owner, self.name.key)
    }
}

impl Rooms {
    fn cache_plan(&self, wish: CacheUse) -> CachePlan {
        match (wish, self.cache_config.answers) {
            (CacheUse::Use, _) | (CacheUse::Default, CacheAnswers::Always) => CachePlan::LookFirst,
            (CacheUse::Refresh, _) => CachePlan::Replace,
            (CacheUse::Skip, _) | (CacheUse::Default, CacheAnswers::OnRequest) => CachePlan::Bypass,
        }
    }

    /// Answers from the cache where the request may be, and else by a call
    /// whose answer is kept.
    pub(crate) async fn answer_or_recall(
        self: &Arc<Self>,
        chain: Arc<Chain>,
        request: ChatRequest,
        context: &Context,
        mut allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let plan = self.cache_plan(context.cache);
        if plan == CachePlan::Bypass {
            return self.answer(&chain, &request, context, allowance).await;
        }
        let name = self.answer_name(&chain, &request, context)?;
        let context = context.clone();
        let asked = Arc::new(Asked {
            chain,
            request,
            context,
            plan,
            name,
        });
        if plan == CachePlan::LookFirst
            && let Some((kept, freshness)) = self.recall(&asked.name).await
        {
            return match self.turn_to_refresh(&asked.name, freshness).await {
                Some(load) => self.refresh(&asked, load, kept, allowance).await,
                None => {
                    allowance.settle(Used::Tokens(0));
                    Ok(kept.into_answer(asked.usage()))
                }
            };
        }
        // From here on a call is made on this caller's behalf, be it by another.
        allowance.spend();
        if asked.request.stream() {
            self.stream_or_join(asked, allowance).await
        } else {
            self.call_or_join(asked, allowance).await
        }
    }

    /// What an answer to this request is kept under.
    pub(crate) fn answer_name(
        &self,
        chain: &Chain,
        request: &ChatRequest,
        context: &Context,
    ) -> Result<Name, EngineError> {
        let terms = self.terms(request, context)?;
        let circumstances = Circumstances {
            tenant: context.caller.tenant(),
            guard: &self.guard.version(&terms),
            domain: context.domain.as_deref(),
            origins: &self.origins(chain),
        };
        Ok(CachedAnswer::key(&circumstances, request))
    }

    async fn recall(&self, name: &Name) -> Option<(CachedAnswer, Freshness)> {
        let hit = self.store.cache.get(name).await?;
        Some((CachedAnswer::decode(&hit.value)?, hit.freshness))
    }

    /// The turn to make an answer anew, for one caller once it expires soon.
    async fn turn_to_refresh(&self, name: &Name, freshness: Freshness) -> Option<Load> {
        match freshness {
            Freshness::Fresh => None,
            Freshness::RefreshDue => self.store.cache.turn_to_refresh(name).await,
        }
    }

    /// Makes an answer anew before it expires. When that fails, the one that is
    /// there is good still.
    async fn refresh(
        self: &Arc<Self>,
        asked: &Asked,
        load: Load,
        kept: CachedAnswer,
        allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        match self.call(asked, allowance).await {
            Ok(answer) => Ok(self.keeping(answer, asked, load, None).await),
            Err(_) => Ok(kept.into_answer(asked.usage())),
        }
    }

    async fn call(&self, asked: &Asked, allowance: Allowance) -> Result<Answer, EngineError> {
        let Asked {
            chain,
            request,
            context,
            ..
        } = asked;
        self.answer(chain, request, context, allowance).await
    }

    /// The right to make the call, or what another node has made of it. Who
    /// would wait for another node until there is no time for a call of its
    /// own makes that call.
    async fn turn(&self, asked: &Asked) -> Turn {
        let cache = &self.store.cache;
        if asked.plan == CachePlan::Replace {
            return Turn::Load(cache.begin(&asked.name).await);
        }
        let turn = patience(asked).run(cache.turn(&asked.name)).await;
        match turn {
            Ok(turn) => turn,
            Err(_) => Turn::Load(cache.begin(&asked.name).await),
        }
    }

    /// A whole answer, by a call that all equal requests share.
    async fn call_or_join(
        self: &Arc<Self>,
        asked: Arc<Asked>,
        allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let deadline = asked.context.deadline;
        let budget = deadline.remaining();
        let flight = asked.flight();
        let load = || self.clone().load(asked.clone());
        loop {
            let loaded = deadline.run(self.flights.run(&flight, &load)).await;
            let loaded = loaded.map_err(|_| EngineError::DeadlineExceeded { budget })?;
            match loaded.map_err(|_| EngineError::Internal)? {
                Ok(WholeAnswer { head, body }) => {
                    settle(allowance, &head);
                    return Ok(Answer {
                        head,
                        body: AnswerBody::Whole(body),
                    });
                }
                // The deadline of whoever began the call; ours is a later one.
                Err(EngineError::DeadlineExceeded { .. }) if !deadline.is_past() => {}
                Err(error) => return Err(failed(error, allowance)),
            }
        }
    }

    /// One call whose answer is kept, on behalf of all who wait for it.
    async fn load(self: Arc<Self>, asked: Arc<Asked>) -> Result<WholeAnswer, EngineError> {
        let load = match self.turn(&asked).await {
            Turn::Load(load) => load,
            Turn::Found(hit) => match CachedAnswer::decode(&hit.value) {
                Some(kept) => return whole(kept.into_answer(UsageWanted::Yes)),
                None => self.store.cache.begin(&asked.name).await,
            },
        };
        // The allowance is the caller's, and several may share this call.
        let answer = self.call(&asked, Allowance::default()).await?;
        whole(self.keeping(answer, &asked, load, None).await)
    }

    /// A stream: the first of equal requests has it as it comes, the others
    /// have a replay when it has ended. One of them goes first when the first
    /// one left.
    async fn stream_or_join(
        self: &Arc<Self>,
        asked: Arc<Asked>,
        allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let flight = asked.flight();
        loop {
            let (kept, head) = match self.part(&flight, patience(&asked)).await {
                Part::Leads(lead) => return self.lead(&asked, lead, allowance).await,
                Part::Waited(Ended::Left) => continue,
                Part::Waited(Ended::NotKept) => return self.call(&asked, allowance).await,
                Part::Waited(Ended::Failed(error)) => return Err(failed(error, allowance)),
                Part::Waited(Ended::Kept(kept, head)) => (kept, head),
            };
            let Some(kept) = CachedAnswer::decode(&kept) else {
                return Err(EngineError::Internal);
            };
            settle(allowance, &head);
            let answer = kept.into_answer(asked.usage());
            let head = AnswerHead {
                usage: None,
                ..head
            };
            return Ok(Answer { head, ..answer });
        }
    }

    /// The stream that others wait for.
    async fn lead(
        self: &Arc<Self>,
        asked: &Asked,
        lead: Lead,
        allowance: Allowance,
    ) -> Result<Answer, EngineError> {
        let load = match self.turn(asked).await {
            Turn::Load(load) => load,
            Turn::Found(hit) => match CachedAnswer::decode(&hit.value) {
                Some(kept) => {
                    let answer = kept.into_answer(asked.usage());
                    lead.end(Ended::Kept(hit.value, answer.head.clone()));
                    allowance.settle(Used::Tokens(0));
                    return Ok(answer);
                }
                None => self.store.cache.begin(&asked.name).await,
            },
        };
        match self.call(asked, allowance).await {
            Ok(answer) => Ok(self.keeping(answer, asked, load, Some(lead)).await),
            Err(error) => {
                // The deadline was this caller's own.
                let ended = if matches!(error, EngineError::DeadlineExceeded { .. }) {
                    Ended::Left
                } else {
                    Ended::Failed(error.clone())
                };
                lead.end(ended);
                Err(error)
            }
        }
    }

    /// The answer, which is kept: a whole one at once, a stream when it has
    /// ended.
    async fn keeping(
        self: &Arc<Self>,
        mut answer: Answer,
        asked: &Asked,
        load: Load,
        lead: Option<Lead>,
    ) -> Answer {
        answer.head.cached = Cached::Miss;
        // A stand-in's answer is good enough for now, and not for later.
        let stands_in = !answer.head.degraded.is_empty();
        match &mut answer.body {
            AnswerBody::Whole(body) if !stands_in && body.len() <= MOST_KEPT_BYTES => {
                let value = CachedAnswer::encode_whole(&answer.head, body);
                self.store.cache.put(load, value, &asked.keep(self)).await;
            }
            AnswerBody::Whole(_) => {}
            AnswerBody::Stream(_) if stands_in => {
                if let Some(lead) = lead {
                    lead.end(Ended::NotKept);
                }
            }
            AnswerBody::Stream(stream) => {
                let cache = self.store.cache.clone();
                let keep = asked.keep(self);
                stream.remember(Keeper::new(cache, (load, keep), answer.head.clone(), lead));
            }
        }
        answer
    }
}

/// Until when it is worth waiting for what somebody else loads: later there is
/// no time for a call of one's own.
fn patience(asked: &Asked) -> Deadline {
    let deadline = asked.context.deadline;
    let left = deadline.remaining();
    let call = asked.chain.typical_latency().max(left / 4);
    deadline.earlier(call.min(left / 2))
}

fn settle(allowance: Allowance, head: &AnswerHead) {
    match head.cached {
        Cached::Hit => allowance.settle(Used::Tokens(0)),
        Cached::Miss | Cached::Bypass => allowance.settle_with(head.usage),
    }
}

/// Ends what a request may use whose call has failed.
fn failed(error: EngineError, allowance: Allowance) -> EngineError {
    // What was blocked was answered before: its tokens stand.
    if !matches!(error, EngineError::Blocked { .. }) {
        allowance.settle(Used::Tokens(0));
    }
    error
}

fn whole(answer: Answer) -> Result<WholeAnswer, EngineError> {
    match answer.body {
        AnswerBody::Whole(body) => Ok(WholeAnswer {
            head: answer.head,
            body,
        }),
        AnswerBody::Stream(_) => Err(EngineError::Internal),
    }
}
