//! The table of replacements that a SentencePiece model brings along.
//!
//! Its bytes are the length of a trie, the trie (a double array of 32-bit units),
//! and all replacements, each with a zero byte behind it. The table comes from a
//! file that may be anything, so every step through it is checked.

use unicode_segmentation::UnicodeSegmentation;

use super::normalize::Letter;

/// Clusters of this many bytes and more are looked up one code point at a time.
const LONG_CLUSTER: usize = 6;

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads the table from its Base64 form; nothing where it is not one.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        let bytes = decode_base64(text)?;
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (trie, replacements) = rest.split_at_checked(length)?;
        let (units, odd) = trie.as_chunks::<4>();
        if !odd.is_empty() || units.is_empty() {
            return None;
        }
        Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: std::str::from_utf8(replacements).ok()?.to_owned(),
        })
    }

    /// Replaces what the table knows, as the tokenizers of transformers do it: a
    /// short cluster is looked up whole, and the first entry that it begins with
    /// stands for all of it.
    pub(crate) fn apply(&self, letters: Vec<Letter>) -> Vec<Letter> {
        let text: String = letters.iter().map(|letter| letter.0).collect();
        let mut sources = letters.iter().map(|letter| letter.1);
        let mut replaced = Vec::with_capacity(letters.len());
        for cluster in text.graphemes(true) {
            let whole = (cluster.len() < LONG_CLUSTER)
                .then(|| self.replacement(cluster.as_bytes()))
                .flatten();
            if let Some(replacement) = whole {
                let mut places = sources.by_ref().take(cluster.chars().count());
                let source = places.next().unwrap_or_default();
                places.for_each(drop);
                replaced.extend(replacement.chars().map(|c| (c, source)));
                continue;
            }
            for (c, source) in cluster.chars().zip(sources.by_ref()) {
                match self.replacement(c.encode_utf8(&mut [0; 4]).as_bytes()) {
                    Some(replacement) => replaced.extend(replacement.chars().map(|c| (c, source))),
                    None => replaced.push((c, source)),
                }
            }
        }
        replaced
    }

    /// What stands for the shortest entry that the key begins with.
    fn replacement(&self, key: &[u8]) -> Option<&str> {
        let mut at = offset(*self.units.first()?);
        for &byte in key {
            at ^= u32::from(byte);
            let unit = *self.units.get(at as usize)?;
            let label = unit & (1 << 31 | 0xFF);
            if byte == 0 || label != u32::from(byte) {
                return None;
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let start = *self.units.get(at as usize)? & ((1 << 31) - 1);
                let rest = self.replacements.get(start as usize..)?;
                return rest.split('\0').next();
            }
        }
        None
    }
}

/// How far the children of a unit are away from it.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & 1 << 9) >> 6)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &sign in group {
            let value = match sign {
                b'A'..=b'Z' => sign - b'A',
                b'a'..=b'z' => sign - b'a' + 26,
                b'0'..=b'9' => sign - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        // Four signs are three bytes, three are two, two are one.
        let whole = (group.len() * 6 / 8).min(3);
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_at_every_length_and_other_signs_are_refused() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("+/+/", &[0xFB, 0xFF, 0xBF]),
        ] {
            assert_eq!(decode_base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode_base64("Zm 9"), None);
    }

    #[test]
    fn a_table_of_any_bytes_is_walked_without_leaving_it() {
        for seed in 0..500_u64 {
            let mut random = fastrand_like(seed);
            let units = (0..64).map(|_| random() as u32).collect();
            let map = Charsmap {
                units,
                replacements: "a\0bc\0".to_owned(),
            };
            let letters = "text \u{301}ﬁ漢".chars().zip(0..).collect();
            map.apply(letters);
        }
    }

    /// A small generator, so that each seed is one table.
    fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }
}
