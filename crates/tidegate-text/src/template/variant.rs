//! Variants of a prompt, and who is shown which.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::piece::Piece;
use super::prompt::PromptRole;

/// The name of what a prompt is without any variant.
pub const BASE_VARIANT: &str = "base";

/// A part of the traffic, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Everything.
const WHOLE: u32 = 10_000;

impl Share {
    /// Reads `10 %`, `2.5 %`, `100%`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str, most| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(part, 2) {
            return None;
        }
        let hundredths: u32 = format!("{part:0<2}").parse().ok()?;
        let share = whole.parse::<u32>().ok()? * 100 + hundredths;
        (1..=WHOLE).contains(&share).then_some(Self(share))
    }

    /// What `shares` leave of everything, unless they are more than that.
    pub(super) fn rest(shares: impl Iterator<Item = Self>) -> Option<Self> {
        let taken: u32 = shares.map(|share| share.0).sum();
        WHOLE.checked_sub(taken).map(Self)
    }

    /// As a number from 0 to 1.
    pub fn as_ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match (part, part % 10) {
            (0, _) => write!(f, "{whole} %"),
            (_, 0) => write!(f, "{whole}.{} %", part / 10),
            _ => write!(f, "{whole}.{part:02} %"),
        }
    }
}

/// One of the ways in which a prompt is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// What metrics call it; `base` is the prompt itself.
    pub name: String,
    /// How much of the traffic it gets.
    pub share: Share,
    /// What is different in it.
    pub description: String,
    /// What the answer must be, a JSON Schema.
    pub output_schema: Option<Value>,
    pub(super) role: Piece,
    pub(super) instructions: Piece,
    pub(super) messages: Vec<(PromptRole, Piece)>,
}

/// The number of the variant that `key` gets; the first of `variants` is the base.
///
/// The place of a key between 0 and 1 depends on the prompt's name and the key
/// alone. The variants after the base share the beginning of that line among
/// themselves, in their order, and the base has the rest. So a key stays where
/// it is when a variant is added at the end, or the share of the last one grows,
/// unless it is one of those that move from the base to that variant.
pub(super) fn assign(prompt: &str, variants: &[Variant], key: &[u8]) -> usize {
    let place = place(prompt, key);
    let mut end = 0;
    for (number, variant) in variants.iter().enumerate().skip(1) {
        end += variant.share.0;
        if place < end {
            return number;
        }
    }
    0
}

/// From 0 up to [`WHOLE`].
fn place(prompt: &str, key: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(b"tidegate prompt variant 1");
    hasher.update((prompt.len() as u64).to_le_bytes());
    hasher.update(prompt.as_bytes());
    hasher.update(key);
    let hash = hasher.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    let wide = u128::from(u64::from_le_bytes(bytes)) * u128::from(WHOLE);
    u32::try_from(wide >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants(shares: &[&str]) -> Vec<Variant> {
        let shares: Vec<Share> = shares
            .iter()
            .map(|share| Share::parse(share).unwrap())
            .collect();
        let rest = Share::rest(shares.iter().copied()).unwrap();
        let piece = || Piece {
            text: String::new(),
            line: 1,
        };
        let variant = |share: &Share| Variant {
            name: share.to_string(),
            share: *share,
            description: String::new(),
            output_schema: None,
            role: piece(),
            instructions: piece(),
            messages: Vec::new(),
        };
        [rest].iter().chain(&shares).map(variant).collect()
    }

    fn assigned(variants: &[Variant], key: usize) -> usize {
        assign("analysis", variants, format!("user-{key}").as_bytes())
    }

    const KEYS: usize = 100_000;

    #[test]
    fn shares_hold_over_many_keys_within_one_percent() {
        let variants = variants(&["10 %", "2.5 %", "33.33 %"]);
        let mut counts = vec![0_usize; variants.len()];
        for key in 0..KEYS {
            counts[assigned(&variants, key)] += 1;
        }
        for (variant, count) in variants.iter().zip(counts) {
            let seen = count as f64 / KEYS as f64;
            let off = (seen - variant.share.as_ratio()).abs();
            assert!(off < 0.01, "{}: {seen}", variant.name);
        }
    }

    #[test]
    fn a_variant_at_the_end_takes_from_the_base_alone() {
        let (before, after) = (
            variants(&["10 %", "20 %"]),
            variants(&["10 %", "20 %", "30 %"]),
        );
        let grown = variants(&["10 %", "25 %"]);
        let mut moved = 0;
        for key in 0..KEYS {
            let (was, is) = (assigned(&before, key), assigned(&after, key));
            assert!(was == is || (was, is) == (0, 3), "key {key}: {was} {is}");
            moved += usize::from(was != is);
            let is = assigned(&grown, key);
            assert!(was == is || (was, is) == (0, 2), "key {key}: {was} {is}");
        }
        let share = moved as f64 / KEYS as f64;
        assert!((share - 0.3).abs() < 0.01, "{share}");
    }

    #[test]
    fn a_key_has_its_variant_today_as_it_had_yesterday() {
        let variants = variants(&["50 %"]);
        let seen: Vec<usize> = (0..12).map(|key| assigned(&variants, key)).collect();
        assert_eq!(seen, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn experiments_of_two_prompts_do_not_share_their_keys() {
        let variants = variants(&["50 %"]);
        let same = (0..1_000).filter(|key| {
            let key = key.to_string();
            assign("a", &variants, key.as_bytes()) == assign("b", &variants, key.as_bytes())
        });
        let same = same.count();
        assert!((400..600).contains(&same), "{same}");
    }

    #[test]
    fn a_share_is_a_percentage_with_two_decimals_at_most() {
        for (text, shown) in [
            ("10 %", "10 %"),
            ("10%", "10 %"),
            ("2.5 %", "2.5 %"),
            ("0.01 %", "0.01 %"),
            ("33.33 %", "33.33 %"),
            ("100 %", "100 %"),
        ] {
            assert_eq!(Share::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "10", "0 %", "100.01 %", "-1 %", "1.234 %", "1e2 %", "%", "+5 %", "1. %", "1000 %",
        ] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }
}
