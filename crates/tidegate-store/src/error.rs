//! What can go wrong between a caller and a home that is not this process.

use std::time::Duration;

/// Why a home has not done what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer in time, no connection, or the home is left alone because it
    /// failed before. Whatever was asked may have happened.
    #[error("the store cannot be reached: {reason}")]
    Unreachable {
        /// What happened, without addresses and secrets.
        reason: String,
    },
    /// The home answered that it will not: no memory left, read only, no right.
    #[error("the store refuses: {reason}")]
    Refused {
        /// Its own words, without keys and values.
        reason: String,
    },
    /// What lies there is not what was put there.
    #[error("the store holds something that cannot be read: {what}")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
    },
}

impl StoreError {
    /// A stable word for metrics and messages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "store_unreachable",
            Self::Refused { .. } => "store_refused",
            Self::Corrupt { .. } => "store_corrupt",
        }
    }

    /// Whether the same may succeed a little later.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } => true,
            Self::Corrupt { .. } => false,
        }
    }
}

/// When a caller may ask again whom an unreachable store has turned away: by
/// then it was looked for again.
pub const STORE_HINT: Duration = Duration::from_secs(1);

/// Why a store cannot be opened at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address is not one.
    #[error("store.url: {0}")]
    Url(String),
    /// Files that cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The server answers and forbids what is needed.
    #[error("the store at {address} does not allow {what}: {grant}")]
    Forbidden {
        /// Host and port, without a password.
        address: String,
        /// Which commands.
        what: String,
        /// What to grant, in the server's own words.
        grant: String,
    },
}
