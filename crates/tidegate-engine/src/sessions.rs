//! Conversations that are kept: who may see them, how they change, when they end.
//!
//! A session is a row of its tenant's. It is changed under a lease, which keeps
//! turns in order, and by comparing versions, which loses none where a lease
//! was lost. Whoever reads it lets it live on.

mod again;
mod error;
mod history;
mod id;
mod keep;
mod patch;
mod stored;
mod turn;

use std::time::SystemTime;

use serde_json::{Map, Value};
use tidegate_provider::Message;

use crate::assemble::Engine;
use crate::caller::Caller;
use crate::error::EngineError;
use tidegate_work::Deadline;

pub use error::SessionError;
pub use patch::{Change, NewMessage, SessionPatch};

pub(crate) use keep::Sessions;
pub(crate) use turn::{Keeping, room_for_history};

/// A conversation that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Cannot be guessed; later ones are greater.
    pub id: String,
    /// Whose it is within its tenant, as the application says.
    pub user_id: Option<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it was last read or changed; in a list, when it was last changed.
    pub last_accessed_at: SystemTime,
    /// Until when it is kept if nobody uses it.
    pub expires_at: SystemTime,
    /// What was said, in order.
    pub messages: Vec<SessionMessage>,
    /// What the user prefers; kept for the application, told to no model.
    pub preferences: Map<String, Value>,
    /// The beginning of what the user asked last.
    pub last_query: Option<String>,
    /// Where the last answer was looked for.
    pub last_domain: Option<String>,
    /// Whatever the application keeps.
    pub data: Map<String, Value>,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionMessage {
    /// As it was said.
    pub said: Message,
    /// When.
    pub at: SystemTime,
    /// Whatever the application keeps with it; told to no model.
    pub metadata: Map<String, Value>,
}

/// A part of a list of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionPage {
    /// In the order in which they were made.
    pub sessions: Vec<Session>,
    /// What to ask for to see the next ones, if there are more.
    pub next: Option<String>,
}

impl Engine {
    /// Makes a session.
    ///
    /// # Errors
    /// [`EngineError::Session`], or [`EngineError::Blocked`] where the guard
    /// does not let one of its messages pass.
    pub async fn create_session(
        &self,
        caller: &Caller,
        patch: SessionPatch,
    ) -> Result<Session, EngineError> {
        self.rooms.guard_messages(&patch.messages, caller).await?;
        let sessions = &self.rooms.sessions;
        sessions.create(caller.tenant(), &patch).await
    }

    /// A session of this caller's, which lives on for having been read.
    ///
    /// # Errors
    /// [`SessionError`] where there is none, or nobody can say.
    pub async fn session(&self, caller: &Caller, id: &str) -> Result<Session, SessionError> {
        self.rooms.sessions.read(caller.tenant(), id).await
    }

    /// Changes a session, waiting until the deadline for whoever uses it.
    ///
    /// # Errors
    /// As [`Self::create_session`]; the session is then as it was.
    pub async fn update_session(
        &self,
        caller: &Caller,
        id: &str,
        patch: SessionPatch,
        deadline: Deadline,
    ) -> Result<Session, EngineError> {
        self.rooms.guard_messages(&patch.messages, caller).await?;
        let change = |session: &mut Session| patch.apply(session, SystemTime::now());
        let sessions = &self.rooms.sessions;
        let lease = sessions.lock(caller.tenant(), id, deadline).await?;
        let changed = sessions.change(caller.tenant(), id, &change).await;
        drop(lease);
        Ok(changed?)
    }

    /// Deletes a session, waiting until the deadline for whoever uses it.
    ///
    /// # Errors
    /// [`SessionError`] where there is none, or nobody can say.
    pub async fn delete_session(
        &self,
        caller: &Caller,
        id: &str,
        deadline: Deadline,
    ) -> Result<(), SessionError> {
        let sessions = &self.rooms.sessions;
        let lease = sessions.lock(caller.tenant(), id, deadline).await?;
        let deleted = sessions.delete(caller.tenant(), id).await;
        drop(lease);
        deleted
    }

    /// The sessions of one user of this caller's, without looking at others:
    /// at most `limit` of those that come after the id `after`. None of them
    /// lives on for having been listed.
    ///
    /// # Errors
    /// [`SessionError`] where nobody can say.
    pub async fn sessions_of(
        &self,
        caller: &Caller,
        user_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<SessionPage, SessionError> {
        let sessions = &self.rooms.sessions;
        sessions
            .list(caller.tenant(), user_id, (after, limit))
            .await
    }

    /// How long a session is kept after it was last used.
    pub fn session_ttl(&self) -> std::time::Duration {
        self.rooms.sessions.config.ttl
    }
}
