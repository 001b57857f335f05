//! On whose behalf a task runs, and what the engine's errors mean to it.

use tidegate_tasks::{Context, TaskError};

use super::InForce;
use crate::assemble::Engine;
use crate::caller::Caller;
use crate::error::EngineError;

/// The engine in force, and the tenant of a task.
pub(super) fn of(in_force: &dyn InForce, context: &Context) -> Result<(Engine, Caller), TaskError> {
    let policy = context.on_behalf.as_deref();
    let caller = in_force.caller(&context.owner, policy).ok_or_else(|| {
        let message =
            "the tenant that submitted it, or the policy of its key, is not configured any more";
        TaskError::lasting("tenant_gone", message)
    })?;
    Ok((in_force.engine(), caller))
}

/// Whether to repeat helps, and when.
pub(super) fn failed(error: &EngineError) -> TaskError {
    let message = error.to_string();
    if let Some(after) = error.retry_after() {
        return TaskError::busy("throttled", message, after);
    }
    match error {
        EngineError::Upstream { .. } => TaskError::passing("upstream_failed", message),
        EngineError::DeadlineExceeded { .. } => TaskError::passing("timeout", message),
        EngineError::Internal => TaskError::passing("internal_error", message),
        EngineError::Session(_) => TaskError::passing("session_failed", message),
        EngineError::Blocked { .. } => TaskError::lasting("blocked", message),
        EngineError::NotRedacted { .. } => TaskError::lasting("not_redacted", message),
        EngineError::UnknownModel { .. } | EngineError::NotServed(_) => {
            TaskError::lasting("unknown_model", message)
        }
        EngineError::Rejected(_) => TaskError::lasting("rejected", message),
        EngineError::TooLarge { .. } | EngineError::TenantTooLarge { .. } => {
            TaskError::lasting("too_large", message)
        }
        EngineError::UnknownPolicy { .. }
        | EngineError::PolicyNotAllowed { .. }
        | EngineError::Prompt(_) => TaskError::lasting("invalid_input", message),
        // These say when to come back.
        EngineError::Throttled { .. }
        | EngineError::TenantLimited { .. }
        | EngineError::Busy { .. }
        | EngineError::NoHealthyModel { .. }
        | EngineError::Overloaded { .. }
        | EngineError::LimitsUnreachable { .. } => TaskError::passing("throttled", message),
    }
}
