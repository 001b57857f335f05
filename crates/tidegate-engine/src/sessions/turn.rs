//! A chat request and its session, from step 2 to step 9.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_provider::{ChatRequest, Chunk, Dialect, Message, Scribe};
use tidegate_store::{Expect, Lease};
use tracing::warn;

use super::history::compose;
use super::keep::{Found, NotPut};
use super::stored::now;
use super::{NewMessage, Session, SessionError, SessionMessage, Sessions};
use crate::answer::{Answer, AnswerBody};
use crate::assemble::Rooms;
use crate::caller::Caller;
use crate::chain::Chain;
use crate::context::Context;
use crate::error::EngineError;
use crate::policies::Terms;

/// A session that one request uses. Nobody else changes it until this is
/// dropped, which changes nothing.
#[derive(Debug)]
pub(crate) struct OpenSession {
    sessions: Sessions,
    owner: String,
    found: Found,
    lease: Lease,
    dialect: Dialect,
    /// What the request itself says.
    own: Vec<SessionMessage>,
    asked: Option<String>,
    is_cut: bool,
}

/// Characters of a question that are kept as the last one.
const MOST_QUERY_CHARS: usize = 1_000;

/// Said of an answer whose turn could not be kept.
const UNSAVED: &str = "session:unsaved";
/// Said of an answer that was given without all of the history.
const CUT: &str = "session:history_cut";

impl Rooms {
    /// Step 2: the session that the request names, held until the answer has
    /// ended.
    pub(crate) async fn open_session(
        &self,
        request: &ChatRequest,
        context: &Context,
    ) -> Result<Option<OpenSession>, EngineError> {
        let Some(id) = &context.session else {
            return Ok(None);
        };
        if request.dialect() == Dialect::Completion {
            return Err(SessionError::Invalid {
                param: "session_id".to_owned(),
                expected: "absent: a legacy completion is no conversation",
            }
            .into());
        }
        let owner = context.caller.tenant();
        let lease = self.sessions.lock(owner, id, context.deadline).await?;
        let found = self.sessions.find(owner, id).await?;
        let own = own_messages(request, now());
        let added = own.iter().map(|message| message.said.json.len());
        self.sessions
            .check_size(id, found.bytes + added.sum::<usize>())?;
        self.sessions.touch(owner, id).await?;
        let asked = request.last_user_text();
        Ok(Some(OpenSession {
            sessions: self.sessions.clone(),
            owner: owner.to_owned(),
            found,
            lease,
            dialect: request.dialect(),
            own,
            asked: asked.map(|text| text.chars().take(MOST_QUERY_CHARS).collect()),
            is_cut: false,
        }))
    }

    /// Step 5: the request with what was said before it.
    pub(crate) fn with_history(
        &self,
        request: ChatRequest,
        session: Option<&mut OpenSession>,
        room: u64,
    ) -> Result<ChatRequest, EngineError> {
        let Some(session) = session else {
            return Ok(request);
        };
        let budget = self.sessions.config.history_tokens.min(room);
        let history = &session.found.session.messages;
        let composed = compose(&request, history, budget).map_err(|_| EngineError::Internal)?;
        session.is_cut = composed.is_cut;
        Ok(composed.request)
    }

    /// Step 9: what was said is kept before the answer is acknowledged. A stream
    /// does that at its end.
    pub(crate) async fn close_session(
        &self,
        session: Option<OpenSession>,
        mut answer: Answer,
    ) -> Answer {
        let Some(session) = session else {
            return answer;
        };
        if session.is_cut {
            answer.head.degraded.push(CUT.to_owned());
        }
        match &mut answer.body {
            AnswerBody::Whole(body) => {
                let said = Message::of_answer(session.dialect, body);
                if session.save(said).await.is_err() {
                    answer.head.degraded.push(UNSAVED.to_owned());
                }
            }
            AnswerBody::Stream(stream) => stream.keep(Keeping::new(session)),
        }
        answer
    }

    /// Looks at messages that are put into a session as at those of a request.
    pub(super) async fn guard_messages(
        &self,
        new: &[NewMessage],
        caller: &Caller,
    ) -> Result<(), EngineError> {
        let chosen = self.guard.choose(caller, None)?;
        let terms = Arc::new(Terms::new(chosen, caller, self.guard.config().mode));
        let wrong = |at: usize| SessionError::Invalid {
            param: format!("messages[{at}]"),
            expected: "a message of a user, an assistant or a tool; instructions belong to each request",
        };
        for (at, message) in new.iter().enumerate() {
            let facts = message.said.facts();
            if !matches!(facts.role.as_str(), "user" | "assistant" | "tool") {
                return Err(wrong(at).into());
            }
            let request = Message::as_request(std::slice::from_ref(&message.said));
            let request = request.map_err(|_| wrong(at))?;
            let found = self.guard_prompt(&request, &terms).await?;
            let found = found.map(|found| found.must_not_redact("message of a session"));
            found.transpose()?;
        }
        Ok(())
    }
}

