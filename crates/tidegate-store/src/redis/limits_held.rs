//! Reservations that are held for calls made elsewhere, for any node to settle.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Link;
use super::limits_wire::tag;
use crate::error::StoreError;

static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limits_hold.lua")));
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limits_take.lua")));

/// What is held under one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldRecord {
    /// What the caller gave as its key.
    pub(super) label: String,
    pub(super) parts: Vec<HeldPart>,
}

/// A reservation at one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldPart {
    pub(super) key: String,
    pub(super) lease: String,
    pub(super) number: u64,
    pub(super) cost: u64,
}

impl HeldRecord {
    /// Every field with its length before it.
    fn encode(&self) -> String {
        let mut text = String::new();
        let mut put = |field: &str| {
            text.push_str(&field.len().to_string());
            text.push(':');
            text.push_str(field);
        };
        put(&self.label);
        for part in &self.parts {
            put(&part.key);
            put(&part.lease);
            put(&part.number.to_string());
            put(&part.cost.to_string());
        }
        text
    }

    /// `None` for what was not written here.
    fn decode(text: &str) -> Option<Self> {
        let mut fields = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (length, after) = rest.split_once(':')?;
            let (field, left) = after.split_at_checked(length.parse().ok()?)?;
            fields.push(field);
            rest = left;
        }
        let (label, parts) = fields.split_first()?;
        let (parts, odd) = parts.as_chunks::<4>();
        if !odd.is_empty() {
            return None;
        }
        let part = |[key, lease, number, cost]: &[&str; 4]| {
            Some(HeldPart {
                key: (*key).to_owned(),
                lease: (*lease).to_owned(),
                number: number.parse().ok()?,
                cost: cost.parse().ok()?,
            })
        };
        let parts: Option<Vec<_>> = parts.iter().map(part).collect();
        let label = (*label).to_owned();
        Some(Self {
            label,
            parts: parts?,
        })
    }
}

/// What became of a wish to hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// The owner holds too many.
    TooMany,
}

fn keys(owner: &str) -> [String; 2] {
    let tag = tag(owner);
    [
        format!("tidegate:held:{{{tag}}}:ids"),
        format!("tidegate:held:{{{tag}}}:records"),
    ]
}

/// Puts a record under an id.
pub(super) async fn keep(
    link: &Link,
    (owner, id): (&str, &str),
    record: &HeldRecord,
    lease: Duration,
    most: usize,
) -> Result<Kept, StoreError> {
    let mut script = HOLD.prepare_invoke();
    keys(owner).into_iter().for_each(|key| {
        script.key(key);
    });
    let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    script.arg(id).arg(record.encode()).arg(lease).arg(most);
    let kept: u8 = link.invoke(&script).await?;
    Ok(if kept == 1 { Kept::Yes } else { Kept::TooMany })
}

/// Takes the record of this owner's with this id.
pub(super) async fn take(
    link: &Link,
    owner: &str,
    id: &str,
) -> Result<Option<HeldRecord>, StoreError> {
    let mut script = TAKE.prepare_invoke();
    keys(owner).into_iter().for_each(|key| {
        script.key(key);
    });
    let record: Option<Vec<u8>> = link.invoke(script.arg(id)).await?;
    let Some(record) = record else {
        return Ok(None);
    };
    let text = str::from_utf8(&record).ok();
    let record = text.and_then(HeldRecord::decode);
    record.map(Some).ok_or(StoreError::Corrupt {
        what: "a held reservation",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = HeldPart> {
        (".*", ".*", any::<u64>(), any::<u64>()).prop_map(|(key, lease, number, cost)| HeldPart {
            key,
            lease,
            number,
            cost,
        })
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            label in ".*",
            parts in prop::collection::vec(part(), 0..4),
        ) {
            let record = HeldRecord { label, parts };
            prop_assert_eq!(HeldRecord::decode(&record.encode()), Some(record));
        }

        #[test]
        fn anything_else_is_read_as_nothing_or_as_a_record(text in ".*") {
            if let Some(record) = HeldRecord::decode(&text) {
                prop_assert_eq!(HeldRecord::decode(&record.encode()), Some(record));
            }
        }
    }
}
