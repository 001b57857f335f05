//! One signal that stops a tree of work.
//!
//! The token does not know what it stops: work listens, or is dropped by
//! whoever listens for it.

use tokio_util::sync::{CancellationToken, DropGuard};

/// A signal that is given once and heard by everyone who holds a clone or a
/// child of the token.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(CancellationToken);

impl CancelToken {
    /// Creates a token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a token that is cancelled with this one, but not the other way
    /// round.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Cancels this token, its clones and all its children, for good.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// True once this token or one of its ancestors was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the token is cancelled; returns at once if it is already.
    ///
    /// Dropping the future only stops waiting.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Turns the token into a guard that cancels it when dropped.
    pub fn drop_guard(self) -> CancelGuard {
        CancelGuard(self.0.drop_guard())
    }
}

/// Cancels its token when dropped.
#[derive(Debug)]
#[must_use = "a guard that is dropped at once cancels at once"]
pub struct CancelGuard(DropGuard);

impl CancelGuard {
    /// Gives the token back without cancelling it.
    pub fn disarm(self) -> CancelToken {
        CancelToken(self.0.disarm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancelling_reaches_clones_and_children() {
        let token = CancelToken::new();
        let (clone, grandchild) = (token.clone(), token.child().child());
        assert!(!grandchild.is_cancelled());
        token.cancel();
        clone.cancelled().await;
        grandchild.cancelled().await;
        assert!(clone.is_cancelled() && grandchild.is_cancelled());
    }

    #[test]
    fn a_cancelled_child_leaves_its_parent_alone() {
        let token = CancelToken::new();
        token.child().cancel();
        assert!(!token.is_cancelled());
    }

    #[test]
    fn a_dropped_guard_cancels() {
        let token = CancelToken::new();
        drop(token.clone().drop_guard());
        assert!(token.is_cancelled());
    }

    #[test]
    fn a_disarmed_guard_does_not_cancel() {
        let token = CancelToken::new().drop_guard().disarm();
        assert!(!token.is_cancelled());
    }
}
