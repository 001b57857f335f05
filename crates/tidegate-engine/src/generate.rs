//! Step 6 of a request: for each model of the chain admit, call, settle.

use std::sync::Arc;
use std::time::Duration;

use tidegate_provider::{ChatRequest, Completion, EmbedRequest, ProviderError, Unavailability};
use tidegate_resilience::Outcome;
use tidegate_store::{Limits, Used};
use tidegate_work::Deadline;
use tokio::time::Instant;
use tracing::debug;

use crate::admission::{Admission, NoRoom, NoRoomCause, STORE_LOCAL};
use crate::caller::AT_ONCE;
use crate::chain::Chain;
use crate::config::ResilienceConfig;
use crate::context::{Spent, Trail, Underway};
use crate::entry::Entry;
use crate::error::EngineError;
use crate::line::NoTurn;
use crate::send::{Raw, send};
use crate::stream::Committed;
use crate::tries::{Next, Tries, Verdict};

/// What is asked of an upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call<'a> {
    Chat(&'a ChatRequest),
    Stream(&'a ChatRequest),
    Embed(&'a EmbedRequest),
    /// Nothing by us: the caller wants room for a call of its own.
    Elsewhere,
}

/// One request on its way through a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) prompt_tokens: u64,
    pub(crate) most_output: Option<u64>,
    pub(crate) deadline: Deadline,
    pub(crate) trail: &'a Trail,
    pub(crate) spent: &'a Spent,
    /// How long the request had when it came.
    pub(crate) budget: Duration,
}

/// What came back.
pub(crate) enum Reply {
    Whole(Completion),
    Stream(Committed),
}

/// A reply and how it came about.
pub(crate) struct Generated {
    pub(crate) reply: Reply,
    pub(crate) entry: Arc<Entry>,
    pub(crate) attempts: u32,
    pub(crate) degraded: Vec<String>,
    pub(crate) upstream: Duration,
    pub(crate) waited: Duration,
}

impl Generated {
    /// The limits were granted by this node alone.
    pub(crate) fn note_local_store(&mut self) {
        if !self.degraded.iter().any(|known| known == STORE_LOCAL) {
            self.degraded.push(STORE_LOCAL.to_owned());
        }
    }
}

/// Walks chains on behalf of requests.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) limits: Arc<dyn Limits>,
    pub(crate) resilience: ResilienceConfig,
}

/// What a look over a chain found.
enum Look {
    Room(usize, Admission),
    Wait(Wish),
    Nothing,
}

/// When it is worth looking again.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    at: Option<Instant>,
    may_ring: bool,
    limited: bool,
    unreachable: bool,
}

impl Wish {
    fn at(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |known| known.min(at)));
    }

    fn add(&mut self, no_room: &NoRoom, now: Instant) {
        match no_room.retry_after {
            // Nobody knows when the store is back, and who configured that
            // nothing is granted without it wants to hear of it.
            Some(wait) if no_room.cause == NoRoomCause::Unreachable && wait > AT_ONCE => {}
            Some(wait) => self.at(now + wait),
            None => {}
        }
        self.may_ring |= no_room.may_ring;
        self.limited |= no_room.cause == NoRoomCause::Limited;
        self.unreachable |= no_room.cause == NoRoomCause::Unreachable;
    }

    fn is_empty(&self) -> bool {
        self.at.is_none() && !self.may_ring && !self.unreachable
    }

    /// True when nothing can come of waiting before the deadline.
    fn is_vain(&self, deadline: Deadline) -> bool {
        let out_of_reach = self.at.is_none_or(|at| at >= deadline.instant());
        deadline.is_past() || (out_of_reach && !self.may_ring)
    }

    fn look_again_at(&self, deadline: Deadline, nap: Duration) -> Instant {
        let until = self
            .at
            .map_or(deadline.instant(), |at| at.min(deadline.instant()));
        if self.may_ring {
            until.min(Instant::now() + nap)
        } else {
            until
        }
    }

    fn retry_after(&self) -> Duration {
        self.at
            .map_or(HINT, |at| at.saturating_duration_since(Instant::now()))
            .max(SHORTEST_WAIT)
    }
}

