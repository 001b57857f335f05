//! On whose behalf a request is made, and what they may use.

use std::sync::Arc;
use std::time::Duration;

use tidegate_guard::Policy;
use tidegate_provider::Usage;
use tidegate_store::{Dimension, Grantor, Quota, Refused, Reservation, Used};

use crate::assemble::Rooms;
use crate::error::EngineError;
use crate::generate::Generated;
use crate::store_key;

/// A tenant and its own limits, which hold on top of those of the models.
#[derive(Debug, Clone)]
pub struct Caller {
    tenant: Arc<str>,
    quota: Quota,
    limit_key: Arc<str>,
    word: Word,
    policy: Option<Policy>,
}

/// What a caller's word counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// For everybody: an operator's, or anybody's where there are no keys.
    Everybody,
    /// For the tenant itself.
    Tenant,
}

/// The tenant of a gate without keys; no configured one can have this name.
const LOCAL: &str = "@local";

impl Default for Caller {
    fn default() -> Self {
        Self::new(LOCAL, Quota::unlimited()).trusted()
    }
}

impl Caller {
    /// A tenant that may use `quota`.
    pub fn new(tenant: &str, quota: Quota) -> Self {
        Self {
            tenant: tenant.into(),
            limit_key: store_key::tenant_limit(tenant).into(),
            quota,
            word: Word::Tenant,
            policy: None,
        }
    }

    /// The same, whose texts are judged by `policy` unless an operator, or a
    /// stricter wish, says otherwise.
    #[must_use]
    pub fn under(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The policy that its key demands.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// The same, whose word on the health of upstreams counts for everybody.
    #[must_use]
    pub fn trusted(mut self) -> Self {
        self.word = Word::Everybody;
        self
    }

    /// Whether its word counts for everybody: an operator's.
    pub fn is_trusted(&self) -> bool {
        self.word == Word::Everybody
    }

    /// The tenant's name.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(crate) fn shared_tenant(&self) -> Arc<str> {
        self.tenant.clone()
    }

    /// Tokens that it may use in a window, where that is limited.
    pub(crate) fn token_limit(&self) -> Option<u64> {
        self.quota.tokens
    }

    fn is_unlimited(&self) -> bool {
        let Quota {
            requests,
            tokens,
            concurrent,
            window: _,
        } = self.quota;
        requests.is_none() && tokens.is_none() && concurrent.is_none()
    }
}

/// What a request holds of its tenant's limits until its answer has ended.
///
/// Dropped before anything was sent it is given back whole; dropped after
/// that, its tokens stand.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    reservation: Option<Reservation>,
    spent: bool,
}

/// What a caller is told who has too many requests under way: nobody knows
/// when one of them will end.
const CONCURRENCY_HINT: Duration = Duration::from_secs(1);

/// Who may ask again so soon waits for it here.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(50);

impl Rooms {
    /// Takes one request and `tokens` from the tenant's own limits.
    pub(crate) async fn allow(
        &self,
        caller: &Caller,
        tokens: u64,
    ) -> Result<Allowance, EngineError> {
        if caller.is_unlimited() {
            return Ok(Allowance::default());
        }
        let limits = &self.generator.limits;
        let ask = || limits.reserve(&caller.limit_key, &caller.quota, tokens);
        let answer = match ask().await {
            // One question was lost, and the next may well be answered.
            Err(Refused::Unreachable { retry_after }) if retry_after <= AT_ONCE => {
                tokio::time::sleep(retry_after).await;
                ask().await
            }
            answer => answer,
        };
        match answer {
            Ok(reservation) => Ok(Allowance {
                reservation: Some(reservation),
                spent: false,
            }),
            Err(refused) => Err(refused_to(caller, &refused)),
        }
    }
}

fn refused_to(caller: &Caller, refused: &Refused) -> EngineError {
    let tenant = caller.tenant.to_string();
    match refused {
        Refused::Throttled {
            dimension,
            retry_after,
        } => EngineError::TenantLimited {
            tenant,
            limit: Dimension::as_str(*dimension),
            retry_after: retry_after.unwrap_or(CONCURRENCY_HINT),
        },
        Refused::Cooling { retry_after, .. } => EngineError::Busy {
            retry_after: *retry_after,
        },
        Refused::Unreachable { retry_after } => EngineError::LimitsUnreachable {
            retry_after: *retry_after,
        },
        Refused::TooLarge { tokens, limit } => EngineError::TenantTooLarge {
            tenant,
            tokens: *tokens,
            limit: *limit,
        },
    }
}

impl Allowance {
    /// From here on it is not given back whole: something may have been sent.
    pub(crate) fn spend(&mut self) {
        self.spent = true;
    }

    /// Makes calls under this allowance. When they fail, the request
    /// counts and no token does.
    pub(crate) async fn over(
        &mut self,
        calls: impl Future<Output = Result<Generated, EngineError>>,
    ) -> Result<Generated, EngineError> {
        self.spend();
        let mut generated = calls.await;
        match &mut generated {
            Ok(generated) if self.is_granted_here() => generated.note_local_store(),
            Ok(_) => {}
            Err(_) => self.end(Used::Tokens(0)),
        }
        generated
    }

    fn is_granted_here(&self) -> bool {
        let reservation = self.reservation.as_ref();
        reservation.is_some_and(|reservation| reservation.granted_by() == Grantor::ThisNode)
    }

    /// Ends it with what the upstream reported, or lets the estimate stand.
    pub(crate) fn settle_with(mut self, usage: Option<Usage>) {
        self.end(usage.map_or(Used::Unknown, |usage| Used::Tokens(usage.total())));
    }

    /// Ends it with what was used.
    pub(crate) fn settle(mut self, used: Used) {
        self.end(used);
    }

    fn end(&mut self, used: Used) {
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(used);
        }
    }

    /// The same hold together with another one.
    pub(crate) fn join(mut self, other: Reservation) -> Reservation {
        match self.reservation.take() {
            Some(own) => own.and(other),
            None => other,
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.end(if self.spent {
            Used::Unknown
        } else {
            Used::Nothing
        });
    }
}
