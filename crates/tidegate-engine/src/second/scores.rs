//! What a model of one's own said of texts before: the score is kept, the text never
//! is. A conversation comes back with every turn, and a model takes milliseconds for
//! what was read before.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate_guard::{L2, L2Outcome, ScanRequest, Span};
use tidegate_store::{Keep, Load, Name, Store};

use crate::answer::CacheUse;
use crate::assemble::Rooms;
use crate::store_key;

/// Hashing longer texts would hold up the async runtime.
const MOST_KEPT_BYTES: usize = 256 << 10;

/// The layout below; bytes with another number are not read.
const VERSION: u8 = 1;

/// Where scores are kept for one scan, and whether they are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores<'a> {
    store: &'a Store,
    ttl: Duration,
    /// Whose text it is.
    owner: &'a str,
    cache: CacheUse,
}

/// How likely a text is an attack, and which part of it says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) score: f64,
    pub(super) window: Span,
    /// [`L2Outcome::Completed`], or [`L2Outcome::Cached`].
    pub(super) outcome: L2Outcome,
}

/// What is known before the model is asked.
pub(super) enum Known {
    /// What it said before.
    Said(Said),
    /// Nothing; what it says now may be kept.
    Nothing(Load),
    /// Nothing, and nothing is kept.
    NotKept,
}

impl<'a> Scores<'a> {
    pub(crate) fn new(rooms: &'a Rooms, request: &'a ScanRequest, cache: CacheUse) -> Self {
        Self {
            store: &rooms.store,
            ttl: rooms.cache_config.ttl,
            owner: request.tenant.as_deref().unwrap_or_default(),
            cache,
        }
    }

    /// Nothing is looked for, and nothing is kept.
    #[cfg(test)]
    pub(super) fn nowhere() -> Scores<'static> {
        static STORE: std::sync::LazyLock<Store> =
            std::sync::LazyLock::new(|| Store::memory(1 << 20));
        Scores {
            store: &STORE,
            ttl: Duration::ZERO,
            owner: "",
            cache: CacheUse::Skip,
        }
    }

    pub(super) async fn known(&self, model: &str, text: &str) -> Known {
        if self.cache == CacheUse::Skip || text.len() > MOST_KEPT_BYTES {
            return Known::NotKept;
        }
        let name = self.name(model, text);
        if self.cache != CacheUse::Refresh
            && let Some(hit) = self.store.cache.get(&name).await
            && let Some(said) = decode(&hit.value, text)
        {
            return Known::Said(said);
        }
        Known::Nothing(self.store.cache.begin(&name).await)
    }

    pub(super) async fn keep(&self, load: Load, said: &Said) {
        let keep = Keep {
            ttl: self.ttl,
            ..Keep::default()
        };
        self.store.cache.put(load, encode(said), &keep).await;
    }

    /// A digest over all that a score depends on.
    fn name(&self, model: &str, text: &str) -> Name {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidegate score 1");
        for part in [self.owner, model, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Name {
            owner: self.owner.to_owned(),
            namespace: store_key::SCANS,
            key: hasher.finalize().to_hex().to_string(),
        }
    }
}

impl Said {
    pub(super) fn l2(self, model: Arc<str>) -> L2 {
        L2 {
            score: Some(self.score),
            window: Some(self.window),
            ..L2::unanswered(self.outcome, Some(model))
        }
    }
}

fn encode(said: &Said) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(VERSION);
    out.put_f64_le(said.score);
    out.put_u64_le(said.window.start as u64);
    out.put_u64_le(said.window.end as u64);
    out.freeze()
}

/// What was encoded here, where it is of this text.
fn decode(bytes: &Bytes, text: &str) -> Option<Said> {
    let mut rest = bytes.clone();
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let score = rest.try_get_f64_le().ok()?;
    let start = usize::try_from(rest.try_get_u64_le().ok()?).ok()?;
    let end = usize::try_from(rest.try_get_u64_le().ok()?).ok()?;
    let is_of_text = text.get(start..end).is_some();
    let is_score = (0.0..=1.0).contains(&score);
    (rest.is_empty() && is_of_text && is_score).then_some(Said {
        score,
        window: Span { start, end },
        outcome: L2Outcome::Cached,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Said = Said {
        score: 0.75,
        window: Span { start: 1, end: 3 },
        outcome: L2Outcome::Cached,
    };

    #[test]
    fn a_score_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&SAID), "text"), Some(SAID));
    }

    #[test]
    fn half_a_score_or_one_of_another_text_is_none() {
        let kept = encode(&SAID);
        for length in 0..kept.len() {
            assert_eq!(decode(&kept.slice(..length), "text"), None, "{length}");
        }
        assert_eq!(decode(&kept, "te"), None, "the text is shorter");
        assert_eq!(decode(&kept, "abé"), None, "the span ends within a letter");
        for score in [f64::NAN, -0.1, 1.1] {
            assert_eq!(decode(&encode(&Said { score, ..SAID }), "text"), None);
        }
        let mut longer = BytesMut::from(&kept[..]);
        longer.put_u8(0);
        assert_eq!(decode(&longer.freeze(), "text"), None);
    }

    #[test]
    fn a_score_is_of_one_owner_one_model_and_one_text() {
        let store = Store::memory(1 << 20);
        let name = |owner, model, text| {
            let scores = Scores {
                store: &store,
                ttl: Duration::from_secs(1),
                owner,
                cache: CacheUse::Default,
            };
            scores.name(model, text)
        };
        let own = name("a", "m 1", "text");
        assert_eq!(own, name("a", "m 1", "text"));
        for other in [
            name("b", "m 1", "text"),
            name("a", "m 2", "text"),
            name("a", "m 1", "texts"),
            name("a", "m 1t", "ext"),
        ] {
            assert_ne!(own.key, other.key);
        }
        assert_eq!(name("b", "m 1", "text").owner, "b");
    }
}
