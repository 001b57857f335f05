//! How many tasks of a kind may run.

use std::time::Duration;

/// Bounds of one kind, over all workers together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindLimits {
    /// Tasks that may run at once.
    pub concurrency: Option<u32>,
    /// Tasks that may start in a time.
    pub rate: Option<Rate>,
}

/// So many in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub tasks: u64,
    /// In how long.
    pub window: Duration,
}
