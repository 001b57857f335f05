//! Vectors that depend on nothing but the text.

use bytes::Bytes;
use serde::Serialize;

use super::ask::Embed;

const DIMENSIONS: usize = 8;

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats([f32; DIMENSIONS]),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The whole answer to a request for embeddings.
pub(crate) fn answer(embed: &Embed, model: &str, prompt_tokens: u64) -> Bytes {
    let vectors = embed.inputs.iter().map(|input| vector(input));
    let items = vectors.enumerate().map(|(index, floats)| Item {
        object: "embedding",
        index,
        embedding: if embed.base64 {
            encoded(&floats)
        } else {
            Vector::Floats(floats)
        },
    });
    let usage = Usage {
        prompt_tokens,
        total_tokens: prompt_tokens,
    };
    let answer = Answer {
        object: "list",
        data: items.collect(),
        model,
        usage,
    };
    serde_json::to_vec(&answer)
        .expect("numbers and strings are always valid JSON")
        .into()
}

/// `[8]` f32, L2-normalized.
fn vector(input: &[u8]) -> [f32; DIMENSIONS] {
    // FNV-1a of the text seeds splitmix64.
    let mut state = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let raw = [(); DIMENSIONS].map(|()| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    });
    let norm = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
    raw.map(|value| value / norm)
}

/// Little-endian f32, as OpenAI sends them.
fn encoded(floats: &[f32]) -> Vector {
    let bytes: Vec<u8> = floats
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Vector::Base64(base64(&bytes))
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, expected) in vectors {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn a_vector_depends_on_the_text_alone_and_has_length_one() {
        assert_eq!(vector(b"tide"), vector(b"tide"));
        assert_ne!(vector(b"tide"), vector(b"gate"));
        for text in ["", "a", "tide"] {
            let length: f32 = vector(text.as_bytes())
                .iter()
                .map(|value| value * value)
                .sum();
            assert!((length - 1.0).abs() < 1e-5, "{text}: {length}");
        }
    }
}