/// What a caller is told where nothing better is known.
const HINT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// Who waits looks again at least this often: a lease that expires elsewhere
/// rings no bell.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// The same where what ends on other nodes rings no bell here.
const SHARED_NAP: Duration = Duration::from_millis(25);
/// Admissions that may grow stale before they are used; one more is used
/// however old it is.
const MOST_STALE: u32 = 4;
/// A time-out after less than this share of an attempt's time was the caller's.
const HURRY: f64 = 0.9;

impl Generator {
    /// Finds room, calls, and goes on to the next entry until one answers.
    ///
    /// Dropping the future cancels the call under way and gives back whatever
    /// it holds.
    pub(crate) async fn generate(
        &self,
        chain: &Chain,
        job: Job<'_>,
    ) -> Result<Generated, EngineError> {
        let mut tries = Tries::new(chain.entries.len());
        loop {
            let asked_at = Instant::now();
            let room = self.find_fresh_room(chain, &job, &mut tries).await;
            job.spent.add_wait(asked_at.elapsed());
            let (index, admission) = room?;
            let sent_at = Instant::now();
            tries.count_attempt();
            let entry = admission.entry().clone();
            let degraded = admission.degraded(index);
            let until = self.attempt_deadline(&job, &tries, index);
            let noted = job.trail.begin(&entry.name, sent_at);
            let outcome = self.attempt(admission, job.call, until).await;
            job.spent.add_call(sent_at.elapsed());
            Underway::end(noted, &outcome);
            match outcome {
                Ok(reply) => {
                    let attempts = tries.attempts();
                    return Ok(Generated {
                        reply,
                        entry,
                        attempts,
                        degraded,
                        upstream: job.spent.upstream(),
                        waited: job.spent.waited(),
                    });
                }
                Err(ProviderError::Rejected(body)) => return Err(EngineError::Rejected(body)),
                Err(error) => {
                    debug!(model = %entry.name, code = error.code(), "a call failed: {error}");
                    tries.failed(index, error, &self.resilience.backoff);
                }
            }
            if job.deadline.is_past() {
                return Err(EngineError::DeadlineExceeded { budget: job.budget });
            }
            self.pause_before_switch(job.deadline).await;
        }
    }

    /// Room for a call that is made elsewhere.
    pub(crate) async fn admit_elsewhere(
        &self,
        chain: &Chain,
        tokens: u64,
        deadline: Deadline,
    ) -> Result<Admission, EngineError> {
        let job = Job {
            call: Call::Elsewhere,
            prompt_tokens: tokens,
            most_output: Some(0),
            deadline,
            trail: &Trail::default(),
            spent: &Spent::default(),
            budget: deadline.remaining(),
        };
        let mut tries = Tries::new(chain.entries.len());
        self.find_room(chain, &job, &mut tries)
            .await
            .map(|(_, admission)| admission)
    }

    async fn pause_before_switch(&self, deadline: Deadline) {
        let delay = self.resilience.attempt.switch_delay;
        if !delay.is_zero() {
            tokio::time::sleep_until(deadline.sooner(delay).instant()).await;
        }
    }

    /// How long who waits may sleep without looking.
    fn nap(&self) -> Duration {
        if self.limits.is_shared() {
            SHARED_NAP
        } else {
            LONGEST_NAP
        }
    }

    /// An admission that has just been granted: the limits count it from then
    /// on, and the upstream from when it is sent.
    async fn find_fresh_room(
        &self,
        chain: &Chain,
        job: &Job<'_>,
        tries: &mut Tries,
    ) -> Result<(usize, Admission), EngineError> {
        for _ in 0..MOST_STALE {
            let (index, admission) = self.find_room(chain, job, tries).await?;
            if !admission.is_stale() {
                return Ok((index, admission));
            }
        }
        self.find_room(chain, job, tries).await
    }

