//! What nodes tell each other: that something is to be forgotten.

use super::keys::{read_text, write_text};
use crate::cache::Selector;
use crate::memory_cache::Demand;

/// How many demands were announced since a beginning. A server that lost its
/// data begins again, under another name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Empty before the first demand.
    pub(super) beginning: String,
    pub(super) number: u64,
}

impl Count {
    /// Whether everything up to `other` is counted here.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.beginning == other.beginning && self.number >= other.number
    }

    /// Whether nothing was announced between this and `next`.
    pub(super) fn is_before(&self, next: &Self) -> bool {
        let first = self.beginning.is_empty() && next.number == 1;
        first || self.beginning == next.beginning && self.number + 1 == next.number
    }
}

/// One announcement: the number of the database, since topics are shared by all
/// of them, and the count, as the script writes them; then the demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) db: u16,
    pub(super) count: Count,
    pub(super) demand: Demand,
}

impl News {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.splitn(4, |byte| *byte == b':');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let db = text()?.parse().ok()?;
        let beginning = text()?.to_owned();
        let number = text()?.parse().ok()?;
        Some(Self {
            db,
            count: Count { beginning, number },
            demand: read_demand(parts.next()?)?,
        })
    }
}

pub(super) fn write_demand(demand: &Demand) -> Vec<u8> {
    let (kind, text) = match &demand.what {
        Selector::Key(text) => (0, text),
        Selector::Tag(text) => (1, text),
        Selector::Domain(text) => (2, text),
        Selector::Namespace(text) => (3, text),
        Selector::Prefix(text) => (4, text),
    };
    let mut bytes = vec![kind, u8::from(demand.owner.is_some())];
    write_text(&mut bytes, text);
    if let Some(owner) = &demand.owner {
        write_text(&mut bytes, owner);
    }
    bytes
}

fn read_demand(bytes: &[u8]) -> Option<Demand> {
    let (head, mut rest) = bytes.split_at_checked(2)?;
    let text = read_text(&mut rest)?;
    let what = match head[0] {
        0 => Selector::Key(text),
        1 => Selector::Tag(text),
        2 => Selector::Domain(text),
        3 => Selector::Namespace(text),
        4 => Selector::Prefix(text),
        _ => return None,
    };
    let owner = match head[1] {
        0 => None,
        _ => Some(read_text(&mut rest)?),
    };
    rest.is_empty().then_some(Demand { owner, what })
}
