//! A second policy for a stable share of the traffic, and how often the two
//! agree.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tidegate_guard::{ClassifierTerms, Outcome, Policy};

use crate::second::SecondConfig;

/// A policy on its way to become the gate's own. It judges what the gate's own
/// policy would judge; whoever names a policy, or has a key that does, is not
/// part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// The second policy.
    pub policy: Policy,
    /// The share of the traffic that it judges, 0 to 1. Whoever is in a share
    /// is in every larger one.
    pub share: f64,
    /// Whether it decides there; otherwise it is only noted where it disagrees.
    pub decides: bool,
    /// What classifies there, where that is not what classifies elsewhere.
    pub model: Option<CandidateModel>,
}

/// A classifier on its way to become the gate's own; as in
/// [`GuardConfig`](crate::GuardConfig).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CandidateModel {
    /// How the word of the classifier of this build counts, where it is asked.
    pub classifier: Option<ClassifierTerms>,
    /// A classifier of one's own in its place.
    pub second: Option<SecondConfig>,
}

impl Rollout {
    /// Whether the traffic of `tenant` that `subject` stands for is in the
    /// share. It does not depend on the policies, so that a second rollout
    /// begins with the same callers.
    pub(crate) fn takes(&self, tenant: &str, subject: &[u8]) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidegate rollout 1");
        hasher.update(&(tenant.len() as u64).to_le_bytes());
        hasher.update(tenant.as_bytes());
        hasher.update(subject);
        let hash = hasher.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.as_bytes()[..8]);
        // 53 bits are what a float holds exactly, so the largest is below 1.
        let place = (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.share
    }
}

/// Which of the two policies decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The gate's own.
    Own,
    /// The second one.
    Candidate,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Own => Self::Candidate,
            Self::Candidate => Self::Own,
        }
    }
}

/// The policy that is asked beside the one that decides.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) other: Policy,
    pub(crate) decided: Side,
}

/// How often the two policies said what.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// The gate's own.
    pub policy: Policy,
    /// The second one, and for how much of the traffic.
    pub rollout: Rollout,
    /// What the gate's own policy said, what the second said, and how often.
    pub counts: Vec<(Outcome, Outcome, u64)>,
}

/// Counters of agreement, for one pair of policies.
#[derive(Debug, Default)]
pub(crate) struct Agreements(Mutex<BTreeMap<(Outcome, Outcome), u64>>);

impl Agreements {
    pub(crate) fn note(&self, decided: Side, said: Outcome, other: Outcome) {
        let pair = match decided {
            Side::Own => (said, other),
            Side::Candidate => (other, said),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(pair).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Vec<(Outcome, Outcome, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = counts.iter();
        pairs
            .map(|((own, candidate), count)| (*own, *candidate, *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(share: f64) -> Rollout {
        Rollout {
            policy: Policy::strict(),
            share,
            decides: false,
            model: None,
        }
    }

    fn taken(share: f64) -> Vec<usize> {
        let rollout = rollout(share);
        let takes = |number: &usize| rollout.takes("t", format!("caller {number}").as_bytes());
        (0..10_000).filter(takes).collect()
    }

    #[test]
    fn a_growing_share_keeps_those_that_were_in() {
        let shares = [0.0, 0.1, 0.25, 0.5, 1.0].map(taken);
        for (share, expected) in shares.iter().zip([0_usize, 1_000, 2_500, 5_000, 10_000]) {
            assert!(
                share.len().abs_diff(expected) <= 200,
                "{} {expected}",
                share.len()
            );
        }
        assert_eq!((shares[0].len(), shares[4].len()), (0, 10_000));
        for pair in shares.windows(2) {
            assert!(pair[0].iter().all(|number| pair[1].contains(number)));
        }
    }

    #[test]
    fn tenants_are_drawn_apart() {
        let half = rollout(0.5);
        let taken = |tenant: &str| {
            let takes = |number: &u32| half.takes(tenant, &number.to_le_bytes());
            (0..100).filter(takes).collect::<Vec<u32>>()
        };
        assert_ne!(taken("a"), taken("b"));
        assert_eq!(taken("a"), taken("a"));
    }

    #[test]
    fn an_agreement_names_the_gates_own_policy_first_whoever_decided() {
        let agreements = Agreements::default();
        agreements.note(Side::Own, Outcome::Flag, Outcome::Block);
        agreements.note(Side::Candidate, Outcome::Block, Outcome::Flag);
        agreements.note(Side::Own, Outcome::Allow, Outcome::Allow);
        let expected = vec![
            (Outcome::Allow, Outcome::Allow, 1),
            (Outcome::Flag, Outcome::Block, 2),
        ];
        assert_eq!(agreements.counts(), expected);
    }
}
