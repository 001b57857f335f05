//! Tokens and addresses of programs.

use sha2::{Digest, Sha256};

/// The last six signs are the CRC-32 of those between prefix and them, in base 62
/// with digits first.
pub(super) fn crc32(text: &str) -> bool {
    const CHECK: usize = 6;
    let body = text.rsplit('_').next().unwrap_or(text);
    if !body.is_ascii() || body.len() <= CHECK {
        return false;
    }
    let (entropy, check) = body.split_at(body.len() - CHECK);
    let value = |c: char| match c {
        '0'..='9' => Some(c as u64 - '0' as u64),
        'A'..='Z' => Some(c as u64 - 'A' as u64 + 10),
        'a'..='z' => Some(c as u64 - 'a' as u64 + 36),
        _ => None,
    };
    let number = check
        .chars()
        .try_fold(0, |sum, c| Some(sum * 62 + value(c)?));
    number == Some(u64::from(crc32_of(entropy.as_bytes())))
}

/// CRC-32 of IEEE 802.3, bit by bit: a token has 30 bytes.
fn crc32_of(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ POLYNOMIAL,
        })
    });
    !crc
}

/// The first part is Base64 of a JSON object that names an algorithm.
pub(super) fn jwt(text: &str) -> bool {
    let head = text.split('.').next().unwrap_or_default();
    base64(head).is_some_and(|json| {
        let json = String::from_utf8_lossy(&json);
        json.starts_with('{') && json.contains("\"alg\"") && json.trim_end().ends_with('}')
    })
}

/// Base64 for addresses, without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut kept, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        kept = (kept << 6 | u32::from(value)) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((kept >> bits) as u8);
        }
    }
    Some(bytes)
}

/// 25 bytes in base 58, of which the last four begin the double SHA-256 of the
/// others.
pub(super) fn base58(text: &str) -> bool {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0_u8; 25];
    for c in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|known| *known == c) else {
            return false;
        };
        let mut carry = value as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (body, check) = bytes.split_at(21);
    Sha256::digest(Sha256::digest(body)).starts_with(check)
}

/// Bits per sign that a drawn text of some length has at least; words and
/// placeholders have fewer.
const BITS_OF_CHANCE: f64 = 3.2;

/// True when the signs of the last word are spread as those that chance draws,
/// and digits stand among them: a placeholder such as `your-api-key-here` is no
/// secret.
pub(super) fn random(text: &str) -> bool {
    let is_part = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-' | '!' | '#' | '~' | '.')
    };
    let mut words = text
        .split(|c: char| !is_part(c))
        .filter(|word| !word.is_empty());
    let Some(word) = words.next_back() else {
        return false;
    };
    let mut counts = [0_u32; 128];
    for byte in word.bytes().filter(u8::is_ascii) {
        counts[usize::from(byte)] += 1;
    }
    let length = word.len() as f64;
    let bits = |count: &u32| match f64::from(*count) / length {
        0.0 => 0.0,
        share => -share * share.log2(),
    };
    let needed = BITS_OF_CHANCE.min(length.log2() * 0.85);
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && counts.iter().map(bits).sum::<f64>() >= needed
}
