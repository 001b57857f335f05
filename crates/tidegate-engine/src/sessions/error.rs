//! Why a session cannot be used, told apart by what its caller can do.

use std::time::Duration;

use tidegate_store::StoreError;

/// Why a session cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No tenant can have a session of this name.
    #[error(
        "a session's id is {} hexadecimal digits, as POST /v1/sessions gave it",
        super::id::LENGTH
    )]
    BadId,
    /// It was never there, has expired, was deleted, or is somebody else's.
    #[error("session {id:?} does not exist or has expired; POST /v1/sessions makes a new one")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Another request uses it all the time.
    #[error("session {id:?} is in use by another request, for longer than {} ms", waited.as_millis())]
    Locked {
        /// Which.
        id: String,
        /// How long this one waited.
        waited: Duration,
    },
    /// It would be larger than a session may be.
    #[error(
        "session {id:?} would take {bytes} bytes and sessions.max_bytes is {limit}; it stays as it was, and a new session has room"
    )]
    TooLarge {
        /// Which.
        id: String,
        /// What it would take.
        bytes: u64,
        /// What it may take.
        limit: u64,
    },
    /// A part of a change is not what it must be.
    #[error("{param} must be {expected}")]
    Invalid {
        /// Which part.
        param: String,
        /// What it must be.
        expected: &'static str,
    },
    /// It was written by a later version of this program.
    #[error("session {id:?} is written in format {format}, which this version cannot read")]
    Newer {
        /// Which.
        id: String,
        /// The format.
        format: u64,
    },
    /// The store has not done it, or cannot say.
    #[error("{0}; no session can be used")]
    Store(#[from] StoreError),
}

/// When a caller may ask again for a session that others use: nobody knows when
/// they end.
const LOCKED_HINT: Duration = Duration::from_secs(1);

impl SessionError {
    /// How long a caller should wait before it tries again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Locked { .. } => Some(LOCKED_HINT),
            Self::Store(error) => error.may_retry().then_some(tidegate_store::STORE_HINT),
            Self::BadId
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Newer { .. } => None,
        }
    }

    /// A stable word for clients and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadId => "invalid_session_id",
            Self::NotFound { .. } => "session_not_found",
            Self::Locked { .. } => "session_locked",
            Self::TooLarge { .. } => "session_too_large",
            Self::Invalid { .. } => "invalid_parameter",
            Self::Newer { .. } => "session_unreadable",
            Self::Store(error) => error.code(),
        }
    }
}
