//! Secrets: named in the configuration, read at start, never shown.

use std::fmt;

use super::Sources;

/// What stands in for a secret wherever text is shown.
pub(super) const HIDDEN: &str = "<hidden>";

/// A value that prints as `<hidden>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// In an environment variable.
    Env(&'a str),
    /// In a file.
    File(&'a str),
}

/// Why a secret cannot be used. The text of a secret is in none of these.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("environment variable {0} is not set")]
    Unset(String),
    #[error("cannot read secret file {path}: {reason}")]
    Unreadable {
        path: String,
        reason: std::io::Error,
    },
    #[error("the secret is empty")]
    Empty,
    #[error("the secret holds characters that cannot be sent in an HTTP header")]
    Unsendable,
}

impl<'a> Reference<'a> {
    /// Reads `env:NAME` or `file:PATH`.
    ///
    /// A name that no variable can have is refused here: it is more likely a
    /// pasted key than a name, and a later message would repeat it.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("file:") {
            return (!path.is_empty()).then_some(Self::File(path));
        }
        let name = text.strip_prefix("env:")?;
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (starts_well && is_name).then_some(Self::Env(name))
    }

    /// Fetches the secret and makes sure that it fits into a header.
    pub(super) fn resolve(self, sources: &Sources<'_>) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => {
                (sources.env)(name).ok_or_else(|| SecretError::Unset(name.to_owned()))?
            }
            Self::File(path) => {
                (sources.read_file)(path).map_err(|reason| SecretError::Unreadable {
                    path: path.to_owned(),
                    reason,
                })?
            }
        };
        // Files usually end in a newline that is not part of the secret.
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if !sendable(text) {
            return Err(SecretError::Unsendable);
        }
        Ok(Secret::new(text))
    }
}

/// True when `text` may be the value of an HTTP header.
pub(super) fn sendable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
