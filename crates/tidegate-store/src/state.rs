//! How a store is doing, for metrics and for whoever asks.

use std::time::Duration;

use crate::config::OnUnreachable;

/// How a store is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// `memory`, `sqlite`, `redis`, `redis+sentinel` or `redis+cluster`.
    pub home: &'static str,
    /// Whether it can be used.
    pub reach: Reach,
    /// Copies of the gateway that were last seen there, this one included.
    pub nodes: u32,
    /// What is granted while it cannot be reached.
    pub on_unreachable: OnUnreachable,
}

/// Whether a store can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It answers, and what it says counts alone.
    Live,
    /// It answers again, and knows too little yet: for one window its word and
    /// this node's own share both count.
    Recovering {
        /// Until its word counts alone.
        left: Duration,
    },
    /// It does not answer.
    Unreachable {
        /// Since when.
        since: Duration,
        /// Why, without addresses and secrets.
        reason: String,
    },
}

impl Reach {
    /// The word for it in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Recovering { .. } => "recovering",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// Something about a store that whoever runs it should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether something may be lost.
    pub weight: Weight,
    /// What it is, and what to do.
    pub text: String,
}

/// What a remark is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Good to know.
    Note,
    /// Something may be lost.
    Warning,
    /// It does not work.
    Fault,
}
