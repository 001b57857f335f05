//! Where a task stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_store::Shelf;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// For other tasks.
    Waiting,
    /// For a worker, or for its time.
    Queued,
    /// A worker has it.
    Running,
    /// It has failed, or its worker died, and it will be tried again.
    Retrying,
    /// Over: it has a result.
    Succeeded,
    /// Over: to repeat it would not help, or what it depends on failed.
    Failed,
    /// Over: somebody cancelled it.
    Cancelled,
    /// Over, in the dead letters: it was repeated in vain. It can be retried.
    Dead,
}

/// An end, as the queue numbers it.
const SUCCEEDED: u8 = tidegate_store::WELL;
const FAILED: u8 = 1;
const CANCELLED: u8 = 2;
const DEAD: u8 = 3;

impl TaskState {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// Its name in requests, answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether nothing more becomes of it by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Dead => true,
            Self::Waiting | Self::Queued | Self::Running | Self::Retrying => false,
        }
    }

    pub(crate) fn shelf(self) -> Shelf {
        match self {
            Self::Waiting => Shelf::Waiting,
            Self::Queued => Shelf::Due,
            Self::Running => Shelf::Held,
            Self::Retrying => Shelf::Again,
            Self::Succeeded => Shelf::Ended(SUCCEEDED),
            Self::Failed => Shelf::Ended(FAILED),
            Self::Cancelled => Shelf::Ended(CANCELLED),
            Self::Dead => Shelf::Ended(DEAD),
        }
    }

    pub(crate) fn of_shelf(shelf: Shelf) -> Self {
        match shelf {
            Shelf::Waiting => Self::Waiting,
            Shelf::Due => Self::Queued,
            Shelf::Held => Self::Running,
            Shelf::Again => Self::Retrying,
            Shelf::Ended(SUCCEEDED) => Self::Succeeded,
            Shelf::Ended(FAILED) => Self::Failed,
            Shelf::Ended(CANCELLED) => Self::Cancelled,
            // No other end is ever given.
            Shelf::Ended(_) => Self::Dead,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no state of a task: waiting, queued, running, retrying, succeeded, failed, \
     cancelled or dead"
)]
pub struct BadState(pub String);

impl FromStr for TaskState {
    type Err = BadState;

    fn from_str(word: &str) -> Result<Self, BadState> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == word);
        found.ok_or_else(|| BadState(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_shelf_of_its_own_and_a_name_that_finds_it() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::of_shelf(state.shelf()), state);
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<TaskState>().is_err());
    }
}
