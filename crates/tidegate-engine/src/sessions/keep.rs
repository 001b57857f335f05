//! Sessions in the store: read, written, listed, and held by one at a time.

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{
    Expect, Lease, LeaseError, Leases, Page, Record, Records, Row, RowKey, Store, StoreError,
    WriteError,
};
use tidegate_work::Deadline;

use super::again::{Again, ask};
use super::id::{check_id, new_id};
use super::patch::check_user;
use super::stored::{decode, encode, now};
use super::{Session, SessionError, SessionPage, SessionPatch};
use crate::config::SessionsConfig;
use crate::error::EngineError;
use crate::store_key;

/// The table of the rows.
const TABLE: &str = "session";

/// How long a session stays locked after whoever used it has died.
const LEASE: Duration = Duration::from_secs(5);

/// How often a change is made again because somebody else was faster. Under a
/// lease that is not lost nobody is.
const MOST_CONFLICTS: usize = 16;

/// Where sessions are kept, and how. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    records: Arc<dyn Records>,
    leases: Arc<dyn Leases>,
    pub(crate) config: SessionsConfig,
}

/// A session with what has to be known to write it again.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) session: Session,
    pub(super) version: u64,
    /// Bytes of it.
    pub(super) bytes: usize,
}

impl Sessions {
    pub(crate) fn new(store: &Store, config: SessionsConfig) -> Self {
        Self {
            records: store.records.clone(),
            leases: store.leases.clone(),
            config,
        }
    }

    pub(super) async fn create(
        &self,
        owner: &str,
        patch: &SessionPatch,
    ) -> Result<Session, EngineError> {
        let now = now();
        let mut session = Session {
            id: new_id(now).map_err(|_| EngineError::Internal)?,
            user_id: None,
            created_at: now,
            last_accessed_at: now,
            expires_at: now + self.config.ttl,
            messages: Vec::new(),
            preferences: serde_json::Map::new(),
            last_query: None,
            last_domain: None,
            data: serde_json::Map::new(),
        };
        patch.apply(&mut session, now)?;
        match self.put(owner, &session, Expect::Absent).await {
            Ok(()) => Ok(session),
            Err(NotPut::Session(error)) => Err(error.into()),
            // Two of 2^128.
            Err(NotPut::Conflict) => Err(EngineError::Internal),
        }
    }

    /// The session, which lives on for having been read.
    pub(super) async fn read(&self, owner: &str, id: &str) -> Result<Session, SessionError> {
        let Found { mut session, .. } = self.find(owner, id).await?;
        self.touch(owner, id).await?;
        session.last_accessed_at = now();
        session.expires_at = session.last_accessed_at + self.config.ttl;
        Ok(session)
    }

    /// The same without any trace.
    pub(super) async fn find(&self, owner: &str, id: &str) -> Result<Found, SessionError> {
        check_id(id)?;
        let record = ask(|| self.records.get(row_key(owner, id))).await?;
        let record = record.ok_or_else(|| not_found(id))?;
        Ok(Found {
            session: self.decode(&record)?,
            version: record.version,
            bytes: record.value.len(),
        })
    }

    fn decode(&self, record: &Record) -> Result<Session, SessionError> {
        decode(&record.id, &record.value, self.config.ttl)
    }

    /// The right to be the only one who changes it.
    pub(super) async fn lock(
        &self,
        owner: &str,
        id: &str,
        deadline: Deadline,
    ) -> Result<Lease, SessionError> {
        check_id(id)?;
        let key = store_key::session_lease(owner, id);
        let mut again = Again::within(Some(deadline.instant()));
        loop {
            match self.leases.acquire(&key, LEASE, deadline.instant()).await {
                Ok(lease) => return Ok(lease),
                Err(LeaseError::Taken { waited }) => {
                    let id = id.to_owned();
                    return Err(SessionError::Locked { id, waited });
                }
                Err(LeaseError::Store(error)) => again.after(error).await?,
            }
        }
    }

