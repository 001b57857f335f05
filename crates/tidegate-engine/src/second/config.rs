//! How a classifier of one's own is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_guard::Direction;

use super::SecondStage;

/// A classifier of one's own, and how its word counts.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondConfig {
    /// The model.
    pub stage: StageSource,
    /// Thresholds in the place of its own, in the order of [`Direction::ALL`].
    pub thresholds: [OwnThresholds; Direction::ALL.len()],
    /// A balanced scan stops it where a rule found something critical with at least
    /// this confidence.
    pub cancel_confidence: f64,
    /// A balanced scan asks it where no rule is as sure of an attack as this.
    pub below_confidence: f64,
    /// And where the classifier of this build gives the text at least this score; at 0
    /// whatever it says.
    pub from_score: f64,
    /// For this share of the other texts a balanced scan asks it all the same.
    pub sample: f64,
    /// How long it may take for one text, waiting for a thread included.
    pub timeout: Duration,
}

/// Thresholds of one direction; those of the model hold where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OwnThresholds {
    /// From which score on a text is suspicious.
    pub flag: Option<f64>,
    /// From which score on that is critical.
    pub block: Option<f64>,
}

/// Where a model comes from.
#[derive(Debug, Clone)]
pub enum StageSource {
    /// A folder as docs/onnx.md describes it, read when the engine is assembled.
    Folder(PathBuf),
    /// It is there.
    Loaded(Arc<dyn SecondStage>),
}

impl PartialEq for StageSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(own), Self::Folder(other)) => own == other,
            (Self::Loaded(own), Self::Loaded(other)) => Arc::ptr_eq(own, other),
            (Self::Folder(_) | Self::Loaded(_), _) => false,
        }
    }
}

impl SecondConfig {
    /// With its own thresholds, and everything else as it is without configuration.
    pub fn new(stage: StageSource) -> Self {
        Self {
            stage,
            thresholds: Default::default(),
            cancel_confidence: 0.7,
            below_confidence: 0.6,
            from_score: 0.1,
            sample: 0.1,
            timeout: Duration::from_millis(150),
        }
    }
}
