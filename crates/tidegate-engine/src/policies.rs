//! Which policy judges a text: what the request says, then what its key
//! demands, then what the gate is configured with.

mod rollout;

use std::sync::Arc;
use std::time::SystemTime;

use tidegate_guard::{Builtin, Direction, Mode, Outcome, Policy, ScanRequest, Verdict};

use crate::assemble::Engine;
use crate::caller::Caller;
use crate::error::EngineError;
use crate::guard::Guard;
pub use rollout::{Agreement, CandidateModel, Rollout};
pub(crate) use rollout::{Agreements, Side, Trial};

/// Where a policy came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySource {
    /// The request names it.
    Request,
    /// The caller's key demands it.
    Key,
    /// The configuration names it.
    File,
    /// Nobody names one.
    Default,
    /// The traffic is part of the share that a rollout decides over.
    Rollout,
}

impl PolicySource {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Key => "key",
            Self::File => "file",
            Self::Default => "default",
            Self::Rollout => "rollout",
        }
    }
}

/// A policy and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What decides.
    pub policy: Policy,
    /// Who chose it.
    pub source: PolicySource,
}

/// On what terms everything of one request is judged.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) chosen: Chosen,
    mode: Mode,
    tenant: Arc<str>,
    at: SystemTime,
    /// The policy that is asked as well, where there is one.
    pub(crate) trial: Option<Trial>,
}

impl Terms {
    pub(crate) fn new(chosen: Chosen, caller: &Caller, mode: Mode) -> Self {
        Self {
            chosen,
            mode,
            tenant: caller.shared_tenant(),
            at: SystemTime::now(),
            trial: None,
        }
    }

    /// Which side of a rollout decides.
    pub(crate) fn side(&self) -> Side {
        self.trial.as_ref().map_or(Side::Own, |trial| trial.decided)
    }

    /// What the other policy would have said.
    pub(crate) fn other(&self, request: &ScanRequest, verdict: &Verdict) -> Option<Outcome> {
        self.trial
            .as_ref()
            .map(|trial| trial.says(request, verdict))
    }

    /// A scan on these terms, with nothing suppressed.
    pub(crate) fn request(&self, direction: Direction) -> ScanRequest {
        ScanRequest {
            direction,
            mode: self.mode,
            policy: self.chosen.policy.clone(),
            suppress: Vec::new(),
            tenant: Some(self.tenant.clone()),
            at: Some(self.at),
        }
    }

    /// What was judged on these terms stands for what is judged under the same
    /// edition.
    pub(crate) fn edition(&self) -> String {
        let (policy, mode) = (&self.chosen.policy, self.mode);
        format!("{mode}:{}:{}", policy.id(), policy.edition(Some(self.at)))
    }
}

impl Trial {
    /// What the other policy says of the same text.
    pub(crate) fn says(&self, request: &ScanRequest, verdict: &Verdict) -> Outcome {
        verdict.under(&self.request(request)).outcome
    }

    /// The same scan as the other policy wants it.
    pub(crate) fn request(&self, request: &ScanRequest) -> ScanRequest {
        ScanRequest {
            policy: self.other.clone(),
            ..request.clone()
        }
    }
}

impl Guard {
    /// The terms of a request of `caller`, who may have asked for a policy.
    /// `subject` stands for the traffic that it belongs to.
    pub(crate) fn terms(
        &self,
        caller: &Caller,
        asked: Option<&str>,
        subject: impl FnOnce() -> Vec<u8>,
    ) -> Result<Terms, EngineError> {
        let chosen = self.choose(caller, asked)?;
        let (chosen, trial) = self.enroll(chosen, caller.tenant(), subject);
        Ok(Terms {
            trial,
            ..Terms::new(chosen, caller, self.config().mode)
        })
    }

    /// What decides, and what is asked besides, where a rollout is under way.
    pub(crate) fn enroll(
        &self,
        chosen: Chosen,
        tenant: &str,
        subject: impl FnOnce() -> Vec<u8>,
    ) -> (Chosen, Option<Trial>) {
        let concerns = match chosen.source {
            PolicySource::File | PolicySource::Default => true,
            PolicySource::Request | PolicySource::Key | PolicySource::Rollout => false,
        };
        let rollout = self.config().rollout.as_ref().filter(|_| concerns);
        let Some(rollout) = rollout.filter(|rollout| rollout.takes(tenant, &subject())) else {
            return (chosen, None);
        };
        if !rollout.decides {
            let trial = Trial {
                other: rollout.policy.clone(),
                decided: Side::Own,
            };
            return (chosen, Some(trial));
        }
        let trial = Trial {
            other: chosen.policy,
            decided: Side::Candidate,
        };
        let chosen = Chosen {
            policy: rollout.policy.clone(),
            source: PolicySource::Rollout,
        };
        (chosen, Some(trial))
    }

    /// What judges the texts of `caller`, who may have asked for a policy by
    /// its name.
    ///
    /// A key that demands a policy is not talked out of it: a request may name
    /// one that is known to be at least as strict, or come with an operator's
    /// key.
    pub(crate) fn choose(
        &self,
        caller: &Caller,
        asked: Option<&str>,
    ) -> Result<Chosen, EngineError> {
        let Some(name) = asked else {
            return Ok(match caller.policy() {
                Some(demanded) => Chosen {
                    policy: demanded.clone(),
                    source: PolicySource::Key,
                },
                None => self.config().chosen.clone(),
            });
        };
        let policy = self.named(name)?;
        match caller.policy() {
            Some(demanded) if !caller.is_trusted() && !policy.is_at_least(demanded) => {
                Err(EngineError::PolicyNotAllowed {
                    policy: name.to_owned(),
                    demanded: demanded.id().to_owned(),
                })
            }
            Some(_) | None => Ok(Chosen {
                policy,
                source: PolicySource::Request,
            }),
        }
    }

    /// A built-in policy, or one of the configuration's. A name is never a path.
    fn named(&self, name: &str) -> Result<Policy, EngineError> {
        if let Ok(builtin) = name.parse::<Builtin>() {
            return Ok(builtin.into());
        }
        let mut configured = self.configured();
        let policy = configured.find(|policy| policy.id() == name).cloned();
        policy.ok_or_else(|| {
            let builtin = Builtin::ALL.iter().map(|one| one.as_str());
            let mut known: Vec<String> = builtin.map(str::to_owned).collect();
            known.extend(self.configured().map(|policy| policy.id().to_owned()));
            known.dedup();
            EngineError::UnknownPolicy { known }
        })
    }

    /// The policies of the configuration, the gate's own among them.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &Policy> {
        let config = self.config();
        let own = Some(&config.chosen.policy).filter(|own| !config.policies.contains(own));
        let own = own.filter(|own| own.builtin().is_none());
        config.policies.iter().chain(own)
    }
}

impl Engine {
    /// What judges the texts of `caller`, who may have asked for a policy.
    ///
    /// # Errors
    /// [`EngineError::UnknownPolicy`] for a name that nothing has, and
    /// [`EngineError::PolicyNotAllowed`] for a policy that may be milder than
    /// the one that the caller's key demands.
    pub fn choose_policy(
        &self,
        caller: &Caller,
        asked: Option<&str>,
    ) -> Result<Chosen, EngineError> {
        self.rooms.guard.choose(caller, asked)
    }

    /// How the gate's own policy and the one that is rolled out agree.
    pub fn agreement(&self) -> Option<Agreement> {
        self.rooms.guard.agreement()
    }

    /// The policies of the configuration beside the built-in ones.
    pub fn policies(&self) -> Vec<Policy> {
        self.rooms.guard.configured().cloned().collect()
    }
}
