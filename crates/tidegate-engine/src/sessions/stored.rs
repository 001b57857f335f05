//! A session as bytes.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tidegate_provider::{Dialect, Message};
use tidegate_store::StoreError;

use super::{Session, SessionError, SessionMessage};

/// The format below. Another one has another number: an older program then says
/// that it cannot read it, and loses nothing of it.
const FORMAT: u64 = 1;

#[derive(Deserialize)]
struct Numbered {
    format: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    format: u64,
    id: Cow<'a, str>,
    user_id: Option<Cow<'a, str>>,
    created_at_ms: u64,
    last_accessed_at_ms: u64,
    #[serde(borrow)]
    messages: Vec<StoredMessage<'a>>,
    preferences: Cow<'a, Map<String, Value>>,
    last_query: Option<Cow<'a, str>>,
    last_domain: Option<Cow<'a, str>>,
    data: Cow<'a, Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMessage<'a> {
    dialect: Words,
    at_ms: u64,
    #[serde(borrow)]
    said: &'a RawValue,
    metadata: Cow<'a, Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Words {
    Chat,
    Messages,
}

/// Milliseconds since 1970, which is as exact as times are kept.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The latest time that is taken for one: what is later was never written here.
const LATEST_MS: u64 = 1 << 48;

fn time(ms: u64) -> Option<SystemTime> {
    let since = Some(ms).filter(|ms| *ms < LATEST_MS);
    since.map(|ms| UNIX_EPOCH + Duration::from_millis(ms))
}

/// Now, as exact as it will be read again.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis(SystemTime::now()))
}

/// The session as bytes.
pub(super) fn encode(session: &Session) -> Result<Vec<u8>, SessionError> {
    let messages = session.messages.iter().map(|message| {
        let said = serde_json::from_slice(&message.said.json);
        Ok(StoredMessage {
            dialect: match message.said.dialect {
                Dialect::Chat | Dialect::Completion => Words::Chat,
                Dialect::Messages => Words::Messages,
            },
            at_ms: millis(message.at),
            said: said.map_err(|_| corrupt())?,
            metadata: Cow::Borrowed(&message.metadata),
        })
    });
    let stored = Stored {
        format: FORMAT,
        id: Cow::Borrowed(&session.id),
        user_id: session.user_id.as_deref().map(Cow::Borrowed),
        created_at_ms: millis(session.created_at),
        last_accessed_at_ms: millis(session.last_accessed_at),
        messages: messages.collect::<Result<_, SessionError>>()?,
        preferences: Cow::Borrowed(&session.preferences),
        last_query: session.last_query.as_deref().map(Cow::Borrowed),
        last_domain: session.last_domain.as_deref().map(Cow::Borrowed),
        data: Cow::Borrowed(&session.data),
    };
    serde_json::to_vec(&stored).map_err(|_| corrupt())
}

/// The session `id` from its bytes; it is kept for `ttl` after its last use.
pub(super) fn decode(id: &str, bytes: &Bytes, ttl: Duration) -> Result<Session, SessionError> {
    let numbered: Numbered = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    if numbered.format > FORMAT {
        let (id, format) = (id.to_owned(), numbered.format);
        return Err(SessionError::Newer { id, format });
    }
    let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    if stored.format != FORMAT || stored.id != id {
        return Err(corrupt());
    }
    let messages = stored.messages.into_iter().map(|message| {
        let dialect = match message.dialect {
            Words::Chat => Dialect::Chat,
            Words::Messages => Dialect::Messages,
        };
        let json = bytes.slice_ref(message.said.get().as_bytes());
        Some(SessionMessage {
            said: Message { dialect, json },
            at: time(message.at_ms)?,
            metadata: message.metadata.into_owned(),
        })
    });
    let last_accessed_at = time(stored.last_accessed_at_ms).ok_or_else(corrupt)?;
    Ok(Session {
        id: id.to_owned(),
        user_id: stored.user_id.map(Cow::into_owned),
        created_at: time(stored.created_at_ms).ok_or_else(corrupt)?,
        last_accessed_at,
        expires_at: last_accessed_at + ttl,
        messages: messages.collect::<Option<_>>().ok_or_else(corrupt)?,
        preferences: stored.preferences.into_owned(),
        last_query: stored.last_query.map(Cow::into_owned),
        last_domain: stored.last_domain.map(Cow::into_owned),
        data: stored.data.into_owned(),
    })
}

fn corrupt() -> SessionError {
    StoreError::Corrupt { what: "a session" }.into()
}

#[cfg(test)]
mod tests;
