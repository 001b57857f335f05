//! The id of a verdict: when it was, what was said, and a seal that only the
//! gate can make, for one tenant.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_guard::{Outcome, Policy};

pub(super) const KEY_BYTES: usize = blake3::KEY_LEN;
const SEAL_BYTES: usize = 8;
/// Time, chance, outcome, policy.
const HEAD_BYTES: usize = 6 + 4 + 1 + 4;
const MARK_BYTES: usize = 4;
/// Of a verdict with more rules the first ones are spoken of.
const MOST_RULES: usize = 16;
/// The digits of a policy's version that are told.
const POLICY_DIGITS: usize = 8;

/// What an id holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// To the millisecond.
    pub(super) at: SystemTime,
    pub(super) outcome: Outcome,
    /// The marks of the rules that were part of it.
    pub(super) rules: Vec<[u8; MARK_BYTES]>,
    /// How the version of the policy begins.
    pub(super) policy: String,
    chance: u32,
}

impl Facts {
    pub(super) fn new(
        at: SystemTime,
        outcome: Outcome,
        rules: &[Arc<str>],
        policy: &Policy,
    ) -> Self {
        Self {
            at,
            outcome,
            rules: rules
                .iter()
                .take(MOST_RULES)
                .map(|rule| rule_mark(rule))
                .collect(),
            policy: policy.version()[..POLICY_DIGITS].to_owned(),
            chance: fastrand::u32(..),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis() as u64;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + MARK_BYTES * self.rules.len() + SEAL_BYTES);
        // Big end first: later verdicts have larger ids.
        bytes.extend_from_slice(&millis.to_be_bytes()[2..]);
        bytes.extend_from_slice(&self.chance.to_be_bytes());
        bytes.push(self.outcome as u8);
        let policy = u32::from_str_radix(&self.policy, 16).unwrap_or(0);
        bytes.extend_from_slice(&policy.to_be_bytes());
        for rule in &self.rules {
            bytes.extend_from_slice(rule);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (millis, rest) = bytes.split_first_chunk::<6>()?;
        let (chance, rest) = rest.split_first_chunk::<4>()?;
        let (outcome, rest) = rest.split_first()?;
        let (policy, rest) = rest.split_first_chunk::<4>()?;
        let (rules, left) = rest.as_chunks::<MARK_BYTES>();
        let millis = millis
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte));
        left.is_empty().then_some(Self {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            outcome: *Outcome::ALL.get(usize::from(*outcome))?,
            rules: rules.to_vec(),
            policy: format!("{:08x}", u32::from_be_bytes(*policy)),
            chance: u32::from_be_bytes(*chance),
        })
    }
}

/// What stands for a rule in ids: they stay short, and rules may come and go.
pub(super) fn rule_mark(rule: &str) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark.copy_from_slice(&blake3::hash(rule.as_bytes()).as_bytes()[..MARK_BYTES]);
    mark
}

fn seal_of(key: &[u8; KEY_BYTES], tenant: &str, facts: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(facts);
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&hasher.finalize().as_bytes()[..SEAL_BYTES]);
    seal
}

/// The id, as hexadecimal digits.
pub(super) fn seal(key: &[u8; KEY_BYTES], tenant: &str, facts: &Facts) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = facts.bytes();
    let seal = seal_of(key, tenant, &bytes);
    bytes.extend_from_slice(&seal);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// What an id holds, if it was sealed with this key for this tenant.
pub(super) fn open(key: &[u8; KEY_BYTES], tenant: &str, id: &str) -> Option<Facts> {
    let most = 2 * (HEAD_BYTES + MARK_BYTES * MOST_RULES + SEAL_BYTES);
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if id.len() > most || !id.len().is_multiple_of(2) || !id.bytes().all(is_digit) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).ok();
    let bytes: Vec<u8> = (0..id.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let (facts, seal) = bytes.split_last_chunk::<SEAL_BYTES>()?;
    // One difference is as good as any to whoever measures how long this takes.
    let expected = seal_of(key, tenant, facts);
    let differs = expected
        .iter()
        .zip(seal)
        .fold(0, |all, (a, b)| all | (a ^ b));
    if differs != 0 {
        return None;
    }
    Facts::read(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    fn facts(rules: usize) -> Facts {
        let rules: Vec<Arc<str>> = (0..rules).map(|n| format!("a.{n}").into()).collect();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_253_439_123);
        Facts::new(at, Outcome::Block, &rules, &Policy::strict())
    }

    #[test]
    fn an_id_says_what_was_put_into_it_to_its_own_tenant() {
        for rules in [0, 1, MOST_RULES] {
            let facts = facts(rules);
            let id = seal(&KEY, "a", &facts);
            assert_eq!(open(&KEY, "a", &id), Some(facts));
            assert_eq!(open(&KEY, "b", &id), None);
            assert_eq!(open(&[8; KEY_BYTES], "a", &id), None);
        }
        assert_eq!(facts(40).rules.len(), MOST_RULES);
        assert!(Policy::strict().version().starts_with(&facts(0).policy));
    }

    #[test]
    fn an_id_with_one_digit_changed_or_left_out_is_none() {
        let id = seal(&KEY, "a", &facts(2));
        for at in 0..id.len() {
            let other = if &id[at..=at] == "0" { "1" } else { "0" };
            let changed = format!("{}{other}{}", &id[..at], &id[at + 1..]);
            assert_eq!(open(&KEY, "a", &changed), None, "{at}");
            assert_eq!(open(&KEY, "a", &id[..at]), None, "{at}");
        }
        for none in ["", "é", "0g", &id.to_uppercase(), &format!("{id}00")] {
            assert_eq!(open(&KEY, "a", none), None, "{none}");
        }
    }

    #[test]
    fn later_verdicts_have_larger_ids_and_two_at_once_differ() {
        let [early, late] = [0, 1].map(|millis| Facts {
            at: facts(0).at + Duration::from_millis(millis),
            ..facts(0)
        });
        assert!(seal(&KEY, "a", &early) < seal(&KEY, "a", &late));
        assert_ne!(seal(&KEY, "a", &facts(0)), seal(&KEY, "a", &facts(0)));
    }
}