    /// Changes it, again if somebody else was faster: no change is lost.
    pub(super) async fn change(
        &self,
        owner: &str,
        id: &str,
        change: &(dyn Fn(&mut Session) -> Result<(), SessionError> + Sync),
    ) -> Result<Session, SessionError> {
        for _ in 0..MOST_CONFLICTS {
            let Found {
                mut session,
                version,
                ..
            } = self.find(owner, id).await?;
            change(&mut session)?;
            session.last_accessed_at = now();
            session.expires_at = session.last_accessed_at + self.config.ttl;
            match self.put(owner, &session, Expect::Version(version)).await {
                Ok(()) => return Ok(session),
                Err(NotPut::Session(error)) => return Err(error),
                Err(NotPut::Conflict) => {}
            }
        }
        Err(SessionError::Locked {
            id: id.to_owned(),
            waited: Duration::ZERO,
        })
    }

    pub(super) async fn put(
        &self,
        owner: &str,
        session: &Session,
        expect: Expect,
    ) -> Result<(), NotPut> {
        let value = encode(session)?;
        self.check_size(&session.id, value.len())?;
        let row = Row {
            value: &value,
            group: session.user_id.as_deref().unwrap_or_default(),
            ttl: Some(self.config.ttl),
        };
        let key = row_key(owner, &session.id);
        let mut again = Again::within(None);
        loop {
            match self.records.put(key, row, expect).await {
                Ok(_) => return Ok(()),
                Err(WriteError::Conflict) if again.is_repeat() => {
                    return self.settle(key, &value).await;
                }
                Err(WriteError::Conflict) => return Err(NotPut::Conflict),
                Err(WriteError::Store(error)) => {
                    again.after(error).await.map_err(SessionError::from)?;
                }
            }
        }
    }

    /// Whether a conflict is with what this very write has written before, and
    /// not been told of.
    async fn settle(&self, key: RowKey<'_>, value: &[u8]) -> Result<(), NotPut> {
        let there = ask(|| self.records.get(key)).await;
        match there.map_err(SessionError::from)? {
            Some(record) if record.value == value => Ok(()),
            Some(_) | None => {
                let reason = "a write was not answered, and others have written since".to_owned();
                Err(SessionError::from(StoreError::Unreachable { reason }).into())
            }
        }
    }

    pub(super) fn check_size(&self, id: &str, bytes: usize) -> Result<(), SessionError> {
        let (bytes, limit) = (bytes as u64, self.config.max_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let id = id.to_owned();
        Err(SessionError::TooLarge { id, bytes, limit })
    }

    pub(super) async fn delete(&self, owner: &str, id: &str) -> Result<(), SessionError> {
        let mut again = Again::within(None);
        loop {
            let deleted = self.records.delete(row_key(owner, id), Expect::Anything);
            match deleted.await {
                Ok(true) => return Ok(()),
                // It is gone, and may be by the question that was not answered.
                Ok(false) | Err(WriteError::Conflict) if again.is_repeat() => return Ok(()),
                Ok(false) | Err(WriteError::Conflict) => return Err(not_found(id)),
                Err(WriteError::Store(error)) => again.after(error).await?,
            }
        }
    }

    pub(super) async fn list(
        &self,
        owner: &str,
        user_id: &str,
        (after, limit): (Option<&str>, usize),
    ) -> Result<SessionPage, SessionError> {
        check_user(user_id)?;
        if let Some(after) = after {
            check_id(after)?;
        }
        let page = Page {
            after,
            limit: limit.saturating_add(1),
        };
        let records = ask(|| self.records.list(TABLE, owner, user_id, page)).await?;
        let listed = records.iter().take(limit);
        let sessions = listed.map(|record| self.decode(record));
        let sessions: Vec<Session> = sessions.collect::<Result<_, _>>()?;
        let more = records.len() > limit;
        let next = sessions.last().filter(|_| more);
        Ok(SessionPage {
            next: next.map(|last| last.id.clone()),
            sessions,
        })
    }

    /// Lets it live on for having been used.
    pub(super) async fn touch(&self, owner: &str, id: &str) -> Result<(), SessionError> {
        let ttl = self.config.ttl;
        if ask(|| self.records.touch(row_key(owner, id), ttl)).await? {
            Ok(())
        } else {
            Err(not_found(id))
        }
    }
}

/// Why a session was not written.
#[derive(Debug)]
pub(super) enum NotPut {
    /// Somebody else was faster.
    Conflict,
    Session(SessionError),
}

impl From<SessionError> for NotPut {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

fn row_key<'a>(owner: &'a str, id: &'a str) -> RowKey<'a> {
    RowKey {
        table: TABLE,
        owner,
        id,
    }
}

fn not_found(id: &str) -> SessionError {
    SessionError::NotFound { id: id.to_owned() }
}