    /// An admission at the first entry that has room.
    async fn find_room(
        &self,
        chain: &Chain,
        job: &Job<'_>,
        tries: &mut Tries,
    ) -> Result<(usize, Admission), EngineError> {
        if tries.attempts() > 0 {
            return self.find_room_again(chain, job, tries).await;
        }
        if chain.line.waiting() == 0 {
            match self.look(chain, job, tries).await {
                Look::Room(index, admission) => return Ok((index, admission)),
                Look::Wait(wish) if wish.is_vain(job.deadline) => {
                    return Err(no_room(chain, tries, wish));
                }
                Look::Wait(_) => {}
                Look::Nothing => return Err(exhausted(chain, job, tries)),
            }
        }
        // Room is of no use without the time for the call itself: who is too
        // late for that leaves it to those who are not.
        let lead = chain.typical_latency().min(job.budget / 2);
        let latest = job.deadline.earlier(lead);
        let turn = chain.line.turn(latest).await;
        let _turn = turn.map_err(|reason| no_turn(chain, reason))?;
        loop {
            let wish = match self.look(chain, job, tries).await {
                Look::Room(index, admission) => return Ok((index, admission)),
                Look::Wait(wish) => wish,
                Look::Nothing => return Err(exhausted(chain, job, tries)),
            };
            if wish.is_vain(latest) {
                return Err(no_room(chain, tries, wish));
            }
            chain.line.expect(wish.at);
            tokio::select! {
                () = chain.line.bell() => {}
                () = tokio::time::sleep_until(wish.look_again_at(latest, self.nap())) => {}
            }
        }
    }

    /// The same for a request whose call failed: beside the line.
    async fn find_room_again(
        &self,
        chain: &Chain,
        job: &Job<'_>,
        tries: &mut Tries,
    ) -> Result<(usize, Admission), EngineError> {
        loop {
            let wish = match self.look(chain, job, tries).await {
                Look::Room(index, admission) => return Ok((index, admission)),
                Look::Wait(wish) => wish,
                Look::Nothing => return Err(exhausted(chain, job, tries)),
            };
            if wish.is_vain(job.deadline) {
                return Err(no_room(chain, tries, wish));
            }
            let until = wish.look_again_at(job.deadline, self.nap());
            chain.line.beside(until).await;
        }
    }

    /// Asks every entry that may still be tried, in order.
    async fn look(&self, chain: &Chain, job: &Job<'_>, tries: &mut Tries) -> Look {
        let now = Instant::now();
        let mut wish = Wish::default();
        for (index, entry) in chain.entries.iter().enumerate() {
            let next = tries.next(index, now);
            match next {
                Next::Spent => continue,
                Next::PausesUntil(at) => {
                    let breaker = &entry.standing.breaker;
                    let cooldown = breaker.cooldown_remaining(now.into_std());
                    wish.at(at.max(now + cooldown));
                    continue;
                }
                Next::First | Next::Repeat => {}
            }
            let tokens = entry.tokens_for(job.prompt_tokens, job.most_output);
            match entry.admit(&self.limits, tokens).await {
                Ok(_) if next == Next::Repeat && !entry.standing.may_repeat() => tries.spend(index),
                Ok(admission) => {
                    entry.standing.count_turn(index, next);
                    return Look::Room(index, admission);
                }
                Err(NoRoom {
                    cause: NoRoomCause::TooLarge { limit },
                    ..
                }) => {
                    tries.too_large(index, limit);
                }
                Err(no_room) => wish.add(&no_room, now),
            }
        }
        if wish.is_empty() {
            Look::Nothing
        } else {
            Look::Wait(wish)
        }
    }

    async fn attempt(
        &self,
        mut admission: Admission,
        call: Call<'_>,
        until: Deadline,
    ) -> Result<Reply, ProviderError> {
        admission.sent();
        let entry = admission.entry().clone();
        let answer = until.run(send(&entry, call)).await;
        match answer.unwrap_or_else(|_| Err(Unavailability::TimedOut.into())) {
            Ok(Raw::Whole(completion)) => {
                let latency = admission.elapsed();
                let used = completion
                    .usage
                    .map_or(Used::Unknown, |usage| Used::Tokens(usage.total()));
                admission.finish(Outcome::Success { latency }, used);
                Ok(Reply::Whole(completion))
            }
            Ok(Raw::Stream(ready, chunks)) => Ok(Reply::Stream(Committed {
                ready,
                chunks,
                admission,
            })),
            Err(error) => {
                let (outcome, used) = self.consequence(&error, admission.elapsed());
                admission.finish(outcome, used);
                Err(error)
            }
        }
    }

