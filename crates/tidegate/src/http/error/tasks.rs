//! What is wrong with tasks.

use std::time::Duration;

use axum::http::StatusCode;
use tidegate_engine::{RetryError, StoreError, SubmitError};

use super::{ApiError, INVALID, unavailable};

/// When there may be room in a queue that is full.
const FULL_HINT: Duration = Duration::from_secs(1);

impl ApiError {
    /// 503: nothing was done, or nobody can say.
    pub(in crate::http) fn of_store(error: &StoreError) -> Self {
        unavailable(error.code(), error.to_string()).after(tidegate_engine::STORE_HINT)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        let refused = |status| Self::new(status, code, INVALID, message.clone());
        let refused = match &error {
            SubmitError::Input(_)
            | SubmitError::Field { .. }
            | SubmitError::Cycle(_)
            | SubmitError::Twice(_)
            | SubmitError::Missing { .. }
            | SubmitError::Crowded { .. } => refused(StatusCode::BAD_REQUEST),
            SubmitError::Conflict { .. } => refused(StatusCode::CONFLICT),
            SubmitError::TooLarge { .. } => refused(StatusCode::PAYLOAD_TOO_LARGE),
            SubmitError::Full { .. } => unavailable(code, message).after(FULL_HINT),
            SubmitError::Store(error) => Self::of_store(error),
            SubmitError::NoId => Self::internal(),
        };
        match error.param() {
            Some(param) => refused.about(param),
            None => refused,
        }
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        let message = error.to_string();
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, INVALID, message.clone());
        match &error {
            RetryError::Missing => Self::absent("task_not_found", message).about("id"),
            RetryError::State(_) => conflict("task_not_retryable"),
            RetryError::Dependency { .. } => conflict("dependency_failed"),
            RetryError::Store(error) => Self::of_store(error),
        }
    }
}