/// What a request says, without what instructs the model: that is the
/// application's, and said anew each time.
fn own_messages(request: &ChatRequest, at: SystemTime) -> Vec<SessionMessage> {
    let messages = request.messages().into_iter();
    let said = messages.filter(|message| !message.facts().instructs());
    let kept = |said| SessionMessage {
        said,
        at,
        metadata: serde_json::Map::new(),
    };
    said.map(kept).collect()
}

impl OpenSession {
    /// Appends the turn. Where the lease was lost, it comes after whatever
    /// others have said since; a session that ran out meanwhile goes on.
    async fn save(self, answer: Option<Message>) -> Result<(), SessionError> {
        let saved = self.try_save(answer).await;
        if let Err(error) = &saved {
            let code = error.code();
            warn!(code, "a turn could not be kept in its session: {code}");
        }
        saved
    }

    async fn try_save(self, answer: Option<Message>) -> Result<(), SessionError> {
        let mut turn = self.own;
        turn.extend(answer.map(|said| SessionMessage {
            said,
            at: now(),
            metadata: serde_json::Map::new(),
        }));
        let (owner, id) = (&self.owner, &self.found.session.id);
        let add = |session: &mut Session| {
            session.messages.extend(turn.iter().cloned());
            if self.asked.is_some() {
                session.last_query.clone_from(&self.asked);
            }
            Ok(())
        };
        match self.sessions.change(owner, id, &add).await {
            Err(gone @ SessionError::NotFound { .. }) if !self.lease.is_lost() => {
                let mut session = self.found.session.clone();
                add(&mut session)?;
                session.last_accessed_at = now();
                match self.sessions.put(owner, &session, Expect::Absent).await {
                    Ok(()) => Ok(()),
                    Err(NotPut::Session(error)) => Err(error),
                    Err(NotPut::Conflict) => Err(gone),
                }
            }
            changed => changed.map(drop),
        }
    }
}

/// How many tokens are left for the history: what the largest window of the
/// chain, and the caller's own, leave beside the request itself.
pub(crate) fn room_for_history(chain: &Chain, context: &Context, own: u64) -> u64 {
    let windows = chain
        .entries
        .iter()
        .map(|entry| entry.standing.limit.quota().tokens);
    let of_chain = windows.map(|limit| limit.unwrap_or(u64::MAX)).max();
    let of_caller = context.caller.token_limit().unwrap_or(u64::MAX);
    let window = of_chain.unwrap_or(u64::MAX).min(of_caller);
    window.saturating_sub(own)
}

/// A session beside a streamed answer: it hears what is said and keeps it
/// before the stream may end.
pub(crate) struct Keeping(Phase);

enum Phase {
    Hearing(Option<Box<(OpenSession, Scribe)>>),
    Saving(BoxFuture<'static, Result<(), SessionError>>),
}

impl Keeping {
    fn new(session: OpenSession) -> Self {
        let most = usize::try_from(session.sessions.config.max_bytes).unwrap_or(usize::MAX);
        let scribe = Scribe::new(session.dialect, most);
        Self(Phase::Hearing(Some(Box::new((session, scribe)))))
    }

    /// Hears a chunk that was let pass.
    pub(crate) fn hear(&mut self, chunk: &Chunk) {
        if let Phase::Hearing(Some(heard)) = &mut self.0 {
            heard.1.hear(chunk);
        }
    }

    /// Keeps what was said; ready once it is there, or will not be.
    pub(crate) fn poll_saved(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), EngineError>> {
        if let Phase::Hearing(heard) = &mut self.0 {
            let Some(heard) = heard.take() else {
                return Poll::Ready(Ok(()));
            };
            let (session, scribe) = *heard;
            self.0 = Phase::Saving(save_heard(session, scribe).boxed());
        }
        match &mut self.0 {
            Phase::Saving(saving) => saving.poll_unpin(cx).map_err(EngineError::from),
            Phase::Hearing(_) => Poll::Ready(Ok(())),
        }
    }
}

async fn save_heard(session: OpenSession, scribe: Scribe) -> Result<(), SessionError> {
    match scribe.message() {
        Ok(said) => session.save(said).await,
        Err(_) => {
            let limit = session.sessions.config.max_bytes;
            Err(SessionError::TooLarge {
                id: session.found.session.id.clone(),
                bytes: limit.saturating_add(1),
                limit,
            })
        }
    }
}
