//! Who goes first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How urgent a task is. Of two that wait, the more urgent one is started; one
/// of sixteen is the oldest instead, so that every task is started in the end.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Before what is normal.
    High,
    /// Nothing was said.
    #[default]
    Normal,
    /// After what is normal.
    Low,
    /// When there is nothing else to do.
    Background,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::High,
        Self::Normal,
        Self::Low,
        Self::Background,
    ];

    /// Its name in requests, answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Background => "background",
        }
    }

    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
            Self::Background => 4,
        }
    }

    /// A rank that nobody gives is the last one.
    pub(crate) fn of_rank(rank: u8) -> Self {
        let known = Self::ALL.get(usize::from(rank));
        known.copied().unwrap_or(Self::Background)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no priority: critical, high, normal, low or background")]
pub struct BadPriority(pub String);

impl FromStr for Priority {
    type Err = BadPriority;

    fn from_str(word: &str) -> Result<Self, BadPriority> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == word);
        found.ok_or_else(|| BadPriority(word.to_owned()))
    }
}
