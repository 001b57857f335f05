//! How the guard is configured.

use tidegate_guard::{ClassifierTerms, Mode, PackFolder, Policy};

use crate::policies::{Chosen, PolicySource, Rollout};
use crate::second::SecondConfig;

/// Whether and how strictly requests and answers are scanned.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardConfig {
    /// Whether requests and answers are scanned on their way through.
    pub scanning: Scanning,
    /// How thorough they are, and texts that are scanned by themselves unless a
    /// request says otherwise.
    pub mode: Mode,
    /// How the word of the classifier of this build counts; without this it is not
    /// asked, and neither it is where there is a `second`.
    pub classifier: Option<ClassifierTerms>,
    /// A classifier of one's own in its place.
    pub second: Option<SecondConfig>,
    /// What decides, unless a request or its key names another policy.
    pub chosen: Chosen,
    /// What requests and keys may name besides, by id.
    pub policies: Vec<Policy>,
    /// Rules beside those of this build. They are read when the engine is
    /// assembled; no request can name a folder.
    pub packs: Vec<PackFolder>,
    /// A policy that judges a share of the traffic beside, or instead of, the
    /// gate's own.
    pub rollout: Option<Rollout>,
}

/// Whether requests and answers are scanned on their way through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanning {
    /// They are.
    On,
    /// They are not; texts can still be scanned on demand.
    Off,
}

impl GuardConfig {
    /// Whether the same two policies and models are compared as in `other`.
    pub(super) fn compares_as(&self, other: &Self) -> bool {
        fn compared(config: &GuardConfig) -> impl PartialEq {
            let rollout = config.rollout.as_ref();
            let rollout = rollout.map(|rollout| (&rollout.policy, rollout.model.as_ref()));
            let own = (&config.classifier, &config.second);
            // Without another model both sides ask the same one, whatever it is.
            let own = rollout.filter(|(_, model)| model.is_some()).map(|_| own);
            (&config.chosen.policy, own, rollout)
        }
        compared(self) == compared(other)
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            scanning: Scanning::On,
            mode: Mode::default(),
            classifier: Some(ClassifierTerms::builtin()),
            second: None,
            chosen: Chosen {
                policy: Policy::default(),
                source: PolicySource::Default,
            },
            policies: Vec::new(),
            packs: Vec::new(),
            rollout: None,
        }
    }
}
