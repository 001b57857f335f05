//! Why a task is not taken, or not taken up again.

use tidegate_store::{PutError, StoreError};

use crate::handlers::BadInput;
use crate::state::TaskState;

/// Why nothing was submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The input is no input of this kind, or there is no such kind.
    #[error(transparent)]
    Input(#[from] BadInput),
    /// The input is larger than one may be.
    #[error(
        "the input has {bytes} bytes, and at most {limit} are taken: keep large data elsewhere and name it"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A field is out of bounds.
    #[error("{field} must be {wants}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it may be.
        wants: &'static str,
    },
    /// Tasks depend on each other in a circle.
    #[error("depends_on: {} depend on each other in a circle", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Two tasks of one submission have the same id.
    #[error("id: two tasks are called {0}")]
    Twice(String),
    /// A task depends on one that is not there.
    #[error("depends_on: there is no task {after} (any more)")]
    Missing {
        /// Which one.
        after: String,
    },
    /// Too many tasks depend on one.
    #[error(
        "depends_on: {limit} tasks depend on {after}, and no more can: put one between that waits for it"
    )]
    Crowded {
        /// Which one.
        after: String,
        /// How many can.
        limit: usize,
    },
    /// The id or the key belongs to a task with another kind or input.
    #[error("{field}: {id} is a task of another kind or with another input: use a new one")]
    Conflict {
        /// Which of the two: `id` or `idempotency_key`.
        field: &'static str,
        /// The task that has it.
        id: String,
    },
    /// As many tasks wait as may.
    #[error("{limit} tasks have not ended, and no more are taken (tasks.max_waiting)")]
    Full {
        /// How many may wait.
        limit: u64,
    },
    /// The store has not done it, or cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers.
    #[error("no random numbers for an id")]
    NoId,
}

impl SubmitError {
    /// A stable word for answers and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Input(BadInput::UnknownKind { .. }) => "unknown_kind",
            Self::Input(BadInput::Field { .. }) => "invalid_input",
            Self::TooLarge { .. } => "input_too_large",
            Self::Field { .. } | Self::Twice(_) => "invalid_task",
            Self::Cycle(_) => "dependency_cycle",
            Self::Missing { .. } => "dependency_missing",
            Self::Crowded { .. } => "too_many_dependants",
            Self::Conflict { .. } => "task_conflict",
            Self::Full { .. } => "queue_full",
            Self::Store(error) => error.code(),
            Self::NoId => "internal_error",
        }
    }

    /// The field of the task that is wrong, where it is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Input(BadInput::UnknownKind { .. }) => Some("kind"),
            Self::Input(BadInput::Field { path, .. }) => Some(path),
            Self::TooLarge { .. } => Some("input"),
            Self::Field { field, .. } | Self::Conflict { field, .. } => Some(field),
            Self::Cycle(_) | Self::Missing { .. } | Self::Crowded { .. } => Some("depends_on"),
            Self::Twice(_) => Some("id"),
            Self::Full { .. } | Self::Store(_) | Self::NoId => None,
        }
    }
}

impl From<PutError> for SubmitError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Full { limit } => Self::Full { limit },
            PutError::Missing { after, .. } => Self::Missing { after },
            PutError::Crowded { after } => Self::Crowded {
                after,
                limit: tidegate_store::MOST_FOLLOWERS,
            },
            PutError::Store(error) => Self::Store(error),
        }
    }
}

/// Why a task was not taken up again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// There is none.
    #[error("there is no such task (any more)")]
    Missing,
    /// It does not stand where it could be.
    #[error("the task is {0}: only one that is dead or failed can be retried")]
    State(TaskState),
    /// It failed with a task that it depends on, which has not succeeded since.
    #[error("it depends on {after}, which has not succeeded: retry that one first")]
    Dependency {
        /// Which one.
        after: String,
    },
    /// The store has not done it, or cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}
