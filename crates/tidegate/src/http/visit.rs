//! Who comes in, and by which door.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_engine::{Caller, Context, Deadline, Trail};

use super::Gate;
use super::error::ApiError;
use super::live::Live;

/// Who may use a route. Every route of the table names one: without it the
/// table does not compile. The easiest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Anybody; for probes that hold no key.
    Public,
    /// Whoever has a key.
    Tenant,
    /// Whoever has an operator's key: what is seen or changed here concerns
    /// all tenants.
    Admin,
}

impl Access {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Tenant => "tenant",
            Self::Admin => "admin",
        }
    }
}

/// The door in front of one route.
#[derive(Debug, Clone)]
pub(super) struct Door {
    access: Access,
    gate: Arc<Gate>,
}

impl Door {
    pub(super) fn new(access: Access, gate: &Arc<Gate>) -> Self {
        let gate = gate.clone();
        Self { access, gate }
    }
}

/// A request that was let in: by whom it comes, and under which revision of
/// the configuration it is served.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) live: Arc<Live>,
    pub(super) caller: Caller,
    pub(super) trail: Trail,
}

/// The revision that a request came under, and where its calls are noted.
#[derive(Debug, Clone)]
pub(super) struct Under {
    pub(super) live: Arc<Live>,
    pub(super) trail: Trail,
    /// Where it is noted who asks, if that is of interest.
    pub(super) tenant: Option<Arc<OnceLock<String>>>,
}

/// Lets a request in, or says why not. The access is bound to the route when
/// the router is built, so no spelling of a path or a host leads around it.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let under = request.extensions().get::<Under>().cloned();
    let Some(Under {
        live,
        trail,
        tenant,
    }) = under
    else {
        return ApiError::internal().into_response();
    };
    match live
        .keys
        .identify(request.headers(), door.access, SystemTime::now())
    {
        Ok(caller) => {
            if let Some(tenant) = tenant {
                let _ = tenant.set(caller.tenant().to_owned());
            }
            request.extensions_mut().insert(Visit {
                live,
                caller,
                trail,
            });
            next.run(request).await
        }
        Err(denied) => {
            let (reason, access) = (denied.as_str(), door.access.as_str());
            tracing::debug!(reason, access, "a caller was not let in: {reason}");
            door.gate.metrics.denied(reason);
            ApiError::from(denied).into_response()
        }
    }
}

impl Visit {
    /// What travels with the request into the engine.
    pub(super) fn context(&self, deadline: Deadline) -> Context {
        let mut context = Context::new(self.caller.clone(), deadline);
        context.trail = self.trail.clone();
        context
    }
}

impl FromRequestParts<Arc<Gate>> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        _gate: &Arc<Gate>,
    ) -> Result<Self, Self::Rejection> {
        let visit = parts.extensions.get::<Self>().cloned();
        visit.ok_or_else(ApiError::internal)
    }
}
