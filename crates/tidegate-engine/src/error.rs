//! Why a request got no answer, told apart by what its caller can do.

use std::sync::Arc;
use std::time::Duration;

use tidegate_guard::Direction;
use tidegate_provider::{ErrorBody, Unavailability};
use tidegate_text::template::RenderError;

use crate::sessions::SessionError;

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No chain has this name.
    #[error("model {model:?} is not configured; GET /v1/models lists what is")]
    UnknownModel {
        /// What was asked for.
        model: String,
    },
    /// A limit is reached and will not free within the deadline.
    #[error("every model of {model:?} is at its limit; retry in {} ms", retry_after.as_millis())]
    Throttled {
        /// What was asked for.
        model: String,
        /// When there will be room, if nobody else comes.
        retry_after: Duration,
    },
    /// A limit of the caller's own is reached.
    #[error("tenant {tenant:?} is at its limit on {limit}; retry in {} ms", retry_after.as_millis())]
    TenantLimited {
        /// The tenant.
        tenant: String,
        /// `requests`, `tokens`, `concurrency` or `reservations`.
        limit: &'static str,
        /// When there will be room, if nobody else of the tenant comes; a hint
        /// for concurrency.
        retry_after: Duration,
    },
    /// The request needs more tokens than the caller's own limit has in all.
    #[error(
        "the request needs about {tokens} tokens and tenant {tenant:?} may use no more than {limit} in a window"
    )]
    TenantTooLarge {
        /// The tenant.
        tenant: String,
        /// What the request may use.
        tokens: u64,
        /// The limit.
        limit: u64,
    },
    /// The guard's policy does not let it through.
    #[error("the {direction} was blocked by the guard: {}", rules.join(", "))]
    Blocked {
        /// What was blocked: a prompt, a tool's result, an answer.
        direction: Direction,
        /// The rules that matched.
        rules: Vec<Arc<str>>,
    },
    /// The policy redacts what was said, where that cannot be done.
    #[error(
        "the {place} holds what the policy redacts, which cannot be done there: {}; ask for the answer whole, or leave it out",
        rules.join(", ")
    )]
    NotRedacted {
        /// What cannot be redacted: a stream, a message of a session, JSON that
        /// would be none any more.
        place: &'static str,
        /// The rules that matched.
        rules: Vec<Arc<str>>,
    },
    /// No policy has this name.
    #[error("policy must be one of {}", known.join(", "))]
    UnknownPolicy {
        /// The names that there are.
        known: Vec<String>,
    },
    /// The policy may let through what the caller's key demands to be held up.
    #[error(
        "this key demands the policy {demanded:?}, and {policy:?} may be milder; leave it out, or name a stricter one"
    )]
    PolicyNotAllowed {
        /// What was asked for.
        policy: String,
        /// What the key demands.
        demanded: String,
    },
    /// The CPU has more to do than it can: scans, TOON, prompts.
    #[error("the processors have too much to do already; retry in {} ms", retry_after.as_millis())]
    Busy {
        /// A hint.
        retry_after: Duration,
    },
    /// Every entry's breaker is open.
    #[error("no model of {model:?} is healthy; retry in {} ms", retry_after.as_millis())]
    NoHealthyModel {
        /// What was asked for.
        model: String,
        /// When the next one will be probed.
        retry_after: Duration,
    },
    /// Too many requests wait already.
    #[error("{waiting} requests wait for {model:?} already; retry in {} ms", retry_after.as_millis())]
    Overloaded {
        /// What was asked for.
        model: String,
        /// How many wait.
        waiting: usize,
        /// A hint.
        retry_after: Duration,
    },
    /// The request needs more tokens than a limit has in all.
    #[error(
        "the request needs about {tokens} tokens and no model of {model:?} allows more than {limit} in a window"
    )]
    TooLarge {
        /// What was asked for.
        model: String,
        /// What the request may use.
        tokens: u64,
        /// The largest limit.
        limit: u64,
    },
    /// Nobody knows what is left of the limits, and nothing is granted without
    /// knowing.
    #[error(
        "the store of the limits cannot be reached, and nothing is granted without it; retry in {} ms",
        retry_after.as_millis()
    )]
    LimitsUnreachable {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// Every attempt failed upstream.
    #[error("no model of {model:?} answered, the last one: {reason}")]
    Upstream {
        /// What was asked for.
        model: String,
        /// How the last attempt failed.
        reason: Unavailability,
    },
    /// An upstream refused the request itself.
    #[error("{}", upstream_words(.0))]
    Rejected(ErrorBody),
    /// No entry serves this model, or none accepts our key.
    #[error("{}", upstream_words(.0))]
    NotServed(ErrorBody),
    /// The deadline passed.
    #[error("no answer within {:.1} s", budget.as_secs_f64())]
    DeadlineExceeded {
        /// How long the request had.
        budget: Duration,
    },
    /// Its session cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A prompt cannot be rendered.
    #[error(transparent)]
    Prompt(#[from] RenderError),
    /// A fault of ours.
    #[error("internal error")]
    Internal,
}

impl EngineError {
    /// How long a caller should wait before it tries again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. }
            | Self::Busy { retry_after }
            | Self::LimitsUnreachable { retry_after }
            | Self::TenantLimited { retry_after, .. }
            | Self::NoHealthyModel { retry_after, .. }
            | Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::Session(error) => error.retry_after(),
            Self::UnknownModel { .. }
            | Self::TooLarge { .. }
            | Self::Blocked { .. }
            | Self::NotRedacted { .. }
            | Self::UnknownPolicy { .. }
            | Self::PolicyNotAllowed { .. }
            | Self::TenantTooLarge { .. }
            | Self::Upstream { .. }
            | Self::Rejected(_)
            | Self::NotServed(_)
            | Self::DeadlineExceeded { .. }
            | Self::Prompt(_)
            | Self::Internal => None,
        }
    }
}

fn upstream_words(body: &ErrorBody) -> String {
    if body.message.is_empty() {
        format!("the upstream refused with status {}", body.status)
    } else {
        body.message.clone()
    }
}
