//! Whether a value is still the same, without keeping it.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::Sources;
use super::secret::Reference;

/// Equal for equal values within one process, and of no use outside of it: the
/// hash is keyed with a number that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Fingerprint {
    /// Of a value as it is shown.
    pub(super) fn of(shown: &str) -> Self {
        Self(KEY.hash_one(shown))
    }

    /// Of a value that may name a secret: where it does, of what the secret is
    /// as well, so that one that was rotated is seen.
    pub(super) fn of_secret(text: &str, sources: &Sources<'_>) -> Self {
        let secret = Reference::parse(text).and_then(|secret| secret.resolve(sources).ok());
        Self(KEY.hash_one((text, secret.as_ref().map(|secret| secret.expose()))))
    }

    /// Of a value that names files: of what they hold as well.
    pub(super) fn of_files<'a>(
        shown: &str,
        paths: impl IntoIterator<Item = &'a str>,
        sources: &Sources<'_>,
    ) -> Self {
        let read = |path| (sources.read_file)(path).ok();
        let texts: Vec<_> = paths.into_iter().map(read).collect();
        Self(KEY.hash_one((shown, texts)))
    }

    /// As a number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}
