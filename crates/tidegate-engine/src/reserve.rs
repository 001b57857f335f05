//! The same limits for calls that are made elsewhere.

use std::time::Duration;

use tidegate_resilience::Outcome;
use tidegate_store::{UnknownReservation, Used};
use tokio::time::Instant;

use crate::assemble::Engine;
use crate::caller::Caller;
use crate::context::Context;
use crate::error::EngineError;

/// A reservation for a call that is made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// To be settled with [`Engine::settle`].
    pub id: String,
    /// The `provider/model` to call.
    pub model: String,
    /// The reservation ends by itself after this time.
    pub lease: Duration,
}

/// How long a call made elsewhere may take before its lease is given back.
const LEASE: Duration = Duration::from_secs(600);
/// One of a tenant's reservations may be settled at any time.
const HINT: Duration = Duration::from_secs(1);

impl Engine {
    /// Reserves one request and `tokens` at the first entry of a chain that
    /// has room, waiting for it in line until the deadline. `name` is a model
    /// or a `provider/model`.
    ///
    /// # Errors
    /// [`EngineError::Throttled`] with the time to wait,
    /// [`EngineError::TenantLimited`] when too many are held, and the others that
    /// [`Engine::chat`] has before a call is sent.
    pub async fn reserve(
        &self,
        name: &str,
        tokens: u64,
        context: &Context,
    ) -> Result<Held, EngineError> {
        let chain = self.rooms.chain_or_entry(name)?;
        let allowance = self.rooms.allow(&context.caller, tokens).await?;
        let admission = self
            .rooms
            .generator
            .admit_elsewhere(&chain, tokens, context.deadline)
            .await?;
        let entry = admission.entry().clone();
        let reservation = admission.into_reservation().ok_or(EngineError::Internal)?;
        let reservation = allowance.join(reservation);
        let tenant = context.caller.tenant();
        let id = self
            .rooms
            .generator
            .limits
            .hold(tenant, &entry.name, reservation, LEASE)
            .await
            .map_err(|_| EngineError::TenantLimited {
                tenant: tenant.to_owned(),
                limit: "reservations",
                retry_after: HINT,
            })?;
        Ok(Held {
            id,
            model: entry.name.to_string(),
            lease: LEASE,
        })
    }

    /// Ends a reservation with what was used and whether the call succeeded.
    ///
    /// # Errors
    /// [`UnknownReservation`] when it was settled before or has expired.
    pub async fn settle(
        &self,
        caller: &Caller,
        id: &str,
        tokens: u64,
        success: Success,
    ) -> Result<(), UnknownReservation> {
        let name = self
            .rooms
            .generator
            .limits
            .settle(caller.tenant(), id, Used::Tokens(tokens))
            .await?;
        let entries = self.rooms.chains.entries();
        if let Some(entry) = entries.iter().find(|entry| *entry.name == *name) {
            let now = Instant::now().into_std();
            // One tenant's word must not close a model to all others.
            if caller.is_trusted()
                && let Ok(permit) = entry.standing.breaker.permit(now)
            {
                let limits = &*self.rooms.generator.limits;
                entry.record(permit, success.outcome(), limits);
            }
            entry.standing.ring();
        }
        Ok(())
    }
}

/// How a call that was made elsewhere ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// It was answered.
    Answered,
    /// It failed upstream.
    Failed,
}

impl Success {
    fn outcome(self) -> Outcome {
        match self {
            Self::Answered => Outcome::Success {
                latency: Duration::ZERO,
            },
            Self::Failed => Outcome::Failure {
                latency: Duration::ZERO,
            },
        }
    }
}
