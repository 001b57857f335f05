//! `/v1/sessions`: conversations that are kept.

mod cookie;
mod read;

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_engine::{Deadline, Session, SessionMessage};

use super::body::json_body;
use super::error::ApiError;
use super::utc::utc;
use super::visit::Visit;

/// Which session a request is part of, and which one an answer was.
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// The session that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: String,
    by: By,
}

/// Where it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Body,
    Header,
    Cookie,
}

impl Named {
    /// The session that a request is part of: what the body says goes before
    /// the header, and that before the cookie.
    ///
    /// # Errors
    /// Where the header can be no id.
    pub(super) fn of(body: Option<String>, headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let by = |by| move |id| Self { id, by };
        if let Some(id) = body {
            return Ok(Some(by(By::Body)(id)));
        }
        if let Some(id) = headers.get(SESSION_ID) {
            let bad = |_| ApiError::from(tidegate_engine::SessionError::BadId);
            let id = id
                .to_str()
                .map_err(bad)
                .map_err(|error| error.about("x-session-id"))?;
            return Ok(Some(by(By::Header)(id.to_owned())));
        }
        Ok(cookie::of(headers).map(by(By::Cookie)))
    }

    /// Whether somebody named it for this request, and not a browser that
    /// repeats what it was told.
    pub(super) fn is_meant(&self) -> bool {
        self.by != By::Cookie
    }

    /// What an error about its name is about.
    fn param(&self) -> &'static str {
        match self.by {
            By::Body => "tidegate.session_id",
            By::Header => "x-session-id",
            By::Cookie => cookie::NAME,
        }
    }

    /// Says in an answer which session it was part of. A cookie lives on with
    /// its session.
    pub(super) fn describe(&self, response: &mut Response, ttl: Duration) {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(SESSION_ID, id);
        }
        if self.by == By::Cookie {
            cookie::set(headers, &self.id, ttl);
        }
    }

    /// The error of a request that named it. A cookie whose session is gone is
    /// taken back: the browser would send it for ever.
    pub(super) fn refused(&self, error: ApiError) -> Response {
        let is_gone = error.is_about_session_name();
        let error = match is_gone {
            true => error.about(self.param()),
            false => error,
        };
        let mut response = error.into_response();
        if is_gone && self.by == By::Cookie {
            cookie::forget(response.headers_mut());
        }
        response
    }
}

/// Makes a session.
pub(super) async fn create(visit: Visit, request: Request<Body>) -> Result<Response, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let body = json_body(&visit.live, request, deadline).await?;
    let engine = &visit.live.engine;
    let made = engine
        .create_session(&visit.caller, read::patch(&body)?)
        .await?;
    let mut response = shown(&made);
    cookie::set(response.headers_mut(), &made.id, engine.session_ttl());
    Ok(response)
}

/// Shows a session.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, ApiError> {
    let session = visit.live.engine.session(&visit.caller, &id).await?;
    Ok(shown(&session))
}

/// Changes a session.
pub(super) async fn update(
    visit: Visit,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let body = json_body(&visit.live, request, deadline).await?;
    let patch = read::patch(&body)?;
    let engine = &visit.live.engine;
    let session = engine.update_session(&visit.caller, &id, patch, deadline);
    Ok(shown(&session.await?))
}

/// Deletes a session.
pub(super) async fn remove(
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let engine = &visit.live.engine;
    engine.delete_session(&visit.caller, &id, deadline).await?;
    let mut response = Json(json!({"deleted": id})).into_response();
    if cookie::of(&headers).is_some_and(|named| named == id) {
        cookie::forget(response.headers_mut());
    }
    Ok(response)
}

/// Lists the sessions of a user.
pub(super) async fn list(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let asked = read::ListQuery::of(request.uri().query().unwrap_or_default())?;
    let engine = &visit.live.engine;
    let after = asked.after.as_deref();
    let page = engine
        .sessions_of(&visit.caller, &asked.user_id, after, asked.limit)
        .await?;
    let sessions: Vec<Value> = page.sessions.iter().map(summary_json).collect();
    Ok(Json(json!({"sessions": sessions, "next": page.next})))
}

fn shown(session: &Session) -> Response {
    let mut response = Json(session_json(session)).into_response();
    if let Ok(id) = HeaderValue::from_str(&session.id) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    response
}

/// A session as answers and the command line show it.
pub(crate) fn session_json(session: &Session) -> Value {
    let messages: Vec<Value> = session.messages.iter().map(message_json).collect();
    json!({
        "id": session.id,
        "user_id": session.user_id,
        "created_at": utc(session.created_at),
        "last_accessed_at": utc(session.last_accessed_at),
        "expires_at": utc(session.expires_at),
        "messages": messages,
        "preferences": session.preferences,
        "last_query": session.last_query,
        "last_domain": session.last_domain,
        "data": session.data,
    })
}

/// The same in a list, with the number of its messages in their place.
pub(crate) fn summary_json(session: &Session) -> Value {
    let mut summary = session_json(session);
    if let Value::Object(fields) = &mut summary {
        for large in ["messages", "preferences", "data"] {
            fields.shift_remove(large);
        }
        let count = session.messages.len();
        fields.insert("message_count".to_owned(), count.into());
    }
    summary
}

fn message_json(message: &SessionMessage) -> Value {
    let said = serde_json::from_slice(&message.said.json);
    let mut fields: Map<String, Value> = said.unwrap_or_default();
    let dialect = message.said.dialect.as_str();
    fields.insert("at".to_owned(), utc(message.at).into());
    fields.insert("dialect".to_owned(), dialect.into());
    fields.insert("metadata".to_owned(), message.metadata.clone().into());
    fields.into()
}
