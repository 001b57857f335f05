//! What of the guard is in force, for whoever asks.

use tidegate_guard::{Mode, Policy, Scanner};

use super::Guard;
use crate::assemble::Engine;
use crate::policies::Agreement;

impl Guard {
    /// How often two policies agreed, where there are two.
    pub(crate) fn agreement(&self) -> Option<Agreement> {
        let rollout = self.config.rollout.clone()?;
        Some(Agreement {
            policy: self.config.chosen.policy.clone(),
            rollout,
            counts: self.agreements.counts(),
        })
    }
}

impl Engine {
    /// What decides unless a request or its key names another policy.
    pub fn policy(&self) -> Policy {
        self.rooms.guard.config.chosen.policy.clone()
    }

    /// The number of rules in force.
    pub fn rules(&self) -> usize {
        self.rooms.guard.own.scanner.rules().len()
    }

    /// A short digest of the rules in force, and of the classifier where there is one.
    pub fn ruleset_version(&self) -> &str {
        self.rooms.guard.own.scanner.version()
    }

    /// The name and version of the classifier in force.
    pub fn classifier(&self) -> Option<&str> {
        self.rooms.guard.own.scanner.model().map(|model| &**model)
    }

    /// The name and version of the classifier that is rolled out, where one is.
    pub fn candidate_classifier(&self) -> Option<&str> {
        let candidate = self.rooms.guard.candidate.as_ref()?;
        Some(candidate.scanner.model().map_or("none", |model| &**model))
    }

    /// The rules in force, and how the word of the classifier counts. A model of one's
    /// own is asked by the engine alone.
    pub fn scanner(&self) -> &Scanner {
        &self.rooms.guard.own.scanner
    }

    /// How thorough texts are scanned unless a request says otherwise.
    pub fn scan_mode(&self) -> Mode {
        self.rooms.guard.config.mode
    }
}
