//! One value in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::forgotten::Labels;
use super::index::Label;
use crate::cache::{Freshness, Hit, Name};

/// A value, its time, and what takes it away.
#[derive(Debug)]
pub(super) struct Entry {
    /// Tells it from others that had its name; later ones have higher ids.
    pub(super) id: u64,
    pub(super) name: Arc<Name>,
    pub(super) value: Bytes,
    pub(super) until: Instant,
    refresh_at: Instant,
    pub(super) labels: Box<[Label]>,
}

/// For how long a value is good, from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Until it is to be made anew.
    pub(crate) fresh: Duration,
    /// Until it expires.
    pub(crate) whole: Duration,
}

impl Span {
    /// All of a value's time, the last share of which is for making it anew.
    pub(crate) fn new(whole: Duration, refresh_ahead: f64) -> Self {
        let fresh = whole.mul_f64(1.0 - refresh_ahead);
        Self { fresh, whole }
    }
}

/// Thirty years stand for ever, and keep sums of times within their range.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);

impl Entry {
    pub(super) fn new(id: u64, name: &Name, value: &[u8], span: Span, labels: &Labels) -> Self {
        let now = Instant::now();
        let tags = labels
            .tags
            .iter()
            .map(|tag| Label::Tag(tag.as_str().into()));
        let domain = labels.domain.iter();
        let domain = domain.map(|domain| Label::Domain(domain.as_str().into()));
        let mut labels: Vec<_> = tags.chain(domain).collect();
        labels.sort_unstable();
        labels.dedup();
        Self {
            id,
            name: Arc::new(name.clone()),
            // A slice of a larger buffer would keep all of it alive.
            value: Bytes::copy_from_slice(value),
            until: now + span.whole.min(LONGEST),
            refresh_at: now + span.fresh.min(LONGEST),
            labels: labels.into(),
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.refresh_at <= now
    }

    pub(super) fn hit(&self, now: Instant) -> Hit {
        let freshness = if self.is_due(now) {
            Freshness::RefreshDue
        } else {
            Freshness::Fresh
        };
        Hit {
            value: self.value.clone(),
            freshness,
        }
    }
}

/// What a value costs in memory, all that points at it included.
pub(super) fn weight(name: &Name, value_bytes: usize, labels: impl Iterator<Item = usize>) -> u32 {
    let names = name.owner.len() + name.key.len();
    let labels: usize = labels.map(|bytes| bytes + LABEL_BYTES).sum();
    u32::try_from(names + value_bytes + labels + ENTRY_BYTES).unwrap_or(u32::MAX)
}

/// Measured with a million small values: `examples/cache_memory.rs`.
const ENTRY_BYTES: usize = 768;
const LABEL_BYTES: usize = 160;