    /// While another entry is left, an attempt may not eat up the deadline.
    fn attempt_deadline(&self, job: &Job<'_>, tries: &Tries, index: usize) -> Deadline {
        if tries.others_left(index) {
            job.deadline.sooner(self.resilience.attempt.first_content)
        } else {
            job.deadline
        }
    }

    /// What a failed call means for the entry's health and for its limits.
    fn consequence(&self, error: &ProviderError, latency: Duration) -> (Outcome, Used) {
        let failure = Outcome::Failure { latency };
        match error {
            ProviderError::Throttled { retry_after } => (
                Outcome::Throttled {
                    retry_after: *retry_after,
                },
                Used::Tokens(0),
            ),
            ProviderError::Unavailable(Unavailability::Connect) => (failure, Used::Nothing),
            ProviderError::Unavailable(Unavailability::Status(_)) => (failure, Used::Tokens(0)),
            // A caller in a hurry says nothing about the upstream.
            ProviderError::Unavailable(Unavailability::TimedOut)
                if latency < self.resilience.attempt.first_content.mul_f64(HURRY) =>
            {
                (Outcome::Ignored, Used::Unknown)
            }
            ProviderError::Unavailable(_) => (failure, Used::Unknown),
            ProviderError::NotServed(body) if body.status == 401 => (failure, Used::Tokens(0)),
            ProviderError::NotServed(_) | ProviderError::Rejected(_) => {
                (Outcome::Ignored, Used::Tokens(0))
            }
        }
    }
}

fn no_turn(chain: &Chain, reason: NoTurn) -> EngineError {
    let model = chain.name.clone();
    let head = Wish {
        at: chain.line.expected(),
        ..Wish::default()
    };
    // Others stand before this one as well: a lower bound.
    let retry_after = head.retry_after().max(HINT);
    match reason {
        NoTurn::Full { waiting } => EngineError::Overloaded {
            model,
            waiting,
            retry_after,
        },
        NoTurn::TooLate => EngineError::Throttled { model, retry_after },
    }
}

fn no_room(chain: &Chain, tries: &Tries, wish: Wish) -> EngineError {
    let (model, retry_after) = (chain.name.clone(), wish.retry_after());
    if wish.limited {
        return EngineError::Throttled { model, retry_after };
    }
    if wish.unreachable {
        return EngineError::LimitsUnreachable { retry_after };
    }
    match tries.last().map(Verdict::of) {
        Some(Verdict::Throttled(_)) => EngineError::Throttled { model, retry_after },
        Some(Verdict::Unavailable(reason)) => EngineError::Upstream { model, reason },
        Some(Verdict::NotServed(body)) => EngineError::NotServed(body),
        None => EngineError::NoHealthyModel { model, retry_after },
    }
}

fn exhausted(chain: &Chain, job: &Job<'_>, tries: &Tries) -> EngineError {
    let model = chain.name.clone();
    match (tries.last().map(Verdict::of), tries.largest_limit()) {
        // An upstream that does not say how long is left alone for as long as
        // its breaker says: a shorter wait would end in the next refusal.
        (Some(Verdict::Throttled(retry_after)), _) => EngineError::Throttled {
            model,
            retry_after: retry_after.max(chain.cooldown()),
        },
        (Some(Verdict::Unavailable(reason)), _) => EngineError::Upstream { model, reason },
        (Some(Verdict::NotServed(body)), _) => EngineError::NotServed(body),
        (None, Some(limit)) => {
            let tokens = chain
                .entries
                .iter()
                .map(|entry| entry.tokens_for(job.prompt_tokens, job.most_output));
            EngineError::TooLarge {
                model,
                tokens: tokens.max().unwrap_or(0),
                limit,
            }
        }
        (None, None) => EngineError::NoHealthyModel {
            model,
            retry_after: HINT,
        },
    }
}
