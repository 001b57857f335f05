//! What cannot be carried from one dialect to another.

use std::fmt;

use crate::error::{ErrorBody, ProviderError};

/// Why a request cannot be said to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The field does not hold what its own dialect wants there.
    #[error("{param} must be {expected}")]
    Invalid {
        /// Such as `messages[2].content`.
        param: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The upstream has no word for it.
    #[error("{param} cannot be said to {by}")]
    Unsupported {
        /// Such as `messages[2].content[0].type`.
        param: String,
        /// What kind of upstream, such as `an Anthropic model`.
        by: &'static str,
    },
}

impl Refusal {
    pub(crate) fn invalid(param: impl fmt::Display, expected: &'static str) -> Self {
        Self::Invalid {
            param: param.to_string(),
            expected,
        }
    }

    pub(crate) fn unsupported(param: impl fmt::Display, by: &'static str) -> Self {
        Self::Unsupported {
            param: param.to_string(),
            by,
        }
    }
}

impl From<Refusal> for ProviderError {
    /// A wrong field is wrong for every model; what one upstream cannot be
    /// told, the next one may understand.
    fn from(refusal: Refusal) -> Self {
        let body = |code: &str, param: &str| ErrorBody {
            status: 400,
            message: refusal.to_string(),
            kind: Some("invalid_request_error".to_owned()),
            code: Some(code.to_owned()),
            param: Some(param.to_owned()),
        };
        match &refusal {
            Refusal::Invalid { param, .. } => Self::Rejected(body("invalid_parameter", param)),
            Refusal::Unsupported { param, .. } => {
                Self::NotServed(body("unsupported_parameter", param))
            }
        }
    }
}
